//! Refusals: requests to AWS that were not answered as they should be, and what to do about it.

use std::error::Error as StdError;

use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};

use super::http::innermost;
use crate::error::Error;

/// Why a request was not answered as it should be.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// AWS's name of what was asked for.
    pub operation: &'static str,
    /// AWS's name of what is wrong.
    pub code: Option<String>,
    /// What AWS, or the connection, has to say.
    pub message: String,
}

/// Makes the refusal of an `operation` out of the error of an SDK.
pub(super) fn refused<E>(operation: &'static str) -> impl FnOnce(SdkError<E>) -> Refusal
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    move |error| {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let message = match (error.message(), status) {
            (Some(message), _) => message.to_owned(),
            (None, Some(status)) if error.code().is_none() => {
                format!("the server answered {status}")
            }
            (None, Some(_)) => String::new(),
            (None, None) => innermost(&error),
        };
        Refusal { operation, code: error.code().map(str::to_owned), message }
    }
}

impl Refusal {
    /// Whether AWS named one of these `codes`. Some services add `Fault` or `Exception` to the same names.
    pub fn is(&self, codes: &[&str]) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        let code =
            ["Fault", "Exception"].iter().find_map(|end| code.strip_suffix(end)).unwrap_or(code);
        codes.contains(&code)
    }

    /// The error of not having done `what`.
    pub fn error(self, what: impl Into<String>) -> Error {
        let Self { operation, code, message } = &self;
        let cause = match (code, message.as_str()) {
            (Some(code), "") => format!("{operation}: {code}"),
            (Some(code), message) => format!("{operation}: {code}: {message}"),
            (None, message) => format!("{operation}: {message}"),
        };
        Error::target(what).with_help(self.help()).because(cause)
    }

    fn help(&self) -> String {
        let Self { operation, code, .. } = self;
        let Some(code) = code.as_deref() else {
            return "check the network, the credentials and --endpoint-url, then run it again: it goes on where it \
                    ended"
                .to_owned();
        };
        match code {
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
                format!("these credentials must be allowed to do {operation}")
            }
            "AuthFailure" | "ExpiredToken" | "ExpiredTokenException" | "InvalidClientTokenId"
            | "SignatureDoesNotMatch" | "UnrecognizedClientException" | "RequestExpired" => {
                "check or renew the credentials".to_owned()
            }
            "OptInRequired" | "SubscriptionRequiredException" => {
                "this account can't use Redshift in this region: choose another with --region".to_owned()
            }
            "InsufficientClusterCapacity" | "InsufficientClusterCapacityFault"
            | "InsufficientCapacityException" => {
                "AWS has none to spare for now: try again later, or with another --node-type or --region".to_owned()
            }
            code if code.contains("Quota") || code.contains("LimitExceeded") => {
                "the account's quota is used up: have it raised, or remove something".to_owned()
            }
            _ => "mend that and run it again: it goes on where it ended".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_operation_the_code_and_what_to_do() {
        let refusal = |code: Option<&str>| Refusal {
            operation: "CreateRole",
            code: code.map(str::to_owned),
            message: "no".to_owned(),
        };
        let error = refusal(Some("AccessDenied")).error("can't make the role r");
        assert_eq!(error.to_string(), "can't make the role r");
        assert_eq!(error.causes(), "CreateRole: AccessDenied: no");
        assert_eq!(error.help(), Some("these credentials must be allowed to do CreateRole"));
        let error = refusal(Some("NumberOfNodesQuotaExceededFault")).error("can't");
        assert!(error.help().unwrap().starts_with("the account's quota"), "{error:?}");
        assert!(refusal(Some("ClusterNotFoundFault")).is(&["ClusterNotFound"]));
        assert!(!refusal(None).is(&["ClusterNotFound"]));
    }
}
