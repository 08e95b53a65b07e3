//! Policies: who may act in the role, and what may be done in it. No more than a load needs.

use serde_json::{Value, json};

use super::Cluster;
use crate::source::Location;

const VERSION: &str = "2012-10-17";

/// Who may act in the role of `cluster`: Redshift.
pub(super) fn trust(cluster: &Cluster) -> Value {
    // A workgroup acts as both.
    let services = match cluster.is_serverless() {
        false => json!("redshift.amazonaws.com"),
        true => json!(["redshift-serverless.amazonaws.com", "redshift.amazonaws.com"]),
    };
    json!({
        "Version": VERSION,
        "Statement": [
            { "Effect": "Allow", "Principal": { "Service": services }, "Action": "sts:AssumeRole" }
        ]
    })
}

/// What may be done in the role of `cluster`: read the source, read and write the stage. `None` where neither is in S3.
///
/// `partition` is that of the account: `aws`, `aws-cn` or `aws-us-gov`.
pub(super) fn permissions(cluster: &Cluster, partition: &str) -> Option<Value> {
    let mut reads: Vec<_> = cluster.reads.iter().filter_map(Place::of).collect();
    // Files are put into it as into a folder: what else begins like its name is not meant.
    let stage = cluster.stage.as_ref().and_then(Place::of).map(Place::folder);
    reads.dedup();
    reads.retain(|place| Some(place) != stage.as_ref());

    let mut statements = Vec::new();
    if !reads.is_empty() {
        let objects: Vec<_> = reads.iter().map(|place| place.objects(partition)).collect();
        statements.push(allow(&["s3:GetObject"], &json!(objects)));
    }
    if let Some(stage) = &stage {
        let actions = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"];
        statements.push(allow(&actions, &json!(stage.objects(partition))));
    }
    let mut buckets = Vec::new();
    for place in reads.iter().chain(&stage) {
        let mut list = allow(&["s3:ListBucket"], &json!(place.bucket_arn(partition)));
        if !place.prefix.is_empty() {
            list["Condition"] = json!({ "StringLike": { "s3:prefix": place.keys() } });
        }
        statements.push(list);
        buckets.push(place.bucket_arn(partition));
    }
    buckets.dedup();
    if statements.is_empty() {
        return None;
    }
    statements.push(allow(&["s3:GetBucketLocation"], &json!(buckets)));
    Some(json!({ "Version": VERSION, "Statement": statements }))
}

fn allow(actions: &[&str], resource: &Value) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
}

/// A prefix in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place<'a> {
    bucket: &'a str,
    prefix: String,
}

impl<'a> Place<'a> {
    fn of(location: &'a Location) -> Option<Self> {
        match location {
            Location::Directory(_) => None,
            Location::S3 { bucket, prefix } => Some(Self { bucket, prefix: prefix.clone() }),
        }
    }

    fn folder(mut self) -> Self {
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            self.prefix.push('/');
        }
        self
    }

    fn bucket_arn(&self, partition: &str) -> String {
        format!("arn:{partition}:s3:::{}", self.bucket)
    }

    fn objects(&self, partition: &str) -> String {
        format!("{}/{}", self.bucket_arn(partition), self.keys())
    }

    /// The pattern of its keys. What has a meaning in patterns is written as IAM's manual says ("IAM policy elements:
    /// Variables and tags").
    fn keys(&self) -> String {
        let mut pattern = String::new();
        for char in self.prefix.chars() {
            match char {
                '*' | '?' | '$' => pattern.extend(["${", char.encode_utf8(&mut [0; 4]), "}"]),
                _ => pattern.push(char),
            }
        }
        pattern + "*"
    }
}

#[cfg(test)]
mod tests {
    use super::super::Size;
    use super::*;
    use crate::source::S3Options;

    fn cluster(reads: &[&str], stage: Option<&str>) -> Cluster {
        Cluster {
            name: "dwh".to_owned(),
            size: Size::Nodes { node_type: "ra3.large".to_owned(), count: 1 },
            database: "dev".to_owned(),
            user: "admin".to_owned(),
            port: 5439,
            role: "dwh".to_owned(),
            reads: reads.iter().map(|place| place.parse().unwrap()).collect(),
            stage: stage.map(|place| place.parse().unwrap()),
            aws: S3Options::default(),
        }
    }

    #[test]
    fn the_role_reads_the_source_writes_the_stage_and_does_nothing_else() {
        let cluster =
            cluster(&["s3://songs/song_data/", "s3://songs/log_data/"], Some("s3://stage/tmp"));
        let permissions = permissions(&cluster, "aws").unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&permissions).unwrap(), @r#"
        {
          "Statement": [
            {
              "Action": [
                "s3:GetObject"
              ],
              "Effect": "Allow",
              "Resource": [
                "arn:aws:s3:::songs/song_data/*",
                "arn:aws:s3:::songs/log_data/*"
              ]
            },
            {
              "Action": [
                "s3:GetObject",
                "s3:PutObject",
                "s3:AbortMultipartUpload"
              ],
              "Effect": "Allow",
              "Resource": "arn:aws:s3:::stage/tmp/*"
            },
            {
              "Action": [
                "s3:ListBucket"
              ],
              "Condition": {
                "StringLike": {
                  "s3:prefix": "song_data/*"
                }
              },
              "Effect": "Allow",
              "Resource": "arn:aws:s3:::songs"
            },
            {
              "Action": [
                "s3:ListBucket"
              ],
              "Condition": {
                "StringLike": {
                  "s3:prefix": "log_data/*"
                }
              },
              "Effect": "Allow",
              "Resource": "arn:aws:s3:::songs"
            },
            {
              "Action": [
                "s3:ListBucket"
              ],
              "Condition": {
                "StringLike": {
                  "s3:prefix": "tmp/*"
                }
              },
              "Effect": "Allow",
              "Resource": "arn:aws:s3:::stage"
            },
            {
              "Action": [
                "s3:GetBucketLocation"
              ],
              "Effect": "Allow",
              "Resource": [
                "arn:aws:s3:::songs",
                "arn:aws:s3:::stage"
              ]
            }
          ],
          "Version": "2012-10-17"
        }
        "#);
    }

    #[test]
    fn a_whole_bucket_and_odd_prefixes_are_written_as_patterns() {
        let whole = cluster(&["s3://songs"], None);
        let permissions_of_whole = permissions(&whole, "aws-cn").unwrap();
        assert_eq!(permissions_of_whole["Statement"][0]["Resource"][0], "arn:aws-cn:s3:::songs/*");
        assert_eq!(permissions_of_whole["Statement"][1].get("Condition"), None);
        let odd = cluster(&["s3://songs/a*b?c$d"], None);
        let resource = &permissions(&odd, "aws").unwrap()["Statement"][0]["Resource"][0];
        assert_eq!(resource, "arn:aws:s3:::songs/a${*}b${?}c${$}d*");
        assert_eq!(permissions(&cluster(&["./data"], None), "aws"), None);
    }
}
