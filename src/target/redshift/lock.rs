//! The lock of a load: that of a table, held by a transaction, and gone with it.

use std::time::Duration;

use tokio::time::Instant;
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
}

/// How long a lock that is held is waited for at a time.
const LOOK: Duration = Duration::from_secs(1);

impl Held {
    /// Gives up the lock and what the transaction has done.
    pub async fn roll_back(self) {
        // The server does by itself what it can't be told.
        let _ = self.client.batch_execute("ROLLBACK").await;
    }
}

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
    loop {
        // In a message of its own: PostgreSQL 8 looks at the limit when a message begins.
        let limit = format!("SET statement_timeout TO {}", LOOK.as_millis());
        sql::run(&client, &what, &limit).await?;
        let began = Instant::now();
        let refused = match client.batch_execute("BEGIN; LOCK TABLE load_lock").await {
            Ok(()) => {
                sql::run(&client, &what, "SET statement_timeout TO 0").await?;
                return Ok(Held { client });
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
