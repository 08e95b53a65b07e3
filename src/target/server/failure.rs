//! Failing to connect: why each address gave no connection, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use tokio_postgres::error::{DbError, SqlState};

use super::Server;
use super::wire::Refusal;
use crate::error::{Error, Remedy};
use crate::target::{is_passing, pooler};

/// Why an address gave no connection.
#[derive(Debug)]
pub(super) enum Failure {
    Postgres(tokio_postgres::Error),
    /// The same, after the server had said how to log in.
    Login(tokio_postgres::Error),
    Lookup(io::Error),
    Unreachable(io::Error),
    Refused(Refusal),
    /// The session is not what `target_session_attrs` wants.
    Unsuitable(&'static str),
    Late(Duration),
    Nowhere,
}

/// What was tried, in order, and why it failed.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<(String, Failure)>);

impl Failures {
    pub fn add(&mut self, place: String, failure: Failure) {
        self.0.push((place, failure));
    }

    /// Whether no other address is to be tried, as libpq has it: a server was there and said no.
    pub fn are_final(&self) -> bool {
        self.0.last().is_some_and(|(_, failure)| match failure {
            Failure::Login(_) => true,
            Failure::Postgres(error) => {
                error.code().is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW)
            }
            _ => false,
        })
    }

    /// The one that says most: that of a server which answered, or else the first.
    fn most_telling(&self) -> usize {
        let answered = self.0.iter().rposition(|(_, failure)| failure.reply().is_some());
        answered.unwrap_or(0)
    }
}

/// Why each of several addresses gave no connection, a line for each.
#[derive(Debug)]
pub(in crate::target) struct Tried {
    lines: String,
    /// One of them answered.
    pub answered: bool,
}

impl StdError for Tried {}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines)
    }
}

impl Server {
    pub(super) fn explain(&self, failures: Failures) -> Error {
        let telling = failures.most_telling();
        let may_pass = match failures.are_final() {
            true => failures.0.last().is_some_and(|(_, failure)| failure.may_pass()),
            false => failures.0.iter().any(|(_, failure)| failure.may_pass()),
        };
        let Failures(mut failures) = failures;
        let error = Error::target(format!("can't connect to {self}"));
        let error = if may_pass { error.with_remedy(Remedy::TryAgain) } else { error };
        let error = match failures.get(telling) {
            Some((_, failure)) => error.with_help(self.help(failure)),
            None => error,
        };
        if failures.len() > 1 {
            let answered = failures.iter().any(|(_, failure)| failure.reply().is_some());
            let mut lines: Vec<_> =
                failures.iter().map(|(place, failure)| format!("{place}: {failure}")).collect();
            lines.dedup();
            return error.because(Tried { lines: lines.join("\n"), answered });
        }
        match failures.pop().map(|(_, failure)| failure) {
            // Of tokio-postgres only the cause says something.
            Some(Failure::Postgres(refused) | Failure::Login(refused))
                if refused.as_db_error().is_some() =>
            {
                error.because(refused.into_source().unwrap_or_else(|| "refused".into()))
            }
            Some(Failure::Postgres(refused) | Failure::Login(refused)) => error.because(refused),
            Some(Failure::Lookup(cause) | Failure::Unreachable(cause)) => error.because(cause),
            Some(other) => error.because(other.to_string()),
            None => error,
        }
    }

    fn help(&self, failure: &Failure) -> String {
        let Self { user, dbname, .. } = self;
        if let Some(reply) = failure.reply() {
            if let Some(help) = pooler::help(reply) {
                return help.into();
            }
            return match reply.code().code() {
                "28P01" => self.password_help(),
                "28000" => self.login_help(reply, matches!(failure, Failure::Login(_))),
                "3D000" => format!("create it (createdb {dbname}), or name another database"),
                "42501" => format!("GRANT CONNECT ON DATABASE {dbname} TO {user}"),
                "53300" => limit_help(reply.message(), user),
                "57P03" => "the server is starting or stopping: try again in a moment".into(),
                _ if is_limit(reply.message()) => limit_help(reply.message(), user),
                _ => "see what the server says above, and its log".into(),
            };
        }
        if failure.is_unknown_login() {
            return format!(
                "Redshift keeps the password of {user} as SHA-256, which PostgreSQL's clients can't log in by: \
                 have it kept as MD5 (ALTER USER … PASSWORD 'md5…'), or log in by IAM"
            );
        }
        if let Some(refusal) = failure.refusal() {
            #[cfg(feature = "cluster")]
            if self.iam.is_some() && matches!(refusal, Refusal::NoTls) {
                return "turn TLS on at the server: a login by IAM goes by nothing else".into();
            }
            return refusal_help(refusal).into();
        }
        if let Some(rustls) = failure.find::<rustls::Error>() {
            return tls_help(rustls).into();
        }
        match failure {
            Failure::Late(_) => "check host and port, and the firewall between; `connect_timeout` waits longer",
            Failure::Lookup(_) | Failure::Nowhere => "check the host's name",
            Failure::Unsuitable(_) => {
                "name all servers of the cluster, or ask for less with target_session_attrs"
            }
            Failure::Postgres(error) | Failure::Login(error) => match error.to_string().as_str() {
                "invalid configuration" => {
                    "the server wants a password: give it in PGPASSWORD, the password file or the URL"
                }
                "authentication error" => authentication_help(&failure.to_string()),
                "error performing TLS handshake" => {
                    "the connection broke while TLS was agreed upon: see the server's log, and what is between"
                }
                _ => "check that PostgreSQL runs there and listens on this host and port",
            },
            Failure::Unreachable(_) | Failure::Refused(_) => {
                "check that PostgreSQL runs there and listens on this host and port"
            }
        }
        .into()
    }

    fn password_help(&self) -> String {
        let Self { user, .. } = self;
        #[cfg(feature = "cluster")]
        if self.iam.is_some() {
            return format!(
                "let {user} log in by IAM (GRANT rds_iam TO {user}), and the credentials do rds-db:connect"
            );
        }
        format!("check the password of {user}: in the URL, PGPASSWORD or the password file")
    }

    /// PostgreSQL has one code for all who may not log in, and Redshift for a wrong password as well.
    fn login_help(&self, reply: &DbError, asked: bool) -> String {
        let Self { user, dbname, .. } = self;
        let said = |text: &str| reply.message().contains(text);
        if said("not permitted to log in") {
            return format!("let it log in: ALTER ROLE {user} LOGIN");
        }
        if said("role") && said("does not exist") {
            return format!("create the role {user}, or name another user");
        }
        if said("client certificate") || said("certificate authentication failed") {
            return format!(
                "show a client certificate that the server trusts and that is made out to {user} (sslmode=require, \
                 sslcert, sslkey)"
            );
        }
        if ["Peer", "peer", "Ident", "ident"].iter().any(|it| said(it)) {
            return format!(
                "the server lets in {user} only from the operating system's user of that name: run this as that user, or \
                 connect over TCP with a password (host=localhost)"
            );
        }
        if said("authentication failed for user") {
            return self.password_help();
        }
        if said("pg_hba.conf") || !asked {
            let encrypted = if said("no encryption") || said("SSL off") {
                ", or with TLS (sslmode=require)"
            } else if said("SSL encryption") || said("SSL on") {
                ", or without TLS (sslmode=disable)"
            } else {
                ""
            };
            return format!(
                "let {user} into {dbname} from this machine by a line in the server's pg_hba.conf{encrypted}"
            );
        }
        self.password_help()
    }
}

/// Whether a server, or a pooler before it, has no connection left to give; many have a code of their own.
fn is_limit(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let few = ["too many", "no more connections", "max clients", "maxclients", "connection limit"];
    few.iter().any(|it| message.contains(it))
}

fn limit_help(message: &str, user: &str) -> String {
    let limit = if message.contains("for role") {
        format!("raise the role's limit (ALTER ROLE {user} CONNECTION LIMIT …)")
    } else if message.contains("for database") {
        "raise the database's limit (ALTER DATABASE … CONNECTION LIMIT …)".to_owned()
    } else {
        "raise the limit of the server (max_connections) or of the pooler before it".to_owned()
    };
    format!("load over fewer connections (--connections), end others, or {limit}")
}

fn authentication_help(text: &str) -> &'static str {
    if text.contains("channel binding") {
        "channel_binding=require needs TLS all the way to the server and a password kept as scram-sha-256 there: a \
         pooler or load balancer that ends TLS can't do it; use channel_binding=prefer with sslmode=verify-full instead"
    } else if text.contains("unsupported") {
        "the server demands a way to log in that is not supported: let it use scram-sha-256, md5 or a certificate"
    } else {
        "the server does not know the password itself, or is another one than it says: check host and port, and use \
         sslmode=verify-full"
    }
}

fn refusal_help(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoTls => {
            "turn TLS on at the server (ssl = on), or don't demand it (sslmode=prefer)"
        }
        Refusal::Method(_) => {
            "have the server ask for another one (pg_hba.conf), or allow this one in require_auth if you trust the server \
             with it"
        }
        Refusal::NoCertificate => {
            "have the server ask for client certificates (ssl_ca_file, and clientcert in pg_hba.conf)"
        }
        Refusal::Peer { .. } => {
            "check the socket's directory (host), and as which user PostgreSQL runs there (requirepeer)"
        }
    }
}

fn tls_help(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(certificate) => certificate_help(certificate),
        rustls::Error::InvalidCertRevocationList(_) => {
            "give revocation lists that are whole and up to date (sslcrl, sslcrldir)"
        }
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                "the server and this program have no cipher in common: let the server use what TLS 1.3 has, or ECDHE with \
                 AES-GCM or ChaCha20-Poly1305 (ssl_ciphers); a pooler may also want a client certificate (sslcert, sslkey)"
            }
            AlertDescription::ProtocolVersion => {
                "let the server speak TLS 1.2 or 1.3 (ssl_min_protocol_version, ssl_max_protocol_version, there and here)"
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired => {
                "the server takes another client certificate than this one, or none: check sslcert, and who signed it \
                 against the server's ssl_ca_file"
            }
            AlertDescription::UnrecognisedName => {
                "the server knows itself by another name: check the host, or leave the name out (sslsni=0)"
            }
            _ => "the server refused the handshake: its log says why",
        },
        rustls::Error::PeerIncompatible(_) => {
            "let the server speak TLS 1.2 or 1.3, with ECDHE and AES-GCM or ChaCha20-Poly1305 (ssl_ciphers, \
             ssl_min_protocol_version)"
        }
        _ => {
            "check that this is PostgreSQL's port, and the server's TLS settings; TLS 1.2 or 1.3 is needed"
        }
    }
}

fn certificate_help(error: &CertificateError) -> &'static str {
    const SIGNER: &str = "name the PEM file of who signed the server's certificate with sslrootcert=FILE (of one that \
                          signed itself: the certificate)";
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => SIGNER,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "connect by a name in the certificate's subjectAltName, or use sslmode=verify-ca"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the server's certificate"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "check the clocks of this machine and of who made the server's certificate"
        }
        CertificateError::Revoked => {
            "the server's certificate was revoked: ask who runs the server for another one"
        }
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "give a list, up to date, of each who signed in the chain of the server's certificate (sslcrl, sslcrldir)"
        }
        // What signed itself is the end of its own chain: no root of ours can be.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => SIGNER,
        _ => "give the server an X.509 version 3 certificate with a subjectAltName",
    }
}

impl Failure {
    /// The same, of a server that had said how to log in.
    pub fn of_login(self) -> Self {
        match self {
            Self::Postgres(error) => Self::Login(error),
            other => other,
        }
    }

    fn error(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Postgres(error) | Self::Login(error) => Some(error),
            _ => None,
        }
    }

    /// What the server says.
    fn reply(&self) -> Option<&DbError> {
        self.error()?.as_db_error()
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => self.find(),
        }
    }

    /// Whether the server wants a login that only Redshift has; all there is of it is the driver's complaint.
    fn is_unknown_login(&self) -> bool {
        self.error().is_some() && self.to_string().contains("unknown authentication tag")
    }

    /// Whether a server that was there before may be there again in a while.
    fn may_pass(&self) -> bool {
        match self {
            Self::Postgres(error) | Self::Login(error) => {
                // What a pooler refuses for good has a code that passes.
                let pooler = error.as_db_error().and_then(pooler::help);
                is_passing(error) && !self.is_unknown_login() && pooler.is_none()
            }
            Self::Lookup(_)
            | Self::Unreachable(_)
            | Self::Unsuitable(_)
            | Self::Late(_)
            | Self::Nowhere => true,
            Self::Refused(_) => false,
        }
    }

    fn find<T: StdError + 'static>(&self) -> Option<&T> {
        let mut cause = self.error()?.source();
        while let Some(error) = cause {
            // An I/O error doesn't count what it wraps among its sources.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = error.downcast_ref().or_else(|| wrapped?.downcast_ref()) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) | Self::Login(error) => match error.source() {
                Some(reply) if reply.is::<DbError>() => write!(f, "{reply}"),
                Some(cause) => write!(f, "{error}: {cause}"),
                None => write!(f, "{error}"),
            },
            Self::Lookup(error) | Self::Unreachable(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Unsuitable(objection) => f.write_str(objection),
            Self::Late(limit) => write!(f, "no answer in {} seconds", limit.as_secs()),
            Self::Nowhere => f.write_str("the name has no address"),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}
