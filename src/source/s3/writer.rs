//! Writing an object piece by piece, into parts that go out side by side.

use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Bucket, Upload};
use crate::error::Result;

/// Parts of an object that are out at once: one connection is slower than a network.
const PARTS: usize = 4;

/// An object on its way into a bucket: in one piece if it is small. Dropped before it is finished, it is not there,
/// though parts of it may stay in the bucket until the upload is aborted.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    bucket: Arc<Bucket>,
    key: String,
    part_bytes: usize,
    /// What comes next.
    part: Vec<u8>,
    /// There once a part is full.
    upload: Option<Upload>,
    /// How many parts were begun.
    begun: i32,
    parts: JoinSet<Result<CompletedPart>>,
    done: Vec<CompletedPart>,
}

impl ObjectWriter {
    /// Parts have `part_bytes`; S3 takes 10,000 of them, of 5 MiB or more.
    pub fn new(bucket: Arc<Bucket>, key: String, part_bytes: usize) -> Self {
        Self {
            bucket,
            key,
            part_bytes,
            part: Vec::new(),
            upload: None,
            begun: 0,
            parts: JoinSet::new(),
            done: Vec::new(),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.part.extend_from_slice(bytes);
        if self.part.len() < self.part_bytes {
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
