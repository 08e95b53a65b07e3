//! The account: how the requests to it find their way and are signed, by the SDK's own chain and what is said besides.

use std::net::IpAddr;
use std::path::Path;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::{self, ProfileFileCredentialsProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::ServiceConfigKey;
use hyper::Uri;
use secrecy::ExposeSecret;

use super::STALLED;
use super::trust::Bundle;
use crate::error::{Error, Result};
use crate::source::{S3Credentials, S3Options};

/// The way to an account.
#[derive(Debug)]
pub(crate) struct Account {
    /// The SDK's configuration; what only S3 knows is not in it.
    pub shared: SdkConfig,
    /// Whom to trust instead of those that the operating system does.
    pub bundle: Option<Bundle>,
}

impl Account {
    /// The way that `options` and the files and variables of AWS's tools say.
    ///
    /// # Errors
    ///
    /// The profile is not there, or the certificates that are to be trusted can't be read.
    pub async fn reach(options: &S3Options) -> Result<Self> {
        let S3Options {
            region,
            profile,
            endpoint_url,
            no_sign_request,
            credentials,
            path_style: _,
            request_payer: _,
            encryption: _,
        } = options;
        // Without this a server that takes a request and never answers would be waited for without end.
        let timeouts = TimeoutConfig::builder().read_timeout(STALLED).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if let Some(profile) = profile {
            is_there(profile).await?;
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint_url) = endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.clone()));
        }
        // They may have to be asked for over connections that are trusted for what the configuration says.
        let shared = Box::pin(loader.no_credentials().load()).await;
        let bundle = setting(&shared, "AWS_CA_BUNDLE", "ca_bundle");
        let bundle = bundle.map(|path| Bundle::read(Path::new(&path))).transpose()?;
        let mut builder = shared.to_builder();
        let mut asking = ProviderConfig::without_region()
            .with_region(shared.region().cloned())
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_use_fips(shared.use_fips())
            .with_use_dual_stack(shared.use_dual_stack());
        if let Some(timeouts) = shared.timeout_config() {
            asking = asking.with_timeout_config(timeouts.clone());
        }
        if let Some(bundle) = &bundle {
            builder.set_http_client(Some(bundle.client()));
            asking = asking.with_http_client(bundle.client());
        }
        if !no_sign_request {
            let keys = credentials.as_ref();
            let region = shared.region().cloned();
            let provider = Box::pin(provider(keys, profile.as_deref(), region, asking)).await;
            builder.set_credentials_provider(Some(provider));
        }
        Ok(Self { shared: builder.build(), bundle })
    }

    /// Whether the names of buckets go into the path of a URL, and not before the name of its host.
    ///
    /// # Errors
    ///
    /// The profile has another word for it than AWS's tools know.
    pub fn path_style(&self, options: &S3Options) -> Result<bool> {
        if options.path_style {
            return Ok(true);
        }
        let of_s3 = setting(&self.shared, NO_VARIABLE, "s3").unwrap_or_default();
        let mut lines = of_s3.lines().filter_map(|line| line.split_once('='));
        let style = lines.find(|(name, _)| name.trim() == "addressing_style");
        match style.map(|(_, style)| style.trim()) {
            Some("path") => Ok(true),
            Some("virtual") => Ok(false),
            // No name could stand before an address, and whatever stands before this one is seldom known.
            Some("auto") | None => Ok(self.endpoint(options).is_some_and(|url| is_local(&url))),
            Some(style) => {
                let what = format!("the profile's addressing_style is {style:?}");
                Err(Error::config(what).with_help("make it path, virtual or auto"))
            }
        }
    }

    /// The URL of S3, where it is not Amazon's own.
    pub fn endpoint(&self, options: &S3Options) -> Option<String> {
        let named = || setting(&self.shared, "AWS_ENDPOINT_URL", "endpoint_url");
        options.endpoint_url.clone().or_else(named)
    }
}

/// No variable has this name.
const NO_VARIABLE: &str = "";

/// What a variable says for S3, or for all services, or else the profile.
fn setting(shared: &SdkConfig, variable: &str, name: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("s3").env(variable).profile(name).build();
    let found = shared.service_config()?.load_config(key.ok()?)?;
    Some(found).filter(|value| !value.is_empty())
}

/// Checks that there is a profile: it would be passed over, and credentials looked for elsewhere.
async fn is_there(profile: &str) -> Result<()> {
    let files = Default::default();
    let profiles = profile::load(&Fs::real(), &Env::real(), &files, None).await;
    let profiles = profiles
        .map_err(|cause| Error::config("can't read the AWS configuration files").because(cause))?;
    if profiles.get_profile(profile).is_some() {
        return Ok(());
    }
    let mut known: Vec<_> = profiles.profiles().collect();
    known.sort_unstable();
    let help = match &*known {
        [] => "there are no profiles in ~/.aws/config and ~/.aws/credentials".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Err(Error::config(format!("there is no AWS profile `{profile}`")).with_help(help))
}

/// Who provides the credentials: the `keys`, or the `profile` that was asked for, or whoever the SDK finds.
async fn provider(
    keys: Option<&S3Credentials>,
    profile: Option<&str>,
    region: Option<Region>,
    asking: ProviderConfig,
) -> SharedCredentialsProvider {
    if let Some(S3Credentials { access_key_id, secret_access_key }) = keys {
        let secret = secret_access_key.expose_secret();
        let keys = Credentials::new(access_key_id, secret, None, None, "settings");
        return SharedCredentialsProvider::new(keys);
    }
    let Some(profile) = profile else {
        let chain = DefaultCredentialsChain::builder().configure(asking).region(region);
        return SharedCredentialsProvider::new(chain.build().await);
    };
    // The SDK takes what variables say before it looks at any profile; AWS's other tools, where one is named, don't.
    let of_profile = ProfileFileCredentialsProvider::builder().profile_name(profile);
    let of_container = EcsCredentialsProvider::builder();
    let of_machine = ImdsCredentialsProvider::builder().profile(profile);
    SharedCredentialsProvider::new(
        CredentialsProviderChain::first_try("Profile", of_profile.configure(&asking).build())
            .or_else("EcsContainer", of_container.configure(&asking).build())
            .or_else("Ec2InstanceMetadata", of_machine.configure(&asking).build()),
    )
}

/// Whether a URL names its host by an address, or this machine.
fn is_local(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_before_an_address() {
        let cases = [
            ("http://127.0.0.1:9000", true),
            ("https://10.1.2.3", true),
            ("http://[::1]:9000/s3", true),
            ("http://localhost:9000", true),
            ("http://LOCALHOST./", true),
            ("https://s3.localhost.localstack.cloud:4566", false),
            ("https://minio.example", false),
            ("https://127.0.0.1.example", false),
            ("", false),
        ];
        for (url, expected) in cases {
            assert_eq!(is_local(url), expected, "{url}");
        }
    }
}
