//! Putting: how objects come into a bucket, whole or in parts.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::Bytes;

use super::Bucket;
use super::failure::Failure;
use crate::error::{Error, Result};
use crate::source::Encryption;

/// An object that comes in parts; nobody sees it before it is finished.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

impl Bucket {
    /// Whether no key starts with `prefix`.
    pub async fn is_empty(&self, prefix: &str) -> Result<bool> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .max_keys(1)
            .set_request_payer(self.request_payer.clone());
        let page = self
            .ask(&mut self.retry.attempts(), || request.clone().send())
            .await
            .map_err(|failure| failure.error(format!("can't list {}", self.name(prefix))))?;
        Ok(page.contents().is_empty())
    }

    /// Puts a whole object.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (sse, key_id) = self.sse();
        let put = || {
            self.client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .body(ByteStream::from(bytes.clone()))
                .set_server_side_encryption(sse.clone())
                .set_ssekms_key_id(key_id.clone())
                .set_request_payer(self.request_payer.clone())
                .send()
        };
        let put = self.ask(&mut self.retry.attempts(), put).await;
        put.map(drop).map_err(|failure| self.not_put(key, failure))
    }

    /// Begins an object that comes in parts.
    pub async fn begin_upload(&self, key: &str) -> Result<Upload> {
        let (sse, key_id) = self.sse();
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .set_server_side_encryption(sse)
            .set_ssekms_key_id(key_id)
            .set_request_payer(self.request_payer.clone());
        let begun = self
            .ask(&mut self.retry.attempts(), || request.clone().send())
            .await
            .map_err(|failure| self.not_put(key, failure))?;
        let Some(id) = begun.upload_id else {
            return Err(Error::source(format!("can't write {}", self.name(key)))
                .because("the server gives the upload no id"));
        };
        Ok(Upload { key: key.to_owned(), id })
    }

    /// Puts the part with a number, counted from 1; all parts but the last have 5 MiB or more.
    pub async fn put_part(
        &self,
        upload: &Upload,
        number: i32,
        bytes: Bytes,
    ) -> Result<CompletedPart> {
        let put = || {
            self.client
                .upload_part()
                .bucket(&self.bucket)
                .key(&upload.key)
                .upload_id(&upload.id)
                .part_number(number)
                .body(ByteStream::from(bytes.clone()))
                .set_request_payer(self.request_payer.clone())
                .send()
        };
        let put = self
            .ask(&mut self.retry.attempts(), put)
            .await
            .map_err(|failure| self.not_put(&upload.key, failure))?;
        // What the part was checked by has to be said again.
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(put.e_tag)
            .set_checksum_crc32(put.checksum_crc32)
            .build())
    }

    /// Makes one object of the parts, which are in order.
    pub async fn finish_upload(&self, upload: &Upload, parts: Vec<CompletedPart>) -> Result<()> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .multipart_upload(parts)
            .set_request_payer(self.request_payer.clone());
        let mut attempts = self.retry.attempts();
        match self.ask(&mut attempts, || request.clone().send()).await {
            Ok(_) => Ok(()),
            // An attempt whose answer was lost had finished it.
            Err(failure)
                if attempts.failed() > 0 && failure.code.as_deref() == Some("NoSuchUpload") =>
            {
                Ok(())
            }
            Err(failure) => Err(self.not_put(&upload.key, failure)),
        }
    }

    /// Lets go of the parts of an object that will not be finished, as far as the server lets.
    pub async fn abort_upload(&self, upload: &Upload) {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .set_request_payer(self.request_payer.clone());
        if let Err(error) = request.send().await {
            let name = self.name(&upload.key);
            tracing::warn!(
                "parts of {name} are left in the bucket: {}",
                Failure::of(error, self.purpose).cause()
            );
        }
    }

    /// How objects are to be encrypted, and by which key.
    fn sse(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.encryption {
            None => (None, None),
            Some(Encryption::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(Encryption::Kms(key)) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        }
    }

    fn not_put(&self, key: &str, failure: Failure) -> Error {
        failure.error(format!("can't write {}", self.name(key)))
    }
}
