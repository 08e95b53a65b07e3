//! Writing an object piece by piece, into parts that go out side by side.

use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Bucket, Upload};
use crate::error::Result;

const NEVER_CLOSED: &str = "the turns are never closed";

/// An object on its way into a bucket: in one piece if it is small. Dropped before it is finished, it is not there,
/// though parts of it may stay in the bucket until the upload is aborted.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    bucket: Arc<Bucket>,
    key: String,
    part_bytes: usize,
    /// Each part that is out has one.
    turns: Arc<Semaphore>,
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
    /// Parts have `part_bytes`; S3 takes 10,000 of them, of 5 MiB or more. As many are out at once as there are `turns`,
    /// which may be shared with other objects.
    pub fn new(bucket: Arc<Bucket>, key: String, part_bytes: usize, turns: Arc<Semaphore>) -> Self {
        Self {
            bucket,
            key,
            part_bytes,
            turns,
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

    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.part_bytes - self.part.len()));
            self.add_to_part(now);
            bytes = later;
            if self.part.len() == self.part_bytes {
                let outcome = self.put_part().await;
                self.or_abort(outcome).await?;
            }
        }
        Ok(())
    }

    fn add_to_part(&mut self, bytes: &[u8]) {
        let length = self.part.len() + bytes.len();
        if length > self.part.capacity() {
            // By itself it would grow beyond a part.
            let capacity = (2 * self.part.capacity()).clamp(length, self.part_bytes);
            self.part.reserve_exact(capacity - self.part.len());
        }
        self.part.extend_from_slice(bytes);
    }

    pub async fn finish(mut self) -> Result<()> {
        if self.upload.is_none() {
            let _turn = self.turns.acquire().await.expect(NEVER_CLOSED);
            return self.bucket.put(&self.key, std::mem::take(&mut self.part).into()).await;
        }
        let outcome = self.finish_parts().await;
        self.or_abort(outcome).await
    }

    /// Sends what has come, when it may.
    async fn put_part(&mut self) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(self.bucket.begin_upload(&self.key).await?).clone(),
        };
        while let Some(done) = self.parts.try_join_next() {
            self.done.push(done.expect("putting a part does not panic")?);
        }
        let turn = self.turns.clone().acquire_owned().await.expect(NEVER_CLOSED);
        self.begun += 1;
        let bytes = Bytes::from(std::mem::take(&mut self.part));
        let (bucket, number) = (self.bucket.clone(), self.begun);
        self.parts.spawn(async move {
            let _turn = turn;
            bucket.put_part(&upload, number, bytes).await
        });
        Ok(())
    }

    async fn finish_parts(&mut self) -> Result<()> {
        if !self.part.is_empty() {
            self.put_part().await?;
        }
        while let Some(done) = self.parts.join_next().await {
            self.done.push(done.expect("putting a part does not panic")?);
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
