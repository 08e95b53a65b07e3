//! An S3 server inside the test process: buckets in memory, the protocol by `s3s`.
//!
//! It keeps what a reader of S3 relies on and little else: `ListObjectsV2` in key order, page by
//! page; `GetObject` with ranges and `If-Match`; `HeadObject`, `HeadBucket`, `GetBucketLocation`;
//! storage classes that have to be restored; signatures; S3's own error codes. A writer can have `PutObject` and multipart uploads of parts that
//! come in any order and are large enough; they are checked as far as their signatures and checksums
//! go, and show nothing before they are complete. It can remove objects, and list the uploads that are not
//! complete. [`S3::inject`] makes things go wrong.
//!
//! The server runs on threads of its own, so it answers while the test's thread is blocked, say on
//! a child process. Requests may be path-style (`http://127.0.0.1:PORT/bucket/key`, which is what
//! an SDK sends to an IP address anyway) or virtual-hosted (`http://bucket.localhost:PORT/key`).

#![allow(dead_code, reason = "each test, bench and example uses its own part of this")]

#[path = "faults.rs"]
mod faults;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt;
use hyper::service::service_fn;
use hyper::{Method, Request, Uri, body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::*;
use s3s::host::SingleDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse, S3Request, S3Response, S3Result, s3_error};

use self::faults::Faults;
pub use self::faults::{Fault, Injected, When};

/// The one access key the server knows.
pub const ACCESS_KEY: &str = "AKIASPARKLOADTEST000";
/// The secret that belongs to [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYSPARKLOAD0";

/// What a part has at least, unless it is the last.
const LEAST_PART: usize = 5 << 20;
/// What S3 puts on one page of a listing at most, whatever `max-keys` asks for.
const PAGE_SIZE: usize = 1000;
/// A body larger than this goes out in pieces of this size, so that a reader sees it arrive.
const BODY_PIECE: usize = 64 * 1024;
/// Threads that serve; the client under test has the machine's other cores.
const THREADS: usize = 2;

/// A running server and its buckets; dropping it stops the server.
pub struct S3 {
    state: Arc<State>,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl S3 {
    /// Starts a server that lets anyone read. A request that is signed all the same must be
    /// signed with [`ACCESS_KEY`] and [`SECRET_KEY`].
    pub fn start() -> S3 {
        S3::start_with(Access::Public)
    }

    /// Starts a server that refuses requests without a signature.
    pub fn start_private() -> S3 {
        S3::start_with(Access::Private)
    }

    fn start_with(access: Access) -> S3 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("a bound address");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .expect("a runtime");

        let state = Arc::new(State::default());
        let mut service = S3ServiceBuilder::new(Buckets(state.clone()));
        service.set_auth(Keys);
        service.set_access(access);
        service.set_host(SingleDomain::new(&format!("localhost:{}", address.port())).unwrap());
        let server = Server { service: service.build(), state: state.clone() };
        runtime.spawn(async move { server.serve(listener).await });
        S3 { state, address, runtime: Some(runtime) }
    }

    /// The URL to give a client as its endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Makes an empty bucket, if there is none of that name.
    pub fn create_bucket(&self, bucket: &str) {
        self.state.change(bucket, |_| {});
    }

    /// Puts an object, in place of one of the same key; makes the bucket where there is none.
    pub fn put(&self, bucket: &str, key: impl Into<String>, bytes: impl Into<Bytes>) {
        let object = Object::new(bytes.into());
        self.state.change(bucket, |it| it.objects.insert(key.into(), object));
    }

    /// Puts every file below `directory`; its key is `prefix` followed by the file's relative
    /// path, with `/` between its parts.
    pub fn put_directory(&self, bucket: &str, prefix: &str, directory: &Path) {
        let entries = std::fs::read_dir(directory)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", directory.display()));
        for entry in entries {
            let path = entry.expect("a directory entry").path();
            let name = path.file_name().unwrap().to_str().expect("a UTF-8 file name");
            if path.is_dir() {
                self.put_directory(bucket, &format!("{prefix}{name}/"), &path);
            } else {
                let bytes = std::fs::read(&path).expect("a readable file");
                self.put(bucket, format!("{prefix}{name}"), bytes);
            }
        }
    }

    /// Removes an object, if it is there.
    pub fn remove(&self, bucket: &str, key: &str) {
        self.state.change(bucket, |it| it.objects.remove(key));
    }

    /// Puts an object into a storage class; it can't be read then, before it is restored.
    pub fn archive(&self, bucket: &str, key: &str, class: &'static str) {
        self.state.change(bucket, |it| {
            let object = it.objects.get_mut(key).expect("an object to archive");
            (object.class, object.access) = (class, Readable::Not);
        });
    }

    /// Lets an archived object be read for a while.
    pub fn restore(&self, bucket: &str, key: &str) {
        self.state.change(bucket, |it| {
            it.objects.get_mut(key).expect("an object to restore").access = Readable::Restored;
        });
    }

    /// Lets listings not say which objects are restored, as many servers that are not Amazon's don't.
    pub fn forget_restores(&self) {
        self.state.forgets_restores.store(true, Ordering::Relaxed);
    }

    /// Lets nobody remove the object with this key, as retention does, but [`remove`](S3::remove).
    pub fn lock(&self, bucket: &str, key: &str) {
        self.state.change(bucket, |it| it.locked.insert(key.to_owned()));
    }

    /// Lets pages of a listing hold no more than `keys`, so that a few objects make many pages.
    pub fn set_page_size(&self, keys: usize) {
        self.state.page_size.store(keys.clamp(1, PAGE_SIZE), Ordering::Relaxed);
    }

    /// Holds each answer back for up to 30 ms, so that objects arrive in an order of the `seed`'s.
    pub fn set_shuffle(&self, seed: u64) {
        self.state.shuffle.store(seed, Ordering::Relaxed);
    }

    /// Refuses readers of this bucket who do not say that they pay for their requests.
    pub fn set_requester_pays(&self, bucket: &str) {
        self.state.change(bucket, |it| it.requester_pays = true);
    }

    /// Lets `fault` happen to the requests of `when`, until faults are cleared.
    pub fn inject(&self, when: When, fault: Fault) -> Injected {
        self.state.faults.add(when, fault)
    }

    /// Lets nothing go wrong from now on.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// The objects of a bucket, by their keys.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Bytes> {
        let buckets = self.state.buckets.read().unwrap();
        let objects = buckets.get(bucket).map(|it| &it.objects).into_iter().flatten();
        objects.map(|(key, object)| (key.clone(), object.bytes.clone())).collect()
    }

    /// How many bytes have come into a bucket and are there, in objects or in parts of them.
    pub fn bytes(&self, bucket: &str) -> usize {
        let buckets = self.state.buckets.read().unwrap();
        let Some(bucket) = buckets.get(bucket) else { return 0 };
        let parts = bucket.uploads.values().flat_map(|upload| upload.parts.values());
        bucket.objects.values().chain(parts).map(|it| it.bytes.len()).sum()
    }

    /// How many uploads were begun in a bucket and neither completed nor aborted.
    pub fn open_uploads(&self, bucket: &str) -> usize {
        self.state.buckets.read().unwrap().get(bucket).map_or(0, |it| it.uploads.len())
    }

    /// How many requests for `operation` have come in, refused and failed ones too.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.state.requests[operation as usize].load(Ordering::Relaxed)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a request asks for, as far as tests count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    ListObjects,
    GetObject,
    HeadObject,
    /// Parts of a multipart upload too.
    PutObject,
    Other,
}

impl Operation {
    const COUNT: usize = Operation::Other as usize + 1;

    fn of(method: &Method, uri: &Uri, host: Option<&str>) -> Operation {
        let virtual_hosted = host.is_some_and(|host| host.contains(".localhost"));
        let path = uri.path().trim_start_matches('/');
        let key = if virtual_hosted { path } else { path.split_once('/').map_or("", |(_, k)| k) };
        match (method, key) {
            (&Method::GET, "") if uri.query().is_some_and(|q| q.contains("list-type=2")) => {
                Operation::ListObjects
            }
            (_, "") => Operation::Other,
            (&Method::GET, _) => Operation::GetObject,
            (&Method::HEAD, _) => Operation::HeadObject,
            (&Method::PUT, _) => Operation::PutObject,
            _ => Operation::Other,
        }
    }
}

/// The HTTP side: one connection a task, one [`Server::answer`] a request.
struct Server {
    service: S3Service,
    state: Arc<State>,
}

impl Server {
    async fn serve(self, listener: std::net::TcpListener) {
        let server = Arc::new(self);
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            let server = server.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| server.answer(request));
                // An error here is the client's hanging up: nobody is left to tell.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }

    /// Answers one request, or lets a fault do it.
    async fn answer(&self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        let operation = Operation::of(request.method(), request.uri(), host);
        self.state.requests[operation as usize].fetch_add(1, Ordering::Relaxed);
        let seed = self.state.shuffle.load(Ordering::Relaxed);
        if seed != 0 {
            let mut hasher = DefaultHasher::new();
            (seed, request.uri().path()).hash(&mut hasher);
            tokio::time::sleep(Duration::from_millis(hasher.finish() % 30)).await;
        }
        match self.state.faults.strike(operation, &request) {
            Some(fault) => self.answer_badly(fault, request).await,
            None => self.service.call(request.map(Body::from)).await,
        }
    }
}

/// Who may read.
enum Access {
    Public,
    Private,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        match (self, cx.credentials()) {
            (Access::Public, _) | (Access::Private, Some(_)) => Ok(()),
            (Access::Private, None) => Err(s3_error!(AccessDenied, "Access Denied")),
        }
    }
}

/// The one pair of keys.
struct Keys;

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match access_key {
            ACCESS_KEY => Ok(SECRET_KEY.into()),
            _ => Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )),
        }
    }
}

/// What the handle and the server share.
struct State {
    buckets: RwLock<HashMap<String, Bucket>>,
    page_size: AtomicUsize,
    /// 0: answers come as fast as they can.
    shuffle: AtomicU64,
    requests: [AtomicU64; Operation::COUNT],
    /// How many multipart uploads were begun.
    begun: AtomicU64,
    faults: Faults,
    forgets_restores: AtomicBool,
}

impl Default for State {
    fn default() -> Self {
        let page_size = AtomicUsize::new(PAGE_SIZE);
        State {
            page_size,
            buckets: Default::default(),
            shuffle: Default::default(),
            requests: Default::default(),
            begun: Default::default(),
            faults: Faults::default(),
            forgets_restores: AtomicBool::default(),
        }
    }
}

impl State {
    fn change<T>(&self, bucket: &str, change: impl FnOnce(&mut Bucket) -> T) {
        change(self.buckets.write().unwrap().entry(bucket.to_owned()).or_default());
    }

    fn read<T>(
        &self,
        bucket: &str,
        payer: Option<&RequestPayer>,
        read: impl FnOnce(&Bucket) -> S3Result<T>,
    ) -> S3Result<T> {
        let buckets = self.buckets.read().unwrap();
        let Some(bucket) = buckets.get(bucket) else {
            return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"));
        };
        if bucket.requester_pays && payer.is_none() {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        read(bucket)
    }

    fn write<T>(
        &self,
        bucket: &str,
        write: impl FnOnce(&mut Bucket) -> S3Result<T>,
    ) -> S3Result<T> {
        let mut buckets = self.buckets.write().unwrap();
        let Some(bucket) = buckets.get_mut(bucket) else {
            return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"));
        };
        write(bucket)
    }
}

#[derive(Default)]
struct Bucket {
    /// In the order of the keys' UTF-8 bytes, which is the order S3 lists them in.
    objects: BTreeMap<String, Object>,
    /// What is not complete, by the upload's id.
    uploads: HashMap<String, Upload>,
    /// The keys of objects that nobody may remove.
    locked: HashSet<String>,
    requester_pays: bool,
}

/// An object that comes in parts.
struct Upload {
    key: String,
    parts: BTreeMap<i32, Object>,
}

impl Bucket {
    fn object(&self, key: &str) -> S3Result<&Object> {
        match self.objects.get(key) {
            Some(object) => Ok(object),
            None => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        }
    }

    /// One page of the keys that begin with `prefix` and come after `after`: at most `limit` of
    /// them, and whether there are more.
    fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<(&str, &Object)>, bool) {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut keys = (self.objects.range::<str, _>((from, Bound::Unbounded)))
            .map(|(key, object)| (key.as_str(), object))
            .take_while(|(key, _)| key.starts_with(prefix));
        let page: Vec<_> = keys.by_ref().take(limit).collect();
        let more = limit > 0 && keys.next().is_some();
        (page, more)
    }
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    /// 32 hexadecimal digits that depend on the bytes alone, as S3's MD5 does.
    etag: String,
    modified: SystemTime,
    class: &'static str,
    access: Readable,
}

/// Whether an object can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readable {
    Always,
    Not,
    Restored,
}

/// When copies that were restored go again.
const EXPIRY: SystemTime = SystemTime::UNIX_EPOCH;

impl Object {
    fn new(bytes: Bytes) -> Object {
        let digits = |half: u8| {
            let mut hasher = DefaultHasher::new();
            (half, &bytes).hash(&mut hasher);
            hasher.finish()
        };
        let etag = format!("{:016x}{:016x}", digits(0), digits(1));
        let (class, access) = (ObjectStorageClass::STANDARD, Readable::Always);
        Object { bytes, etag, modified: SystemTime::now(), class, access }
    }

    fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    fn check(&self, if_match: Option<&ETagCondition>) -> S3Result<()> {
        match if_match {
            Some(ETagCondition::ETag(etag)) if etag.as_strong() != Some(&self.etag) => {
                let message = "At least one of the pre-conditions you specified did not hold";
                Err(s3_error!(PreconditionFailed, "{message}"))
            }
            _ => Ok(()),
        }
    }
}

/// The S3 side: the operations, over the buckets.
struct Buckets(Arc<State>);

#[async_trait::async_trait]
impl s3s::S3 for Buckets {
    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(s3_error!(NotImplemented, "this server lists without a delimiter"));
        }
        let written: fn(&str) -> String = match &input.encoding_type {
            None => str::to_owned,
            Some(encoding) if encoding.as_str() == EncodingType::URL => url_encoded,
            Some(_) => return Err(s3_error!(InvalidArgument, "Invalid Encoding Method")),
        };
        let Ok(asked) = usize::try_from(input.max_keys.unwrap_or(PAGE_SIZE as i32)) else {
            return Err(s3_error!(InvalidArgument, "max-keys must not be negative"));
        };
        let limit = asked.min(self.0.page_size.load(Ordering::Relaxed));
        let resumed = input.continuation_token.as_deref().map(key_of_token).transpose()?;
        let after = resumed.as_deref().or(input.start_after.as_deref());
        let prefix = input.prefix.unwrap_or_default();
        let asked_for = input.optional_object_attributes.unwrap_or_default();
        let restores = OptionalObjectAttributes::RESTORE_STATUS;
        let tells_restores = asked_for.iter().any(|it| it.as_str() == restores)
            && !self.0.forgets_restores.load(Ordering::Relaxed);

        self.0.read(&input.bucket, input.request_payer.as_ref(), |bucket| {
            let (page, more) = bucket.page(&prefix, after, limit);
            let last = page.last().filter(|_| more);
            let output = ListObjectsV2Output {
                next_continuation_token: last.map(|(key, _)| token_of_key(key)),
                is_truncated: Some(more),
                key_count: Some(page.len() as i32),
                max_keys: Some(asked.min(PAGE_SIZE) as i32),
                contents: Some(
                    page.into_iter()
                        .map(|(key, it)| entry(written(key), it, tells_restores))
                        .collect(),
                ),
                prefix: Some(written(&prefix)),
                start_after: input.start_after.as_deref().map(written),
                continuation_token: input.continuation_token,
                encoding_type: input.encoding_type,
                name: Some(input.bucket.clone()),
                ..ListObjectsV2Output::default()
            };
            Ok(S3Response::new(output))
        })
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.0.read(&input.bucket, input.request_payer.as_ref(), |bucket| {
            bucket.object(&input.key).cloned()
        })?;
        object.check(input.if_match.as_ref())?;
        if object.access == Readable::Not {
            let message = "The operation is not valid for the object's storage class";
            return Err(s3_error!(InvalidObjectState, "{message}"));
        }
        let size = object.bytes.len();
        let (bytes, content_range) = match input.range {
            None => (object.bytes.clone(), None),
            Some(range) => {
                let range = range.check(size as u64)?;
                let shown = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                (object.bytes.slice(range.start as usize..range.end as usize), Some(shown))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            content_range,
            body: Some(body(bytes)),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified.into()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        let object = self.0.read(&input.bucket, input.request_payer.as_ref(), |bucket| {
            bucket.object(&input.key).cloned()
        })?;
        object.check(input.if_match.as_ref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.bytes.len() as i64),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(object.etag()),
            last_modified: Some(object.modified.into()),
            storage_class: Some(StorageClass::from_static(object.class)),
            restore: (object.access == Readable::Restored).then(|| {
                let expiry = "Fri, 21 Dec 2096 00:00:00 GMT";
                format!("ongoing-request=\"false\", expiry-date=\"{expiry}\"")
            }),
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let object = Object::new(whole(input.body).await?);
        let e_tag = Some(object.etag());
        self.0.write(&input.bucket, |bucket| {
            bucket.objects.insert(input.key, object);
            Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput { bucket, key, .. } = request.input;
        let id = format!("upload-{}", self.0.begun.fetch_add(1, Ordering::Relaxed));
        self.0.write(&bucket, |it| {
            Ok(it.uploads.insert(id.clone(), Upload { key: key.clone(), parts: BTreeMap::new() }))
        })?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let part = Object::new(whole(input.body).await?);
        let e_tag = Some(part.etag());
        self.0.write(&input.bucket, |bucket| {
            upload(bucket, &input.upload_id)?.insert(input.part_number, part);
            Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
        })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let named = input.multipart_upload.and_then(|it| it.parts).unwrap_or_default();
        self.0.write(&input.bucket, |bucket| {
            let parts = upload(bucket, &input.upload_id)?;
            let mut bytes = Vec::new();
            for (at, part) in named.iter().enumerate() {
                let number = part.part_number.unwrap_or_default();
                if at > 0 && named[at - 1].part_number >= part.part_number {
                    return Err(s3_error!(InvalidPartOrder));
                }
                let Some(found) = parts.get(&number).filter(|it| part.e_tag == Some(it.etag()))
                else {
                    return Err(s3_error!(InvalidPart));
                };
                if at + 1 < named.len() && found.bytes.len() < LEAST_PART {
                    return Err(s3_error!(EntityTooSmall));
                }
                bytes.extend_from_slice(&found.bytes);
            }
            bucket.uploads.remove(&input.upload_id);
            let object = Object::new(bytes.into());
            let e_tag = Some(object.etag());
            bucket.objects.insert(input.key, object);
            let output = CompleteMultipartUploadOutput { e_tag, ..Default::default() };
            Ok(S3Response::new(output))
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.0.write(&input.bucket, |bucket| {
            upload(bucket, &input.upload_id)?;
            bucket.uploads.remove(&input.upload_id);
            Ok(S3Response::new(AbortMultipartUploadOutput::default()))
        })
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        self.0.read(&input.bucket, None, |bucket| {
            let open = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
            let uploads = open.map(|(id, upload)| MultipartUpload {
                key: Some(upload.key.clone()),
                upload_id: Some(id.clone()),
                ..MultipartUpload::default()
            });
            Ok(S3Response::new(ListMultipartUploadsOutput {
                bucket: Some(input.bucket.clone()),
                uploads: Some(uploads.collect()),
                is_truncated: Some(false),
                ..ListMultipartUploadsOutput::default()
            }))
        })
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        self.0.write(&input.bucket, |bucket| {
            let mut errors = Vec::new();
            for object in input.delete.objects {
                if bucket.locked.contains(&object.key) {
                    errors.push(Error {
                        key: Some(object.key),
                        code: Some("AccessDenied".to_owned()),
                        message: Some(
                            "Access Denied because object protected by object lock.".to_owned(),
                        ),
                        ..Error::default()
                    });
                } else {
                    bucket.objects.remove(&object.key);
                }
            }
            Ok(S3Response::new(DeleteObjectsOutput {
                errors: Some(errors),
                ..DeleteObjectsOutput::default()
            }))
        })
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.0.read(&request.input.bucket, None, |_| Ok(()))?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.0.read(&request.input.bucket, None, |_| Ok(()))?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }
}

/// The parts of an upload.
fn upload<'a>(bucket: &'a mut Bucket, id: &str) -> S3Result<&'a mut BTreeMap<i32, Object>> {
    let upload = bucket.uploads.get_mut(id).ok_or_else(|| s3_error!(NoSuchUpload))?;
    Ok(&mut upload.parts)
}

/// All bytes that a request brings.
async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = Vec::new();
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(_) => return Err(s3_error!(IncompleteBody)),
            }
        }
    }
    Ok(bytes.into())
}

/// An object's line in a listing.
fn entry(key: String, object: &Object, tells_restores: bool) -> s3s::dto::Object {
    let is_restored = tells_restores && object.access == Readable::Restored;
    s3s::dto::Object {
        restore_status: is_restored.then(|| RestoreStatus {
            is_restore_in_progress: Some(false),
            restore_expiry_date: Some(EXPIRY.into()),
        }),
        key: Some(key),
        size: Some(object.bytes.len() as i64),
        e_tag: Some(object.etag()),
        last_modified: Some(object.modified.into()),
        storage_class: Some(ObjectStorageClass::from_static(object.class)),
        ..s3s::dto::Object::default()
    }
}

fn body(bytes: Bytes) -> StreamingBlob {
    if bytes.len() <= BODY_PIECE {
        return Body::from(bytes).into();
    }
    let pieces = (0..bytes.len()).step_by(BODY_PIECE).map(move |start| {
        let end = bytes.len().min(start + BODY_PIECE);
        Ok::<_, std::io::Error>(bytes.slice(start..end))
    });
    StreamingBlob::wrap(futures::stream::iter(pieces))
}

/// A key as S3 writes it under `encoding-type=url`: like a form field, but `/` and `*` stay and
/// `~` does not.
fn url_encoded(key: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(key.len() * 3);
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                encoded.push(byte.into());
            }
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
    }
    encoded
}

/// A continuation token is the page's last key in hexadecimal: opaque, and safe in XML and URLs.
fn token_of_key(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn key_of_token(token: &str) -> S3Result<String> {
    let bytes: Option<Vec<u8>> = (0..token.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
        .collect();
    match bytes.map(String::from_utf8) {
        Some(Ok(key)) => Ok(key),
        _ => Err(s3_error!(InvalidArgument, "The continuation token provided is incorrect")),
    }
}
