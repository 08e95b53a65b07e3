//! A load into Redshift: its rows wait beside the tables until one transaction takes them in.
//!
//! That transaction is open from the beginning, and the lock that keeps other loads out is all it holds, but for rows
//! that wait in its session. When everything is read, it fills the tables and commits: lock and load end together. Where it breaks, it is begun
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

use tokio::select;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use self::lock::{Held, Lock};
use self::publish::Publication;
use self::waiting::Waiting;
use super::load::{Discarded, GOODBYE, Part};
use super::lock::Patience;
use super::merge::Rules;
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
    lock: Lock,
    /// The session that holds the lock, as long as it is connected.
    held: Mutex<Option<Held>>,
    /// What is or was being published.
    publishing: OnceLock<Run>,
}

/// How long it may take to clear away after a load that failed: nobody waits for the program to be gone.
const CLEAR: Duration = Duration::from_secs(30);
/// The longest name that Redshift takes.
const NAME_BYTES: usize = 127;

impl RedshiftLoad {
    /// The load that `config` asks for. Nothing is done yet.
    ///
    /// # Errors
    ///
    /// The schema's name is too long, or the stage is none.
    pub async fn new(database: Database, config: &Config) -> Result<Self> {
        let schema = folded(&config.schema)?;
        Ok(Self {
            schema,
            rules: Rules { matching: config.matching, matched_only: config.matched_only },
            waiting: Waiting::new(config).await?,
            database,
            retry: config.retry,
            ledger: Ledger::default(),
            lock: Lock::default(),
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
        let Self { schema, database, lock, .. } = self;
        let held = lock.take(database, schema, patience).await?;
        failpoint!("locked");
        match self.look(&held).await {
            Ok(ledger) => Ok((held, ledger)),
            Err(error) => {
                lock.release(held, database).await;
                Err(error)
            }
        }
    }

    async fn look(&self, held: &Held) -> Result<Ledger> {
        let Self { schema, database, .. } = self;
        // The transaction that holds the lock looks at nothing yet: it would see the tables as they are now for good.
        let client = connect(database, schema).await?;
        shape::require_case(&client).await?;
        shape::compare(&client, schema).await?.require_none(schema)?;
        let ledger = sql::ledger(&client, schema).await?;
        self.waiting.begin(&client, held, schema).await?;
        failpoint!("prepared");
        Ok(ledger)
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
        let written = select! {
            written = self.waiting.write(held, parts, progress) => written,
            never = held.keep_alive() => match never {},
        };
        // What waits is gone with its session, or removed by another load that took the lock.
        let written = written.map_err(|error| match error.remedy() {
            Remedy::TryAgain => error.with_remedy(Remedy::StartOver),
            _ if held.is_lost() => error.with_remedy(Remedy::StartOver),
            _ => error,
        })?;
        failpoint!("written");
        Ok(written)
    }

    /// Makes the new rows the live ones, in one commit; returns what the tables hold then.
    pub async fn publish(&self, run: &Run) -> Result<Published> {
        let Self { schema, rules, ledger, waiting, .. } = self;
        let mut held = self.held.lock().await;
        let last_run = ledger.next_run - 1;
        let publication = Publication { schema, rules: *rules, run, last_run, waiting };
        let mut published = Published::default();
        let mut attempts = self.retry.attempts();
        loop {
            let attempt = self.publish_once(&mut held, &publication, &mut published).await;
            let Err(error) = attempt else { return Ok(published) };
            let was_lost = held.as_ref().is_some_and(Held::is_lost);
            // The lock goes with its transaction, and with it what waits in the session.
            if let Some(failed) = held.take() {
                self.lock.release(failed, &self.database).await;
            }
            // Whatever goes wrong without the lock may be the doing of another load.
            let may_pass =
                error.remedy() == Remedy::TryAgain || was_lost && error.remedy() == Remedy::None;
            if !may_pass {
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
        let Self { schema, database, lock, retry, waiting, publishing, .. } = self;
        let held = match held {
            Some(held) => {
                waiting.seal().await?;
                failpoint!("sealed");
                held
            }
            None => {
                let mut patience = Patience::new(Some(retry.max_time));
                let taken = lock.take(database, schema, &mut patience).await;
                if let Some(run) = publishing.get()
                    && self.has(taken.as_ref().ok(), run).await?
                {
                    return Ok(());
                }
                let busy = |error: Error| match error.remedy() {
                    Remedy::None => error.with_remedy(Remedy::StartOver),
                    _ => error,
                };
                let held = held.insert(taken.map_err(busy)?);
                waiting.seal().await?;
                waiting.require_kept().await?;
                held
            }
        };
        let prepared = publication.prepare(&held.client).await;
        *published = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Err(waiting.explain(&held.client, error).await),
        };
        waiting.keep().await?;
        publishing.get_or_init(|| publication.run.clone());
        let what = format!("can't publish the load in the schema {}", self.schema);
        sql::run(&held.client, &what, "COMMIT").await?;
        failpoint!("committed");
        Ok(())
    }

    /// Whether `run` was published, as far as the ledger tells: for certain, if the lock is held.
    async fn has(&self, held: Option<&Held>, run: &Run) -> Result<bool> {
        match held {
            Some(held) => sql::has(&held.client, run).await,
            None => sql::has(&connect(&self.database, &self.schema).await?, run).await,
        }
    }

    /// Removes what was staged for a load that was published, or says where it is kept.
    pub async fn end(self) {
        self.waiting.end().await;
    }

    /// Ends a load that failed, and says what became of it.
    pub async fn give_up(self) -> Discarded {
        self.let_go_within(CLEAR).await
    }

    /// Ends a load that was interrupted, in little more than a second, and says what became of it.
    pub async fn discard(self) -> Discarded {
        self.let_go_within(GOODBYE).await
    }

    async fn let_go_within(self, time: Duration) -> Discarded {
        Discarded::within(time, self.publishing.get().is_some(), Box::pin(self.let_go())).await
    }

    async fn let_go(mut self) -> Result<Discarded> {
        if let Some(held) = self.held.get_mut().take() {
            self.lock.release(held, &self.database).await;
        }
        if let Some(run) = self.publishing.get() {
            let Self { schema, database, lock, .. } = &self;
            let taken = lock.take(database, schema, &mut Patience::short()).await;
            let published = self.has(taken.as_ref().ok(), run).await?;
            if published {
                self.waiting.end().await;
                return Ok(Discarded::Published);
            }
            lock.release(taken?, database).await;
        }
        self.waiting.clear().await?;
        Ok(Discarded::Cleared)
    }
}

/// The name of a schema as Redshift has it, which takes no notice of capitals, not even in quotes.
fn folded(schema: &str) -> Result<String> {
    if (1..=NAME_BYTES).contains(&schema.len()) {
        return Ok(schema.to_ascii_lowercase());
    }
    Err(Error::config(format!("a schema's name has 1 to {NAME_BYTES} bytes: {schema:?}")))
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

/// Brings the tables of `schema` up to date that an earlier version has made.
async fn upgrade(client: &Client, schema: &str) -> Result<()> {
    let upgrade = shape::compare(client, schema).await?;
    let what = format!("can't bring the tables in the schema {schema} up to date");
    for statements in &upgrade.statements {
        sql::run(client, &what, statements).await?;
    }
    shape::compare(client, schema).await?.require_none(schema)?;
    upgrade.tell(schema);
    Ok(())
}

/// Makes the tables of `schema`, and the schema itself where it is missing; returns the tables that were made. Where
/// something else gets into its way it is done again, from the beginning.
pub(super) async fn create(
    database: &Database,
    schema: &str,
    existing: Existing,
) -> Result<Vec<Table>> {
    let schema = folded(schema)?;
    let mut attempts = Retry::default().attempts();
    loop {
        match create_once(database, &schema, existing).await {
            Err(error) if error.remedy() == Remedy::TryAgain => {
                tracing::info!("{error}, trying again");
                if !attempts.again().await {
                    let cause = attempts.explain(error.causes());
                    return Err(error.because(cause));
                }
            }
            done => return done,
        }
    }
}

async fn create_once(database: &Database, schema: &str, existing: Existing) -> Result<Vec<Table>> {
    let what = format!("can't create the tables in the schema {schema}");
    let client = database.connect().await?;
    let make = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
    sql::run(&client, &what, &make).await?;
    let lock = Lock::default();
    let Held { client, .. } = lock.take(database, schema, &mut Patience::new(None)).await?;
    shape::require_case(&client).await?;
    match existing {
        Existing::Keep => upgrade(&client, schema).await?,
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
