//! Faults: what goes wrong between a reader and S3, where and when a test says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper::{Request, body::Incoming};
use percent_encoding::percent_decode_str;
use s3s::dto::StreamingBlob;
use s3s::{Body, HttpError, HttpResponse};

use super::{Operation, Server};

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The answer is this status with this error code.
    Refuse(u16, &'static str),
    /// S3's answer to a reader that is too fast: what exceeds so many requests in 100 ms is refused.
    SlowDown(u32),
    /// The answer comes so much later.
    Delay(Duration),
    /// The connection is closed without an answer.
    Reset,
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// Nothing more comes after so many bytes of the body.
    Stall(usize),
    /// The answer has the checksum of other bytes, if the reader asks for one.
    WrongChecksum,
    /// The object is removed before the request is answered.
    Remove,
    /// Another object takes its place before the request is answered.
    Replace(Bytes),
    /// The object is removed, and the connection closed, after so many bytes of the body.
    CutAndRemove(usize),
    /// Another object takes its place, and the connection is closed, after so many bytes of the body.
    CutAndReplace(usize, Bytes),
}

/// Which requests it happens to.
#[derive(Clone, Debug)]
pub struct When {
    operation: Operation,
    part: String,
    each: bool,
    after: u64,
    times: u64,
}

impl When {
    /// All requests for `operation` whose path or query holds `part`.
    pub fn all(operation: Operation, part: &str) -> When {
        When { operation, part: part.to_owned(), each: false, after: 0, times: u64::MAX }
    }

    /// The same, and counted for each path by itself.
    pub fn each(operation: Operation, part: &str) -> When {
        When { each: true, ..When::all(operation, part) }
    }

    /// But not the first `after`.
    pub fn after(self, after: u64) -> When {
        When { after, ..self }
    }

    /// But no more than so many.
    pub fn times(self, times: u64) -> When {
        When { times, ..self }
    }
}

/// A fault that happens from now on.
#[derive(Clone)]
pub struct Injected(Arc<Injection>);

impl Injected {
    /// How often it has happened.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }
}

struct Injection {
    when: When,
    fault: Fault,
    /// Requests so far, by path, or all of them under the empty one.
    seen: Mutex<HashMap<String, u64>>,
    count: AtomicU64,
    /// When the last 100 ms began, and how many requests came since.
    window: Mutex<(Instant, u32)>,
}

/// All faults of a server.
#[derive(Default)]
pub(super) struct Faults(Mutex<Vec<Injected>>);

impl Faults {
    pub fn add(&self, when: When, fault: Fault) -> Injected {
        let injected = Injected(Arc::new(Injection {
            when,
            fault,
            seen: Mutex::default(),
            count: AtomicU64::new(0),
            window: Mutex::new((Instant::now(), 0)),
        }));
        self.0.lock().unwrap().push(injected.clone());
        injected
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// The fault that happens to this request; the first one if there are several.
    pub fn strike(&self, operation: Operation, request: &Request<Incoming>) -> Option<Fault> {
        let faults = self.0.lock().unwrap();
        let struck = faults.iter().map(|it| &it.0).find(|it| it.strikes(operation, request))?;
        struck.count.fetch_add(1, Ordering::Relaxed);
        Some(struck.fault.clone())
    }
}

impl Injection {
    fn strikes(&self, operation: Operation, request: &Request<Incoming>) -> bool {
        let When { operation: on, ref part, each, after, times } = self.when;
        if operation != on || !request.uri().to_string().contains(part) {
            return false;
        }
        match self.fault {
            Fault::SlowDown(most) => {
                let mut window = self.window.lock().unwrap();
                if window.0.elapsed() > Duration::from_millis(100) {
                    *window = (Instant::now(), 0);
                }
                window.1 += 1;
                if window.1 <= most {
                    return false;
                }
            }
            Fault::WrongChecksum if !request.headers().contains_key("x-amz-checksum-mode") => {
                return false;
            }
            _ => {}
        }
        let path = if each { request.uri().path() } else { "" };
        let mut seen = self.seen.lock().unwrap();
        let seen = seen.entry(path.to_owned()).or_default();
        *seen += 1;
        *seen > after && *seen - after <= times
    }
}

impl Server {
    /// Answers a request as `fault` has it.
    pub(super) async fn answer_badly(
        &self,
        fault: Fault,
        request: Request<Incoming>,
    ) -> Result<HttpResponse, HttpError> {
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let state = self.state.clone();
        let remove = || state.change(&bucket, |it| it.objects.remove(&key));
        let replace = |bytes: &Bytes| {
            let object = super::Object::new(bytes.clone());
            state.change(&bucket, |it| it.objects.insert(key.clone(), object));
        };
        match &fault {
            Fault::Refuse(status, code) => return refused(request, *status, code).await,
            Fault::SlowDown(_) => return refused(request, 503, "SlowDown").await,
            Fault::Delay(delay) => tokio::time::sleep(*delay).await,
            Fault::Reset => return Err(HttpError::new("reset".into())),
            Fault::Remove => remove(),
            Fault::Replace(bytes) => replace(bytes),
            _ => {}
        }
        let mut response = self.service.call(request.map(Body::from)).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        match fault {
            Fault::Cut(bytes) => Ok(cut(response, bytes, Ending::Reset).await),
            Fault::Stall(bytes) => Ok(cut(response, bytes, Ending::Silence).await),
            Fault::CutAndRemove(bytes) => {
                remove();
                Ok(cut(response, bytes, Ending::Reset).await)
            }
            Fault::CutAndReplace(bytes, other) => {
                replace(&other);
                Ok(cut(response, bytes, Ending::Reset).await)
            }
            Fault::WrongChecksum => {
                let header = "x-amz-checksum-crc32";
                response.headers_mut().insert(header, "AAAAAA==".parse().unwrap());
                Ok(response)
            }
            _ => Ok(response),
        }
    }
}

/// Refuses a request when all of it has come: hung up on while it still sends, a client may see no answer.
async fn refused(
    request: Request<Incoming>,
    status: u16,
    code: &str,
) -> Result<HttpResponse, HttpError> {
    // What does not come is not missed.
    let _ = super::whole(Some(Body::from(request.into_body()).into())).await;
    Ok(refusal(status, code))
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
    let response = hyper::Response::builder().status(status);
    response.header("content-type", "application/xml").body(Body::from(body)).unwrap()
}

/// What comes in the place of the rest of a body.
enum Ending {
    Reset,
    Silence,
}

/// Ends the body of `response` after so many bytes; its length is announced as it was.
async fn cut(response: HttpResponse, bytes: usize, ending: Ending) -> HttpResponse {
    let (parts, mut body) = response.into_parts();
    let mut start = Vec::new();
    while start.len() < bytes
        && let Some(Ok(more)) = body.next().await
    {
        start.extend_from_slice(&more);
    }
    start.truncate(bytes);
    let end = stream::once(async move {
        match ending {
            // What was sent so far is on its way by then.
            Ending::Reset => tokio::time::sleep(Duration::from_millis(5)).await,
            Ending::Silence => std::future::pending().await,
        }
        Err(std::io::Error::other("cut"))
    });
    let start = stream::iter([Ok(Bytes::from(start))]);
    HttpResponse::from_parts(parts, StreamingBlob::wrap(start.chain(end)).into())
}
