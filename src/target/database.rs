//! An opened target: a server, or the embedded PostgreSQL for as long as it is needed.

use std::error::Error as _;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, SimpleQueryMessage};

#[cfg(feature = "embedded")]
use super::embedded::Engine;
use super::server::{Server, Tried, process};
use super::silence::{self, Connected, Silence};
use super::{Target, failed, in_schema};
use crate::dialect::Dialect;
use crate::error::{Error, Remedy, Result};
use crate::retry::Retry;

/// Gives out connections to a target; dropping it stops the embedded PostgreSQL.
#[derive(Debug)]
pub(crate) enum Database {
    /// A server, and a connection to it that nobody uses yet.
    Server(Server, Spare),
    #[cfg(feature = "embedded")]
    Embedded(Engine),
}

/// The connection that a server's dialect was asked over.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Option<Connected>>);

impl Spare {
    fn slot(&self) -> MutexGuard<'_, Option<Connected>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl Database {
    /// Opens `target`; a server is asked only when a connection is.
    ///
    /// # Errors
    ///
    /// The embedded database can't be started, or is not in this build.
    pub(crate) async fn open(target: &Target) -> Result<Self> {
        Self::open_within(target, None).await
    }

    /// Opens `target`; waits up to `wait` until an embedded database is no more in use.
    ///
    /// # Errors
    ///
    /// Those of [`Database::open`].
    pub(crate) async fn open_within(target: &Target, wait: Option<Duration>) -> Result<Self> {
        #[cfg(not(feature = "embedded"))]
        let _ = wait;
        match target {
            Target::Postgres(server) => {
                server.notes().iter().for_each(|note| tracing::info!("{note}"));
                Ok(Self::Server(server.clone(), Spare::default()))
            }
            #[cfg(feature = "embedded")]
            Target::Embedded(path) => Ok(Self::Embedded(Engine::start(path, wait).await?)),
            #[cfg(not(feature = "embedded"))]
            Target::Embedded(_) => {
                Err(crate::Error::config("this build has no embedded PostgreSQL").with_help(
                    "name a PostgreSQL server as the target, or build with the feature `embedded`",
                ))
            }
        }
    }

    /// Opens one connection.
    ///
    /// # Errors
    ///
    /// Those of [`Server::connect`]; with the embedded database, another one is open.
    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(self.connect_with_pulse().await?.client)
    }

    /// Opens one connection, and takes its pulse.
    ///
    /// # Errors
    ///
    /// Those of [`Database::connect`].
    pub(super) async fn connect_with_pulse(&self) -> Result<Connected> {
        match self {
            Self::Server(server, spare) => {
                let asked = spare.slot().take().filter(|spare| !spare.client.is_closed());
                match asked {
                    Some(connected) => Ok(connected),
                    None => Connected::by(server.connect()).await,
                }
            }
            #[cfg(feature = "embedded")]
            Self::Embedded(engine) => Connected::by(engine.connect()).await,
        }
    }

    /// Asks by a text of the program's own that is a single statement about the tables of `schema`, in which nothing else is
    /// found but what is the server's own. It has a connection to itself; says so if the answer is long in coming.
    ///
    /// # Errors
    ///
    /// Those of [`Database::connect`]; and the server's own inside, where it is asked.
    pub(crate) async fn ask_in_schema(
        &self,
        schema: &str,
        sql: &str,
    ) -> Result<Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>> {
        let Connected { client, pulse } = self.connect_with_pulse().await?;
        // Nothing of it is left in the session, which may be a pooler's.
        let sql = format!("SET LOCAL search_path TO pg_catalog;\n{}", in_schema(schema, sql));
        let process = process(&client).await;
        Ok(silence::listening(self, pulse, process, client.simple_query(&sql)).await)
    }

    /// Keeps a connection that nobody uses yet for the next one who wants one.
    pub(super) fn spare(&self, connected: Connected) {
        match self {
            Self::Server(_, spare) => *spare.slot() = Some(connected),
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => {}
        }
    }

    /// Whether there may be something between it and us.
    pub(super) fn is_server(&self) -> bool {
        match self {
            Self::Server(..) => true,
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => false,
        }
    }

    /// The dialect that it speaks: a server is asked, unless its settings tell. The connection that takes is the first
    /// one to be given out.
    ///
    /// # Errors
    ///
    /// The server can't be reached.
    pub(crate) async fn dialect(&self, retry: Retry) -> Result<Dialect> {
        let (server, spare) = match self {
            Self::Server(server, spare) => (server, spare),
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => return Ok(Dialect::Postgres),
        };
        let mut attempts = retry.attempts();
        let mut reached = false;
        loop {
            let asked = async {
                let connected = Connected::by(server.connect()).await?;
                reached = true;
                let dialect = match server.dialect() {
                    Some(dialect) => dialect,
                    None => ask(server, &connected.client).await?,
                };
                Ok::<_, Error>((dialect, connected))
            };
            let error = match asked.await {
                Ok((dialect, connected)) => {
                    *spare.slot() = Some(connected);
                    return Ok(dialect);
                }
                Err(error) => error,
            };
            // One that is not reached at all is more likely a wrong setting than a server that restarts.
            let may_pass = error.remedy() == Remedy::TryAgain && (reached || is_answer(&error));
            if !may_pass || !attempts.again().await {
                return Err(error);
            }
        }
    }
}

async fn ask(server: &Server, client: &Client) -> Result<Dialect> {
    let what = |cause| failed(format!("can't ask {server} what it is"), cause);
    let limit = Silence::default().broken_after;
    let Ok(answer) = timeout(limit, client.simple_query("SELECT version()")).await else {
        return Err(Error::target(format!("can't ask {server} what it is"))
            .because(format!("no answer in {} s", limit.as_secs()))
            .with_help("check that the server is up and reachable, then run the load again")
            .with_remedy(Remedy::TryAgain));
    };
    let answer = answer.map_err(what)?;
    let version = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(Dialect::of(version.unwrap_or_default()))
}

/// Whether the server itself has refused a connection: it is there, and the address is right.
pub(super) fn is_answer(error: &Error) -> bool {
    error.source().is_some_and(|cause| {
        cause.is::<DbError>() || cause.downcast_ref::<Tried>().is_some_and(|tried| tried.answered)
    })
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(server, _) => server.fmt(f),
            #[cfg(feature = "embedded")]
            Self::Embedded(engine) => engine.fmt(f),
        }
    }
}
