//! S3 as a source, through Amazon's own SDK; listings and objects are had past it where that can be, as [`route`]
//! says.
//!
//! The SDK's own retries are off: when to try again is said in one place, by [`Retry`].

mod account;
mod ahead;
mod body;
mod failure;
mod list;
mod page;
mod purpose;
mod put;
mod remove;
mod route;
mod signature;
mod transport;
mod trust;
mod writer;
mod xml;

use std::error::Error as StdError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::Region;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{RequestPayer, StorageClass};

use self::ahead::Ahead;
use self::failure::{Failure, FailureKind};
use self::route::{Answer, Get, Route, Scout, Span};
use super::pace::Pace;
use super::{Encryption, Object, Reach, ReadError, S3Options};
use crate::error::{Error, Result};
use crate::retry::{Attempts, Retry};

pub(crate) use self::account::Account;
pub(crate) use self::ahead::ObjectBody;
pub(crate) use self::purpose::Purpose;
use self::put::Upload;
pub(crate) use self::trust::Bundle;
pub(crate) use self::writer::ObjectWriter;

/// A folder of a bucket, or an object in it.
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
    /// Whom to trust instead of those that the operating system does.
    bundle: Option<Bundle>,
    /// Whether it is Amazon's own S3.
    is_amazons: bool,
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
    ///
    /// # Errors
    ///
    /// What the configuration of AWS's tools says of the way there can't be used.
    pub async fn open(
        purpose: Purpose,
        bucket: &str,
        prefix: &str,
        options: &S3Options,
        retry: Retry,
        reach: Reach,
    ) -> Result<Self> {
        let account = Account::reach(options).await?;
        let path_style = account.path_style(options)?;
        let is_amazons = account.endpoint(options).is_none();
        let Account { shared, bundle } = account;
        let region = shared.region().cloned().unwrap_or(Region::from_static("us-east-1"));
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .region(region.clone())
            .force_path_style(path_style)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::disabled())
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            route: Arc::default(),
            purpose,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            request_payer: options.request_payer.then_some(RequestPayer::Requester),
            encryption: options.encryption.clone(),
            region,
            bundle,
            is_amazons,
            credentials: shared.credentials_provider(),
            retry,
            pace: Pace::new(reach.fetches),
            ahead: Ahead::new(reach.ahead_bytes),
            stalled: STALLED,
        })
    }

    fn scout(&self) -> Scout {
        let roots = self.bundle.as_ref().map(|bundle| bundle.roots.clone());
        Scout { route: Arc::downgrade(&self.route), roots }
    }

    fn route(&self) -> Option<&Route> {
        self.route.get()?.as_ref()
    }

    pub async fn read(self: &Arc<Self>, object: &Object) -> Result<ObjectBody, ReadError> {
        ObjectBody::open(self, object).await
    }

    /// The version of `object` that is there now, if any is.
    pub async fn stat(&self, object: &Object) -> Result<Option<Object>> {
        match self.head(self.key(&object.name)).await {
            Ok(found) => Ok(Some(Object {
                size: size(found.content_length()),
                etag: found.e_tag().unwrap_or_default().into(),
                ..object.clone()
            })),
            Err(failure) if failure.status == Some(404) => Ok(None),
            Err(failure) => Err(failure.error(format!("can't read {}", object.name))),
        }
    }

    /// Whether an object that is listed as archived can't be read.
    pub async fn is_archived(&self, object: &Object) -> Result<bool> {
        // Amazon's listings tell of each object that is restored.
        if self.is_amazons {
            return Ok(true);
        }
        match self.head(self.key(&object.name)).await {
            Ok(found) => Ok(is_archived(&found)),
            Err(failure) if failure.status == Some(404) => Ok(false),
            Err(failure) => Err(failure.error(format!("can't read {}", object.name))),
        }
    }

    async fn head(&self, key: &str) -> Result<HeadObjectOutput, Failure> {
        let request = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .set_request_payer(self.request_payer.clone());
        self.ask(&mut self.retry.attempts(), || request.clone().send()).await
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
            (_, Some("InvalidObjectState")) => {
                ReadError::Archived(failure.error(format!("can't read {name}")))
            }
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

/// Whether an object is in an archive, and not restored.
fn is_archived(found: &HeadObjectOutput) -> bool {
    // `ongoing-request="false", expiry-date="…"` once it is.
    let is_restored = found.restore().is_some_and(|it| it.contains("expiry-date"));
    let class = found.storage_class().map(StorageClass::as_str);
    (class.is_some_and(page::is_archive) || found.archive_status().is_some()) && !is_restored
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
            let bucket = bucket.unwrap();
            if by_sdk {
                bucket.route.set(None).unwrap();
            }
            let error = bucket.list_under("").await.unwrap_err();
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("the ListBucketResult has no end (2 attempts"), "{cause}");
            assert_eq!(server.connections(), 2);
        }
    }
}
