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

/// What may be done in the role of `cluster`: read the source, read and write the stage, and decrypt what is in it. `None`
/// where neither is in S3.
pub(super) fn permissions(cluster: &Cluster, account: Account<'_>) -> Option<Value> {
    let partition = account.partition;
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
    if let (Some(_), Some(key)) = (&stage, &cluster.stage_kms_key) {
        statements.push(decrypt(key, account));
    }
    Some(json!({ "Version": VERSION, "Statement": statements }))
}

fn allow(actions: &[&str], resource: &Value) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
}

/// Lets files be decrypted that `key` encrypts. A policy names keys by their ARNs, and aliases by a condition:
/// <https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html>.
fn decrypt(key: &str, account: Account<'_>) -> Value {
    let Account { partition, id } = account;
    if let Some(at) = key.find("alias/") {
        let mut statement = allow(&["kms:Decrypt"], &json!("*"));
        statement["Condition"] =
            json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": key[at..] } });
        return statement;
    }
    let arn = match key.starts_with("arn:") {
        true => key.to_owned(),
        false => format!("arn:{partition}:kms:*:{id}:key/{key}"),
    };
    allow(&["kms:Decrypt"], &json!(arn))
}

/// The account that a role is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account<'a> {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: &'a str,
    /// Its number.
    pub id: &'a str,
}

impl<'a> Account<'a> {
    /// That of the role with this ARN: `arn:PARTITION:iam::ACCOUNT:role/NAME`.
    pub fn of(role: &'a str) -> Self {
        let mut parts = role.split(':').skip(1);
        let partition = parts.next().unwrap_or("aws");
        Self { partition, id: parts.nth(2).unwrap_or("*") }
    }
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

    const ACCOUNT: Account<'_> = Account { partition: "aws", id: "123456789012" };

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
            stage_kms_key: None,
            aws: S3Options::default(),
        }
    }

    #[test]
    fn the_role_reads_the_source_writes_the_stage_and_does_nothing_else() {
        let cluster =
            cluster(&["s3://songs/song_data/", "s3://songs/log_data/"], Some("s3://stage/tmp"));
        let permissions = permissions(&cluster, ACCOUNT).unwrap();
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
        let permissions_of_whole =
            permissions(&whole, Account { partition: "aws-cn", ..ACCOUNT }).unwrap();
        assert_eq!(permissions_of_whole["Statement"][0]["Resource"][0], "arn:aws-cn:s3:::songs/*");
        assert_eq!(permissions_of_whole["Statement"][1].get("Condition"), None);
        let odd = cluster(&["s3://songs/a*b?c$d"], None);
        let resource = &permissions(&odd, ACCOUNT).unwrap()["Statement"][0]["Resource"][0];
        assert_eq!(resource, "arn:aws:s3:::songs/a${*}b${?}c${$}d*");
        assert_eq!(permissions(&cluster(&["./data"], None), ACCOUNT), None);
    }

    #[test]
    fn the_role_decrypts_by_the_key_of_the_stage_and_by_no_other() {
        let last = |key: &str| {
            let with_key = Cluster {
                stage_kms_key: Some(key.to_owned()),
                ..cluster(&["s3://songs"], Some("s3://stage/tmp"))
            };
            let permissions = permissions(&with_key, ACCOUNT).unwrap();
            let last = permissions["Statement"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["Action"], json!(["kms:Decrypt"]));
            (last["Resource"].as_str().unwrap().to_owned(), last.get("Condition").cloned())
        };
        let arn = "arn:aws:kms:us-west-2:123456789012:key/1234abcd";
        assert_eq!(last(arn), (arn.to_owned(), None));
        assert_eq!(last("1234abcd"), ("arn:aws:kms:*:123456789012:key/1234abcd".to_owned(), None));
        let condition =
            json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": "alias/stage" } });
        for alias in ["alias/stage", "arn:aws:kms:us-west-2:123456789012:alias/stage"] {
            assert_eq!(last(alias), ("*".to_owned(), Some(condition.clone())), "{alias}");
        }
        let account = Account::of("arn:aws-cn:iam::123456789012:role/dwh");
        assert_eq!((account.partition, account.id), ("aws-cn", "123456789012"));
    }
}
