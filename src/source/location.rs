//! Locations: a directory, or a prefix in a bucket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A place that holds objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory with all that is below it, or a single file.
    Directory(PathBuf),
    /// A folder of an S3 bucket with all that is below it, or a single object.
    S3 {
        /// The bucket's name, or the ARN of an access point.
        bucket: String,
        /// The key of the folder, with or without a `/` at its end, or of the object; empty for the whole bucket.
        prefix: String,
    },
}

impl Location {
    /// The place called `name` in this one.
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Directory(path) => Self::Directory(path.join(name)),
            Self::S3 { bucket, prefix } => {
                let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
                Self::S3 { bucket: bucket.clone(), prefix: format!("{prefix}{slash}{name}/") }
            }
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = split(rest);
            if bucket.is_empty() {
                return Err(Error::config(format!("no bucket in {text}"))
                    .with_help("write s3://bucket or s3://bucket/prefix"));
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.is_empty() || path.contains("://") {
            // What stands behind another scheme may be a server's address with its password.
            let shown = text
                .split_once("://")
                .map_or(text.to_owned(), |(scheme, _)| scheme.to_owned() + "://…");
            return Err(Error::config(format!("not a source: {shown:?}"))
                .with_help("give a directory, file://…, or s3://bucket[/prefix]"));
        }
        Ok(Self::Directory(PathBuf::from(path)))
    }
}

/// The parts of `bucket[/prefix]`. The ARN of an access point stands for a bucket, and holds slashes itself:
/// `arn:aws:s3:region:account:accesspoint/name`, for Outposts `…:outpost/id/accesspoint/name`.
fn split(text: &str) -> (&str, &str) {
    let resource = text.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').last());
    let slashes = match resource {
        Some(resource) if resource.starts_with("outpost/") => 3,
        Some(resource) if resource.starts_with("accesspoint/") => 1,
        _ => 0,
    };
    match text.match_indices('/').nth(slashes) {
        Some((at, _)) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_a_bucket() {
        let cases = [
            ("b", "b", ""),
            ("b/", "b", ""),
            ("b/a/arn:x", "b", "a/arn:x"),
            (
                "arn:aws:s3:us-west-2:123456789012:accesspoint/ap/logs/a.json",
                "arn:aws:s3:us-west-2:123456789012:accesspoint/ap",
                "logs/a.json",
            ),
            (
                "arn:aws:s3:us-west-2:123456789012:accesspoint/ap",
                "arn:aws:s3:us-west-2:123456789012:accesspoint/ap",
                "",
            ),
            (
                "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:ap/logs",
                "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:ap",
                "logs",
            ),
            (
                "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/ap/logs",
                "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/ap",
                "logs",
            ),
            (
                "arn:aws:s3::123456789012:accesspoint:x.mrap/a",
                "arn:aws:s3::123456789012:accesspoint:x.mrap",
                "a",
            ),
        ];
        for (text, bucket, prefix) in cases {
            let location: Location = format!("s3://{text}").parse().unwrap();
            let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
            assert_eq!(location, Location::S3 { bucket, prefix });
        }
    }

    #[test]
    fn bases_hold_songs_and_logs() {
        let cases = [
            ("data", "data/song_data"),
            ("file:///data/", "/data/song_data"),
            ("s3://bucket", "s3://bucket/song_data/"),
            ("s3://bucket/a b", "s3://bucket/a b/song_data/"),
            ("s3://bucket/a/", "s3://bucket/a/song_data/"),
        ];
        for (base, songs) in cases {
            let base: Location = base.parse().unwrap();
            assert_eq!(base.join("song_data").to_string(), songs);
        }
        let error = "postgres://u:s3cret@h/d".parse::<Location>().unwrap_err();
        assert_eq!(error.to_string(), "not a source: \"postgres://…\"");
        for wrong in ["", "s3://", "s3:///key", "gs://bucket", "file://"] {
            assert!(wrong.parse::<Location>().is_err(), "{wrong}");
        }
    }
}
