//! A load in progress: begun, filled, published, ended.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::postgres::PostgresLoad;
use super::{Database, Target};
use crate::encode::Rows;
use crate::error::Result;
use crate::report::{Progress, RowCounts};

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
    Nowhere,
}

impl Load {
    /// Begins a load into the tables of `schema`, over as many `connections` as suit the target.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or another load holds it, or a right is missing.
    pub async fn begin(target: &Target, schema: &str, connections: Option<usize>) -> Result<Self> {
        let database = Database::open(target).await?;
        let load = PostgresLoad::begin(database, schema, connections).await?;
        Ok(Self::Postgres(Box::new(load)))
    }

    /// The number of this load.
    pub fn run(&self) -> i64 {
        match self {
            Self::Postgres(load) => load.run(),
            Self::Nowhere => 0,
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
            Self::Nowhere => {
                let mut forgotten = RowCounts::default();
                while let Ok(Part { rows, .. }) = parts.recv().await {
                    progress.add_rows(rows.table, rows.count);
                    forgotten.add(rows.table, rows.count);
                }
                Ok(forgotten)
            }
        }
    }

    /// Builds the keys of the new tables, when all rows are in.
    pub async fn build_keys(&self) -> Result<()> {
        match self {
            Self::Postgres(load) => load.build_keys().await,
            Self::Nowhere => Ok(()),
        }
    }

    /// Makes the new tables the live ones, in one commit.
    pub async fn publish(&mut self) -> Result<()> {
        match self {
            Self::Postgres(load) => load.publish().await,
            Self::Nowhere => Ok(()),
        }
    }

    /// Clears away what was not published, and lets other loads begin.
    pub async fn end(self) {
        match self {
            Self::Postgres(load) => load.end().await,
            Self::Nowhere => {}
        }
    }
}
