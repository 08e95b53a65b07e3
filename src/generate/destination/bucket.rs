//! A bucket to generate into.

use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use super::FOLDERS;
use crate::error::Result;
use crate::retry::Retry;
use crate::source::{Bucket, Reach, S3Options, Upload};

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
    pub async fn open(bucket: &str, prefix: &str, options: &S3Options, retry: Retry) -> Self {
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let base = format!("{prefix}{slash}");
        let bucket =
            Arc::new(Bucket::open(bucket, &base, options, retry, Reach::requests(REQUESTS)).await);
        Self { bucket, base }
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

    pub fn begin(&self, key: &str) -> PartialUpload {
        PartialUpload {
            bucket: self.bucket.clone(),
            key: format!("{}{key}", self.base),
            part: Vec::new(),
            upload: None,
            begun: 0,
            parts: JoinSet::new(),
            done: Vec::new(),
        }
    }
}

/// An object on its way into a bucket: in one piece if it is small.
#[derive(Debug)]
pub(crate) struct PartialUpload {
    bucket: Arc<Bucket>,
    key: String,
    /// What comes next.
    part: Vec<u8>,
    /// There once a part is full.
    upload: Option<Upload>,
    /// How many parts were begun.
    begun: i32,
    parts: JoinSet<Result<CompletedPart>>,
    done: Vec<CompletedPart>,
}

impl PartialUpload {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.part.extend_from_slice(bytes);
        if self.part.len() < PART_BYTES {
            return Ok(());
        }
        let outcome = self.put_part().await;
        self.or_abort(outcome).await
    }

    pub async fn finish(mut self) -> Result<()> {
        if self.upload.is_none() {
            return self.bucket.put(&self.key, std::mem::take(&mut self.part).into()).await;
        }
        let outcome = self.finish_parts().await;
        self.or_abort(outcome).await
    }

    /// Sends what has come, and waits if too many parts are out.
    async fn put_part(&mut self) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(self.bucket.begin_upload(&self.key).await?).clone(),
        };
        while self.parts.len() >= PARTS {
            self.part_done().await?;
        }
        self.begun += 1;
        let bytes = Bytes::from(std::mem::take(&mut self.part));
        let (bucket, number) = (self.bucket.clone(), self.begun);
        self.parts.spawn(async move { bucket.put_part(&upload, number, bytes).await });
        Ok(())
    }

    async fn part_done(&mut self) -> Result<()> {
        if let Some(done) = self.parts.join_next().await {
            self.done.push(done.expect("putting a part does not panic")?);
        }
        Ok(())
    }

    async fn finish_parts(&mut self) -> Result<()> {
        if !self.part.is_empty() {
            self.put_part().await?;
        }
        while !self.parts.is_empty() {
            self.part_done().await?;
        }
        let mut parts = std::mem::take(&mut self.done);
        parts.sort_by_key(CompletedPart::part_number);
        match &self.upload {
            Some(upload) => self.bucket.finish_upload(upload, parts).await,
            None => Ok(()),
        }
    }

    /// Lets go of the parts that are there when the object can't be finished.
    async fn or_abort(&mut self, outcome: Result<()>) -> Result<()> {
        if outcome.is_err()
            && let Some(upload) = self.upload.take()
        {
            self.parts.shutdown().await;
            self.bucket.abort_upload(&upload).await;
        }
        outcome
    }
}
