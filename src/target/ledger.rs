//! The ledger as the target keeps it: read when a load begins, written when it is published.

use std::time::SystemTime;

use tokio_postgres::{Client, GenericClient, Row, Transaction};

use super::publish::qualified;
use super::{failed, in_schema, present, quoted};
use crate::error::Result;
use crate::ledger::{Amounts, COUNTED, Ledger, Run, Version};
use crate::report::{RowCounts, TableRows};
use crate::source::Kind;
use crate::table::Table;

/// Reads the ledger of `schema`.
pub(super) async fn read(client: &Client, schema: &str) -> Result<Ledger> {
    let what = |cause| failed(format!("can't read the ledger of the schema {schema}"), cause);
    let mut ledger = Ledger { next_run: 1, next_object: 1, ..Ledger::default() };
    let present = present(client, schema, &Table::ALL.map(Table::name)).await.map_err(what)?;
    for (table, last, next) in [
        (Table::LoadRuns, "SELECT coalesce(max(run), 0) + 1 FROM load_runs", &mut ledger.next_run),
        (
            Table::LoadObjects,
            "SELECT coalesce(max(object_id), 0) + 1 FROM load_objects",
            &mut ledger.next_object,
        ),
    ] {
        if present.iter().any(|name| name == table.name()) {
            *next = client.query_one(&in_schema(schema, last), &[]).await.map_err(what)?.get(0);
        }
    }
    // Where a table is missing the others tell half of the story.
    if present.len() == Table::ALL.len() {
        let settings = "SELECT settings FROM load_runs ORDER BY run DESC LIMIT 1";
        let settings = in_schema(schema, settings);
        let settings = client.query_opt(&settings, &[]).await.map_err(what)?;
        ledger.settings = settings.map(|row| row.get(0));
        let loaded = in_schema(schema, include_str!("../sql/ledger.sql"));
        let loaded = client.query(&loaded, &[]).await.map_err(what)?;
        ledger.loaded = loaded.iter().filter_map(version).collect();
    }
    Ok(ledger)
}

/// Finds out which objects an unfinished load, whose schema is the first one in the search path, has finished.
pub(super) async fn read_finished(client: &Client, ledger: &mut Ledger) -> Result<()> {
    let what = |cause| failed("can't read what an unfinished load has left", cause);
    let rows = client.query(include_str!("../sql/finished.sql"), &[]).await.map_err(what)?;
    ledger.finished = rows.iter().filter_map(version).collect();
    let last = ledger.finished.values().map(|version| version.object_id).max().unwrap_or(0);
    ledger.next_object = ledger.next_object.max(last + 1);
    Ok(())
}

fn version(row: &Row) -> Option<((Kind, String), Version)> {
    let kind =
        [Kind::Logs, Kind::Songs].into_iter().find(|kind| kind.name() == row.get::<_, &str>(1))?;
    let bytes = row.get::<_, i64>(3) as u64;
    let amounts = amounts_from(row, 5);
    let version = Version { object_id: row.get(0), bytes, etag: row.get(4), amounts };
    Some(((kind, row.get(2)), version))
}

/// Whether the run was published, asked when the answer to its COMMIT was lost.
pub(super) async fn has(client: &impl GenericClient, schema: &str, run: &Run) -> Result<bool> {
    let what = |cause| failed("can't see in load_runs whether the load was published", cause);
    if present(client, schema, &["load_runs"]).await.map_err(what)?.is_empty() {
        return Ok(false);
    }
    let table = qualified(schema, Table::LoadRuns);
    let query = format!("SELECT EXISTS (SELECT FROM {table} WHERE run = $1 AND token = $2)");
    Ok(client.query_one(&query, &[&run.number, &run.token]).await.map_err(what)?.get(0))
}

/// The rows that the tables hold by the books of the last run.
pub(super) async fn rows_before(transaction: &Transaction<'_>, schema: &str) -> Result<RowCounts> {
    let what = |cause| failed("can't read load_runs", cause);
    let query = format!(
        "SELECT {} FROM {} ORDER BY run DESC LIMIT 1",
        COUNTED.map(|table| quoted(table.name())).join(", "),
        qualified(schema, Table::LoadRuns)
    );
    let mut counts = RowCounts::default();
    if let Some(row) = transaction.query_opt(&query, &[]).await.map_err(what)? {
        for (column, table) in COUNTED.into_iter().enumerate() {
            counts.add(table, row.get::<_, i64>(column) as u64);
        }
    }
    Ok(counts)
}

/// What became of the records of `run`, by the books of its objects.
pub(super) async fn amounts(
    transaction: &Transaction<'_>,
    schema: &str,
    run: &Run,
) -> Result<Amounts> {
    let what = |cause| failed("can't add up the records in load_objects", cause);
    let amounts = in_schema(schema, include_str!("../sql/amounts.sql"));
    let row = transaction.query_one(&amounts, &[&run.number]).await;
    Ok(amounts_from(&row.map_err(what)?, 0))
}

/// The amounts that stand in a row from the column `first` on.
fn amounts_from(row: &Row, first: usize) -> Amounts {
    let number = |column: usize| row.get::<_, i64>(first + column) as u64;
    Amounts {
        records: number(0),
        taken: number(1),
        filtered: number(2),
        rejected: number(3),
        staged: number(4),
    }
}

/// Enters `run`, after which the tables hold `tables`.
pub(super) async fn enter(
    transaction: &Transaction<'_>,
    schema: &str,
    run: &Run,
    amounts: Amounts,
    tables: &[TableRows],
) -> Result<()> {
    let what = |cause| failed("can't enter the run in load_runs", cause);
    let Run { number, token, mode, started, settings, objects: _, amounts: _, unknown: _ } = run;
    let (mode, now, unknown) = (mode.name(), SystemTime::now(), run.unknown());
    let counts: Vec<i64> =
        run.counts(amounts, tables).into_iter().map(|count| count as i64).collect();
    let mut values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        vec![number, token, &mode, started, &now, settings];
    for count in &counts {
        values.push(count);
    }
    values.push(&unknown);
    let enter = in_schema(schema, include_str!("../sql/run.sql"));
    transaction.execute(&enter, &values).await.map_err(what).map(drop)
}
