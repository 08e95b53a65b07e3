//! A load in progress: begun, filled, published, ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::postgres::PostgresLoad;
use super::redshift::RedshiftLoad;
use super::{Database, Target};
use crate::config::Config;
use crate::dialect::Dialect;
use crate::encode::{Encoding, Rows};
use crate::error::{Remedy, Result};
use crate::ledger::{Ledger, Plan, Published, Run, Way};
use crate::report::{Progress, RowCounts};
use crate::table::Table;

/// Encoded rows on their way to the target; what is reserved for them is given back when they are gone.
pub(crate) struct Part {
    pub rows: Rows,
    pub reserved: Option<Arc<OwnedSemaphorePermit>>,
}

/// A load in progress. Dropped before it is published, it leaves the live tables as they were.
pub(crate) enum Load {
    /// Into PostgreSQL.
    Postgres(Box<PostgresLoad>),
    /// Into Redshift.
    Redshift(Box<RedshiftLoad>),
    /// Nowhere: rows are counted and forgotten.
    Nowhere { ledger: Ledger, encoding: Encoding },
}

/// What became of a load that was not to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// Nothing is left of it.
    Cleared,
    /// It was not published; the next load clears away what is left of it.
    LeftBehind,
    /// It had been published already.
    Published,
    /// It was being published, and the target does not say whether it was.
    Unknown,
}

/// How long it may take to clear away after a load that failed or was interrupted; who interrupts a program expects
/// it to be gone in two seconds.
pub(super) const GOODBYE: Duration = Duration::from_millis(1200);

impl Discarded {
    /// What `let_go` makes of a load, or what is to be thought of one that can't be let go of in this `time`.
    pub(super) async fn within(
        time: Duration,
        was_publishing: bool,
        let_go: impl Future<Output = Result<Self>>,
    ) -> Self {
        match timeout(time, let_go).await {
            Ok(Ok(discarded)) => return discarded,
            Ok(Err(error)) => tracing::debug!(%error, "can't clear away after a load"),
            Err(_) => tracing::debug!("it takes too long to clear away after a load"),
        }
        if was_publishing { Self::Unknown } else { Self::LeftBehind }
    }
}

impl Load {
    /// A load as `config` says, of which nothing is done yet but that the embedded database is open.
    ///
    /// # Errors
    ///
    /// The embedded database can't be opened, the schema's name is too long, or there is a stage and no Redshift.
    pub async fn open(config: &Config) -> Result<Self> {
        if config.dry_run {
            let encoding = match &config.target {
                _ if config.stage.is_some() => Encoding::Values,
                Target::Postgres(server) if server.dialect() == Some(Dialect::Redshift) => {
                    Encoding::Values
                }
                Target::Postgres(_) | Target::Embedded(_) => Encoding::Binary,
            };
            return Ok(Self::Nowhere { ledger: Ledger::default(), encoding });
        }
        let database = Database::open_within(&config.target, config.wait).await?;
        Ok(match database.dialect(config.retry).await? {
            Dialect::Postgres if config.stage.is_some() => return Err(config.stage_is_idle()),
            Dialect::Postgres => Self::Postgres(Box::new(PostgresLoad::new(database, config)?)),
            Dialect::Redshift => {
                Self::Redshift(Box::new(RedshiftLoad::new(database, config).await?))
            }
        })
    }

    /// Begins the load; waits up to `wait` for another one of the same schema to end.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or another load holds it, or a right is missing.
    pub async fn begin(&mut self, wait: Option<Duration>) -> Result<()> {
        match self {
            Self::Postgres(load) => load.begin(wait).await,
            Self::Redshift(load) => load.begin(wait).await,
            Self::Nowhere { .. } => Ok(()),
        }
    }

    /// What was loaded before.
    pub fn ledger(&self) -> &Ledger {
        match self {
            Self::Postgres(load) => load.ledger(),
            Self::Redshift(load) => load.ledger(),
            Self::Nowhere { ledger, .. } => ledger,
        }
    }

    /// How its rows are written.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Postgres(_) => Encoding::Binary,
            Self::Nowhere { encoding, .. } => *encoding,
            Self::Redshift(load) => load.encoding(),
        }
    }

    /// Keeps what `plan` keeps of an unfinished load, and drops the rest.
    pub async fn keep(&self, plan: &Plan) -> Result<()> {
        match self {
            Self::Postgres(load) => load.keep(plan).await,
            Self::Redshift(_) | Self::Nowhere { .. } => Ok(()),
        }
    }

    /// Writes all of `parts` until no more can come; returns how many rows went where.
    pub async fn write(
        &self,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        match self {
            Self::Postgres(load) => load.write(parts, progress).await,
            Self::Redshift(load) => load.write(parts, progress).await,
            Self::Nowhere { .. } => {
                let mut forgotten = RowCounts::default();
                while let Ok(Part { rows, .. }) = parts.recv().await {
                    progress.add_rows(rows.table, rows.count);
                    forgotten.add(rows.table, rows.count);
                }
                Ok(forgotten)
            }
        }
    }

    /// Builds the keys of the new `tables`, when all their rows are in.
    pub async fn complete(&self, way: Way, tables: &[Table]) -> Result<()> {
        match self {
            Self::Postgres(load) => load.complete(way, tables).await,
            Self::Redshift(_) | Self::Nowhere { .. } => Ok(()),
        }
    }

    /// Makes the star of the staged rows, where it was not made of the records, when all tables are complete.
    pub async fn make_star(&self, way: Way) -> Result<()> {
        match self {
            Self::Postgres(load) => load.make_star(way).await,
            Self::Redshift(_) | Self::Nowhere { .. } => Ok(()),
        }
    }

    /// Makes the new rows the live ones, in one commit; returns what the tables hold then, which were `written`.
    pub async fn publish(&self, run: &Run, written: RowCounts) -> Result<Published> {
        match self {
            Self::Postgres(load) => load.publish(run, written).await,
            Self::Redshift(load) => load.publish(run).await,
            Self::Nowhere { .. } => {
                Ok(Published { tables: written.tables(), amounts: run.amounts })
            }
        }
    }

    /// Clears away what is left of a load that was published, and lets other loads begin.
    pub async fn end(self) {
        match self {
            Self::Postgres(load) => load.end().await,
            Self::Redshift(load) => load.end().await,
            Self::Nowhere { .. } => {}
        }
    }

    /// Ends a load that failed: what it has finished stays for the next one to go on with, unless room is to be made.
    pub async fn give_up(self, remedy: Remedy) -> Discarded {
        match self {
            Self::Postgres(load) => load.give_up(remedy).await,
            Self::Redshift(load) => load.give_up().await,
            Self::Nowhere { .. } => Discarded::Cleared,
        }
    }

    /// Ends a load that was interrupted, in little more than a second, and says what became of it.
    pub async fn discard(self) -> Discarded {
        match self {
            Self::Postgres(load) => load.discard().await,
            Self::Redshift(load) => load.discard().await,
            Self::Nowhere { .. } => Discarded::Cleared,
        }
    }
}
