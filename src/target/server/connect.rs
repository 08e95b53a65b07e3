//! Connecting: each address in turn, by the steps of its `sslmode`, and why it failed in the end.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use rustls::CertificateError;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::SslMode as Wanted;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::{Address, SOCKET_DIRECTORIES, Server};
use crate::error::{Error, Remedy, Result};
use crate::target::passfile::{self, Login};
use crate::target::silence::Pulse;
use crate::target::tls::SslMode;
use crate::target::{is_passing, pooler};

/// One step towards a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Plain,
    /// TLS if the server has it.
    Either,
    Tls,
}

impl SslMode {
    /// What is tried in turn, as libpq does; a Unix socket never has TLS.
    fn steps(self, address: &Address) -> &'static [Step] {
        match (address, self) {
            (Address::Socket(..), _) | (_, Self::Disable) => &[Step::Plain],
            (_, Self::Allow) => &[Step::Plain, Step::Tls],
            (_, Self::Prefer) => &[Step::Either, Step::Plain],
            (_, Self::Require | Self::VerifyCa | Self::VerifyFull) => &[Step::Tls],
        }
    }
}

impl Server {
    /// Opens one connection; a task of its own serves it until the client is dropped.
    ///
    /// # Errors
    ///
    /// No address answers in time, or the server refuses the user, the password, the database or TLS; or IAM gives no
    /// password.
    pub async fn connect(&self) -> Result<Client> {
        #[cfg(feature = "cluster")]
        if let Some(aws) = &self.iam {
            let server = Box::pin(self.logging_in_by_iam(aws)).await?;
            return server.connect_as_told().await;
        }
        self.connect_as_told().await
    }

    async fn connect_as_told(&self) -> Result<Client> {
        let first = if self.balance { random(self.addresses.len()) } else { 0 };
        let (before, after) = self.addresses.split_at(first);
        let mut failure = None;
        for address in after.iter().chain(before) {
            match self.connect_to(address).await {
                Ok(client) => return Ok(client),
                Err(error) => {
                    tracing::debug!(%address, %error, "no connection");
                    failure = Some(error);
                }
            }
        }
        Err(self.explain(failure.unwrap_or(Failure::Nowhere)))
    }

    async fn connect_to(&self, address: &Address) -> Result<Client, Failure> {
        let mut base = Config::clone(&self.session);
        if let Some(password) = self.password_for(address) {
            base.password(password.expose_secret());
        }
        let endpoints = match address {
            Address::Socket(directory, port) => {
                vec![base.clone().host_path(directory).port(*port).to_owned()]
            }
            Address::Tcp(host, ip, port) => {
                let ips = match ip {
                    Some(ip) => vec![*ip],
                    None => self.in_time(lookup(host, *port)).await?,
                };
                let at = |ip| base.clone().host(host).hostaddr(ip).port(*port).to_owned();
                ips.into_iter().map(at).collect()
            }
        };

        let mut failure = Failure::Nowhere;
        for endpoint in endpoints {
            match self.connect_by_steps(&endpoint, self.sslmode.steps(address)).await {
                Ok(client) => return Ok(client),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The first failure is reported: what a second step says (`no encryption`) only follows from it.
    async fn connect_by_steps(&self, endpoint: &Config, steps: &[Step]) -> Result<Client, Failure> {
        let mut first = None;
        for step in steps {
            let once = Box::pin(self.connect_once(endpoint, *step));
            let error = match self.in_time(once).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let final_word = !error.may_be_about_tls();
            let error = first.get_or_insert(error);
            if final_word {
                break;
            }
            tracing::debug!(?step, %error, "trying the next way to connect");
        }
        Err(first.unwrap_or(Failure::Nowhere))
    }

    async fn connect_once(&self, endpoint: &Config, step: Step) -> Result<Client, Failure> {
        let mut config = endpoint.clone();
        match (step, &self.tls) {
            (Step::Plain, _) | (_, None) => {
                let (client, connection) = config.ssl_mode(Wanted::Disable).connect(NoTls).await?;
                serve(connection);
                Ok(client)
            }
            (Step::Either | Step::Tls, Some(tls)) => {
                config.ssl_mode(if step == Step::Tls { Wanted::Require } else { Wanted::Prefer });
                let (client, connection) = config.connect(tls.clone()).await?;
                serve(connection);
                Ok(client)
            }
        }
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self.timeout {
            None => work.await,
            Some(limit) => timeout(limit, work).await.unwrap_or(Err(Failure::Late(limit))),
        }
    }

    fn password_for(&self, address: &Address) -> Option<SecretString> {
        if let Some(password) = &self.password {
            return Some(password.clone());
        }
        let (host, port) = match address {
            Address::Socket(directory, port) => match directory.to_str()? {
                usual if SOCKET_DIRECTORIES.contains(&usual) => ("localhost", *port),
                other => (other, *port),
            },
            Address::Tcp(host, _, port) => (host.as_str(), *port),
        };
        let Self { user, dbname, .. } = self;
        passfile::read(self.passfile.as_deref()?, Login { host, port, dbname, user })
    }

    fn explain(&self, failure: Failure) -> Error {
        let help = self.help(&failure);
        let error = Error::target(format!("can't connect to {self}")).with_help(help);
        let error = if failure.may_pass() { error.with_remedy(Remedy::TryAgain) } else { error };
        match failure {
            // Of tokio-postgres only the cause says something.
            Failure::Postgres(refused) if refused.as_db_error().is_some() => {
                error.because(refused.into_source().unwrap_or_else(|| "refused".into()))
            }
            Failure::Postgres(refused) => error.because(refused),
            Failure::Lookup(cause) => error.because(cause),
            other @ (Failure::Late(_) | Failure::Nowhere) => error.because(other.to_string()),
        }
    }

    fn help(&self, failure: &Failure) -> String {
        let Self { user, dbname, .. } = self;
        if let Some(help) = failure.pooler_help() {
            return help.into();
        }
        if let Some(code) = failure.code() {
            return match code.code() {
                "28P01" => format!(
                    "check the password of {user}: in the URL, PGPASSWORD or the password file"
                ),
                "28000" => format!(
                    "create the role {user}, or let it in from this machine in the server's \
                     pg_hba.conf; it may demand TLS or a client certificate (sslmode, sslcert, sslkey)"
                ),
                "3D000" => format!("create it (createdb {dbname}), or name another database"),
                "42501" => format!("grant {user} the right to connect to {dbname}"),
                "53300" => "use fewer --connections, or raise the server's max_connections".into(),
                "57P03" => "the server is starting or stopping: try again in a moment".into(),
                _ => "see what the server says above, and its log".into(),
            };
        }
        if failure.is_unknown_login() {
            return format!(
                "Redshift keeps the password of {user} as SHA-256, which PostgreSQL's clients can't log in by: \
                 have it kept as MD5 (ALTER USER … PASSWORD 'md5…'), or log in by IAM"
            );
        }
        if let Some(rustls) = failure.find::<rustls::Error>() {
            return tls_help(rustls).into();
        }
        match failure {
            Failure::Late(_) => "check host and port, and the firewall between; `connect_timeout` waits longer",
            Failure::Lookup(_) => "check the host's name",
            Failure::Postgres(error) => match error.to_string().as_str() {
                "invalid configuration" => {
                    "the server wants a password: give it in PGPASSWORD, the password file or the URL"
                }
                "error performing TLS handshake" => {
                    "turn TLS on at the server (ssl = on), or don't demand it (sslmode=prefer)"
                }
                "authentication error" => {
                    "the server demands a way to log in that is not supported: let it use \
                     scram-sha-256, md5 or a certificate"
                }
                _ => "check that PostgreSQL runs there and listens on this host and port",
            },
            Failure::Nowhere => "check the host's name",
        }
        .into()
    }
}

fn tls_help(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => {
                "name the PEM file of who signed the server's certificate with sslrootcert=FILE"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "connect by a name in the certificate's subjectAltName, or use sslmode=verify-ca"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "renew the server's certificate"
            }
            _ => "give the server an X.509 version 3 certificate with a subjectAltName",
        },
        rustls::Error::AlertReceived(_) => {
            "the server refused the handshake: it may want a client certificate (sslcert, sslkey)"
        }
        _ => "check the server's TLS settings; TLS 1.2 or 1.3 is needed",
    }
}

/// Why an address gave no connection.
#[derive(Debug)]
enum Failure {
    Postgres(tokio_postgres::Error),
    Lookup(io::Error),
    Late(Duration),
    Nowhere,
}

impl Failure {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the next step could fare better: a failed handshake, or a server whose pg_hba.conf lets this
    /// user in only with, or only without TLS. Not for a wrong password, which must not go out in the clear.
    fn may_be_about_tls(&self) -> bool {
        match self {
            Self::Postgres(error) => match error.code() {
                Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                None => error.to_string() != "error connecting to server",
            },
            _ => false,
        }
    }

    /// Whether the server wants a login that only Redshift has; all there is of it is the driver's complaint.
    fn is_unknown_login(&self) -> bool {
        matches!(self, Self::Postgres(_)) && self.to_string().contains("unknown authentication tag")
    }

    /// What to do about what a pooler refuses for good.
    fn pooler_help(&self) -> Option<&'static str> {
        match self {
            Self::Postgres(error) => pooler::help(error.as_db_error()?),
            _ => None,
        }
    }

    /// Whether a server that was there before may be there again in a while.
    fn may_pass(&self) -> bool {
        match self {
            Self::Postgres(error) => {
                is_passing(error) && !self.is_unknown_login() && self.pooler_help().is_none()
            }
            Self::Lookup(_) | Self::Late(_) | Self::Nowhere => true,
        }
    }

    fn find<T: StdError + 'static>(&self) -> Option<&T> {
        let Self::Postgres(error) = self else { return None };
        let mut cause = error.source();
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
            Self::Postgres(error) => match error.source() {
                Some(cause) => write!(f, "{error}: {cause}"),
                None => write!(f, "{error}"),
            },
            Self::Lookup(error) => write!(f, "{error}"),
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

async fn lookup(host: &str, port: u16) -> Result<Vec<IpAddr>, Failure> {
    let found = lookup_host((host, port)).await.map_err(Failure::Lookup)?;
    Ok(found.map(|address| address.ip()).collect())
}

fn serve<C>(connection: C)
where
    C: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    let pulse = Pulse::new();
    let beating = pulse.clone();
    let task = tokio::spawn(async move {
        let mut connection = pin!(connection);
        // It is polled whenever something is to be sent or has come.
        let ended = poll_fn(|context| {
            beating.beat();
            connection.as_mut().poll(context)
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, cause = error.source(), "a connection ended");
        }
    });
    pulse.hand_over(task.abort_handle());
}

/// A number below `limit` that differs from run to run, good enough to spread connections.
fn random(limit: usize) -> usize {
    RandomState::new().hash_one(limit) as usize % limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sslmode_takes_libpqs_steps() {
        let tcp = Address::Tcp("h".into(), None, 5432);
        let socket = Address::Socket("/tmp".into(), 5432);
        for (mode, steps) in [
            (SslMode::Disable, [Step::Plain].as_slice()),
            (SslMode::Allow, &[Step::Plain, Step::Tls]),
            (SslMode::Prefer, &[Step::Either, Step::Plain]),
            (SslMode::Require, &[Step::Tls]),
            (SslMode::VerifyCa, &[Step::Tls]),
            (SslMode::VerifyFull, &[Step::Tls]),
        ] {
            assert_eq!(mode.steps(&tcp), steps, "{mode:?}");
            assert_eq!(mode.steps(&socket), [Step::Plain], "{mode:?}");
        }
    }
}
