//! The route to a bucket: how its objects are listed and got without the SDK's machinery around each request.
//!
//! The SDK shows the way: a request for a listing, when it is ready to be sent, tells [`Route`] where it goes and how it
//! is signed. Requests for listings and for objects then go the same way over connections of their own, with
//! credentials out of the SDK's cache. What the SDK does besides costs more than the request itself where objects are
//! small, and it takes a page without its end for a whole one.

use std::mem::take;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::endpoint::Endpoint;
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    ConfigBag, Credentials, Intercept, ResolveCachedIdentity, ResponseChecksumValidation,
    RuntimeComponents, SharedIdentityCache,
};
use aws_sdk_s3::error::{BoxError, ErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime, DateTimeFormat, SdkBody};
use aws_smithy_checksums::ChecksumAlgorithm;
use aws_smithy_checksums::body::validate::ChecksumBody;
use aws_smithy_checksums::http::CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::runtime_components::GetIdentityResolver;
use hyper::header::{
    AsHeaderName, CONTENT_LENGTH, DATE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    RANGE,
};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::RootCertStore;
use tokio::time::timeout;

use super::STALLED;
use super::failure::CLOCK;
use super::page::Page;
use super::signature::Stamp;
use super::transport::{NoBody, Patience, Transport};
use super::xml;

/// How requests for the objects of a bucket are made.
#[derive(Debug)]
pub(super) struct Route {
    transport: Transport,
    host: HeaderValue,
    /// The path of a key is this and the encoded key.
    path: String,
    /// `None` where requests are not signed.
    signing: Option<Signing>,
    /// Whether checksums are asked for and checked.
    checksums: bool,
}

/// How requests are signed.
#[derive(Debug)]
struct Signing {
    region: String,
    service: String,
    /// The one of the last request.
    stamp: Mutex<Option<Arc<Stamp>>>,
    identities: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
    /// How many milliseconds the server's clock is ahead of this machine's.
    skew: AtomicI64,
}

/// A request for an object.
#[derive(Debug)]
pub(super) struct Get<'a> {
    pub key: &'a str,
    /// The version that it must be.
    pub etag: Option<&'a str>,
    /// The bytes that are wanted.
    pub span: Span,
    /// Whether the reader pays.
    pub payer: bool,
}

/// A request for a part of a listing.
#[derive(Debug)]
pub(super) struct List<'a> {
    pub prefix: &'a str,
    /// What the page before says where it goes on.
    pub token: Option<&'a str>,
    /// Whether the reader pays.
    pub payer: bool,
}

/// Which bytes of an object are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub from: u64,
    /// Behind the last one; all that there are without it.
    pub to: Option<u64>,
}

impl Span {
    pub const ALL: Self = Self { from: 0, to: None };

    /// The `Range` header that asks for them, if it needs one.
    pub fn header(self) -> Option<String> {
        let Self { from, to } = self;
        match to {
            Some(to) => Some(format!("bytes={from}-{}", to.saturating_sub(1))),
            None => (from > 0).then(|| format!("bytes={from}-")),
        }
    }
}

/// The beginning of an answer that brings an object.
#[derive(Debug)]
pub(super) struct Answer {
    pub length: Option<u64>,
    pub etag: Option<String>,
    pub body: ByteStream,
}

/// Learns a route from a request that the SDK makes, which is not sent then; the route itself keeps hold of what the SDK
/// made it with, this among it.
#[derive(Debug)]
pub(super) struct Scout {
    pub route: Weak<OnceLock<Option<Route>>>,
    /// Whom to trust instead of those that the operating system does.
    pub roots: Option<Arc<RootCertStore>>,
}

impl Intercept for Scout {
    fn name(&self) -> &'static str {
        "Scout"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(route) = self.route.upgrade() else { return Ok(()) };
        let found = Route::of(context.request(), components, config, self.roots.as_deref());
        match route.set(found) {
            Ok(()) if matches!(route.get(), Some(Some(_))) => Err("the route is known now".into()),
            _ => Ok(()),
        }
    }
}

impl Route {
    /// The route of a request that is ready to be sent; `None` where objects need more than this module can do.
    fn of(
        request: &HttpRequest,
        components: &RuntimeComponents,
        config: &ConfigBag,
        roots: Option<&RootCertStore>,
    ) -> Option<Self> {
        let endpoint = config.load::<Endpoint>()?;
        if endpoint.headers().next().is_some() {
            return None;
        }
        let timeouts = config.load::<TimeoutConfig>()?;
        let patience = Patience {
            connect: timeouts.connect_timeout().unwrap_or(STALLED),
            answer: timeouts.read_timeout().unwrap_or(STALLED),
            idle: STALLED,
        };
        let server: Uri = endpoint.url().parse().ok()?;
        // The SDK's own client goes through the proxies that the environment names.
        if Matcher::from_env().intercept(&server).is_some() {
            return None;
        }
        let host = host(&server)?;
        let path = format!("{}/", server.path().trim_end_matches('/'));
        let transport = Transport::new(server, roots, patience).ok()?;
        let signing = match request.headers().get("authorization") {
            Some(authorization) => Some(Signing::of(authorization, components)?),
            None => None,
        };
        let checksums = config.load::<ResponseChecksumValidation>()
            != Some(&ResponseChecksumValidation::WhenRequired);
        Some(Self { transport, host, path, signing, checksums })
    }

    /// Sends a request for an object.
    pub async fn get(&self, get: &Get<'_>) -> Result<Answer, SdkError<ErrorMetadata>> {
        let request = self.get_request(get).map_err(SdkError::construction_failure)?;
        let (headers, body) = self.send(request).await?;
        let length = text_of(&headers, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let etag = match get.etag {
            None => text_of(&headers, ETAG).map(str::to_owned),
            Some(_) => None,
        };
        let is_checked = self.checksums && get.span == Span::ALL;
        let body = ByteStream::new(if is_checked { checked(body, &headers) } else { body });
        Ok(Answer { length, etag, body })
    }

    /// Sends a request for a part of a listing.
    pub async fn list(&self, list: &List<'_>) -> Result<Page, SdkError<ErrorMetadata>> {
        let request = self.list_request(list).map_err(SdkError::construction_failure)?;
        let (_, body) = self.send(request).await?;
        let broken = |cause| SdkError::response_error(cause, response(StatusCode::OK));
        let text = read(body, usize::MAX).await.map_err(broken)?;
        match Page::parse(&text) {
            Ok(Some(page)) => Ok(page),
            // S3 may fail when its answer has begun.
            Ok(None) => Err(SdkError::service_error(error_of(&text), response(StatusCode::OK))),
            Err(cause) => Err(broken(cause)),
        }
    }

    /// Sends a request and waits until its answer begins.
    async fn send(
        &self,
        request: Request<NoBody>,
    ) -> Result<(HeaderMap, SdkBody), SdkError<ErrorMetadata>> {
        let request = self.signed(request).await.map_err(SdkError::construction_failure)?;
        let sent = self.transport.send(request).await;
        let (Parts { status, headers, .. }, body) =
            sent.map_err(SdkError::dispatch_failure)?.into_parts();
        let body = SdkBody::from_body_1_x(body);
        if !status.is_success() {
            return Err(self.refused(status, &headers, body).await);
        }
        Ok((headers, body))
    }

    async fn signed(&self, mut request: Request<NoBody>) -> Result<Request<NoBody>, BoxError> {
        if let Some(signing) = &self.signing {
            signing.stamp().await?.sign(&mut request)?;
        }
        Ok(request)
    }

    fn get_request(&self, get: &Get<'_>) -> Result<Request<NoBody>, BoxError> {
        let &Get { key, etag, span, payer } = get;
        let mut path = self.path.clone();
        path.extend(utf8_percent_encode(key, PATH));
        let mut request = self.request(path, payer)?;
        let headers = request.headers_mut();
        if let Some(etag) = etag {
            headers.insert(IF_MATCH, etag.try_into()?);
        }
        if let Some(range) = span.header() {
            headers.insert(RANGE, range.try_into()?);
        } else if self.checksums {
            headers.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        }
        Ok(request)
    }

    fn list_request(&self, list: &List<'_>) -> Result<Request<NoBody>, BoxError> {
        let &List { prefix, token, payer } = list;
        let from = token.map_or_else(String::new, |token| {
            format!("continuation-token={}&", utf8_percent_encode(token, QUERY))
        });
        let prefix = utf8_percent_encode(prefix, QUERY);
        // In the order of the names, as they are signed.
        let query = format!("{from}encoding-type=url&list-type=2&prefix={prefix}");
        let mut request = self.request(format!("{}?{query}", self.path), payer)?;
        request
            .headers_mut()
            .insert(OPTIONAL_ATTRIBUTES, HeaderValue::from_static("RestoreStatus"));
        Ok(request)
    }

    /// A request for a `path`, that is encoded, with its query.
    fn request(&self, path: String, payer: bool) -> Result<Request<NoBody>, BoxError> {
        let mut request = Request::new(NoBody::new());
        *request.uri_mut() = path.try_into()?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if payer {
            headers.insert(REQUEST_PAYER, HeaderValue::from_static("requester"));
        }
        Ok(request)
    }

    /// The error of an answer that does not bring what was asked for.
    async fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: SdkBody,
    ) -> SdkError<ErrorMetadata> {
        let text = match read(body, ERROR_BYTES).await {
            Ok(text) => text,
            Err(cause) => return SdkError::response_error(cause, response(status)),
        };
        let error = error_of(&text);
        if error.code() == Some(CLOCK)
            && let (Some(signing), Some(date)) = (&self.signing, text_of(headers, DATE))
        {
            signing.set_clock(date);
        }
        let mut response = response(status);
        for name in TELLING {
            if let Some(text) = text_of(headers, name) {
                response.headers_mut().insert(name, text.to_owned());
            }
        }
        SdkError::service_error(error, response)
    }
}

/// The headers of a refusal that say what would be right.
const TELLING: [&str; 2] = ["location", "x-amz-bucket-region"];

impl Signing {
    /// Signs as a request with this `authorization` was signed, if that was by a signature of version 4.
    fn of(authorization: &str, components: &RuntimeComponents) -> Option<Self> {
        let (region, service) = scope(authorization)?;
        Some(Self {
            region: region.to_owned(),
            service: service.to_owned(),
            stamp: Mutex::default(),
            identities: components.identity_cache(),
            resolver: components.identity_resolver(AuthSchemeId::from("sigv4"))?,
            components: components.clone(),
            config: ConfigBag::base(),
            skew: AtomicI64::new(0),
        })
    }

    /// What requests are signed with now.
    async fn stamp(&self) -> Result<Arc<Stamp>, BoxError> {
        let Self { region, service, identities, resolver, components, config, .. } = self;
        let last = || self.stamp.lock().expect("nothing panics while it holds the lock");
        let now = self.now();
        if let Some(stamp) = &*last()
            && stamp.is_of(now)
        {
            return Ok(stamp.clone());
        }
        let identity =
            identities.resolve_cached_identity(resolver.clone(), components, config).await?;
        let credentials = identity.data::<Credentials>().ok_or("no credentials to sign with")?;
        let stamp = Arc::new(Stamp::new(credentials, region, service, now)?);
        *last() = Some(stamp.clone());
        Ok(stamp)
    }

    /// The time by the server's clock, as far as it is known.
    fn now(&self) -> SystemTime {
        let skew = self.skew.load(Ordering::Relaxed);
        let distance = Duration::from_millis(skew.unsigned_abs());
        if skew < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    }

    /// Takes over the server's `date`, where it is one.
    fn set_clock(&self, date: &str) {
        if let Ok(date) = DateTime::from_str(date, DateTimeFormat::HttpDate)
            && let Ok(date) = date.to_millis()
        {
            let now = DateTime::from(SystemTime::now()).to_millis().unwrap_or(date);
            self.skew.store(date - now, Ordering::Relaxed);
        }
    }
}

impl From<GetObjectOutput> for Answer {
    fn from(output: GetObjectOutput) -> Self {
        Self {
            length: output.content_length.and_then(|length| length.try_into().ok()),
            etag: output.e_tag,
            body: output.body,
        }
    }
}

const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
/// What a listing is asked to tell besides.
const OPTIONAL_ATTRIBUTES: HeaderName = HeaderName::from_static("x-amz-optional-object-attributes");
const REQUEST_PAYER: HeaderName = HeaderName::from_static("x-amz-request-payer");

/// The `Host` header of requests to a server, in which HTTP leaves out a scheme's own port.
fn host(server: &Uri) -> Option<HeaderValue> {
    let host = server.host()?;
    let usual = if server.scheme_str() == Some("https") { 443 } else { 80 };
    match server.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}").try_into().ok(),
        _ => host.try_into().ok(),
    }
}

fn text_of(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// What is encoded in the path and in the query of a URL, <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
const PATH: &AsciiSet = &QUERY.remove(b'/');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Region and service that an `Authorization` header of AWS is made for; `None` if it is none of signature version 4
/// with plain credentials. Directory buckets want credentials of their own.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let credential = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
    let (credential, _) = credential.split_once(',')?;
    let mut parts = credential.rsplit('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("aws4_request"), Some(service), Some(region)) if service != "s3express" => {
            Some((region, service))
        }
        _ => None,
    }
}

/// The `body` of an object, held against its checksum if one of the `headers` tells it.
fn checked(body: SdkBody, headers: &HeaderMap) -> SdkBody {
    let mut sums = headers.iter().filter_map(|(name, sum)| {
        let name = name.as_str().strip_prefix("x-amz-checksum-")?;
        // Some others the SDK takes for CRC 32.
        if !CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER.contains(&name) {
            return None;
        }
        let algorithm: ChecksumAlgorithm = name.parse().ok()?;
        // Sums of the sums of parts, as `…-3`, are not in base 64.
        let sum = aws_smithy_types::base64::decode(sum.to_str().ok()?).ok()?;
        Some((algorithm.into_impl(), sum))
    });
    match sums.next() {
        Some((algorithm, sum)) => {
            SdkBody::from_body_1_x(ChecksumBody::new(body, algorithm, sum.into()))
        }
        None => body,
    }
}

/// An error document is shorter than this; what follows of a longer one is not read.
const ERROR_BYTES: usize = 64 << 10;

/// Reads a body to its end, or until there are `enough` bytes.
async fn read(body: SdkBody, enough: usize) -> Result<Vec<u8>, BoxError> {
    let reading = async {
        let mut stream = ByteStream::new(body);
        let mut text = Vec::new();
        while text.len() < enough
            && let Some(bytes) = stream.next().await
        {
            text.extend_from_slice(&bytes?);
        }
        Ok(text)
    };
    timeout(STALLED, reading).await?
}

/// An answer whose body was read.
fn response(status: StatusCode) -> HttpResponse {
    HttpResponse::new(status.into(), SdkBody::taken())
}

/// Code and message of an error document of S3, as far as it is one: a proxy may answer in its own words.
fn error_of(text: &[u8]) -> ErrorMetadata {
    let mut error = ErrorMetadata::builder();
    // What was read before something wrong counts.
    let _ = xml::read(text, "Error", |depth, name, value| {
        match (depth, name) {
            (1, b"Code") => error = take(&mut error).code(take(value)),
            (1, b"Message") => error = take(&mut error).message(take(value)),
            _ => {}
        }
        Ok(())
    });
    error.build()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use aws_config::Region;
    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_sdk_s3::Client;
    use aws_sdk_s3::config::retry::RetryConfig;
    use aws_sdk_s3::config::{BehaviorVersion, Builder};
    use aws_sdk_s3::types::{EncodingType, OptionalObjectAttributes, RequestPayer};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };

    use super::super::failure::{Failure, FailureKind};
    use super::super::purpose::Purpose;
    use super::super::transport::tests::Server;
    use super::*;
    use crate::test_s3::{ACCESS_KEY, S3, SECRET_KEY};

    /// The URL and the headers of a request, but for those that differ from one to the next.
    type Asked = (String, BTreeMap<String, String>);

    /// What the SDK asks, and is not answered.
    #[derive(Debug, Clone, Default)]
    struct Notes(Arc<Mutex<Vec<Asked>>>);

    impl HttpConnector for Notes {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let headers =
                request.headers().iter().map(|(name, it)| (name.to_owned(), it.to_owned()));
            self.0.lock().unwrap().push((request.uri().to_owned(), headers.collect()));
            let response = HttpResponse::new(500.try_into().unwrap(), SdkBody::empty());
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    impl Notes {
        fn last(&self) -> Asked {
            self.0.lock().unwrap().last().unwrap().clone()
        }
    }

    /// A client with the keys that the server of the tests knows.
    fn client(
        configure: impl FnOnce(Builder) -> Builder,
    ) -> (Client, Arc<OnceLock<Option<Route>>>) {
        let route = Arc::default();
        let keys = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
        let builder = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(keys)
            .retry_config(RetryConfig::disabled())
            .interceptor(Scout { route: Arc::downgrade(&route), roots: None });
        (Client::from_conf(configure(builder).build()), route)
    }

    /// A client whose requests are noted.
    fn noted(
        configure: impl FnOnce(Builder) -> Builder,
    ) -> (Client, Arc<OnceLock<Option<Route>>>, Notes) {
        let notes = Notes::default();
        let connector = SharedHttpConnector::new(notes.clone());
        let (client, route) = client(|it| {
            let http = http_client_fn(move |_, _| connector.clone());
            configure(it).http_client(http)
        });
        (client, route, notes)
    }

    fn headers(request: &Request<NoBody>) -> BTreeMap<String, String> {
        let text = |it: &HeaderValue| it.to_str().unwrap().to_owned();
        request.headers().iter().map(|(name, it)| (name.to_string(), text(it))).collect()
    }

    /// The headers that don't differ from one request to the next.
    fn plain(mut headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
        headers.retain(|name, _| {
            let differs = name == "authorization" || name == "x-amz-date";
            !differs && !name.contains("user-agent") && !name.starts_with("amz-sdk-")
        });
        headers
    }

    const WHOLE: Get<'static> = Get { key: "x", etag: None, span: Span::ALL, payer: false };

    const LIST: List<'static> = List { prefix: "", token: None, payer: false };

    const ODD_KEYS: [&str; 11] = [
        "a b",
        "a+b",
        "a%20b",
        "a&b=c?d#e",
        "日本語🎵",
        "control\u{1}",
        "//a/../b",
        "./x",
        "(x)*'!~",
        "a\"<>\\^`{|}",
        "/",
    ];

    #[tokio::test]
    async fn objects_are_asked_for_as_the_sdk_asks() {
        type Configure = fn(Builder) -> Builder;
        let with_token = |it: Builder| {
            let token = Some("a/token+==".to_owned());
            it.credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, token, None, "test"))
        };
        let cases: [(&str, Configure, &str); 10] = [
            ("music", |it| it, "https://music.s3.eu-west-1.amazonaws.com/"),
            ("mu.sic", |it| it, "https://s3.eu-west-1.amazonaws.com/mu.sic/"),
            ("music", |it| it.force_path_style(true), "https://s3.eu-west-1.amazonaws.com/music/"),
            ("music", |it| it.use_fips(true), "https://music.s3-fips.eu-west-1.amazonaws.com/"),
            (
                "music",
                |it| it.use_dual_stack(true).region(Region::new("cn-north-1")),
                "https://music.s3.dualstack.cn-north-1.amazonaws.com.cn/",
            ),
            ("music", |it| it.endpoint_url("http://127.0.0.1:9"), "http://127.0.0.1:9/music/"),
            ("music", |it| it.endpoint_url("https://s3.test/a/"), "https://music.s3.test/a/"),
            ("music", |it| it.allow_no_auth(), "https://music.s3.eu-west-1.amazonaws.com/"),
            // An access point is asked where it is.
            (
                "arn:aws:s3:us-west-2:123456789012:accesspoint/ap",
                |it| it,
                "https://ap-123456789012.s3-accesspoint.us-west-2.amazonaws.com/",
            ),
            ("music", with_token, "https://music.s3.eu-west-1.amazonaws.com/"),
        ];
        for (bucket, configure, base) in cases {
            let (client, route, notes) = noted(configure);
            client.list_objects_v2().bucket(bucket).send().await.unwrap_err();
            let route = route.get().unwrap().as_ref().unwrap();
            for key in ODD_KEYS {
                let (rest, part) = (Span { from: 7, to: None }, Span { from: 0, to: Some(8) });
                for (etag, span, payer) in
                    [(None, Span::ALL, false), (Some("\"e\""), rest, true), (None, part, false)]
                {
                    let request = route.get_request(&Get { key, etag, span, payer }).unwrap();
                    let asked = route.signed(request).await.unwrap();
                    let mut headers = headers(&asked);
                    let url = format!("{}{}", headers.remove("host").unwrap(), asked.uri());
                    let request = client.get_object().bucket(bucket).key(key);
                    let request = request.set_if_match(etag.map(str::to_owned));
                    let request = request.set_range(span.header());
                    let payer = payer.then_some(RequestPayer::Requester);
                    let _ = request.set_request_payer(payer).send().await;
                    let (sdk_url, mut expected) = notes.last();
                    let sdk_url = sdk_url.replace("?x-id=GetObject", "");
                    assert!(sdk_url.starts_with(base), "{sdk_url}");
                    assert_eq!(Some(&*url), sdk_url.split_once("://").map(|it| it.1));
                    if span != Span::ALL {
                        // Of a part of an object, S3 tells no checksum.
                        expected.remove("x-amz-checksum-mode");
                    }
                    for name in ["authorization", "x-amz-date"] {
                        assert_eq!(headers.contains_key(name), expected.contains_key(name));
                    }
                    assert_eq!(plain(headers), plain(expected), "{key}");
                }
            }
        }
    }

    /// A URL without its scheme, and with its query in order.
    fn in_order(url: &str) -> String {
        let (base, query) = url.split_once('?').unwrap();
        let base = base.split_once("://").map_or(base, |it| it.1);
        let mut query: Vec<_> = query.split('&').collect();
        query.sort_unstable();
        [base, "?", &query.join("&")].concat()
    }

    #[tokio::test]
    async fn listings_are_asked_for_as_the_sdk_asks() {
        for path_style in [false, true] {
            let (client, route, notes) = noted(|it| it.force_path_style(path_style));
            client.list_objects_v2().bucket("music").send().await.unwrap_err();
            let route = route.get().unwrap().as_ref().unwrap();
            for prefix in ODD_KEYS.into_iter().chain(["", "a/b/"]) {
                for token in [None, Some("a/token+=="), Some("")] {
                    for payer in [false, true] {
                        let list = List { prefix, token, payer };
                        let request = route.list_request(&list).unwrap();
                        let request = route.signed(request).await.unwrap();
                        let (mut headers, uri) = (headers(&request), request.uri().to_string());
                        let url = headers.remove("host").unwrap() + &uri;
                        let payer = payer.then_some(RequestPayer::Requester);
                        let asked = client
                            .list_objects_v2()
                            .bucket("music")
                            .encoding_type(EncodingType::Url)
                            .prefix(prefix)
                            .set_continuation_token(token.map(str::to_owned))
                            .set_request_payer(payer)
                            .optional_object_attributes(OptionalObjectAttributes::RestoreStatus);
                        asked.send().await.unwrap_err();
                        let (sdk_url, expected) = notes.last();
                        assert_eq!(url, in_order(&sdk_url));
                        assert_eq!(plain(headers), plain(expected), "{prefix} {token:?}");
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_checks_signatures_takes_them() {
        let server = S3::start_private();
        for key in ODD_KEYS {
            server.put("music", key, key);
        }
        server.set_page_size(1);
        for token in [None, Some("a/token+==".to_owned())] {
            let (client, route) = client(|it| {
                let keys = Credentials::new(ACCESS_KEY, SECRET_KEY, token, None, "test");
                it.endpoint_url(server.endpoint()).credentials_provider(keys)
            });
            client.list_objects_v2().bucket("music").prefix("none").send().await.unwrap_err();
            let route = route.get().unwrap().as_ref().unwrap();
            for key in ODD_KEYS {
                let answer = route.get(&Get { key, ..WHOLE }).await.unwrap();
                assert_eq!(answer.length, Some(key.len() as u64));
                assert_eq!(answer.body.collect().await.unwrap().to_vec(), key.as_bytes());
            }
            let (mut keys, mut token) = (BTreeSet::new(), None);
            loop {
                let list = List { token: token.as_deref(), ..LIST };
                let mut page = route.list(&list).await.unwrap();
                let [found] = take(&mut page.found).try_into().unwrap();
                keys.insert(page.key(found.key).unwrap());
                token = page.token.clone();
                if !page.is_truncated() {
                    break;
                }
            }
            assert!(keys.iter().eq(&BTreeSet::from(ODD_KEYS)), "{keys:?}");
            for prefix in ODD_KEYS {
                let page = route.list(&List { prefix, ..LIST }).await.unwrap();
                assert_eq!(page.found.len(), 1, "{prefix}");
            }
            let etag = Some("\"other\"");
            let error = route.get(&Get { key: "/", etag, ..WHOLE }).await.unwrap_err();
            assert_eq!(error.raw_response().unwrap().status().as_u16(), 412);
        }
    }

    #[tokio::test]
    async fn the_clock_is_the_servers_once_it_refused_by_it() {
        const LATE: &str = "HTTP/1.1 403 Forbidden\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n\
             Content-Length: 76\r\n\r\n\
             <Error><Code>RequestTimeTooSkewed</Code><Message>late</Message></Error>     ";
        let server = Server::start(LATE, usize::MAX);
        let (client, route) = client(|it| it.endpoint_url(server.uri().to_string()));
        client.list_objects_v2().bucket("music").send().await.unwrap_err();
        let route = route.get().unwrap().as_ref().unwrap();
        for expected in [false, true] {
            let request = route.signed(route.get_request(&WHOLE).unwrap()).await.unwrap();
            let date = request.headers()["x-amz-date"].to_str().unwrap();
            assert_eq!(date.starts_with("2013052"), expected, "{date}");
            let error = route.get(&WHOLE).await.unwrap_err();
            assert_eq!(error.as_service_error().unwrap().code(), Some(CLOCK));
        }
    }

    #[tokio::test]
    async fn credentials_are_asked_for_once_while_they_last() {
        let server = S3::start_private();
        server.put("music", "x", "x");
        let asked = Arc::new(AtomicI64::new(0));
        let (client, route) = client(|it| {
            let asked = asked.clone();
            let hourly = provide_credentials_fn(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                let expiry = SystemTime::now() + Duration::from_secs(3600);
                let keys = Credentials::new(ACCESS_KEY, SECRET_KEY, None, Some(expiry), "test");
                std::future::ready(Ok(keys))
            });
            it.endpoint_url(server.endpoint()).credentials_provider(hourly)
        });
        client.list_objects_v2().bucket("music").send().await.unwrap_err();
        for _ in 0..10 {
            route.get().unwrap().as_ref().unwrap().get(&WHOLE).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_page_that_can_not_be_read_says_why() {
        use FailureKind::{Lasting, Passing};
        let cases = [
            ("<Error><Code>InternalError</Code></Error>", Passing, "InternalError"),
            ("\n<Error><Code>AccessDenied</Code></Error>", Lasting, "AccessDenied"),
            ("<!DOCTYPE html><html><p></html>", Lasting, "the answer is none of S3's"),
            ("", Lasting, "the answer is none of S3's"),
            (
                "<ListBucketResult><Contents>",
                Passing,
                "the server's answer is broken: the ListBucketResult has no end",
            ),
            (
                "<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
                Passing,
                "the server's answer is broken: invalid digit found in string",
            ),
        ];
        for (body, kind, cause) in cases {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let server = Server::start(answer.leak(), usize::MAX);
            let (client, route) = client(|it| it.endpoint_url(server.uri().to_string()));
            let _ = client.list_objects_v2().bucket("music").send().await;
            let error = route.get().unwrap().as_ref().unwrap().list(&LIST).await.unwrap_err();
            let failure = Failure::of(error, Purpose::Source);
            assert_eq!((failure.kind, failure.cause()), (kind, cause), "{body}");
        }
    }

    #[tokio::test]
    async fn a_refusal_whose_body_breaks_is_still_one() {
        const CUT: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n<Error><Code>";
        let server = Server::start(CUT, 1);
        let (client, route) = client(|it| it.endpoint_url(server.uri().to_string()));
        let _ = client.list_objects_v2().bucket("music").send().await;
        let error = route.get().unwrap().as_ref().unwrap().get(&WHOLE).await.unwrap_err();
        let failure = Failure::of(error, Purpose::Source);
        let Failure { kind, status, .. } = failure;
        assert_eq!((kind, status), (FailureKind::Passing, Some(404)));
        assert_eq!(failure.cause(), "the server answered 404");
    }

    #[test]
    fn only_plain_signatures_are_made() {
        let cases = [
            (
                "AWS4-HMAC-SHA256 Credential=AK/20130524/eu-west-1/s3/aws4_request, SignedHeaders=host",
                Some(("eu-west-1", "s3")),
            ),
            (
                "AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3-outposts/aws4_request,Signature=0",
                Some(("us-east-1", "s3-outposts")),
            ),
            ("AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3express/aws4_request, S", None),
            ("AWS4-ECDSA-P256-SHA256 Credential=AK/20130524/s3/aws4_request, SignedHeaders=", None),
            ("AWS4-HMAC-SHA256 Credential=AK", None),
            ("Bearer x", None),
        ];
        for (authorization, expected) in cases {
            assert_eq!(scope(authorization), expected, "{authorization}");
        }
    }

    #[test]
    fn error_documents_tell_code_and_message() {
        let cases = [
            (
                "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>",
                Some("NoSuchKey"),
                Some("no"),
            ),
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error xmlns=\"x\">\n <Message>a &lt;b&gt; &amp; c\
                 </Message><RequestId>7</RequestId><Code>InternalError</Code></Error>",
                Some("InternalError"),
                Some("a <b> & c"),
            ),
            ("<Error><Code>SlowDown</Code></Error>", Some("SlowDown"), None),
            ("<Error><Code>SlowDown</Code><Messa", Some("SlowDown"), None),
            ("<Error><Code>SlowDown</Code><Key>a&b</Key></Error>", Some("SlowDown"), None),
            ("<Error></Error>", None, None),
            ("<html><Code>x</Code></html>", None, None),
            ("upstream timed out", None, None),
            ("{\"Code\":\"x\"}", None, None),
            ("", None, None),
        ];
        for (text, code, message) in cases {
            let error = error_of(text.as_bytes());
            assert_eq!((error.code(), error.message()), (code, message), "{text}");
        }
        assert_eq!(error_of(b"\xff").code(), None);
    }

    #[tokio::test]
    async fn bodies_are_held_against_the_checksums_of_the_whole() {
        let crc32 = "DUoRhQ==";
        let cases = [
            (vec![], true),
            (vec![("x-amz-checksum-crc32", crc32)], true),
            (vec![("x-amz-checksum-crc32", "AAAAAA==")], false),
            (vec![("x-amz-checksum-sha1", "Kq5sNclPz7QV2+lfQIuc6R7oRu0=")], true),
            (vec![("x-amz-checksum-sha256", crc32)], false),
            // Of the checksums of three parts.
            (vec![("x-amz-checksum-crc32", "AAAAAA==-3")], true),
            (vec![("x-amz-checksum-crc32", "no checksum")], true),
            (vec![("x-amz-checksum-md5", "AAAAAA==")], true),
            (vec![("x-amz-checksum-type", "FULL_OBJECT"), ("x-amz-checksum-crc32", crc32)], true),
        ];
        for (headers, is_right) in cases {
            let sums = headers
                .iter()
                .map(|(name, sum)| (HeaderName::from_static(name), HeaderValue::from_static(sum)));
            let body = checked(SdkBody::from("hello world"), &sums.collect());
            let read = ByteStream::new(body).collect().await;
            assert_eq!(read.is_ok(), is_right, "{headers:?}");
        }
    }
}
