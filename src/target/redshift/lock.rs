//! The lock of a load: that of a table, held by a transaction, and gone with it.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect;
use super::sql::{self, literal};
use crate::error::{Error, Result};
use crate::target::lock::Patience;
use crate::target::{Database, failed, quoted};

/// The lock of a schema, as a load knows it.
#[derive(Default)]
pub(super) struct Lock {
    /// The server's processes that this load has had hold it, or wait for it, and has not seen let go of it.
    processes: Mutex<Vec<u64>>,
}

/// A session whose open transaction holds the lock.
pub(super) struct Held {
    pub client: Client,
    process: u64,
}

/// How long a lock that is held is waited for at a time.
const LOOK: Duration = Duration::from_secs(1);
/// How long it takes at most until the server says that it can't be had.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a session may take to say that its transaction is undone.
const ROLL_BACK: Duration = Duration::from_millis(300);
/// How often something is said in a session that has nothing to do: long silence is taken for its end.
const PULSE: Duration = Duration::from_secs(60);

impl Held {
    /// Whether the session is known to have ended, and the lock with it.
    pub fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    /// Keeps the session alive, by what looks at no table.
    pub async fn keep_alive(&self) -> Infallible {
        loop {
            sleep(PULSE).await;
            let _ = self.client.batch_execute(SHOW_LIMIT).await;
        }
    }
}

const SHOW_LIMIT: &str = "SHOW statement_timeout";

impl Lock {
    fn processes(&self) -> MutexGuard<'_, Vec<u64>> {
        self.processes.lock().expect("nothing panics while it holds the lock")
    }

    /// Locks `schema`.
    ///
    /// # Errors
    ///
    /// There is no such schema, or another load works on it and does not end in time.
    pub async fn take(
        &self,
        database: &Database,
        schema: &str,
        patience: &mut Patience,
    ) -> Result<Held> {
        loop {
            if let Some(held) = self.try_take(database, schema).await? {
                return Ok(held);
            }
            patience.wait(busy(schema)).await?;
        }
    }

    /// Locks `schema` unless someone else has.
    async fn try_take(&self, database: &Database, schema: &str) -> Result<Option<Held>> {
        let client = connect(database, schema).await?;
        let what = format!("can't lock the schema {schema}");
        require_schema(&client, database, schema).await?;
        make_lock(&client, &what).await?;
        self.end_processes(&client).await;
        let [process] = sql::numbers(&client, &what, "SELECT pg_backend_pid()").await?;
        self.processes().push(process);
        let limit = sql::rows(&client, &what, SHOW_LIMIT).await?;
        let limit = limit.first().and_then(|row| row.get(0)).unwrap_or("0");
        let look = LOOK.as_millis();
        // In a message of its own: PostgreSQL 8 looks at the limit when a message begins.
        let begin = format!("BEGIN; SET LOCAL statement_timeout TO {look}");
        sql::run(&client, &what, &begin).await?;
        let began = Instant::now();
        match timeout(ANSWER, client.batch_execute("LOCK TABLE load_lock")).await {
            Ok(Ok(())) => {
                // That of this user, if there is one.
                let limit = format!("SET LOCAL statement_timeout TO {}", literal(limit));
                sql::run(&client, &what, &limit).await?;
                self.processes().retain(|other| *other == process);
                Ok(Some(Held { client, process }))
            }
            // A cancelled statement was one that waited.
            Ok(Err(refused))
                if refused.code() == Some(&SqlState::QUERY_CANCELED) && began.elapsed() >= LOOK =>
            {
                self.release(Held { client, process }, database).await;
                Ok(None)
            }
            Ok(Err(refused)) => Err(failed(what, refused)),
            Err(_) => Ok(None),
        }
    }

    /// Gives up the lock and what the transaction has done. A session that does not hear, for it is at work or behind a
    /// broken line, is ended by another one, now or when the lock is taken again.
    pub async fn release(&self, held: Held, database: &Database) {
        let Held { client, process } = held;
        if matches!(timeout(ROLL_BACK, client.batch_execute("ROLLBACK")).await, Ok(Ok(()))) {
            self.processes().retain(|other| *other != process);
            return;
        }
        drop(client);
        match database.connect().await {
            Ok(other) => self.end_processes(&other).await,
            Err(error) => tracing::debug!(%error, process, "a session can't be ended yet"),
        }
    }

    /// Ends the processes that still hold the lock or wait for it.
    async fn end_processes(&self, client: &Client) {
        let processes = self.processes().clone();
        if processes.is_empty() {
            return;
        }
        if let Err(error) = end(client, &processes).await {
            tracing::debug!(%error, "the server has to notice by itself that sessions are gone");
        }
    }
}

/// Ends those of `processes` that lock tables in this database. What has the number of one that is gone is not meant.
async fn end(client: &Client, processes: &[u64]) -> Result<()> {
    let what = "can't end a session that broke";
    let numbers: Vec<_> = processes.iter().map(u64::to_string).collect();
    let holders = include_str!("../../sql/redshift/lock_holders.sql");
    let holders = holders.replace("$1", &numbers.join(", "));
    for row in sql::rows(client, what, &holders).await? {
        let end = format!("SELECT pg_terminate_backend({})", row.get(0).unwrap_or_default());
        sql::run(client, what, &end).await?;
    }
    Ok(())
}

/// Makes the table that is locked; a role that may make none can do with one that is there.
async fn make_lock(client: &Client, what: &str) -> Result<()> {
    if sql::is_there(client, what, "load_lock").await? {
        return Ok(());
    }
    sql::run(client, what, include_str!("../../sql/redshift/lock.sql")).await
}

async fn require_schema(client: &Client, database: &Database, schema: &str) -> Result<()> {
    let what = format!("can't look for the schema {schema} in {database}");
    let query = format!("SELECT count(*) FROM pg_namespace WHERE nspname = {}", literal(schema));
    let [schemas] = sql::numbers(client, &what, &query).await?;
    if schemas == 0 {
        let what = format!("there is no schema {schema} in {database}");
        return Err(Error::target(what)
            .with_help(format!("run `sparkload create --schema {schema}` to make it")));
    }
    let query = format!("SELECT has_schema_privilege({}, 'USAGE')", literal(schema));
    let rows = sql::rows(client, &what, &query).await?;
    if rows.first().and_then(|row| row.get(0)) == Some("f") {
        return Err(Error::target(format!("can't use the schema {schema}"))
            .because("permission denied")
            .with_help(format!("grant the user USAGE ON SCHEMA {}", quoted(schema))));
    }
    Ok(())
}

fn busy(schema: &str) -> Error {
    Error::target(format!("another load works on the schema {schema}"))
        .because("it holds the lock of the table load_lock; svv_transactions shows a superuser whose it is")
        .with_help("wait until it is done, then run this one again")
}
