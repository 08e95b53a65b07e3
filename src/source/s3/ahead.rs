//! Reading ahead: a large object comes in parts over several connections, as one of them gives no more than a share of
//! what the network could.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::Bucket;
use super::body::RangeBody;
use super::route::Span;
use crate::source::{Object, ReadError, joined};

/// The room for parts that are held before their turn comes.
#[derive(Debug)]
pub(super) struct Ahead(Arc<Semaphore>);

/// A part of this size takes about as long to come as its request takes to be answered.
const PART_BYTES: u64 = 4 << 20;

impl Ahead {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / PART_BYTES as usize)))
    }

    fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// The bytes of one version of an object.
///
/// Where there is no room for parts, all that is left comes over one connection: others are busy then.
pub(crate) struct ObjectBody {
    current: Part,
    /// The parts that follow, in their order.
    ahead: VecDeque<AbortOnDropHandle<Result<Part, ReadError>>>,
    rest: Rest,
}

/// A part of an object: as it comes, or all of it and the room that it takes.
enum Part {
    Coming(Box<RangeBody>),
    Held { bytes: vec::IntoIter<Bytes>, _room: OwnedSemaphorePermit },
}

/// What of an object is not asked for yet.
struct Rest {
    bucket: Arc<Bucket>,
    object: Object,
    from: u64,
}

impl ObjectBody {
    pub async fn open(bucket: &Arc<Bucket>, object: &Object) -> Result<Self, ReadError> {
        let mut rest = Rest { bucket: bucket.clone(), object: object.clone(), from: 0 };
        let mut ahead = VecDeque::new();
        // Parts are those of one version because each request names it.
        let is_for_parts = object.size >= 2 * PART_BYTES && !object.etag.is_empty();
        let span = match is_for_parts.then(|| bucket.ahead.room()).flatten() {
            Some(room) => {
                let span = rest.part();
                ahead.push_back(rest.read_ahead(room));
                span
            }
            None => rest.all(),
        };
        Ok(Self { current: rest.coming(span).await?, ahead, rest })
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        while !self.rest.is_empty()
            && let Some(room) = self.rest.bucket.ahead.room()
        {
            self.ahead.push_back(self.rest.read_ahead(room));
        }
        loop {
            if let Some(bytes) = self.current.next().await? {
                return Ok(Some(bytes));
            }
            self.current = match self.ahead.pop_front() {
                Some(part) => joined(part.await).map_err(ReadError::Failed)??,
                None if self.rest.is_empty() => return Ok(None),
                None => {
                    let span = self.rest.all();
                    self.rest.coming(span).await?
                }
            };
        }
    }
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.from >= self.object.size
    }

    fn part(&mut self) -> Span {
        let from = self.from;
        self.from = (from + PART_BYTES).min(self.object.size);
        Span { from, to: Some(self.from) }
    }

    fn all(&mut self) -> Span {
        let from = self.from;
        self.from = self.object.size;
        Span { from, to: None }
    }

    async fn coming(&self, span: Span) -> Result<Part, ReadError> {
        let body = RangeBody::open(self.bucket.clone(), &self.object, span).await?;
        Ok(Part::Coming(Box::new(body)))
    }

    /// Has the next part read, to be held in `room`.
    fn read_ahead(
        &mut self,
        room: OwnedSemaphorePermit,
    ) -> AbortOnDropHandle<Result<Part, ReadError>> {
        let span = self.part();
        let (bucket, object) = (self.bucket.clone(), self.object.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut body = RangeBody::open(bucket, &object, span).await?;
            let mut bytes = Vec::new();
            while let Some(more) = body.next().await? {
                bytes.push(more);
            }
            Ok(Part::Held { bytes: bytes.into_iter(), _room: room })
        }))
    }
}

impl Part {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Coming(body) => body.next().await,
            Self::Held { bytes, .. } => Ok(bytes.next()),
        }
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

    /// A server with an object of several parts, and the object as a reader with room for `parts` lists it.
    async fn listed(size: u64, parts: u64) -> (S3, Vec<u8>, Arc<Bucket>, Object) {
        let server = S3::start();
        let bytes: Vec<u8> = (0..size).map(|n| (n / 7 + n / PART_BYTES) as u8).collect();
        server.put("music", "x.json", bytes.clone());
        let options = S3Options {
            endpoint_url: Some(server.endpoint()),
            no_sign_request: true,
            ..S3Options::default()
        };
        let reach = Reach { fetches: 8, ahead_bytes: (parts * PART_BYTES) as usize };
        let bucket =
            Bucket::open(Purpose::Source, "music", "", &options, Retry::default(), reach).await;
        let bucket = bucket.unwrap();
        let entry = bucket.list_under("").await.unwrap().remove(0);
        let (name, etag, size) = (entry.name.into(), entry.etag.into(), entry.size);
        let object = Object { id: 1, rank: 0, kind: Kind::Logs, name, size, etag };
        (server, bytes, Arc::new(bucket), object)
    }

    async fn all(body: &mut ObjectBody) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        while let Some(more) = body.next().await? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn parts_make_the_object_however_many_are_held() {
        // (size, parts that are held, requests)
        for (size, parts, requests) in [
            (2 * PART_BYTES - 1, 4, 1),
            (2 * PART_BYTES, 4, 2),
            (5 * PART_BYTES + 1, 0, 1),
            (5 * PART_BYTES + 1, 1, 3),
            (5 * PART_BYTES + 1, 3, 6),
            (5 * PART_BYTES + 1, 9, 6),
        ] {
            let (server, bytes, bucket, object) = listed(size, parts).await;
            let mut body = ObjectBody::open(&bucket, &object).await.unwrap();
            assert!(all(&mut body).await.unwrap() == bytes, "{size} bytes, {parts} parts");
            assert_eq!(server.requests(Operation::GetObject), requests, "{size}, {parts}");
            drop(body);
            assert_eq!(bucket.ahead.0.available_permits(), parts as usize);
        }
    }

    #[tokio::test]
    async fn an_object_that_finds_no_room_comes_over_one_connection() {
        let (server, bytes, bucket, object) = listed(4 * PART_BYTES, 2).await;
        let mut first = ObjectBody::open(&bucket, &object).await.unwrap();
        let start = first.next().await.unwrap().unwrap();
        assert_eq!(bucket.ahead.0.available_permits(), 0);
        let mut second = ObjectBody::open(&bucket, &object).await.unwrap();
        assert!(all(&mut second).await.unwrap() == bytes);
        assert_eq!(server.requests(Operation::GetObject), 4);
        let rest = all(&mut first).await.unwrap();
        assert!([&start[..], &rest].concat() == bytes);
        assert_eq!(server.requests(Operation::GetObject), 5);
    }

    #[tokio::test]
    async fn a_part_that_breaks_goes_on_and_one_of_another_version_is_refused() {
        let (server, bytes, bucket, object) = listed(4 * PART_BYTES, 2).await;
        let gets = || When::all(Operation::GetObject, "");
        let cuts = server.inject(gets().times(3), Fault::Cut(1_000_000));
        let mut body = ObjectBody::open(&bucket, &object).await.unwrap();
        assert!(all(&mut body).await.unwrap() == bytes);
        assert_eq!((cuts.count(), server.requests(Operation::GetObject)), (3, 7));
        drop(body);

        let mut body = ObjectBody::open(&bucket, &object).await.unwrap();
        body.next().await.unwrap();
        server.put("music", "x.json", vec![b' '; object.size as usize]);
        let error = all(&mut body).await.unwrap_err();
        assert!(matches!(error, ReadError::Changed(_)), "{error:?}");
        drop(body);
        // A task that is dropped gives back what it holds as soon as its thread has seen that.
        let given_back = async {
            while bucket.ahead.0.available_permits() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), given_back).await.unwrap();
    }
}
