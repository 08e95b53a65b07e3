//! Failures of requests: what they mean for another attempt, and what to do about them.

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

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
    help: &'static str,
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
        let status = error.raw_response().map(|response| response.status().as_u16());
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
            SdkError::DispatchFailure(failure) => {
                match failure.is_io() || failure.is_timeout() || failure.as_other().is_some() {
                    true => FailureKind::Passing,
                    false => FailureKind::Lasting,
                }
            }
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => FailureKind::Passing,
            _ => answered(status, code.as_deref()),
        };
        let help = match (code.as_deref(), kind, &error) {
            (Some(code), _, _) => help_for(code, purpose),
            (None, FailureKind::Passing, SdkError::DispatchFailure(_)) => CONNECTION,
            (None, _, _) if status == Some(200) => CONNECTION,
            (None, _, SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)) => {
                purpose.credentials()
            }
            _ => "",
        };
        let help = if help.is_empty() && kind != FailureKind::Lasting { LATER } else { help };
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

fn help_for(code: &str, purpose: Purpose) -> &'static str {
    match code {
        "NoSuchBucket" => purpose.bucket(),
        "AccessDenied" | "AllAccessDisabled" => purpose.rights(),
        // Credentials that can be renewed are, before they expire: these can't.
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" => {
            "check or renew the credentials"
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" => purpose.region(),
        _ if code.starts_with("KMS.") => purpose.encryption(),
        CLOCK => "set the clock of this machine",
        _ => "",
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
}
