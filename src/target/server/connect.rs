//! Connecting: each address in turn, by the steps of its `sslmode`, until a server answers.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::{SslMode as Wanted, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use super::Server;
use super::address::{Address, SOCKET_DIRECTORIES};
use super::failure::{Failure, Failures};
use super::session_attrs::SessionAttrs;
use super::wire::{Attempt, Connector, Refusal, Wire};
use crate::error::Result;
use crate::target::passfile::{self, Login};
use crate::target::silence::Pulse;
use crate::target::tls::{SslMode, Tls};

/// One step towards a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Plain,
    /// TLS if the server has it.
    Either,
    Tls,
}

impl SslMode {
    /// What is tried in turn, as libpq does.
    fn steps(self) -> &'static [Step] {
        match self {
            Self::Disable => &[Step::Plain],
            Self::Allow => &[Step::Plain, Step::Tls],
            Self::Prefer => &[Step::Either, Step::Plain],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[Step::Tls],
        }
    }
}

impl Server {
    /// Opens one connection; a task of its own serves it until the client is dropped.
    ///
    /// # Errors
    ///
    /// No address answers in time, or the first server that does refuses the user, the password, the database or TLS; or
    /// IAM gives no password.
    pub async fn connect(&self) -> Result<Client> {
        let mut failures = Failures::default();
        let first = if self.balance { random(self.addresses.len()) } else { 0 };
        let (before, after) = self.addresses.split_at(first);
        for wanted in self.wanted.rounds() {
            for address in after.iter().chain(before) {
                let login = Box::pin(self.login(address)).await?;
                let reached = Box::pin(self.reach(address, &login, *wanted, &mut failures));
                if let Some(client) = reached.await {
                    return Ok(client);
                }
                if failures.are_final() {
                    return Err(self.explain(failures));
                }
            }
        }
        Err(self.explain(failures))
    }

    /// What goes into a connection to `address`, with the password.
    async fn login(&self, address: &Address) -> Result<Config> {
        let mut config = Config::clone(&self.session);
        #[cfg(feature = "cluster")]
        if let Some(aws) = &self.iam {
            let given = self.iam_credentials(address, aws).await?;
            config.user(given.user).password(given.password.expose_secret());
            return Ok(config);
        }
        if let Some(password) = self.password_for(address) {
            config.password(password.expose_secret());
        }
        Ok(config)
    }

    /// Tries `address` under each number that its name has.
    async fn reach(
        &self,
        address: &Address,
        login: &Config,
        wanted: SessionAttrs,
        failures: &mut Failures,
    ) -> Option<Client> {
        let endpoints = match address {
            Address::Socket(directory, port) => {
                vec![(address.to_string(), login.clone().host_path(directory).port(*port).clone())]
            }
            Address::Tcp(host, ip, port) => {
                let found = match ip {
                    Some(ip) => Ok(vec![*ip]),
                    None => self.in_time(lookup(host, *port)).await,
                };
                let ips = match found {
                    Ok(ips) if !ips.is_empty() => ips,
                    Ok(_) => {
                        failures.add(address.to_string(), Failure::Nowhere);
                        return None;
                    }
                    Err(failure) => {
                        failures.add(address.to_string(), failure);
                        return None;
                    }
                };
                let alone = ips.len() == 1;
                let at = |ip: IpAddr| {
                    let place =
                        if alone { address.to_string() } else { format!("{address} ({ip})") };
                    (place, login.clone().host(host).hostaddr(ip).port(*port).clone())
                };
                ips.into_iter().map(at).collect()
            }
        };
        for (place, endpoint) in endpoints {
            let failure = match self.connect_by_steps(address, &endpoint).await {
                Ok(client) => match self.in_time(objection(wanted, &client)).await {
                    Ok(None) => return Some(client),
                    Ok(Some(objection)) => Failure::Unsuitable(objection),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            tracing::debug!(place, %failure, "no connection");
            failures.add(place, failure);
            if failures.are_final() {
                break;
            }
        }
        None
    }

    /// The first failure is reported: what a second step says (`no encryption`) only follows from it.
    ///
    /// There is no second one when the server has said how to log in: a wrong password must not go out again, and never
    /// in the clear, whatever code its refusal has (that of Redshift for any, and of PostgreSQL for one that LDAP, PAM or
    /// RADIUS refuse, is pg_hba.conf's).
    async fn connect_by_steps(
        &self,
        address: &Address,
        endpoint: &Config,
    ) -> Result<Client, Failure> {
        let mut first = None;
        for step in self.steps(address) {
            let attempt = Arc::new(Attempt::new(self.methods));
            let once = Box::pin(self.connect_once(address, endpoint, *step, attempt.clone()));
            let failure = match self.in_time(once).await {
                Ok(client) => return Ok(client),
                Err(failure) if attempt.got_to_login() => return Err(failure.of_login()),
                Err(failure) => failure,
            };
            let is_last = !may_be_about_tls(&failure, *step, &attempt);
            let failure = first.get_or_insert(failure);
            if is_last {
                break;
            }
            tracing::debug!(?step, %failure, "trying the next way to connect");
        }
        Err(first.unwrap_or(Failure::Nowhere))
    }

    /// A Unix socket never has TLS; a password that IAM gives for RDS, or a certificate that is to be shown, never goes
    /// without it.
    fn steps(&self, address: &Address) -> &'static [Step] {
        match address {
            Address::Socket(..) => &[Step::Plain],
            Address::Tcp(..) if self.needs_tls(address) => SslMode::Require.steps(),
            Address::Tcp(..) => self.sslmode.steps(),
        }
    }

    fn needs_tls(&self, address: &Address) -> bool {
        #[cfg(feature = "cluster")]
        if self.sends_token_to(address) {
            return true;
        }
        let _ = address;
        self.tls.as_ref().is_some_and(Tls::shows_certificate)
    }

    async fn connect_once(
        &self,
        address: &Address,
        endpoint: &Config,
        step: Step,
        attempt: Arc<Attempt>,
    ) -> Result<Client, Failure> {
        let mut config = endpoint.clone();
        let is_watched = self.peer.is_some() || self.methods.is_some();
        match address {
            #[cfg(unix)]
            Address::Socket(directory, port) if is_watched => {
                let stream = self.open_socket(directory, *port).await?;
                let wire = Wire::plain(stream, attempt);
                let (client, connection) =
                    config.ssl_mode(Wanted::Disable).connect_raw(wire, NoTls).await?;
                serve(connection);
                let path = socket_path(directory, *port);
                self.let_interrupt(&client, move |token| {
                    let path = path.clone();
                    async move {
                        let stream = tokio::net::UnixStream::connect(path).await?;
                        Ok(token.cancel_query_raw(stream, NoTls).await?)
                    }
                });
                Ok(client)
            }
            Address::Socket(..) => {
                let (client, connection) = config.ssl_mode(Wanted::Disable).connect(NoTls).await?;
                serve(connection);
                self.let_interrupt(
                    &client,
                    |token| async move { Ok(token.cancel_query(NoTls).await?) },
                );
                Ok(client)
            }
            Address::Tcp(..) => {
                let Self { tls, direct, .. } = self;
                let connector = Connector { step, tls: tls.clone(), direct: *direct, attempt };
                config.ssl_mode(Wanted::Require).ssl_negotiation(SslNegotiation::Direct);
                let (client, connection) = config.connect(connector.clone()).await?;
                serve(connection);
                // As encrypted as the connection is.
                self.let_interrupt(&client, move |token| {
                    let connector = connector.clone();
                    async move { Ok(token.cancel_query(connector).await?) }
                });
                Ok(client)
            }
        }
    }

    /// Lets an interrupt stop what `client` does, by the same way that it has come.
    fn let_interrupt<F>(
        &self,
        client: &Client,
        cancel: impl Fn(CancelToken) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send + 'static,
    {
        if let Some(interrupt) = &self.interrupt {
            let token = client.cancel_token();
            interrupt.add(move || cancel(token.clone()));
        }
    }

    /// Opens a Unix socket, if the right user listens there.
    #[cfg(unix)]
    async fn open_socket(
        &self,
        directory: &Path,
        port: u16,
    ) -> Result<tokio::net::UnixStream, Failure> {
        let path = socket_path(directory, port);
        let stream = tokio::net::UnixStream::connect(path).await.map_err(Failure::Unreachable)?;
        let Some(peer) = &self.peer else { return Ok(stream) };
        let is = stream.peer_cred().map_err(Failure::Unreachable)?.uid();
        if is != peer.id {
            return Err(Failure::Refused(Refusal::Peer { is, wanted: peer.name.clone() }));
        }
        Ok(stream)
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
}

/// Whether the next step could fare better: a failed handshake, or a server whose pg_hba.conf lets this user in only
/// with, or only without TLS.
fn may_be_about_tls(failure: &Failure, step: Step, attempt: &Attempt) -> bool {
    let Failure::Postgres(error) = failure else { return false };
    match error.code() {
        // Without TLS it was tried just now.
        Some(_) if step == Step::Either && !attempt.is_encrypted() => false,
        Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => error.to_string() != "error connecting to server",
    }
}

async fn objection(wanted: SessionAttrs, client: &Client) -> Result<Option<&'static str>, Failure> {
    Ok(wanted.objection(client).await?)
}

#[cfg(unix)]
fn socket_path(directory: &Path, port: u16) -> std::path::PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
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
        for (mode, steps) in [
            (SslMode::Disable, [Step::Plain].as_slice()),
            (SslMode::Allow, &[Step::Plain, Step::Tls]),
            (SslMode::Prefer, &[Step::Either, Step::Plain]),
            (SslMode::Require, &[Step::Tls]),
            (SslMode::VerifyCa, &[Step::Tls]),
            (SslMode::VerifyFull, &[Step::Tls]),
        ] {
            assert_eq!(mode.steps(), steps, "{mode:?}");
        }
    }
}
