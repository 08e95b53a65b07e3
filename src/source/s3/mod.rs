//! S3 as a source, through Amazon's own SDK; listings and objects are had past it where that can be, as [`route`]
//! says.
//!
//! The SDK's own retries are off: when to try again is said in one place, by [`Retry`].

mod account;
mod ahead;
mod body;
mod failure;
mod page;
mod purpose;
mod put;
mod remove;
mod route;
mod signature;
mod transport;
mod writer;
mod xml;

use std::error::Error as StdError;
use std::mem::take;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::Region;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{EncodingType, RequestPayer};

use self::ahead::Ahead;
use self::failure::{Failure, FailureKind};
use self::page::{Found, Page, Whole};
use self::route::{Answer, Get, List, Route, Scout, Span};
use super::pace::Pace;
use super::{Encryption, Entry, Object, Reach, ReadError, S3Options};
use crate::error::{Error, Result};
use crate::retry::{Attempts, Retry};

pub(crate) use self::account::configuration;
pub(crate) use self::ahead::ObjectBody;
pub(crate) use self::purpose::Purpose;
use self::put::Upload;
pub(crate) use self::writer::ObjectWriter;

/// The objects of a bucket whose keys start with a prefix.
#[derive(Debug)]
pub(crate) struct Bucket {
    client: Client,
    /// How objects are listed and got, once it is known; `Some(None)` is through the client.
    route: Arc<OnceLock<Option<Route>>>,
    purpose: Purpose,
    bucket: String,
    prefix: String,
    request_payer: Option<RequestPayer>,
    encryption: Option<Encryption>,
    region: Region,
    /// What requests are signed with, unless they are not.
    credentials: Option<SharedCredentialsProvider>,
    retry: Retry,
    pace: Pace,
    ahead: Ahead,
    stalled: Duration,
}

/// A request or body that gives nothing for this long is dead.
///
/// The SDK's own watch over stalled bodies is off: it would count the time in which a slow database holds the
/// reader back.
const STALLED: Duration = Duration::from_secs(60);

/// Failures of one thing in a row before the user hears of it.
const WORTH_A_WARNING: u32 = 4;

impl Bucket {
    /// Opens a bucket.
    pub async fn open(
        purpose: Purpose,
        bucket: &str,
        prefix: &str,
        options: &S3Options,
        retry: Retry,
        reach: Reach,
    ) -> Self {
        let shared = configuration(options).await;
        let region = shared.region().cloned().unwrap_or(Region::from_static("us-east-1"));
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .region(region.clone())
            .force_path_style(options.path_style)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            client: Client::from_conf(config),
            route: Arc::default(),
            purpose,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            request_payer: options.request_payer.then_some(RequestPayer::Requester),
            encryption: options.encryption.clone(),
            region,
            credentials: shared.credentials_provider(),
            retry,
            pace: Pace::new(reach.fetches),
            ahead: Ahead::new(reach.ahead_bytes),
            stalled: STALLED,
        }
    }

    pub fn covers(&self, name: &str) -> bool {
        name.starts_with(&self.name(&self.prefix))
    }

    pub async fn list(&self) -> Result<Vec<Entry>> {
        self.list_under(&self.prefix).await
    }

    /// All objects whose keys start with `prefix`.
    pub async fn list_under(&self, prefix: &str) -> Result<Vec<Entry>> {
        let place = self.name(prefix);
        let mut entries = Vec::new();
        let mut token = None;
        loop {
            let page = self.page(prefix, token.as_deref()).await;
            let mut page = page.map_err(|failure| failure.error(format!("can't list {place}")))?;
            for Found { key, size, etag } in take(&mut page.found) {
                let Some(key) = page.key(key).filter(|key| !key.is_empty()) else {
                    return Err(self
                        .purpose
                        .error(format!("a key under {place} is empty or not UTF-8")));
                };
                entries.push(Entry { name: self.name(&key), key, size, etag });
            }
            match page.is_truncated() {
                false => return Ok(entries),
                true if page.token.is_some() && page.token != token => token = page.token,
                true => {
                    return Err(self
                        .purpose
                        .error(format!("can't list all of {place}"))
                        .because("the server does not say where its listing goes on"));
                }
            }
        }
    }

    /// Asks for the objects whose keys start with `prefix`, from where the page before ended.
    async fn page(&self, prefix: &str, token: Option<&str>) -> Result<Page, Failure> {
        if let Some(route) = self.route() {
            let list = List { prefix, token, payer: self.request_payer.is_some() };
            return self.ask(&mut self.retry.attempts(), || route.list(&list)).await;
        }
        let page = self.page_by_sdk(prefix, token).await;
        match self.route() {
            // The request that has shown it was not sent.
            Some(_) => Box::pin(self.page(prefix, token)).await,
            None => page,
        }
    }

    async fn page_by_sdk(&self, prefix: &str, token: Option<&str>) -> Result<Page, Failure> {
        let send = || {
            self.client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_continuation_token(token.map(str::to_owned))
                // Keys may hold characters that XML can't.
                .encoding_type(EncodingType::Url)
                .set_request_payer(self.request_payer.clone())
                .customize()
                .interceptor(Scout(Arc::downgrade(&self.route)))
                .interceptor(Whole)
                .send()
        };
        self.ask(&mut self.retry.attempts(), send).await.map(Page::from)
    }

    fn route(&self) -> Option<&Route> {
        self.route.get()?.as_ref()
    }

    pub async fn read(self: &Arc<Self>, object: &Object) -> Result<ObjectBody, ReadError> {
        ObjectBody::open(self, object).await
    }

    /// The version of `object` that is there now, if any is.
    pub async fn stat(&self, object: &Object) -> Result<Option<Object>> {
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(self.key(&object.name))
            .set_request_payer(self.request_payer.clone());
        match self.ask(&mut self.retry.attempts(), || request.clone().send()).await {
            Ok(found) => Ok(Some(Object {
                size: size(found.content_length()),
                etag: found.e_tag().unwrap_or_default().into(),
                ..object.clone()
            })),
            Err(failure) if failure.status == Some(404) => Ok(None),
            Err(failure) => Err(failure.error(format!("can't read {}", object.name))),
        }
    }

    /// Asks for bytes of the object called `name`, in the version `etag`.
    async fn get(
        &self,
        name: &str,
        etag: Option<&str>,
        span: Span,
        attempts: &mut Attempts,
    ) -> Result<Answer, ReadError> {
        let get = Get { key: self.key(name), etag, span, payer: self.request_payer.is_some() };
        let answer = match self.route() {
            Some(route) => self.ask(attempts, || route.get(&get)).await,
            // Apart, because the SDK's futures are large and this one is made for each object.
            None => Box::pin(self.get_by_sdk(&get, attempts)).await,
        };
        answer.map_err(|failure| match (failure.status, failure.code.as_deref()) {
            (Some(412), _) => ReadError::Changed("another version took its place".to_owned()),
            (Some(416), _) => ReadError::Changed("it is shorter now".to_owned()),
            (Some(404), None | Some("NoSuchKey")) => ReadError::Gone,
            _ => ReadError::Failed(failure.error(format!("can't read {name}"))),
        })
    }

    async fn get_by_sdk(&self, get: &Get<'_>, attempts: &mut Attempts) -> Result<Answer, Failure> {
        let &Get { key, etag, span, payer: _ } = get;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_if_match(etag.map(str::to_owned))
            .set_range(span.header())
            .set_request_payer(self.request_payer.clone());
        self.ask(attempts, || request.clone().send()).await.map(Answer::from)
    }

    /// Sends a request, again and again as long as that may help.
    ///
    /// Only the time until the answer begins counts for the pace: a body comes as fast as the database takes it.
    async fn ask<T, E, F>(
        &self,
        attempts: &mut Attempts,
        mut send: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: StdError + ProvideErrorMetadata + 'static,
    {
        loop {
            let turn = self.pace.turn().await;
            let failure = match send().await {
                Ok(answer) => {
                    turn.answered();
                    return Ok(answer);
                }
                Err(error) => Failure::of(error, self.purpose),
            };
            // One that was refused keeps its turn until it has waited: with the others it makes for a slower pace.
            let turn = match failure.kind {
                FailureKind::Lasting => return Err(failure),
                FailureKind::Once if attempts.failed() > 0 => return Err(failure),
                FailureKind::Once | FailureKind::Passing => None,
                FailureKind::Throttled => {
                    turn.refused();
                    Some(turn)
                }
            };
            if !try_again(self.purpose, attempts, failure.cause()).await {
                return Err(failure.after(attempts));
            }
            drop(turn);
        }
    }

    /// The region that the bucket is in, as far as is known.
    pub fn region(&self) -> &str {
        self.region.as_ref()
    }

    /// The keys that requests are signed with now.
    pub async fn credentials(&self) -> Result<Credentials> {
        let what = || format!("there are no credentials for {}", self.name(&self.prefix));
        let help = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile";
        let Some(provider) = &self.credentials else {
            return Err(Error::config(what()).with_help(help));
        };
        let provided = provider.provide_credentials().await;
        provided.map_err(|cause| Error::config(what()).because(cause).with_help(help))
    }

    pub fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// The key of the object called `name`.
    fn key<'a>(&self, name: &'a str) -> &'a str {
        let key = name.strip_prefix("s3://").and_then(|rest| rest.strip_prefix(&*self.bucket));
        key.and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
    }
}

/// Waits before another attempt at what failed, if there is to be one.
async fn try_again(purpose: Purpose, attempts: &mut Attempts, cause: &str) -> bool {
    let again = attempts.again().await;
    match attempts.failed() {
        WORTH_A_WARNING => {
            tracing::warn!("the {} is not reached for now: {cause}", purpose.name());
        }
        failed => tracing::debug!(failed, cause, "a request failed"),
    }
    again
}

/// A size as the SDK gives it.
fn size(size: Option<i64>) -> u64 {
    size.unwrap_or_default().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::transport::tests::Server;
    use super::*;

    #[tokio::test]
    async fn a_listing_without_its_end_is_not_taken_for_a_whole_one() {
        const CUT: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
             <ListBucketResult><Contents><Key>a.json</Key><Size>1</Size></Contents>";
        for by_sdk in [false, true] {
            let server = Server::start(CUT, 1);
            let options = S3Options {
                region: Some("eu-west-1".to_owned()),
                endpoint_url: Some(server.uri().to_string()),
                no_sign_request: true,
                ..S3Options::default()
            };
            let retry =
                Retry { attempts: 2, max_delay: Duration::from_millis(1), ..Retry::default() };
            let bucket = Bucket::open(Purpose::Source, "b", "", &options, retry, Reach::ONE).await;
            if by_sdk {
                bucket.route.set(None).unwrap();
            }
            let error = bucket.list().await.unwrap_err();
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("the ListBucketResult has no end (2 attempts"), "{cause}");
            assert_eq!(server.connections(), 2);
        }
    }
}
