//! Bodies: bytes of an object, which go on where a connection broke.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::time::timeout;

use super::failure::{CONNECTION, innermost};
use super::route::{Answer, Span};
use super::{Bucket, try_again};
use crate::error::{Error, Result};
use crate::retry::Attempts;
use crate::source::{Object, ReadError};

/// Bytes of one version of an object.
pub(super) struct RangeBody {
    bucket: Arc<Bucket>,
    name: Arc<str>,
    /// Names the version, where the server does.
    etag: Option<Arc<str>>,
    stream: ByteStream,
    /// The bytes that are still to come.
    left: Span,
    /// Where the last one of them ends.
    end: u64,
    /// Attempts since bytes came.
    attempts: Attempts,
}

impl RangeBody {
    pub async fn open(bucket: Arc<Bucket>, object: &Object, span: Span) -> Result<Self, ReadError> {
        let mut attempts = bucket.retry.attempts();
        let name = object.name.clone();
        let end = span.to.unwrap_or(object.size);
        let listed = Some(object.etag.clone()).filter(|etag| !etag.is_empty());
        let answer = bucket.get(&name, listed.as_deref(), span, &mut attempts).await?;
        let etag = listed.or_else(|| answer.etag.as_deref().map(Arc::from));
        let stream = stream(answer, end - span.from)?;
        Ok(Self { bucket, name, etag, stream, left: span, end, attempts })
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let left = self.end - self.left.from;
            // Counts while bytes are asked for, never while a slow database holds the reader back.
            let next = timeout(self.bucket.stalled, self.stream.next()).await;
            let broken = match next {
                Ok(Some(Ok(bytes))) if bytes.len() as u64 <= left => {
                    self.left.from += bytes.len() as u64;
                    self.attempts.succeeded();
                    return Ok(Some(bytes));
                }
                Ok(Some(Ok(_))) => return Err(ReadError::Changed("it is longer now".to_owned())),
                Ok(None) if left == 0 => return Ok(None),
                Ok(None) => format!("the last {left} bytes did not come"),
                Ok(Some(Err(cause))) => innermost(&cause),
                Err(_) => format!("nothing came for {:?}", self.bucket.stalled),
            };
            // The SDK holds the whole against its checksum: the bytes that came are not the object's.
            if left == 0 {
                return Err(ReadError::Changed(broken));
            }
            self.go_on(broken).await?;
        }
    }

    /// Asks again for the bytes that did not come because the body is `broken`.
    async fn go_on(&mut self, broken: String) -> Result<(), ReadError> {
        if !try_again(self.bucket.purpose, &mut self.attempts, &broken).await {
            let error = Error::source(format!("can't read {}", self.name))
                .because(self.attempts.explain(broken))
                .with_help(CONNECTION);
            return Err(ReadError::Failed(error));
        }
        let Self { bucket, name, etag, left, end, attempts, .. } = self;
        let answer = bucket.get(name, etag.as_deref(), *left, attempts).await?;
        self.stream = stream(answer, *end - left.from)?;
        Ok(())
    }
}

/// The body of an answer, which must have `length` bytes: a server may pay no heed to `If-Match` or `Range`.
fn stream(answer: Answer, length: u64) -> Result<ByteStream, ReadError> {
    match answer.length {
        Some(other) if other != length => {
            Err(ReadError::Changed(format!("{other} bytes came, not {length}")))
        }
        _ => Ok(answer.body),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Purpose;
    use super::*;
    use crate::retry::Retry;
    use crate::source::{Kind, Reach, S3Options};
    use crate::test_s3::{Fault, Operation, S3, When};

    const STALLED: Duration = Duration::from_millis(200);

    /// A server with an object of 1 MiB, and the object as it is listed by a reader with little patience.
    async fn listed() -> (S3, Vec<u8>, Arc<Bucket>, Object) {
        let server = S3::start();
        let bytes: Vec<u8> = (0..1 << 20).map(|n| (n / 7) as u8).collect();
        server.put("music", "x.json", bytes.clone());
        let options = S3Options {
            endpoint_url: Some(server.endpoint()),
            no_sign_request: true,
            ..S3Options::default()
        };
        let max_delay = Duration::from_millis(5);
        let retry = Retry { attempts: 3, max_delay, ..Retry::default() };
        let mut bucket = Bucket::open(
            Purpose::Source,
            "music",
            "",
            &options,
            retry,
            Reach { fetches: 4, ahead_bytes: 0 },
        )
        .await
        .unwrap();
        bucket.stalled = STALLED;
        let entry = bucket.list_under("").await.unwrap().remove(0);
        let (name, etag, size) = (entry.name.into(), entry.etag.into(), entry.size);
        let object = Object { id: 1, rank: 0, kind: Kind::Logs, name, size, etag };
        (server, bytes, Arc::new(bucket), object)
    }

    async fn rest(body: &mut RangeBody) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        while let Some(more) = body.next().await? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_asked_for_again() {
        let (server, bytes, bucket, object) = listed().await;
        let every_get = || When::all(Operation::GetObject, "");
        let stalls = server.inject(every_get().times(2), Fault::Stall(400_000));
        let mut body = RangeBody::open(bucket.clone(), &object, Span::ALL).await.unwrap();
        assert!(rest(&mut body).await.unwrap() == bytes);
        assert_eq!((stalls.count(), server.requests(Operation::GetObject)), (2, 3));

        server.inject(every_get(), Fault::Stall(0));
        let mut body = RangeBody::open(bucket, &object, Span::ALL).await.unwrap();
        let Err(ReadError::Failed(error)) = rest(&mut body).await else { panic!("it was read") };
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("nothing came for 200ms (3 attempts in 0."), "{cause}");
    }

    #[tokio::test]
    async fn a_reader_that_is_held_back_loses_nothing() {
        let (server, bytes, bucket, object) = listed().await;
        let mut body = RangeBody::open(bucket, &object, Span::ALL).await.unwrap();
        let mut found = Vec::new();
        for _ in 0..3 {
            found.extend_from_slice(&body.next().await.unwrap().unwrap());
            tokio::time::sleep(2 * STALLED).await;
        }
        assert!(found.len() < bytes.len());
        found.extend(rest(&mut body).await.unwrap());
        assert!(found == bytes);
        assert_eq!(server.requests(Operation::GetObject), 1);
    }

    #[tokio::test]
    async fn a_version_that_is_gone_is_told_from_one_that_changed() {
        let (server, _, bucket, object) = listed().await;
        let fresh = async || RangeBody::open(bucket.clone(), &object, Span::ALL).await;
        let cut = |fault| server.inject(When::all(Operation::GetObject, "").times(1), fault);

        cut(Fault::CutAndReplace(400_000, "{}".into()));
        let error = rest(&mut fresh().await.unwrap()).await.unwrap_err();
        assert!(matches!(error, ReadError::Changed(_)), "{error:?}");
        assert!(matches!(fresh().await, Err(ReadError::Changed(_))));
        let now = bucket.stat(&object).await.unwrap().unwrap();
        assert_eq!((now.size, &now.name, now.id), (2, &object.name, 1));

        let mut body = RangeBody::open(bucket.clone(), &now, Span::ALL).await.unwrap();
        assert_eq!(rest(&mut body).await.unwrap(), b"{}");
        server.remove("music", "x.json");
        assert!(matches!(fresh().await, Err(ReadError::Gone)));
        assert!(bucket.stat(&object).await.unwrap().is_none());
    }
}
