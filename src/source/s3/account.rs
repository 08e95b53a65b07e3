//! The account: how the requests to it find their way and are signed, by the SDK's own chain and what is said besides.

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use secrecy::ExposeSecret;

use super::STALLED;
use crate::source::S3Options;

/// The SDK's configuration with `options`; those that only S3 knows are not in it.
pub(crate) async fn configuration(options: &S3Options) -> SdkConfig {
    let S3Options {
        region,
        profile,
        endpoint_url,
        no_sign_request,
        credentials,
        path_style: _,
        request_payer: _,
        encryption: _,
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
    Box::pin(loader.load()).await
}
