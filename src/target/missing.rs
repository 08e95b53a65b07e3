//! Tables that are missing: made where they are to stay, or moved there with what a load has written into them.

use tokio_postgres::Transaction;

use super::publish::qualified;
use super::{failed, failed_unless_owner, in_schema, present, quoted};
use crate::error::Result;
use crate::table::Table;

/// The statements that make the tables, without their keys.
pub(super) const TABLES: &str = include_str!("../sql/tables.sql");
/// The statements that make the keys.
pub(super) const KEYS: &str = include_str!("../sql/keys.sql");
/// The indexes that incremental loads look rows up by.
pub(super) const INDEXES: &str = include_str!("../sql/indexes.sql");
/// What logical replication tells rows by, where that is no primary key.
pub(super) const IDENTITIES: &str = include_str!("../sql/identities.sql");

/// Makes the tables that are missing in `schema`, with all that belongs to them; returns these tables.
pub(super) async fn make_missing(
    transaction: &Transaction<'_>,
    schema: &str,
) -> Result<Vec<Table>> {
    let what = |cause| failed(format!("can't create the tables in the schema {schema}"), cause);
    let present = present(transaction, schema, &Table::ALL.map(Table::name)).await.map_err(what)?;
    let is_missing = |table: &Table| !present.iter().any(|name| name == table.name());
    let missing: Vec<_> = Table::ALL.into_iter().filter(is_missing).collect();
    let make = TABLES.split_inclusive(";\n").filter(|statement| {
        missing.iter().any(|table| statement.contains(&format!("CREATE TABLE {table} (")))
    });
    let finish = missing.iter().flat_map(|table| {
        [KEYS, INDEXES, IDENTITIES].into_iter().map(|script| about(script, *table))
    });
    let make: String = make.map(str::to_owned).chain(finish).collect();
    transaction.batch_execute(&in_schema(schema, &make)).await.map_err(what)?;
    Ok(missing)
}

/// The statements of a script that are about `table`.
pub(super) fn about(script: &str, table: Table) -> String {
    script.split_inclusive(";\n").filter(|statement| is_about(statement, table)).collect()
}

/// Whether `statement` is about `table`, as those are that make no table.
pub(super) fn is_about(statement: &str, table: Table) -> bool {
    let code = statement.lines().filter(|line| !line.starts_with("--"));
    code.flat_map(|line| line.split([' ', ';'])).any(|word| word == table.name())
}

/// Builds the indexes that are missing in `schema`; only the owner of a table may, so none is touched that is there.
pub(super) async fn build_missing_indexes(
    transaction: &Transaction<'_>,
    schema: &str,
) -> Result<()> {
    let what = |cause| {
        let help = "have the owner of the tables run `sparkload create`";
        failed_unless_owner("can't build the indexes of the tables", cause, help)
    };
    let statements = [KEYS, INDEXES].into_iter().flat_map(|script| script.split_inclusive(";\n"));
    let named = statements.filter_map(|statement| {
        let (_, rest) = statement.split_once("IF NOT EXISTS ")?;
        Some((rest.split(' ').next()?, statement))
    });
    let named: Vec<_> = named.collect();
    let names: Vec<_> = named.iter().map(|(name, _)| *name).collect();
    let present = present(transaction, schema, &names).await.map_err(what)?;
    for (_, statement) in named.iter().filter(|(name, _)| !present.iter().any(|it| it == name)) {
        transaction.batch_execute(&in_schema(schema, statement)).await.map_err(what)?;
    }
    Ok(())
}

/// Which tables were moved into place, and which were there.
#[derive(Default)]
pub(super) struct Moved {
    pub moved: Vec<Table>,
    pub kept: Vec<Table>,
}

/// Moves the tables of `loading` to where they are missing in `schema`.
pub(super) async fn move_missing(
    transaction: &Transaction<'_>,
    schema: &str,
    loading: &str,
) -> Result<Moved> {
    let what = |cause| failed(format!("can't create the tables in the schema {schema}"), cause);
    let mut tables = Moved::default();
    let present = present(transaction, schema, &Table::ALL.map(Table::name)).await.map_err(what)?;
    for table in Table::ALL {
        if present.iter().any(|name| name == table.name()) {
            tables.kept.push(table);
            continue;
        }
        let new = qualified(loading, table);
        let identity = in_schema(schema, &about(IDENTITIES, table));
        let set_schema = format!("ALTER TABLE {new} SET SCHEMA {};\n{identity}", quoted(schema));
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
