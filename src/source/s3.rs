//! S3 as a source, through Amazon's own SDK.

use std::error::Error as StdError;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, RequestPayer};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;

use super::{Entry, Object, S3Options, changed};
use crate::error::{Error, Result};

/// The objects of a bucket whose keys start with a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    client: Client,
    bucket: String,
    prefix: String,
    request_payer: Option<RequestPayer>,
}

/// A body that gives nothing for this long is dead.
///
/// The SDK's own watch over stalled bodies is off: it would count the time in which a slow database holds the
/// reader back.
const STALLED: Duration = Duration::from_secs(60);

impl Bucket {
    pub async fn open(bucket: &str, prefix: &str, options: &S3Options) -> Self {
        let S3Options {
            region,
            profile,
            endpoint_url,
            path_style,
            no_sign_request,
            request_payer,
            credentials,
        } = options.clone();
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint_url) = endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        if let Some(credentials) = credentials {
            let secret = credentials.secret_access_key.expose_secret();
            let id = credentials.access_key_id;
            let keys = Credentials::new(id, secret, None, None, "settings");
            loader = loader.credentials_provider(keys);
        }
        if no_sign_request {
            loader = loader.no_credentials();
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        // Without this a server that takes a request and never answers would be waited for without end.
        loader = loader.timeout_config(TimeoutConfig::builder().read_timeout(STALLED).build());
        let shared = loader.load().await;
        let region = shared.region().cloned().unwrap_or(Region::from_static("us-east-1"));
        let config = aws_sdk_s3::config::Builder::from(&shared)
            .region(region)
            .force_path_style(path_style)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            request_payer: request_payer.then_some(RequestPayer::Requester),
        }
    }

    pub fn covers(&self, name: &str) -> bool {
        name.starts_with(&self.name(&self.prefix))
    }

    pub async fn list(&self) -> Result<Vec<Entry>> {
        let place = self.name(&self.prefix);
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(&self.prefix)
            // Keys may hold characters that XML can't.
            .encoding_type(EncodingType::Url)
            .set_request_payer(self.request_payer.clone())
            .into_paginator()
            .send();
        let mut entries = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|cause| failed(format!("can't list {place}"), cause))?;
            let encoded = page.encoding_type() == Some(&EncodingType::Url);
            for object in page.contents() {
                let Some(key) = object.key() else { continue };
                let key = if encoded { decode_key(key) } else { Some(key.to_owned()) };
                let Some(key) = key else {
                    return Err(Error::source(format!("a key under {place} is not UTF-8")));
                };
                entries.push(Entry {
                    name: self.name(&key),
                    key,
                    size: object.size().unwrap_or_default().try_into().unwrap_or_default(),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                });
            }
        }
        Ok(entries)
    }

    pub async fn read(&self, object: &Object) -> Result<ObjectBody> {
        let key = object.name.strip_prefix(&self.name("")).unwrap_or(&object.name);
        let etag = Some(object.etag.to_string()).filter(|etag| !etag.is_empty());
        let sent = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_if_match(etag)
            .set_request_payer(self.request_payer.clone())
            .send()
            .await;
        let name = object.name.to_string();
        match sent {
            Ok(output) => Ok(ObjectBody { stream: output.body, name, left: object.size }),
            Err(cause) if status(&cause) == Some(412) => Err(changed(&name)),
            Err(cause) => Err(failed(format!("can't read {name}"), cause)),
        }
    }

    fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

/// The bytes of an object.
pub(crate) struct ObjectBody {
    stream: ByteStream,
    name: String,
    /// How many of the bytes that were listed are still to come.
    left: u64,
}

impl ObjectBody {
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let cannot = || Error::source(format!("can't read {}", self.name));
        let next = tokio::time::timeout(STALLED, self.stream.next())
            .await
            .map_err(|_| cannot().because(format!("nothing came for {} s", STALLED.as_secs())))?;
        match next {
            Some(Ok(chunk)) if chunk.len() as u64 <= self.left => {
                self.left -= chunk.len() as u64;
                Ok(Some(chunk))
            }
            Some(Ok(_)) => Err(changed(&self.name)),
            Some(Err(cause)) => Err(cannot().because(cause)),
            None if self.left == 0 => Ok(None),
            None => Err(cannot().because(format!("the last {} bytes did not come", self.left))),
        }
    }
}

/// Undoes `encoding-type=url`: percent escapes, and `+` for a space.
fn decode_key(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
}

fn status<E>(cause: &SdkError<E>) -> Option<u16> {
    cause.raw_response().map(|response| response.status().as_u16())
}

/// The SDK's error with what to do about it.
fn failed<E>(what: String, cause: SdkError<E>) -> Error
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let error = Error::source(what);
    let code = cause.code().map(str::to_owned);
    let help = match code.as_deref() {
        Some("NoSuchBucket") => "check the bucket's name",
        Some("NoSuchKey") => "the object is gone since it was listed: run the load again",
        Some("AccessDenied" | "AllAccessDisabled") => {
            "these credentials need s3:ListBucket and s3:GetObject here; \
             for a public bucket pass --no-sign-request"
        }
        Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken") => {
            "check or renew the credentials"
        }
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed") => {
            "the bucket is in another region: pass it with --region"
        }
        _ => match &cause {
            SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
                "check the network and --endpoint-url"
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                "check the credentials (for a public bucket pass --no-sign-request), \
                 the region and --endpoint-url"
            }
            _ => "",
        },
    };
    let error = match (code, cause.message(), status(&cause)) {
        (Some(code), Some(message), _) => error.because(format!("{code}: {message}")),
        (Some(code), None, _) => error.because(code),
        (None, _, Some(status)) => error.because(format!("the server answered {status}")),
        (None, _, None) => error.because(innermost(&cause)),
    };
    if help.is_empty() { error } else { error.with_help(help) }
}

/// The SDK wraps what happened in many layers; the innermost says it.
fn innermost(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_keys_are_decoded() {
        let cases = [
            ("plain/key.json", Some("plain/key.json")),
            ("a+b%2Bc%20d%25", Some("a b+c d%")),
            ("sp%C3%A4t%01", Some("spät\u{1}")),
            ("%C3", None),
        ];
        for (key, expected) in cases {
            assert_eq!(decode_key(key).as_deref(), expected, "{key}");
        }
    }
}
