//! Failures of requests: what they mean for another attempt, and what to do about them.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::purpose::Purpose;
use crate::error::Error;
use crate::retry::Attempts;

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: FailureKind,
    pub status: Option<u16>,
    pub code: Option<String>,
    purpose: Purpose,
    cause: String,
    help: Cow<'static, str>,
}

/// What a failure says about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It would end the same.
    Lasting,
    /// It may go better.
    Passing,
    /// It goes better the next time, or never.
    Once,
    /// It would go better if fewer were made.
    Throttled,
}

impl Failure {
    /// The failure of a request to a bucket for this purpose.
    pub fn of<E>(error: SdkError<E>, purpose: Purpose) -> Self
    where
        E: StdError + ProvideErrorMetadata + 'static,
    {
        let response = error.raw_response();
        let status = response.map(|response| response.status().as_u16());
        let tls = tls(&error);
        let code = error.code().map(str::to_owned);
        let cause = match (&code, error.message(), status) {
            (Some(code), Some(message), _) => format!("{code}: {message}"),
            (Some(code), None, _) => code.clone(),
            (None, _, Some(status)) if status != 200 => format!("the server answered {status}"),
            (None, _, Some(_)) if matches!(error, SdkError::ServiceError(_)) => {
                "the answer is none of S3's".to_owned()
            }
            (None, _, _) => innermost(&error),
        };
        let kind = match &error {
            // The rest are credentials that can't be had, and requests that can't be made.
            SdkError::DispatchFailure(_) if tls.is_some_and(is_lasting) => FailureKind::Lasting,
            SdkError::DispatchFailure(failure) => {
                match failure.is_io() || failure.is_timeout() || failure.as_other().is_some() {
                    true => FailureKind::Passing,
                    false => FailureKind::Lasting,
                }
            }
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => FailureKind::Passing,
            _ => answered(status, code.as_deref()),
        };
        let help: Cow<'static, str> = match (tls, code.as_deref(), &error) {
            (Some(tls), _, _) => help_with(tls).into(),
            (None, None, SdkError::DispatchFailure(_)) if kind == FailureKind::Passing => {
                if cause.contains("lookup address") { NAME.into() } else { CONNECTION.into() }
            }
            (None, None, SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)) => {
                purpose.credentials().into()
            }
            (None, None, _) if status == Some(200) => CONNECTION.into(),
            _ => {
                let message = error.message().unwrap_or_default();
                help_for(status, code.as_deref(), message, response, purpose)
            }
        };
        let is_passing = kind != FailureKind::Lasting;
        let help = if help.is_empty() && is_passing { LATER.into() } else { help };
        Self { kind, status, code, purpose, cause, help }
    }

    /// Says how often it was tried, if it was more than once.
    pub fn after(self, attempts: &Attempts) -> Self {
        Self { cause: attempts.explain(&self.cause), ..self }
    }

    /// The error of not having done `what`.
    pub fn error(self, what: String) -> Error {
        let error = self.purpose.error(what).because(self.cause);
        if self.help.is_empty() { error } else { error.with_help(self.help) }
    }

    pub fn cause(&self) -> &str {
        &self.cause
    }
}

/// What to do when connections break.
pub(super) const CONNECTION: &str = "check the network and --endpoint-url";
const LATER: &str = "the server is busy or unwell: run the load again later";

/// What an answer says about another attempt.
fn answered(status: Option<u16>, code: Option<&str>) -> FailureKind {
    match (status, code) {
        (_, Some("SlowDown" | "RequestLimitExceeded" | "TooManyRequestsException"))
        | (Some(429 | 503), _) => FailureKind::Throttled,
        (_, Some(code)) if code.starts_with("Throttl") => FailureKind::Throttled,
        (_, Some("RequestTimeout" | "InternalError" | "ServiceUnavailable"))
        | (Some(408 | 500 | 502..), _) => FailureKind::Passing,
        // The answer tells by how much the clock is off, and the next request is signed with the right time.
        (_, Some(CLOCK)) => FailureKind::Once,
        _ => FailureKind::Lasting,
    }
}

pub(super) const CLOCK: &str = "RequestTimeTooSkewed";

/// What to do about an answer.
fn help_for(
    status: Option<u16>,
    code: Option<&str>,
    message: &str,
    response: Option<&HttpResponse>,
    purpose: Purpose,
) -> Cow<'static, str> {
    let header = |name| response.and_then(|response| response.headers().get(name));
    let help = match code {
        Some("NoSuchBucket") => purpose.bucket(),
        // The right that is missing stands in the message.
        Some("AccessDenied") if message.contains("kms:") => purpose.encryption(),
        Some("AccessDenied" | "AllAccessDisabled") => purpose.rights(),
        // Credentials that can be renewed are, before they expire: these can't.
        Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken") => {
            "check or renew the credentials"
        }
        Some("InvalidRequest") if message.contains("Server Side Encryption") => CUSTOMER_KEY,
        Some("InvalidObjectState") => {
            "the object is archived: restore it first (aws s3api restore-object)"
        }
        Some(code) if code.starts_with("KMS.") => purpose.encryption(),
        Some(CLOCK) => "set the clock of this machine",
        Some("PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed") => {
            return match header("x-amz-bucket-region") {
                Some(region) => format!("{} (it is in {region})", purpose.region()).into(),
                None => purpose.region().into(),
            };
        }
        Some(_) => "",
        // An answer to HEAD has no more to say.
        None => match (status, header("x-amz-bucket-region"), header("location")) {
            (Some(301 | 307 | 400), Some(region), _) => {
                return format!("{} (it is in {region})", purpose.region()).into();
            }
            (Some(300..400), None, Some(place)) => {
                // What follows may be a signature.
                let place = place.split('?').next().unwrap_or_default();
                return format!(
                    "it says to ask {place} instead: name the right server with --endpoint-url"
                )
                .into();
            }
            (Some(401 | 403), ..) => purpose.rights(),
            _ => "",
        },
    };
    help.into()
}

/// What to do about an object that only who has its key can read.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html>
const CUSTOMER_KEY: &str = "the object is encrypted with a key of the customer's own (SSE-C), which can't be given here: \
     copy it with another encryption, or leave it out with --exclude";

/// What to do when a host's name is not known.
const NAME: &str = "check the network and --endpoint-url; where no host is called after the bucket, pass --path-style";

/// What TLS has to do with a failure.
fn tls<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e TlsError> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // An error of I/O passes over the one that it is made of.
    let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    within.and_then(|within| tls(within)).or_else(|| tls(error.source()?))
}

/// Whether the next connection would end the same.
fn is_lasting(error: &TlsError) -> bool {
    use AlertDescription::*;
    match error {
        TlsError::InvalidCertificate(_)
        | TlsError::NoCertificatesPresented
        | TlsError::PeerIncompatible(_)
        | TlsError::InvalidMessage(_) => true,
        TlsError::AlertReceived(alert) => matches!(
            alert,
            HandshakeFailure
                | ProtocolVersion
                | InsufficientSecurity
                | UnrecognisedName
                | CertificateRequired
                | BadCertificate
                | UnknownCA
                | AccessDenied
        ),
        _ => false,
    }
}

fn help_with(error: &TlsError) -> &'static str {
    use CertificateError::*;
    match error {
        TlsError::InvalidCertificate(UnknownIssuer) => {
            "if the server is the right one, have AWS_CA_BUNDLE, or ca_bundle in the AWS profile, name a PEM file with \
             the certificate of who issued its own"
        }
        TlsError::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "the server's certificate is for another name: check --endpoint-url, and pass --path-style where it is not \
             for hosts that are called after buckets"
        }
        TlsError::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => "renew the server's certificate, or set the clock of this machine",
        TlsError::InvalidCertificate(Other(_)) => {
            "give the server a certificate that is its own, and not that of an authority"
        }
        TlsError::InvalidMessage(_) => {
            "no TLS is spoken there: check the port, or write http:// in --endpoint-url"
        }
        _ => CONNECTION,
    }
}

/// The SDK wraps what happened in many layers; the innermost says it.
pub(super) fn innermost(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    #[test]
    fn only_what_may_get_better_is_tried_again() {
        use FailureKind::*;
        let cases = [
            (503, Some("SlowDown"), Throttled),
            (503, None, Throttled),
            (429, None, Throttled),
            (400, Some("ThrottlingException"), Throttled),
            (500, Some("InternalError"), Passing),
            (500, None, Passing),
            (502, None, Passing),
            (504, None, Passing),
            (400, Some("RequestTimeout"), Passing),
            (408, None, Passing),
            (403, Some("RequestTimeTooSkewed"), Once),
            (501, Some("NotImplemented"), Lasting),
            (301, Some("PermanentRedirect"), Lasting),
            (400, Some("ExpiredToken"), Lasting),
            (403, Some("AccessDenied"), Lasting),
            (403, None, Lasting),
            (404, Some("NoSuchKey"), Lasting),
            (404, Some("NoSuchBucket"), Lasting),
            (412, Some("PreconditionFailed"), Lasting),
            (416, Some("InvalidRange"), Lasting),
        ];
        for (status, code, expected) in cases {
            assert_eq!(answered(Some(status), code), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn answers_come_with_their_cure() {
        let cases = [
            (Some("AccessDenied"), "Access Denied", "--request-payer"),
            (
                Some("AccessDenied"),
                "User: arn:aws:iam::1:user/u is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:…",
                "the key of KMS",
            ),
            (
                Some("InvalidRequest"),
                "The object was stored using a form of Server Side Encryption. The correct parameters must be provided \
                 to retrieve the object.",
                "(SSE-C)",
            ),
            (Some("InvalidRequest"), "anything else", ""),
            (Some("InvalidObjectState"), "", "restore-object"),
            (Some("PermanentRedirect"), "", "--region"),
            (None, "", "--request-payer"),
        ];
        for (code, message, expected) in cases {
            let help = help_for(Some(403), code, message, None, Purpose::Source);
            assert!(help.contains(expected) && help.is_empty() == expected.is_empty(), "{help}");
        }
        let moved = |name: &'static str, value: &'static str| {
            let mut response = HttpResponse::new(301.try_into().unwrap(), SdkBody::taken());
            response.headers_mut().insert(name, value);
            help_for(Some(301), None, "", Some(&response), Purpose::Source)
        };
        let region = moved("x-amz-bucket-region", "eu-west-1");
        assert!(region.ends_with("pass it with --region (it is in eu-west-1)"), "{region}");
        let place = moved("location", "https://s3.test/b?X-Amz-Signature=s3cret");
        assert!(place.starts_with("it says to ask https://s3.test/b instead"), "{place}");
    }

    #[test]
    fn an_error_of_tls_is_found_however_deep_it_lies() {
        let unknown = || TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let deep = io::Error::other(io::Error::other(unknown()));
        let deeper = Error::source("can't connect").because(deep);
        assert_eq!(tls(&deeper), Some(&unknown()));
        assert_eq!(tls(&io::Error::other("reset")), None);
        let alert = TlsError::AlertReceived;
        assert!(is_lasting(&unknown()) && is_lasting(&alert(AlertDescription::ProtocolVersion)));
        assert!(!is_lasting(&alert(AlertDescription::InternalError)));
    }
}
