//! Creating: the tables without rows.

use tokio_postgres::{Client, Transaction};

use super::lock::{self, Patience};
use super::missing::{build_missing_indexes, make_missing};
use super::names::{self, OWN};
use super::postgres::check_schema_name;
use super::publish::{begin, qualified};
use super::replication::{self, Replication};
use super::server::process;
use super::silence::{self, Connected};
use super::{Database, Target, failed, leftover, place, pooler, quoted, redshift, upgrade};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::retry::Retry;
use crate::table::Table;

/// What [`create`] does with tables that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leaves their rows as they are; tables of an earlier version of this program are brought up to date in place.
    Keep,
    /// Drops them with their rows and makes them anew.
    Drop,
}

/// Makes the tables of `schema`, and the schema itself where it is missing; returns the tables that were made.
///
/// Tables of an earlier version of this program are brought up to date in place: no row is lost, the source is not asked,
/// and the next load goes on from the last one. Views, grants and foreign keys on them stay.
///
/// # Errors
///
/// The target can't be reached, a right is missing, a table that is there differs from sparkload's, or a view or foreign
/// key depends on one that is to be dropped.
pub async fn create(target: &Target, schema: &str, existing: Existing) -> Result<Vec<Table>> {
    let database = Database::open(target).await?;
    if database.dialect(Retry::default()).await? == Dialect::Redshift {
        return redshift::create(&database, schema, existing).await;
    }
    check_schema_name(schema)?;
    let Connected { client, pulse } = database.connect_with_pulse().await?;
    let process = process(&client).await;
    let made = Box::pin(make(&database, client, schema, existing));
    silence::listening(&database, pulse, process, made).await
}

async fn make(
    database: &Database,
    mut client: Client,
    schema: &str,
    existing: Existing,
) -> Result<Vec<Table>> {
    let between = pooler::look(database, &client).await?;
    names::find_own(&client).await?;
    place::require_writable(&client, database, schema).await?;
    let make = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
    let what = |cause| failed(format!("can't create the schema {schema}"), cause);
    client.batch_execute(&make).await.map_err(what)?;
    let beside = leftover::name(schema);
    lock::take(&client, schema, &beside, &mut Patience::with_loads(None)).await?;

    let what = |cause| failed(format!("can't create the tables in the schema {schema}"), cause);
    let transaction = begin(&mut client).await.map_err(what)?;
    match existing {
        Existing::Drop => drop_tables(&transaction, schema).await?,
        Existing::Keep => {}
    }
    // Made beside the tables that are there, to compare them with.
    leftover::make(&transaction, schema, &beside, None, Replication::Off).await?;
    transaction.batch_execute(OWN).await.map_err(what)?;
    let made = make_missing(&transaction, schema).await?;
    upgrade::run(&transaction, schema, &beside).await?;
    build_missing_indexes(&transaction, schema).await?;
    replication::identify(&transaction, schema).await?;
    let clear = format!("DROP SCHEMA {} CASCADE", quoted(&beside));
    transaction.batch_execute(&clear).await.map_err(what)?;
    transaction.commit().await.map_err(what)?;
    // The server would give the lock back by itself, but only when it has noticed that we are gone.
    client.batch_execute("SELECT pg_advisory_unlock_all()").await.map_err(what)?;
    between.forget(&client).await;
    Ok(made)
}

async fn drop_tables(transaction: &Transaction<'_>, schema: &str) -> Result<()> {
    // Facts before the dimensions that they refer to.
    for table in Table::ALL.into_iter().rev() {
        let what = |cause| {
            failed(format!("can't drop {table} in the schema {schema}"), cause)
                .with_help("drop what depends on it first")
        };
        let drop = format!("DROP TABLE IF EXISTS {}", qualified(schema, table));
        transaction.batch_execute(&drop).await.map_err(what)?;
    }
    Ok(())
}
