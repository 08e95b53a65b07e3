//! The shape of tables that are there: a load goes into none that differ from its own.

use tokio_postgres::GenericClient;

use super::failed;
use crate::error::{Error, Result};
use crate::table::Table;

/// The tables that only this program writes.
const BOOKS: [&str; 3] = ["load_objects", "load_errors", "load_runs"];

/// Compares the tables of `schema`, as far as they are there, with new ones in the schema `beside`.
///
/// # Errors
///
/// They differ; the error lists how.
pub(super) async fn check(client: &impl GenericClient, schema: &str, beside: &str) -> Result<()> {
    let differences = differences(client, schema, beside).await?;
    if differences.is_empty() {
        return Ok(());
    }
    let help = if differences.iter().all(|(table, _)| BOOKS.contains(&table.as_str())) {
        "these are the books of an earlier sparkload: `sparkload create` brings them up to date"
    } else {
        "change the tables back, name another schema, or make them anew by `sparkload create --drop`"
    };
    let listed: Vec<_> = differences.into_iter().map(|(_, difference)| difference).collect();
    Err(Error::target(format!("tables in the schema {schema} are not those of sparkload"))
        .because(listed.join("\n"))
        .with_help(help))
}

/// Whether the books in `schema` are those of an earlier version of this program.
pub(super) async fn has_earlier_books(client: &impl GenericClient, schema: &str) -> Result<bool> {
    let what = |cause| failed(format!("can't look at the tables of the schema {schema}"), cause);
    // The first version kept one row for each object, without a run's own.
    let columns = "SELECT string_agg(attname, ' ' ORDER BY attnum)
                   FROM pg_attribute
                   WHERE attrelid = to_regclass(quote_ident($1) || '.load_objects')
                     AND attnum > 0 AND NOT attisdropped";
    let columns: Option<String> = client.query_one(columns, &[&schema]).await.map_err(what)?.get(0);
    Ok(columns.is_some_and(|columns| columns == "object_id object bytes etag records rejects run"))
}

async fn differences(
    client: &impl GenericClient,
    schema: &str,
    beside: &str,
) -> Result<Vec<(String, String)>> {
    let what = |cause| failed(format!("can't look at the tables of the schema {schema}"), cause);
    let columns = include_str!("../sql/differences.sql");
    let tables = Table::ALL.map(Table::name).to_vec();
    let columns = client.query(columns, &[&schema, &beside, &tables]).await.map_err(what)?;
    let mut differences: Vec<_> = columns.iter().map(|row| (row.get(0), row.get(2))).collect();

    let keys = include_str!("../sql/primary_keys.sql");
    let keys = client.query(keys, &[&schema]).await.map_err(what)?;
    for table in Table::ALL.into_iter().filter(|table| table.has_primary_key()) {
        let row = keys.iter().find(|row| row.get::<_, &str>(0) == table.name());
        let Some(row) = row else { continue };
        let key: Vec<&str> = row.get::<_, Option<_>>(1).unwrap_or_default();
        if key != table.key() {
            let difference =
                format!("{table} has not the primary key ({})", table.key().join(", "));
            differences.push((table.name().to_owned(), difference));
        }
    }
    Ok(differences)
}
