//! Removing: objects, and uploads that were never finished.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{Bucket, Upload};
use crate::error::Result;

/// How many objects one request removes at most.
const AT_ONCE: usize = 1000;

impl Bucket {
    /// Removes the objects with these `keys`, whether they are there or not.
    ///
    /// # Errors
    ///
    /// One may not be removed, while the others are all the same; or the bucket is out of reach.
    pub async fn remove(&self, keys: &[String]) -> Result<()> {
        let mut refused = None;
        for keys in keys.chunks(AT_ONCE) {
            let what = || format!("can't remove {} and what is beside it", self.name(&keys[0]));
            let identifier = |key: &String| ObjectIdentifier::builder().key(key).build();
            let objects: Result<Vec<_>, _> = keys.iter().map(identifier).collect();
            let delete = objects.and_then(|objects| {
                Delete::builder().set_objects(Some(objects)).quiet(true).build()
            });
            let delete = delete.map_err(|cause| self.purpose.error(what()).because(cause))?;
            let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let removed = self
                .ask(&mut self.retry.attempts(), || request.clone().send())
                .await
                .map_err(|failure| failure.error(what()))?;
            refused = refused.or_else(|| removed.errors().first().cloned());
        }
        let Some(error) = refused else { return Ok(()) };
        let what = format!("can't remove {}", self.name(error.key().unwrap_or_default()));
        let cause: Vec<_> = [error.code(), error.message()].into_iter().flatten().collect();
        Err(self.purpose.error(what).because(cause.join(": ")))
    }

    /// Lets go of the uploads under `prefix` that were begun and never finished.
    pub async fn abort_uploads(&self, prefix: &str) -> Result<()> {
        let what = || format!("can't list the unfinished uploads under {}", self.name(prefix));
        let (mut key, mut id) = (None, None);
        loop {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(key)
                .set_upload_id_marker(id);
            let page = self
                .ask(&mut self.retry.attempts(), || request.clone().send())
                .await
                .map_err(|failure| failure.error(what()))?;
            for upload in page.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) {
                    self.abort_upload(&Upload { key: key.to_owned(), id: id.to_owned() }).await;
                }
            }
            if !page.is_truncated.unwrap_or(false) {
                return Ok(());
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}
