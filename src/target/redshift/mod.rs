//! A load into Redshift: its rows wait beside the tables until one transaction takes them in.
//!
//! That transaction is open from the beginning, and the lock that keeps other loads out is all it holds. When
//! everything is read, it fills the tables and commits: lock and load end together. Where it breaks, it is begun
//! again, and finds in the ledger whether the one before was committed; waiting for the lock, it has waited for that.

#[cfg(feature = "s3")]
mod files;
mod lock;
mod publish;
#[cfg(feature = "s3")]
mod room;
mod shape;
mod sql;
#[cfg(feature = "s3")]
mod stage;
mod waiting;

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;

use self::lock::Held;
use self::publish::Publication;
use self::waiting::Waiting;
use super::load::{Discarded, Part};
use super::lock::Patience;
use super::merge::Rules;
use super::postgres::check_schema_name;
use super::{Database, Existing, quoted};
use crate::config::Config;
use crate::encode::Encoding;
use crate::error::{Error, Remedy, Result};
use crate::ledger::{Ledger, Published, Run};
use crate::report::{Progress, RowCounts};
use crate::retry::Retry;
use crate::table::Table;

/// A load. Dropped, it leaves the live tables as they were; the next load removes the files that it has staged.
pub(crate) struct RedshiftLoad {
    schema: String,
    rules: Rules,
    database: Database,
    retry: Retry,
    ledger: Ledger,
    waiting: Waiting,
    /// The session that holds the lock, as long as it is connected.
    held: Mutex<Option<Held>>,
    /// What is or was being published.
    publishing: OnceLock<Run>,
}

/// How long a session may take to say that its transaction is undone.
const ROLL_BACK: Duration = Duration::from_millis(300);

impl RedshiftLoad {
    /// The load that `config` asks for. Nothing is done yet.
    ///
    /// # Errors
    ///
    /// The schema's name is too long, or the stage is none.
    pub async fn new(database: Database, config: &Config) -> Result<Self> {
        check_schema_name(&config.schema)?;
        Ok(Self {
            schema: config.schema.clone(),
            rules: Rules { matching: config.matching, matched_only: config.matched_only },
            waiting: Waiting::new(config, &database).await?,
            database,
            retry: config.retry,
            ledger: Ledger::default(),
            held: Mutex::default(),
            publishing: OnceLock::new(),
        })
    }

    /// Locks the schema, reads its ledger, and removes what dead loads have left. Waits up to `wait` for another load
    /// of the schema to end.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or holds other tables, another load holds it, or a right is
    /// missing.
    pub async fn begin(&mut self, wait: Option<Duration>) -> Result<()> {
        let mut attempts = self.retry.attempts();
        let mut patience = Patience::new(wait);
        let (held, ledger) = loop {
            match self.prepare(&mut patience).await {
                Ok(begun) => break begun,
                Err(error) if error.remedy() == Remedy::TryAgain => {
                    tracing::info!("{error}, trying again");
                    if !attempts.again().await {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        };
        *self.held.get_mut() = Some(held);
        self.ledger = ledger;
        Ok(())
    }

    async fn prepare(&self, patience: &mut Patience) -> Result<(Held, Ledger)> {
        let Self { schema, database, .. } = self;
        let held = lock::take(database, schema, patience).await?;
        // The transaction that holds the lock looks at nothing yet: it would see the tables as they are now for good.
        let client = connect(database, schema).await?;
        shape::check(&client, schema).await?;
        let ledger = sql::ledger(&client, schema).await?;
        self.waiting.begin(&client, &held).await?;
        Ok((held, ledger))
    }

    /// What was loaded before.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How its rows are written.
    pub fn encoding(&self) -> Encoding {
        self.waiting.encoding()
    }

    /// Puts all of `parts` where they wait, until no more can come; returns how many rows went where.
    pub async fn write(
        &self,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        let held = self.held.lock().await;
        let held = held.as_ref().ok_or_else(lost)?;
        self.waiting.write(held, parts, progress).await
    }

    /// Makes the new rows the live ones, in one commit; returns what the tables hold then.
    pub async fn publish(&self, run: &Run) -> Result<Published> {
        let Self { schema, rules, ledger, waiting, .. } = self;
        let mut held = self.held.lock().await;
        waiting.seal().await?;
        let last_run = ledger.next_run - 1;
        let publication = Publication { schema, rules: *rules, run, last_run, waiting };
        let mut published = Published::default();
        let mut attempts = self.retry.attempts();
        loop {
            let attempt = self.publish_once(&mut held, &publication, &mut published).await;
            let Err(error) = attempt else { return Ok(published) };
            // The lock goes with its transaction, and with it what waits in the session.
            let failed = held.take();
            if let Some(failed) = failed {
                failed.roll_back().await;
            }
            if error.remedy() != Remedy::TryAgain {
                return Err(error);
            }
            tracing::info!("{error}, trying again");
            if !attempts.again().await {
                let cause = attempts.explain(error.causes());
                return Err(error.because(cause));
            }
        }
    }

    /// Publishes, unless an earlier attempt has; `published` is what the tables hold then.
    async fn publish_once(
        &self,
        held: &mut Option<Held>,
        publication: &Publication<'_>,
        published: &mut Published,
    ) -> Result<()> {
        let held = match held {
            Some(held) => held,
            None => {
                let again =
                    lock::take(&self.database, &self.schema, &mut Patience::short()).await?;
                let held = held.insert(again);
                if self.publishing.get().is_some()
                    && sql::has(&held.client, publication.run).await?
                {
                    return Ok(());
                }
                self.waiting.require_kept()?;
                held
            }
        };
        let prepared = publication.prepare(&held.client).await;
        *published = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.waiting.explain(&held.client, error).await),
        };
        self.publishing.get_or_init(|| publication.run.clone());
        let what = format!("can't publish the load in the schema {}", self.schema);
        sql::run(&held.client, &what, "COMMIT").await
    }

    /// Removes what was staged for a load that was published.
    pub async fn end(self) {
        if let Err(error) = self.waiting.end().await {
            tracing::warn!("{error}, the next load does");
        }
    }

    /// Ends a load that failed or was interrupted, and says what became of it.
    pub async fn discard(self) -> Discarded {
        Discarded::in_time(self.publishing.get().is_some(), Box::pin(self.let_go())).await
    }

    async fn let_go(self) -> Result<Discarded> {
        let Self { schema, database, waiting, held, publishing, .. } = self;
        if let Some(held) = held.into_inner() {
            // A statement that is still at work is not waited for: it ends with its session, or for want of files.
            let _ = timeout(ROLL_BACK, held.roll_back()).await;
        }
        waiting.clear().await?;
        let published = match publishing.get() {
            None => false,
            Some(run) => {
                let held = lock::take(&database, &schema, &mut Patience::short()).await?;
                let published = sql::has(&held.client, run).await?;
                held.roll_back().await;
                published
            }
        };
        Ok(if published { Discarded::Published } else { Discarded::Cleared })
    }
}

fn lost() -> Error {
    Error::target("the session that holds the lock is gone").with_help("run the load again")
}

/// Opens a connection on which names mean those in `schema`.
async fn connect(database: &Database, schema: &str) -> Result<Client> {
    let client = database.connect().await?;
    let search = format!("SET search_path TO {}", quoted(schema));
    sql::run(&client, "can't set the search path", &search).await?;
    Ok(client)
}

/// Makes the tables of `schema`, and the schema itself where it is missing; returns the tables that were made.
pub(super) async fn create(
    database: &Database,
    schema: &str,
    existing: Existing,
) -> Result<Vec<Table>> {
    let what = format!("can't create the tables in the schema {schema}");
    let client = database.connect().await?;
    let make = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
    sql::run(&client, &what, &make).await?;
    let Held { client } = lock::take(database, schema, &mut Patience::new(None)).await?;
    match existing {
        Existing::Keep => shape::check(&client, schema).await?,
        Existing::Drop => {
            for table in Table::ALL.into_iter().rev() {
                let help = "drop what depends on it first";
                let what = format!("can't drop {table} in the schema {schema}");
                let drop = format!("DROP TABLE IF EXISTS {}", quoted(table.name()));
                sql::run(&client, &what, &drop).await.map_err(|error| error.with_help(help))?;
            }
        }
    }
    let before = shape::present(&client, schema).await?;
    sql::run(&client, &what, publish::TABLES).await?;
    sql::run(&client, &what, "COMMIT").await?;
    Ok(Table::ALL.into_iter().filter(|table| !before.contains(table)).collect())
}
