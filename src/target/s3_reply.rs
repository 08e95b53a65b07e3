//! What Redshift says of S3, where its COPY did not get what it asked for.
//!
//! `S3ServiceException:Access Denied,Status 403,Error AccessDenied,Rid …,ExtRid …,CanRetry 1`, as in
//! embulk/embulk-output-jdbc#85: `CanRetry` is 1 whatever the status, so that only the status tells what may pass.

/// Whether S3 was too busy or unwell, or not reached.
pub(super) fn is_passing(text: &str) -> bool {
    match status(text) {
        Some(408 | 429 | 500 | 502..) => true,
        Some(_) => text.contains("Error RequestTimeout,"),
        None => text.contains("CanRetry 1"),
    }
}

/// What to do about what does not pass.
pub(super) fn help(text: &str) -> Option<&'static str> {
    const RIGHTS: &str = "the role of --iam-role, or else the keys that the stage is written with, need s3:GetObject on \
                          it, s3:ListBucket on its bucket, and kms:Decrypt for files that a key of KMS encrypts";
    const KEYS: &str =
        "check or renew the keys that the stage is written with, or name a role with --iam-role";
    let names = |codes: &[&str]| codes.iter().any(|code| text.contains(&format!("Error {code},")));
    if names(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"]) {
        return Some(KEYS);
    }
    if names(&["PermanentRedirect", "AuthorizationHeaderMalformed"]) {
        return Some("the bucket of the stage is in another region: pass it with --stage-region");
    }
    match status(text) {
        Some(403) => Some(RIGHTS),
        Some(404) => Some(
            "let nothing else remove files from the stage during a load, and have it in Amazon's own S3: Redshift reads \
             no other",
        ),
        // The words for a manifest that may not be read, PostHog/posthog#61603.
        None if text.contains("COPY with MANIFEST parameter requires full path") => Some(RIGHTS),
        None if text.contains("not authorized to assume IAM Role") => Some(
            "attach the role to the cluster, and let its trust policy name redshift.amazonaws.com",
        ),
        _ => None,
    }
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("S3ServiceException:")?.1.split_once(",Status ")?;
    rest.split_once(',')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_what_passes_and_what_is_to_be_done() {
        let refused = |message: &str, status: u16, code: &str| {
            format!(
                "S3ServiceException:{message},Status {status},Error {code},Rid 1,ExtRid 2=,CanRetry 1"
            )
        };
        let assume =
            "User arn:aws:redshift:x is not authorized to assume IAM Role arn:aws:iam::1:role/r";
        let manifest = "COPY with MANIFEST parameter requires full path of an S3 object.";
        let curl = "S3CurlException: Connection timed out, CurlError 28, multiCurlError 0, CanRetry 1, UserError 0";
        let cases = [
            (refused("Slow, please", 503, "SlowDown"), true, None),
            (refused("We encountered an internal error.", 500, "InternalError"), true, None),
            (refused("Too many", 429, "TooManyRequests"), true, None),
            (refused("Your socket connection was idle", 400, "RequestTimeout"), true, None),
            (curl.to_owned(), true, None),
            (refused("Access Denied", 403, "AccessDenied"), false, Some("s3:GetObject")),
            (refused("The AWS Access Key Id", 403, "InvalidAccessKeyId"), false, Some("renew")),
            (refused("The provided token has", 400, "ExpiredToken"), false, Some("renew")),
            (refused("The specified key", 404, "NoSuchKey"), false, Some("nothing else remove")),
            (refused("The bucket", 301, "PermanentRedirect"), false, Some("--stage-region")),
            (refused("Not", 501, "NotImplemented"), false, None),
            (manifest.to_owned(), false, Some("s3:GetObject")),
            (assume.to_owned(), false, Some("trust policy")),
            ("Load into table 'songs' failed.".to_owned(), false, None),
        ];
        for (text, passes, expected) in cases {
            assert_eq!(is_passing(&text), passes, "{text}");
            let help = help(&text);
            let is_it = match (help, expected) {
                (Some(help), Some(part)) => help.contains(part),
                (help, expected) => help == expected,
            };
            assert!(is_it, "{text}: {help:?}");
        }
    }
}
