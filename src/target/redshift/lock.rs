//! The lock of a load: that of a table, held by a transaction, and gone with it.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect;
use super::sql::{self, literal};
use crate::error::{Error, Result};
use crate::target::lock::Patience;
use crate::target::{Database, failed};

/// A session whose open transaction holds the lock.
pub(super) struct Held {
    pub client: Client,
    /// The server's process behind it.
    process: u64,
}

/// How long a lock that is held is waited for at a time.
const LOOK: Duration = Duration::from_secs(1);
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
            let _ = self.client.batch_execute(WITHOUT_LIMIT).await;
        }
    }

    /// Gives up the lock and what the transaction has done. A session that does not hear, for it is at work or behind a
    /// broken line, is ended by another one.
    pub async fn release(self, database: &Database) {
        let Self { client, process } = self;
        if matches!(timeout(ROLL_BACK, client.batch_execute("ROLLBACK")).await, Ok(Ok(()))) {
            return;
        }
        drop(client);
        let end = format!("SELECT pg_terminate_backend({process})");
        let ended = match database.connect().await {
            Ok(other) => sql::run(&other, "can't end the session that holds the lock", &end).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, process, "the server has to notice by itself");
        }
    }
}

const WITHOUT_LIMIT: &str = "SET statement_timeout TO 0";

/// Locks `schema`.
///
/// # Errors
///
/// There is no such schema, or another load works on it and does not end in time.
pub(super) async fn take(
    database: &Database,
    schema: &str,
    patience: &mut Patience,
) -> Result<Held> {
    let client = connect(database, schema).await?;
    let what = format!("can't lock the schema {schema}");
    require_schema(&client, database, schema).await?;
    make_lock(&client, &what).await?;
    let [process] = sql::numbers(&client, &what, "SELECT pg_backend_pid()").await?;
    loop {
        // In a message of its own: PostgreSQL 8 looks at the limit when a message begins.
        let limit = format!("SET statement_timeout TO {}", LOOK.as_millis());
        sql::run(&client, &what, &limit).await?;
        let began = Instant::now();
        let refused = match client.batch_execute("BEGIN; LOCK TABLE load_lock").await {
            Ok(()) => {
                sql::run(&client, &what, WITHOUT_LIMIT).await?;
                return Ok(Held { client, process });
            }
            Err(refused) => refused,
        };
        sql::run(&client, &what, "ROLLBACK").await?;
        // A cancelled statement was one that waited.
        if refused.code() != Some(&SqlState::QUERY_CANCELED) || began.elapsed() < LOOK {
            return Err(failed(what, refused));
        }
        patience.wait(busy(schema)).await?;
    }
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
    if schemas > 0 {
        return Ok(());
    }
    let what = format!("there is no schema {schema} in {database}");
    Err(Error::target(what)
        .with_help(format!("run `sparkload create --schema {schema}` to make it")))
}

fn busy(schema: &str) -> Error {
    Error::target(format!("another load works on the schema {schema}"))
        .because("it holds the lock of the table load_lock; svv_transactions shows a superuser whose it is")
        .with_help("wait until it is done, then run this one again")
}
