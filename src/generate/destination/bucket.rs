//! A bucket to generate into.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::FOLDERS;
use crate::error::Result;
use crate::retry::Retry;
use crate::source::{Bucket, ObjectWriter, Purpose, Reach, S3Options};

/// Requests that are out at once.
const REQUESTS: usize = 32;
/// The size of an object's parts. S3 takes 10,000 of them, of 5 MiB or more.
const PART_BYTES: usize = 16 << 20;
/// Parts of an object that are out at once: one connection is slower than a network.
const PARTS: usize = 4;

#[derive(Debug)]
pub(crate) struct Destination {
    bucket: Arc<Bucket>,
    /// What all keys start with.
    base: String,
}

impl Destination {
    pub async fn open(
        bucket: &str,
        prefix: &str,
        options: &S3Options,
        retry: Retry,
    ) -> Result<Self> {
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let base = format!("{prefix}{slash}");
        let bucket = Arc::new(
            Bucket::open(
                Purpose::Destination,
                bucket,
                &base,
                options,
                retry,
                Reach::requests(REQUESTS),
            )
            .await?,
        );
        Ok(Self { bucket, base })
    }

    /// The folder that holds something already, if one does.
    pub async fn taken(&self) -> Result<Option<String>> {
        for folder in FOLDERS {
            let prefix = format!("{}{folder}/", self.base);
            if !self.bucket.is_empty(&prefix).await? {
                return Ok(Some(self.bucket.name(&prefix)));
            }
        }
        Ok(None)
    }

    pub async fn write_all(&self, objects: Vec<(String, Vec<u8>)>) -> Result<()> {
        let puts = stream::iter(objects).map(|(key, bytes)| async move {
            self.bucket.put(&format!("{}{key}", self.base), bytes.into()).await
        });
        puts.buffer_unordered(REQUESTS).try_collect().await
    }

    pub fn begin(&self, key: &str) -> ObjectWriter {
        let (key, turns) = (format!("{}{key}", self.base), Arc::new(Semaphore::new(PARTS)));
        ObjectWriter::new(self.bucket.clone(), key, PART_BYTES, turns)
    }
}
