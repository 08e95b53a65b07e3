//! Scratch schemas: made for a measurement and dropped after it; no other schema is ever touched.

use tokio_postgres::Client;

use super::lock::{self, Patience};
use super::postgres::check_schema_name;
use super::replication::Replication;
use super::{Database, Target, failed, leftover, names, pooler, quoted};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::retry::Retry;

/// The comment by which such a schema is known.
const MARK: &str = "sparkload: scratch of a benchmark, dropped by the next one";

/// Makes the schema without tables; one that a measurement has left is dropped first.
///
/// # Errors
///
/// A schema of this name is there that was made for something else, or another measurement is at work in it.
pub(crate) async fn renew(target: &Target, schema: &str) -> Result<()> {
    let what = |cause| failed(format!("can't create the schema {schema}"), cause);
    let database = open(target).await?;
    let client = database.connect().await?;
    let between = pooler::look(&database, &client).await?;
    names::find_own(&client).await?;
    if Replication::of(&client, schema).await? == Replication::On {
        let what = "a publication would send what is measured to its subscribers";
        return Err(Error::config(what).with_help("name a database without one for all tables"));
    }
    drop_scratch(&client, schema).await?;
    let name = quoted(schema);
    let make = format!("CREATE SCHEMA {name}; COMMENT ON SCHEMA {name} IS '{MARK}'");
    client.batch_execute(&make).await.map_err(what)?;
    client.batch_execute(UNLOCK).await.map_err(what)?;
    between.forget(&client).await;
    Ok(())
}

/// Drops the schema, if it is there.
///
/// # Errors
///
/// Those of [`renew`].
pub(crate) async fn remove(target: &Target, schema: &str) -> Result<()> {
    let what = |cause| failed(format!("can't drop the schema {schema}"), cause);
    let database = open(target).await?;
    let client = database.connect().await?;
    let between = pooler::look(&database, &client).await?;
    names::find_own(&client).await?;
    drop_scratch(&client, schema).await?;
    client.batch_execute(UNLOCK).await.map_err(what)?;
    between.forget(&client).await;
    Ok(())
}

async fn open(target: &Target) -> Result<Database> {
    let database = Database::open(target).await?;
    if database.dialect(Retry::default()).await? == Dialect::Redshift {
        return Err(Error::config(
            "stages can't be measured with Redshift: it takes no rows by COPY FROM STDIN",
        )
        .with_help("name a PostgreSQL server, or none for the embedded one"));
    }
    Ok(database)
}

/// The server would give the locks back by itself, but only when it has noticed that we are gone.
const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";

/// Locks the schema, and drops it with what loads into it have left behind.
async fn drop_scratch(client: &Client, schema: &str) -> Result<()> {
    check_schema_name(schema)?;
    let what = |cause| failed(format!("can't drop the schema {schema}"), cause);
    let loading = leftover::name(schema);
    let left = lock::take(client, schema, &loading, &mut Patience::with_loads(None)).await?;
    // A comment says nothing where the schema is another role's.
    const SCRATCH: &str = "SELECT obj_description(oid, 'pg_namespace') IS NOT DISTINCT FROM $2
                                  AND pg_get_userbyid(nspowner) = current_user
                           FROM pg_namespace WHERE nspname = $1";
    let found = client.query_opt(SCRATCH, &[&schema, &MARK]).await.map_err(what)?;
    if found.is_some_and(|row| !row.get::<_, bool>(0)) {
        let what = format!("the schema {schema} is there, and was not made for a benchmark");
        return Err(Error::config(what).with_help(
            "name a schema that is not there with --bench-schema; it is made, and dropped afterwards",
        ));
    }
    if let Some(stranger) = leftover::strangers(client, &[schema.to_owned()]).await?.first() {
        let what = format!("the schema {schema} of a benchmark holds more than a benchmark makes");
        return Err(Error::config(what)
            .because(stranger.object.as_str())
            .with_help("drop that, or the schema, or name another one with --bench-schema"));
    }
    for name in left.iter().map(String::as_str).chain([schema]) {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(name));
        client.batch_execute(&drop).await.map_err(what)?;
    }
    Ok(())
}
