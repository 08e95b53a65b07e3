//! Tokens: passwords for RDS and Aurora that are signed here, for a role that logs in by IAM.
//!
//! A token is a signed request to connect, without its scheme; the server holds it against IAM.
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html>

use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_sdk_iam::config::{Credentials as Keys, ProvideCredentials};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::credentials::Credentials;
use super::http::innermost;
use crate::error::{Error, Result};
use crate::source::{Account, S3Options};

/// The longest that RDS takes one.
const LASTS: Duration = Duration::from_secs(900);

/// Everything but what a value may hold as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An endpoint of RDS: an instance, a cluster of Aurora's, or a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RdsEndpoint<'a> {
    host: &'a str,
    /// `None` for an endpoint of all regions.
    region: Option<&'a str>,
}

impl<'a> RdsEndpoint<'a> {
    /// The endpoint that `host` names, if it does: `….REGION.rds.amazonaws.com`, in China `….rds.REGION.amazonaws.com.cn`.
    pub fn named(host: &'a str) -> Option<Self> {
        let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        let at = labels.iter().position(|label| label.eq_ignore_ascii_case("amazonaws"))?;
        let region = match labels.get(at.checked_sub(2)?..at)? {
            [region, "rds"] | ["rds", region] => *region,
            _ => return None,
        };
        // An Aurora cluster over several regions is found under a name of none.
        Some(Self { host, region: (region != "global").then_some(region) })
    }

    /// A password for `user` at `port`, which lasts for a quarter of an hour.
    ///
    /// # Errors
    ///
    /// There are no credentials to sign with, or nothing says which region.
    pub async fn credentials(self, port: u16, user: &str, aws: &S3Options) -> Result<Credentials> {
        // What the name tells is not looked for anywhere else.
        let region = self.region.map(str::to_owned).or_else(|| aws.region.clone());
        let signed = S3Options { no_sign_request: false, region, ..aws.clone() };
        let Account { shared, .. } = Account::reach(&signed).await?;
        let Some(region) = shared.region().map(Region::as_ref) else {
            return Err(Error::config(format!("nothing says in which region {} is", self.host))
                .with_help("name it with AWS_REGION or the profile"));
        };
        let no_keys = |cause: BoxError| {
            Error::target(format!("can't sign a login to {}", self.host))
                .because(innermost(&*cause))
                .with_help("give AWS's credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID or a role), or a password")
        };
        let keys = match shared.credentials_provider() {
            Some(provider) => {
                provider.provide_credentials().await.map_err(|it| no_keys(it.into()))?
            }
            None => return Err(no_keys("there are none".into())),
        };
        let now = SystemTime::now();
        let token = self.token(port, user, region, keys, now).map_err(no_keys)?;
        Ok(Credentials { user: user.to_owned(), password: token.into(), expires: now + LASTS })
    }

    fn token(
        self,
        port: u16,
        user: &str,
        region: &str,
        keys: Keys,
        time: SystemTime,
    ) -> Result<String, BoxError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LASTS);
        let identity = keys.into();
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("rds-db")
            .time(time)
            .settings(settings)
            .build()?
            .into();
        let user = utf8_percent_encode(user, ENCODED);
        let mut url = format!("{}:{port}/?Action=connect&DBUser={user}", self.host);
        let signable = SignableRequest::new(
            "GET",
            format!("https://{url}"),
            std::iter::empty(),
            SignableBody::Bytes(&[]),
        )?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        for (name, value) in instructions.params() {
            url.extend(["&", name, "="]);
            url.extend(utf8_percent_encode(value, ENCODED));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_endpoint_names_its_region() {
        for (host, expected) in [
            ("dwh.abc123.eu-west-1.rds.amazonaws.com", Some(Some("eu-west-1"))),
            ("dwh.cluster-abc123.us-east-2.rds.amazonaws.com", Some(Some("us-east-2"))),
            ("dwh.cluster-ro-abc123.us-east-2.rds.amazonaws.com.", Some(Some("us-east-2"))),
            ("dwh.proxy-abc123.us-gov-west-1.rds.amazonaws.com", Some(Some("us-gov-west-1"))),
            ("ro.endpoint.proxy-abc123.eu-west-1.rds.amazonaws.com", Some(Some("eu-west-1"))),
            ("dwh.abc123.rds.cn-north-1.amazonaws.com.cn", Some(Some("cn-north-1"))),
            ("dwh.global-abc123.global.rds.amazonaws.com", Some(None)),
            ("dwh.abc123.eu-west-1.redshift.amazonaws.com", None),
            ("rds.amazonaws.com.example", None),
            ("localhost", None),
            ("", None),
        ] {
            let region = RdsEndpoint::named(host).map(|endpoint| endpoint.region);
            assert_eq!(region, expected, "{host}");
        }
    }

    #[test]
    fn a_token_is_what_awss_own_tool_signs() {
        // generate_db_auth_token of botocore 1.43.11, at the time that stands in it.
        const WITH_KEYS: &str = "dwh.abc123.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=ann%2Betl%40x\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261130%2Feu-west-1%2Frds-db%2Faws4_request\
            &X-Amz-Date=20261130T231329Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=14a960a15255d1d48e52a0a3add07e405ed5b5abea48baa1ab610c3e46148729";
        const WITH_A_ROLE: &str = "dwh.abc123.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=ann%2Betl%40x\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261130%2Feu-west-1%2Frds-db%2Faws4_request\
            &X-Amz-Date=20261130T231329Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=tok%2B%2Fen%3D\
            &X-Amz-Signature=55773f5dbf8a35f427949105786f9ae968f38cb6ec404fa7251a040896fe2c6b";
        let endpoint = RdsEndpoint::named("dwh.abc123.eu-west-1.rds.amazonaws.com").unwrap();
        for (session, expected) in [(None, WITH_KEYS), (Some("tok+/en=".to_owned()), WITH_A_ROLE)] {
            let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
            let keys = Keys::new("AKIAIOSFODNN7EXAMPLE", secret, session, None, "test");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_080_409);
            let token = endpoint.token(5432, "ann+etl@x", "eu-west-1", keys, time).unwrap();
            // The order of what is signed may differ.
            let parts = |token: &str| token.split('&').map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(parts(&token), parts(expected));
            assert!(
                token.starts_with("dwh.abc123.eu-west-1.rds.amazonaws.com:5432/?Action=connect&")
            );
        }
    }
}
