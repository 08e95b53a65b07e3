//! Where rows wait until they are taken in: in files that Redshift copies from, or in the session that holds the lock.

use std::sync::Mutex;

use tokio_postgres::Client;

use super::lock::Held;
use super::sql;
#[cfg(feature = "s3")]
use super::stage::Stage;
use crate::config::Config;
use crate::dialect::Dialect;
use crate::encode::{Encoding, Rows};
use crate::error::{Error, Remedy, Result};
use crate::report::{Progress, RowCounts};
use crate::table::Table;
use crate::target::load::Part;
use crate::target::quoted;

/// The rows of a load that are not taken in yet.
pub(super) enum Waiting {
    #[cfg(feature = "s3")]
    Staged(Box<Stage>),
    Inserted(Inserted),
}

impl Waiting {
    /// Where the rows of the load that `config` asks for wait.
    ///
    /// # Errors
    ///
    /// The stage is no place in a bucket.
    pub async fn new(config: &Config) -> Result<Self> {
        let Some(stage) = &config.stage else { return Ok(Self::Inserted(Inserted::default())) };
        #[cfg(feature = "s3")]
        return Ok(Self::Staged(Box::new(Stage::new(stage, config).await?)));
        #[cfg(not(feature = "s3"))]
        {
            let _ = stage;
            Err(Error::config("this build of sparkload stages nothing in S3")
                .with_help("build it with the feature `s3`"))
        }
    }

    pub fn encoding(&self) -> Encoding {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => Encoding::Csv(stage.null),
            Self::Inserted(_) => Encoding::Values,
        }
    }

    /// Makes room for rows, and removes what dead loads of `schema` have left, which `held` has locked.
    #[cfg_attr(not(feature = "s3"), allow(unused_variables, reason = "only a stage asks"))]
    pub async fn begin(&self, client: &Client, held: &Held, schema: &str) -> Result<()> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.begin(client, schema).await,
            Self::Inserted(inserted) => inserted.begin(&held.client).await,
        }
    }

    /// Has all of `parts` wait, until no more can come; returns how many rows went where.
    pub async fn write(
        &self,
        held: &Held,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.write(parts, progress).await,
            Self::Inserted(inserted) => inserted.write(&held.client, parts, progress).await,
        }
    }

    /// No more rows come.
    pub async fn seal(&self) -> Result<()> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.seal().await,
            Self::Inserted(_) => Ok(()),
        }
    }

    /// Sees to it that the rows have outlived a session that broke.
    ///
    /// # Errors
    ///
    /// They haven't.
    pub async fn require_kept(&self) -> Result<()> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.require_kept().await,
            Self::Inserted(_) => {
                Err(Error::target("the rows of this load are gone with their session")
                    .with_help("name a --stage, which outlives sessions")
                    .with_remedy(Remedy::StartOver))
            }
        }
    }

    /// How many rows of `table` wait.
    pub fn rows(&self, table: Table) -> u64 {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.rows(table),
            Self::Inserted(inserted) => inserted.counts().rows(table),
        }
    }

    /// Adds the rows of `table` that wait to the table `into`, which has the same columns.
    pub async fn fill(&self, client: &Client, table: Table, into: &str) -> Result<()> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.copy(client, table, into).await,
            Self::Inserted(_) => {
                let fill = insert(table, into, &waiting_name(table));
                sql::run(client, &format!("can't fill {table}"), &fill).await
            }
        }
    }

    /// Adds to an error of the server what it has noted beside.
    #[cfg_attr(not(feature = "s3"), allow(unused_variables, reason = "only a stage asks"))]
    pub async fn explain(&self, client: &Client, error: Error) -> Error {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.explain(client, error).await,
            Self::Inserted(_) => error,
        }
    }

    /// Marks what is to be kept of a load that is about to be published.
    pub async fn keep(&self) -> Result<()> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.keep().await,
            Self::Inserted(_) => Ok(()),
        }
    }

    /// Ends a load that was published.
    pub async fn end(&self) {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.end().await,
            Self::Inserted(_) => {}
        }
    }

    /// Ends a load that was not.
    pub async fn clear(&self) -> Result<()> {
        match self {
            #[cfg(feature = "s3")]
            Self::Staged(stage) => stage.clear().await,
            Self::Inserted(_) => Ok(()),
        }
    }
}

/// Rows in temporary tables, where statements have put them.
#[derive(Default)]
pub(super) struct Inserted(Mutex<RowCounts>);

/// Redshift takes statements of 16 MiB; one megabyte of rows is worth the way.
const STATEMENT_BYTES: usize = 1 << 20;

impl Inserted {
    async fn begin(&self, client: &Client) -> Result<()> {
        tracing::warn!(
            "without --stage rows go into Redshift by INSERT, which takes minutes where files take seconds"
        );
        *self.counts() = RowCounts::default();
        let make: String =
            Table::ALL.into_iter().map(|table| temporary(&waiting_name(table), table)).collect();
        sql::run(client, "can't make temporary tables", &make).await
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, RowCounts> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }

    async fn write(
        &self,
        client: &Client,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        let mut written = RowCounts::default();
        while let Ok(Part { rows, reserved: _reserved }) = parts.recv().await {
            let Rows { table, bytes, count, .. } = rows;
            let what = format!("can't insert rows of {table}");
            for statement in statements(table, &bytes) {
                sql::run(client, &what, &statement).await?;
            }
            progress.add_rows(table, count);
            written.add(table, count);
        }
        let mut counts = self.counts();
        *counts = counts.plus(written);
        Ok(written)
    }
}

/// The statements that insert `rows`, a line each.
fn statements(table: Table, rows: &[u8]) -> impl Iterator<Item = String> {
    let begin = format!("INSERT INTO {} ({}) VALUES", waiting_name(table), columns(table));
    let mut rest = rows;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut statement = begin.clone().into_bytes();
        let mut separator = b'\n';
        while !rest.is_empty() && statement.len() < STATEMENT_BYTES {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            statement.push(separator);
            statement.extend_from_slice(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            separator = b',';
        }
        Some(String::from_utf8(statement).expect("rows are text"))
    })
}

fn waiting_name(table: Table) -> String {
    format!("waiting_{table}")
}

/// The statement that makes a temporary table with the columns of `table`.
pub(super) fn temporary(name: &str, table: Table) -> String {
    let columns = table
        .columns()
        .iter()
        .map(|column| format!("{} {}", quoted(column.name), column.kind.sql(Dialect::Redshift)));
    format!("CREATE TEMP TABLE {name} ({});\n", columns.collect::<Vec<_>>().join(", "))
}

/// The statement that adds all rows of `from` to `into`, both with the columns of `table`.
pub(super) fn insert(table: Table, into: &str, from: &str) -> String {
    let columns = columns(table);
    format!("INSERT INTO {into} ({columns})\nSELECT {columns} FROM {from}")
}

/// The names of a table's columns.
pub(super) fn columns(table: Table) -> String {
    let names = table.columns().iter().map(|column| quoted(column.name));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_out_among_statements_of_a_bounded_size() {
        let row = format!("('{}')\n", "x".repeat(400_000));
        let rows = row.repeat(4);
        let made: Vec<_> = statements(Table::Users, rows.as_bytes()).collect();
        let rows_of = |statement: &String| statement.matches("('x").count();
        assert_eq!(made.iter().map(rows_of).collect::<Vec<_>>(), [3, 1]);
        let begin = "INSERT INTO waiting_users (\"user_id\", \"first_name\", \"last_name\", \"gender\", \"level\") \
                     VALUES\n('x";
        assert!(made.iter().all(|statement| statement.starts_with(begin)), "{}", &made[0][..200]);
        assert_eq!(statements(Table::Users, b"").count(), 0);
    }
}
