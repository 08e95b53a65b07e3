//! An opened target: a server, or the embedded PostgreSQL for as long as it is needed.

use std::time::Duration;

use tokio_postgres::Client;

use super::Target;
#[cfg(feature = "embedded")]
use super::embedded::Engine;
use super::server::Server;
use crate::error::Result;

/// Few enough to leave others theirs of the server's `max_connections` (100 by default).
const CONNECTIONS: usize = 4;

/// Gives out connections to a target; dropping it stops the embedded PostgreSQL.
#[derive(Debug)]
pub(crate) enum Database {
    Server(Server),
    #[cfg(feature = "embedded")]
    Embedded(Engine),
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
            Target::Postgres(server) => Ok(Self::Server(server.clone())),
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
        match self {
            Self::Server(server) => server.connect().await,
            #[cfg(feature = "embedded")]
            Self::Embedded(engine) => engine.connect().await,
        }
    }

    /// Says how many connections to use at once, given how many are `wanted`.
    pub(crate) fn connections(&self, wanted: Option<usize>) -> usize {
        match self {
            Self::Server(_) => wanted.unwrap_or(CONNECTIONS).max(1),
            #[cfg(feature = "embedded")]
            Self::Embedded(_) => 1,
        }
    }
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            #[cfg(feature = "embedded")]
            Self::Embedded(engine) => engine.fmt(f),
        }
    }
}
