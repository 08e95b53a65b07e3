//! Publishing: one transaction makes the tables of a load the live ones.
//!
//! A table that is not there yet is moved into place as it is. One that is there gets the rows that differ, by
//! ordinary statements: so its views, grants and foreign keys stay, readers are not held up, and every snapshot
//! sees all of the old state or all of the new one. (Swapping the table itself would show an empty one to a
//! transaction whose snapshot is older than the swap.)

use tokio_postgres::{Client, IsolationLevel, Transaction};

use super::postgres::{PostgresLoad, check_schema_name};
use super::{Database, Target, failed, quoted};
use crate::error::{Error, Result};
use crate::table::Table;

/// Publishes every table of `loading` in `schema`.
pub(super) async fn publish(client: &mut Client, schema: &str, loading: &str) -> Result<()> {
    let what = |cause| failed(format!("can't publish the load in the schema {schema}"), cause);
    let transaction = begin(client, schema).await.map_err(what)?;
    let mut kept = Vec::new();
    for table in move_missing(&transaction, schema, loading).await?.kept {
        kept.push(Change::new(table, schema, loading));
    }
    for change in &kept {
        change.run(&transaction, &change.lock()).await?;
    }
    // Dimensions get their new rows before the facts that refer to them, and lose their old ones after.
    for change in &kept {
        change.run(&transaction, &change.update()).await?;
        change.run(&transaction, &change.insert()).await?;
    }
    for change in kept.iter().rev() {
        change.run(&transaction, &change.delete()).await?;
    }
    for change in &kept {
        change.verify(&transaction).await?;
    }
    transaction.commit().await.map_err(what)
}

/// What [`create`] does with tables that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leaves them as they are.
    Keep,
    /// Drops them with their rows and makes them anew.
    Drop,
}

/// Makes the tables of `schema`, and the schema itself where it is missing; returns the tables that were made.
///
/// # Errors
///
/// The target can't be reached, a right is missing, or a view or foreign key depends on a table that is to be
/// dropped.
pub async fn create(target: &Target, schema: &str, existing: Existing) -> Result<Vec<Table>> {
    check_schema_name(schema)?;
    let database = Database::open(target).await?;
    let client = database.connect().await?;
    let make = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
    let what = |cause| failed(format!("can't create the schema {schema}"), cause);
    client.batch_execute(&make).await.map_err(what)?;
    // The embedded database takes one connection at a time.
    drop(client);
    let mut load = PostgresLoad::begin(database, schema, Some(1)).await?;
    let made = match load.build_keys().await {
        Ok(()) => load.publish_empty(existing).await,
        Err(error) => Err(error),
    };
    load.end().await;
    made
}

/// Moves the tables of `loading` to `schema` as far as there is room for them; returns them.
pub(super) async fn publish_empty(
    client: &mut Client,
    schema: &str,
    loading: &str,
    existing: Existing,
) -> Result<Vec<Table>> {
    let what = |cause| failed(format!("can't create the tables in the schema {schema}"), cause);
    let transaction = begin(client, schema).await.map_err(what)?;
    if existing == Existing::Drop {
        // Facts before the dimensions that they refer to.
        for table in Table::ALL.into_iter().rev() {
            let what = |cause| {
                failed(format!("can't drop {table} in the schema {schema}"), cause)
                    .with_help("drop what depends on it first")
            };
            let drop = format!("DROP TABLE IF EXISTS {}", qualified(schema, table));
            transaction.batch_execute(&drop).await.map_err(what)?;
        }
    }
    let moved = move_missing(&transaction, schema, loading).await?.moved;
    transaction.commit().await.map_err(what)?;
    Ok(moved)
}

/// Begins a transaction that sees the live tables, whatever the role's own settings are.
async fn begin<'a>(
    client: &'a mut Client,
    schema: &str,
) -> Result<Transaction<'a>, tokio_postgres::Error> {
    let isolation = IsolationLevel::ReadCommitted;
    let transaction =
        client.build_transaction().isolation_level(isolation).read_only(false).start().await?;
    // Triggers on the tables look their names up here.
    let path = format!("SET LOCAL search_path = {}, public", quoted(schema));
    transaction.batch_execute(&path).await?;
    Ok(transaction)
}

/// Which tables were moved into place, and which were there.
#[derive(Default)]
struct Moved {
    moved: Vec<Table>,
    kept: Vec<Table>,
}

/// Moves the tables of `loading` to where they are missing in `schema`.
async fn move_missing(transaction: &Transaction<'_>, schema: &str, loading: &str) -> Result<Moved> {
    let what = |cause| failed(format!("can't create the tables in the schema {schema}"), cause);
    let mut tables = Moved::default();
    for table in Table::ALL {
        let live = qualified(schema, table);
        let exists = "SELECT to_regclass($1) IS NOT NULL";
        if transaction.query_one(exists, &[&live]).await.map_err(what)?.get(0) {
            tables.kept.push(table);
            continue;
        }
        let new = qualified(loading, table);
        let set_schema = format!("ALTER TABLE {new} SET SCHEMA {}", quoted(schema));
        transaction.batch_execute(&set_schema).await.map_err(what)?;
        tables.moved.push(table);
    }
    if !tables.moved.is_empty() {
        grant_defaults(transaction, &tables.moved, schema, loading).await.map_err(what)?;
    }
    Ok(tables)
}

/// Grants on moved tables what `schema` grants by default on those that are made in it.
async fn grant_defaults(
    transaction: &Transaction<'_>,
    tables: &[Table],
    schema: &str,
    loading: &str,
) -> Result<(), tokio_postgres::Error> {
    // What the defaults are is best asked of a table that is made there.
    let probe = format!("{}.{}", quoted(schema), quoted(loading));
    transaction.batch_execute(&format!("CREATE TABLE {probe} ()")).await?;
    let grants = transaction.query(include_str!("../sql/grants.sql"), &[&probe]).await?;
    transaction.batch_execute(&format!("DROP TABLE {probe}")).await?;
    let tables: Vec<String> = tables.iter().map(|table| qualified(schema, *table)).collect();
    for grant in grants {
        let (privilege, grantee): (String, String) = (grant.get(0), grant.get(1));
        let grant = format!("GRANT {privilege} ON {} TO {grantee}", tables.join(", "));
        transaction.batch_execute(&grant).await?;
    }
    Ok(())
}

fn qualified(schema: &str, table: Table) -> String {
    format!("{}.{table}", quoted(schema))
}

/// The statements that make a live table equal to its new version.
struct Change {
    table: Table,
    live: String,
    new: String,
}

impl Change {
    fn new(table: Table, schema: &str, loading: &str) -> Self {
        Self { table, live: qualified(schema, table), new: qualified(loading, table) }
    }

    async fn run(&self, transaction: &Transaction<'_>, statement: &str) -> Result<()> {
        let what = |cause| failed(format!("can't publish {}", self.table), cause);
        transaction.batch_execute(statement).await.map_err(what)
    }

    /// Sees to it that the live table holds as many rows as it should: one without a key may hold some twice.
    async fn verify(&self, transaction: &Transaction<'_>) -> Result<()> {
        let Self { table, live, new } = self;
        let what = |cause| failed(format!("can't count the rows of {table}"), cause);
        let count = format!("SELECT (SELECT count(*) FROM {live}) - (SELECT count(*) FROM {new})");
        let surplus: i64 = transaction.query_one(&count, &[]).await.map_err(what)?.get(0);
        if surplus == 0 {
            return Ok(());
        }
        Err(Error::target(format!("{table} would hold {surplus} rows more than it should"))
            .because("rows stand in it twice, or a trigger or rule changes what is written")
            .with_help("make the tables anew by `sparkload create --drop`"))
    }

    /// Keeps writers out, not readers.
    fn lock(&self) -> String {
        format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.live)
    }

    fn delete(&self) -> String {
        let Self { live, new, .. } = self;
        format!(
            "DELETE FROM {live} AS old\n\
             WHERE NOT EXISTS (SELECT FROM {new} AS new WHERE {})",
            self.same_key()
        )
    }

    fn update(&self) -> String {
        let Self { live, new, .. } = self;
        let set = self.list(", ", |column| format!("{column} = new.{column}"));
        let old = self.list(", ", |column| format!("old.{column}"));
        let changed = self.list(", ", |column| format!("new.{column}"));
        format!(
            "UPDATE {live} AS old\nSET {set}\nFROM {new} AS new\n\
             WHERE {} AND ({old}) IS DISTINCT FROM ({changed})",
            self.same_key()
        )
    }

    fn insert(&self) -> String {
        let Self { live, new, .. } = self;
        let columns = self.list(", ", str::to_owned);
        format!(
            "INSERT INTO {live} ({columns})\nSELECT {columns}\nFROM {new} AS new\n\
             WHERE NOT EXISTS (SELECT FROM {live} AS old WHERE {})",
            self.same_key()
        )
    }

    fn same_key(&self) -> String {
        let same = |column: &&str| format!("old.{column} = new.{column}");
        self.table.key().iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    fn list(&self, separator: &str, each: impl Fn(&str) -> String) -> String {
        let columns = self.table.columns().iter().map(|column| each(column.name));
        columns.collect::<Vec<_>>().join(separator)
    }
}
