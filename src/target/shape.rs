//! The shape of tables that are there: a load goes into none that differ from its own, and an upgrade begins with how
//! they do.

use tokio_postgres::GenericClient;

use super::failed;
use crate::error::Result;
use crate::table::Table;

/// How the tables of `schema`, as far as they are there, differ from new ones in the schema `beside`.
pub(super) async fn differences(
    client: &impl GenericClient,
    schema: &str,
    beside: &str,
) -> Result<Vec<String>> {
    let what = |cause| failed(format!("can't look at the tables of the schema {schema}"), cause);
    let columns = include_str!("../sql/differences.sql");
    let tables = Table::ALL.map(Table::name).to_vec();
    let columns = client.query(columns, &[&schema, &beside, &tables]).await.map_err(what)?;
    let mut differences: Vec<_> = columns.iter().map(|row| row.get(2)).collect();

    let keys = include_str!("../sql/primary_keys.sql");
    let keys = client.query(keys, &[&schema]).await.map_err(what)?;
    for table in Table::ALL.into_iter().filter(|table| table.has_primary_key()) {
        let row = keys.iter().find(|row| row.get::<_, &str>(0) == table.name());
        let Some(row) = row else { continue };
        let key: Vec<&str> = row.get::<_, Option<_>>(1).unwrap_or_default();
        if key != table.key() {
            differences
                .push(format!("{table} has not the primary key ({})", table.key().join(", ")));
        }
    }
    Ok(differences)
}
