//! A load in progress: begun, filled, published, ended.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Database;
use super::postgres::PostgresLoad;
use crate::config::Config;
use crate::encode::Rows;
use crate::error::Result;
use crate::ledger::{Ledger, Plan, Run, Way};
use crate::report::{Progress, RowCounts, TableRows};

/// Encoded rows on their way to the target; what is reserved for them is given back when they are gone.
pub(crate) struct Part {
    pub rows: Rows,
    pub reserved: Option<Arc<OwnedSemaphorePermit>>,
}

/// A load in progress. Dropped before it is published, it leaves the live tables as they were.
pub(crate) enum Load {
    /// Into PostgreSQL.
    Postgres(Box<PostgresLoad>),
    /// Nowhere: rows are counted and forgotten.
    Nowhere(Ledger),
}

impl Load {
    /// Begins the load that `config` asks for.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or another load holds it, or a right is missing.
    pub async fn begin(config: &Config) -> Result<Self> {
        if config.dry_run {
            return Ok(Self::Nowhere(Ledger::default()));
        }
        let database = Database::open(&config.target).await?;
        let load = PostgresLoad::begin(database, config).await?;
        Ok(Self::Postgres(Box::new(load)))
    }

    /// What was loaded before.
    pub fn ledger(&self) -> &Ledger {
        match self {
            Self::Postgres(load) => load.ledger(),
            Self::Nowhere(ledger) => ledger,
        }
    }

    /// Keeps what `plan` keeps of an unfinished load, and drops the rest.
    pub async fn keep(&self, plan: &Plan) -> Result<()> {
        match self {
            Self::Postgres(load) => load.keep(plan).await,
            Self::Nowhere(_) => Ok(()),
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
            Self::Nowhere(_) => {
                let mut forgotten = RowCounts::default();
                while let Ok(Part { rows, .. }) = parts.recv().await {
                    progress.add_rows(rows.table, rows.count);
                    forgotten.add(rows.table, rows.count);
                }
                Ok(forgotten)
            }
        }
    }

    /// Makes the new rows ready to be published, when all are in.
    pub async fn complete(&mut self, way: Way) -> Result<()> {
        match self {
            Self::Postgres(load) => load.complete(way).await,
            Self::Nowhere(_) => Ok(()),
        }
    }

    /// Makes the new rows the live ones, in one commit; returns what the tables hold then, which were `written`.
    pub async fn publish(&mut self, run: &Run, written: RowCounts) -> Result<Vec<TableRows>> {
        match self {
            Self::Postgres(load) => load.publish(run).await,
            Self::Nowhere(_) => Ok(written.tables()),
        }
    }

    /// Clears away what was not published, and lets other loads begin.
    pub async fn end(self) {
        match self {
            Self::Postgres(load) => load.end().await,
            Self::Nowhere(_) => {}
        }
    }
}
