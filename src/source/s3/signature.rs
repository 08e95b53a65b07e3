//! Signatures: version 4 of AWS's, for requests that have no body.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> says how they are made.
//! The SDK's own signer makes the key of the day anew for each request, and copies much.

use std::fmt;
use std::time::SystemTime;

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

/// What the signatures of one second have in common.
pub(super) struct Stamp {
    seconds: i64,
    timestamp: HeaderValue,
    token: Option<HeaderValue>,
    /// What every text to be signed begins with.
    preamble: String,
    /// What every authorization begins with.
    credential: String,
    /// What signs all requests of a day.
    key: Vec<u8>,
}

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The SHA-256 of no bytes.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Stamp {
    /// For requests to a `service` in a `region`, made with these `credentials` at this `time`.
    pub fn new(
        credentials: &Credentials,
        region: &str,
        service: &str,
        time: SystemTime,
    ) -> Result<Self, BoxError> {
        let seconds = DateTime::from(time).secs();
        let mut timestamp = DateTime::from_secs(seconds).fmt(DateTimeFormat::DateTime)?;
        timestamp.retain(|c| c != '-' && c != ':');
        let (date, _) = timestamp.split_once('T').ok_or("the clock is beyond all calendars")?;
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let (id, secret) = (credentials.access_key_id(), credentials.secret_access_key());
        Ok(Self {
            seconds,
            token: credentials.session_token().map(hidden).transpose()?,
            preamble: format!("AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n"),
            credential: format!("AWS4-HMAC-SHA256 Credential={id}/{scope}"),
            key: generate_signing_key(secret, time, region, service).as_ref().to_vec(),
            timestamp: timestamp.try_into()?,
        })
    }

    pub fn is_of(&self, time: SystemTime) -> bool {
        self.seconds == DateTime::from(time).secs()
    }

    /// Adds to a GET who made it and when; it names its host, path and query are encoded, and the latter is in order.
    pub fn sign<B>(&self, request: &mut Request<B>) -> Result<(), BoxError> {
        let Self { seconds: _, timestamp, token, preamble, credential, key } = self;
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let mut canonical = ["GET\n", path, "\n", query, "\n"].concat();
        let headers = request.headers_mut();
        headers.insert(CONTENT_SHA256, HeaderValue::from_static(NO_BODY));
        headers.insert(DATE, timestamp.clone());
        if let Some(token) = token {
            headers.insert(SECURITY_TOKEN, token.clone());
        }
        let mut signed = Vec::with_capacity(headers.len());
        for (name, value) in &*headers {
            signed.push((name.as_str(), value.to_str()?.trim()));
        }
        signed.sort_unstable();
        for (name, value) in &signed {
            canonical.extend([name, ":", value, "\n"]);
        }
        let names: Vec<_> = signed.into_iter().map(|(name, _)| name).collect();
        let names = names.join(";");
        canonical.extend(["\n", &names, "\n", NO_BODY]);

        // Two numbers to write, and not 32 bytes.
        let digest = <[u8; 32]>::from(Sha256::digest(canonical));
        let (halves, _) = digest.as_chunks();
        let [high, low] = [halves[0], halves[1]].map(u128::from_be_bytes);
        let text = format!("{preamble}{high:032x}{low:032x}");
        let signature = calculate_signature(key, text.as_bytes());
        let authorization =
            [credential, ", SignedHeaders=", &names, ", Signature=", &signature].concat();
        headers.insert(AUTHORIZATION, hidden(&authorization)?);
        Ok(())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamp").field("timestamp", &self.timestamp).finish_non_exhaustive()
    }
}

/// The value of a header that is not to be shown.
fn hidden(text: &str) -> Result<HeaderValue, BoxError> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    };
    use aws_sigv4::sign::v4::SigningParams;
    use aws_smithy_runtime_api::client::identity::Identity;
    use hyper::header::{HOST, RANGE};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        // <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, None, None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let stamp = Stamp::new(&credentials, "us-east-1", "s3", time).unwrap();
        let mut request = Request::get("/test.txt")
            .header(HOST, "examplebucket.s3.amazonaws.com")
            .header(RANGE, "bytes=0-9")
            .body(())
            .unwrap();
        stamp.sign(&mut request).unwrap();
        let expected = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert_eq!(request.headers()[AUTHORIZATION], expected);
        for shown in [format!("{stamp:?}"), format!("{request:?}")] {
            assert!(!shown.contains(secret) && !shown.contains("f0e8bdb8"), "{shown}");
        }
    }

    #[test]
    fn a_stamp_is_of_one_second() {
        let credentials = Credentials::new("AK", "secret", None, None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let stamp = Stamp::new(&credentials, "eu-west-1", "s3", time).unwrap();
        for (later, is_of) in [(0, true), (999, true), (1000, false)] {
            assert_eq!(stamp.is_of(time + Duration::from_millis(later)), is_of, "{later}");
        }
        assert!(!stamp.is_of(time - Duration::from_millis(1)));
    }

    /// The headers of `request` when the SDK has signed it for S3.
    fn signed_by_sdk(
        request: &Request<()>,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Vec<(String, String)> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity: Identity = credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("s3")
            .time(time)
            .settings(settings)
            .build()
            .unwrap();
        let mut headers = headers(request);
        let host = &headers.iter().find(|(name, _)| name == "host").unwrap().1;
        let url = format!("https://{host}{}", request.uri());
        let pairs = headers.iter().map(|(name, value)| (&**name, &**value));
        let signable = SignableRequest::new("GET", url, pairs, SignableBody::Bytes(&[])).unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        let added = instructions.into_parts().0;
        headers.extend(added.iter().map(|it| (it.name().to_owned(), it.value().to_owned())));
        headers.sort();
        headers
    }

    fn headers(request: &Request<()>) -> Vec<(String, String)> {
        let pairs = request.headers().iter();
        let pairs =
            pairs.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        pairs
    }

    proptest! {
        #[test]
        fn requests_are_signed_as_the_sdk_signs_them(
            host in "(b\\.s3\\.amazonaws\\.com|127\\.0\\.0\\.1:[1-9][0-9]{1,4})",
            path in "(/([A-Za-z0-9._~-]|%[2-9A-F][0-9A-F]){0,9}){1,4}",
            query in "(\\?a=[A-Za-z0-9._~-]{0,5}&b=(%2F|%3D|x){0,5})?",
            others in prop::collection::btree_map("(if-match|range|x-amz-[a-z]{1,9})", "[!-~]{1,20}", 0..4),
            token in prop::option::of("[A-Za-z0-9+/=]{1,60}"),
            seconds in 0..4_000_000_000_u64,
        ) {
            let credentials = Credentials::new("AK", "secret", token, None, "test");
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let mut request = Request::get(path + &query).header(HOST, host);
            for (name, value) in others {
                request = request.header(name, value);
            }
            let mut request = request.body(()).unwrap();
            let expected = signed_by_sdk(&request, &credentials, time);
            Stamp::new(&credentials, "eu-west-1", "s3", time).unwrap().sign(&mut request).unwrap();
            prop_assert_eq!(headers(&request), expected);
        }
    }
}
