//! EC2, as far as security groups go: the Query protocol, signed and over the SDKs' client.
//!
//! The SDK for it takes 282 seconds and 8.4 GB of memory to build on two cores, for the six requests that are made here.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html>

use std::time::SystemTime;
use std::vec;

use aws_config::SdkConfig;
use aws_sdk_iam::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::{self, Answer, innermost};
use super::refusal::Refusal;
use crate::retry::Retry;
use crate::source::Bundle;

/// The version of the interface, <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/making-api-requests.html>.
const VERSION: &str = "2016-11-15";

/// As many as the SDKs make.
const ATTEMPTS: u32 = 3;

/// EC2 in a region.
#[derive(Debug)]
pub(super) struct Ec2 {
    endpoint: String,
    region: String,
    credentials: Option<SharedCredentialsProvider>,
    connector: SharedHttpConnector,
}

/// A parameter of a request: its name and value.
pub(super) type Parameter = (String, String);

impl Ec2 {
    /// EC2 for an account that has a region.
    pub fn new(shared: &SdkConfig, bundle: Option<&Bundle>) -> Self {
        let region = shared.region().map(ToString::to_string).unwrap_or_default();
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        let usual = format!("https://ec2.{region}.amazonaws.com{china}");
        Self {
            endpoint: shared.endpoint_url().map_or(usual, str::to_owned),
            region,
            credentials: shared.credentials_provider(),
            connector: http::connector(bundle),
        }
    }

    /// Does what `action` says with these parameters.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        action: &'static str,
        parameters: &[Parameter],
    ) -> Result<T, Refusal> {
        let refusal = |code, message| Refusal { operation: action, code, message };
        let form = form(action, parameters);
        let mut attempts = Retry { attempts: ATTEMPTS, ..Retry::default() }.attempts();
        loop {
            let request = self.request(&form).await;
            let request = request.map_err(|cause| refusal(None, innermost(&*cause)))?;
            let (passing, refused) = match http::send(&self.connector, request).await {
                Err(cause) => (true, refusal(None, cause)),
                Ok(Answer { status: 200, text }) => {
                    return quick_xml::de::from_str(&text)
                        .map_err(|error| refusal(None, innermost(&error)));
                }
                Ok(Answer { status, text }) => {
                    // A proxy may answer in its own words.
                    let Response { errors } = quick_xml::de::from_str(&text).unwrap_or_default();
                    let Wrong { code, message } = errors.error;
                    let throttled = code.as_deref() == Some("RequestLimitExceeded");
                    let message =
                        message.unwrap_or_else(|| format!("the server answered {status}"));
                    (throttled || status >= 500, refusal(code, message))
                }
            };
            if !passing || !attempts.again().await {
                return Err(Refusal { message: attempts.explain(&refused.message), ..refused });
            }
        }
    }

    /// A signed request that posts a form.
    async fn request(&self, form: &str) -> Result<HttpRequest, BoxError> {
        const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
        let provider = self.credentials.as_ref().ok_or("no credentials to sign with")?;
        let identity = provider.provide_credentials().await?.into();
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let url = format!("{}/", self.endpoint.trim_end_matches('/'));
        let headers = [("content-type", FORM)].into_iter();
        let body = SignableBody::Bytes(form.as_bytes());
        let signable = SignableRequest::new("POST", &url, headers, body)?;
        let (instructions, _) = sign(signable, &params)?.into_parts();

        let mut request = HttpRequest::new(SdkBody::from(form));
        request.set_method("POST")?;
        request.set_uri(url)?;
        let headers = request.headers_mut();
        headers.insert("content-type", FORM);
        for (name, value) in instructions.headers() {
            headers.try_insert(name.to_owned(), value.to_owned())?;
        }
        Ok(request)
    }
}

/// Everything but what a form may hold as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn form(action: &str, parameters: &[Parameter]) -> String {
    let mut form = format!("Action={action}&Version={VERSION}");
    for (name, value) in parameters {
        form.extend(["&", name, "="]);
        form.extend(utf8_percent_encode(value, ENCODED));
    }
    form
}

/// A list in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.item.into_iter()
    }
}

/// The answer to a request that has nothing to tell.
#[derive(Debug, Deserialize)]
pub(super) struct Done {}

/// An answer that says what is wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    #[serde(rename = "Errors")]
    errors: Errors,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Errors {
    #[serde(rename = "Error")]
    error: Wrong,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wrong {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}
