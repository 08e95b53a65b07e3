//! The objects of a COPY: which there are, their bytes, and what S3 says when it gives none.

use std::io::Read;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Config, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use serde::Deserialize;

use super::super::error::{Refusal, Result};
use super::super::settings::Settings;
use super::{Access, Compression, Copy, Place};
use crate::support::s3::{ACCESS_KEY, SECRET_KEY};

/// Where the warehouse is, and its buckets unless a test says otherwise.
pub const REGION: &str = "us-east-1";

/// Reads objects in the name of one COPY.
pub struct Fetcher<'a> {
    client: Client,
    copy: &'a Copy,
    settings: &'a Settings,
    query: i64,
}

/// What S3 refuses.
struct Fault {
    status: u16,
    code: String,
    message: String,
}

impl<'a> Fetcher<'a> {
    /// # Errors
    /// When the role is none that the warehouse may take on.
    pub fn new(copy: &'a Copy, settings: &'a Settings, endpoint: &str, query: i64) -> Result<Self> {
        let (id, secret, token) = match &copy.access {
            Access::Keys { id, secret, token } => (id.as_str(), secret.as_str(), token.clone()),
            Access::Role(role) if settings.roles.contains(role) => (ACCESS_KEY, SECRET_KEY, None),
            Access::DefaultRole if settings.default_role.is_some() => {
                (ACCESS_KEY, SECRET_KEY, None)
            }
            Access::Role(role) => {
                let text = format!(
                    "User arn:aws:redshift:{REGION}:123456789012:dbuser:stand-in/sparkload is not authorized to \
                     assume IAM Role {role}"
                );
                return Err(Refusal::engine(text, 8001, "IAM Role", query));
            }
            Access::DefaultRole => {
                let text = "The default IAM role is not set for the cluster";
                return Err(Refusal::engine(text, 8001, "IAM Role", query));
            }
        };
        let config = Config::builder()
            .behavior_version_latest()
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(Credentials::new(id, secret, token, None, "COPY"))
            .build();
        Ok(Fetcher { client: Client::from_conf(config), copy, settings, query })
    }

    /// The objects to load, in order; one that is named twice is there twice.
    pub async fn places(&self) -> Result<Vec<(Place, bool)>> {
        if self.copy.options.manifest { self.manifest().await } else { self.listed().await }
    }

    async fn manifest(&self) -> Result<Vec<(Place, bool)>> {
        #[derive(Deserialize)]
        struct Manifest {
            entries: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            url: String,
            #[serde(default)]
            mandatory: bool,
        }
        let from = &self.copy.from;
        let bytes = self
            .bytes(from)
            .await
            .map_err(|fault| self.refusal(&fault, "Problem reading manifest file - ", from))?;
        let wrong = |text: String| {
            Refusal::engine(text, 8001, &format!("Manifest file location = {from}"), self.query)
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            wrong(format!("Manifest file is not in correct json format ({error})"))
        })?;
        if manifest.entries.is_empty() {
            return Err(wrong("Manifest file has no entries".to_owned()));
        }
        let place = |entry: Entry| match Place::parse(&entry.url) {
            Some(place) if !place.key.is_empty() => Ok((place, entry.mandatory)),
            _ => Err(wrong(format!("Invalid URL in manifest: {}", entry.url))),
        };
        manifest.entries.into_iter().map(place).collect()
    }

    async fn listed(&self) -> Result<Vec<(Place, bool)>> {
        let from = &self.copy.from;
        self.routed(from).map_err(|fault| self.refusal(&fault, "", from))?;
        let request = self.client.list_objects_v2().bucket(&from.bucket).prefix(&from.key);
        let mut pages = request.into_paginator().send();
        let mut places = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refusal(&fault_of(error), "", from))?;
            for object in page.contents.unwrap_or_default() {
                let Some(key) = object.key else { continue };
                places.push((Place { bucket: from.bucket.clone(), key }, true));
            }
        }
        if places.is_empty() {
            let text = format!("The specified S3 prefix '{}' does not exist", from.key);
            let context = format!("Listing bucket={} prefix={}", from.bucket, from.key);
            return Err(Refusal::engine(text, 8001, &context, self.query));
        }
        Ok(places)
    }

    /// An object's bytes, unpacked; nothing for one that is missing and may be.
    pub async fn object(&self, place: &Place, mandatory: bool) -> Result<Option<Vec<u8>>> {
        let packed = match self.bytes(place).await {
            Ok(bytes) => bytes,
            Err(fault) if fault.code == "NoSuchKey" && !mandatory => return Ok(None),
            Err(fault) => return Err(self.refusal(&fault, "", place)),
        };
        let mut bytes = Vec::new();
        let unpacked = match self.copy.options.compression {
            Compression::None => return Ok(Some(packed)),
            Compression::Gzip => {
                flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes)
            }
            Compression::Zstd => zstd::stream::read::Decoder::new(&packed[..])
                .and_then(|mut it| it.read_to_end(&mut bytes)),
            Compression::Bzip2 => {
                bzip2::read::MultiBzDecoder::new(&packed[..]).read_to_end(&mut bytes)
            }
        };
        match unpacked {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => {
                let text = format!("failed to inflate: {error}");
                let context = format!("S3 key being read : {place}");
                Err(Refusal::engine(text, 9001, &context, self.query))
            }
        }
    }

    async fn bytes(&self, place: &Place) -> std::result::Result<Vec<u8>, Fault> {
        self.routed(place)?;
        let request = self.client.get_object().bucket(&place.bucket).key(&place.key);
        let object = request.send().await.map_err(fault_of)?;
        let broken = |error: aws_sdk_s3::primitives::ByteStreamError| Fault {
            status: 0,
            code: "IncompleteBody".to_owned(),
            message: error.to_string(),
        };
        Ok(object.body.collect().await.map_err(broken)?.to_vec())
    }

    /// A bucket answers in its own region only.
    fn routed(&self, place: &Place) -> std::result::Result<(), Fault> {
        let asked = self.copy.options.region.as_deref().unwrap_or(REGION);
        let home = self.settings.regions.get(&place.bucket).map_or(REGION, String::as_str);
        if asked == home {
            return Ok(());
        }
        Err(Fault {
            status: 301,
            code: "PermanentRedirect".to_owned(),
            message: "The bucket you are attempting to access must be addressed using the specified endpoint. \
                      Please send all future requests to this endpoint."
                .to_owned(),
        })
    }

    fn refusal(&self, fault: &Fault, before: &str, place: &Place) -> Refusal {
        let Fault { status, code, message } = fault;
        let text = format!(
            "{before}S3ServiceException:{message},Status {status},Error {code},Rid 0000000000000000,ExtRid 0000,CanRetry 1"
        );
        let context = format!("S3 key being read : {place}");
        Refusal::engine(text, 8001, &context, self.query)
    }
}

fn fault_of<E>(error: SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |it| it.status().as_u16());
    Fault {
        status,
        code: error.code().unwrap_or("unknown").to_owned(),
        message: error.message().map_or_else(|| error.to_string(), str::to_owned),
    }
}
