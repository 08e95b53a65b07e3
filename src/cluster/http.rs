//! HTTP, for the few requests that no SDK is there for: over the SDKs' own client.

use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::source::Bundle;

/// A server that lets one wait longer is dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// No answer that is of use is longer; what follows of a longer one is not read.
const MOST_BYTES: usize = 4 << 20;

/// What a server answered.
pub(super) struct Answer {
    pub status: u16,
    pub text: String,
}

/// Makes connections, and keeps them; trusts the `bundle`, or whom the operating system does.
pub(super) fn connector(bundle: Option<&Bundle>) -> SharedHttpConnector {
    let settings =
        HttpConnectorSettings::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE).build();
    let mut connector = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    if let Some(bundle) = bundle {
        connector.set_tls_context(bundle.context.clone());
    }
    SharedHttpConnector::new(connector.build())
}

/// Sends a request, and gives the answer, or why there is none.
pub(super) async fn send(
    connector: &SharedHttpConnector,
    request: HttpRequest,
) -> Result<Answer, String> {
    let response = connector.call(request).await.map_err(|error| innermost(&error))?;
    let status = response.status().as_u16();
    let mut body = ByteStream::new(response.into_body());
    let mut bytes = Vec::new();
    while bytes.len() < MOST_BYTES
        && let Some(more) = body.next().await
    {
        bytes.extend_from_slice(&more.map_err(|error| innermost(&error))?);
    }
    Ok(Answer { status, text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Gets the text at `url`.
pub(super) async fn get(url: &str) -> Result<String, String> {
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_uri(url).map_err(|_| "it is no URL".to_owned())?;
    match send(&connector(None), request).await? {
        Answer { status: 200, text } => Ok(text),
        Answer { status, .. } => Err(format!("the server answered {status}")),
    }
}

/// The client wraps what happened in many layers; the innermost says it.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
