//! Asking Redshift: by the simple query protocol, in which it differs least from PostgreSQL.

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::shape;
use crate::error::{Error, Result};
use crate::ledger::{Amounts, Ledger, Run, Version};
use crate::source::Kind;
use crate::table::Table;
use crate::target::failed;

/// Runs statements; `what` says what fails with them.
pub(super) async fn run(client: &Client, what: &str, statements: &str) -> Result<()> {
    client.batch_execute(statements).await.map_err(|cause| failed(what, cause))
}

/// `text` as a literal, in which a backslash begins an escape.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The rows that a query gives.
pub(super) async fn rows(client: &Client, what: &str, query: &str) -> Result<Vec<SimpleQueryRow>> {
    let messages = client.simple_query(query).await.map_err(|cause| failed(what, cause))?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}

/// The whole numbers in the first row that a query gives; what is NULL counts as 0.
pub(super) async fn numbers<const N: usize>(
    client: &Client,
    what: &str,
    query: &str,
) -> Result<[u64; N]> {
    let rows = rows(client, what, query).await?;
    match rows.first() {
        Some(row) => numbers_of(what, row, std::array::from_fn(|column| column)),
        None => Err(Error::target(what).because("the server answers with no row")),
    }
}

/// The whole numbers in these columns of a row.
fn numbers_of<const N: usize>(
    what: &str,
    row: &SimpleQueryRow,
    columns: [usize; N],
) -> Result<[u64; N]> {
    let mut numbers = [0; N];
    for (number, column) in numbers.iter_mut().zip(columns) {
        if let Some(text) = row.get(column) {
            *number = text.parse().map_err(|_| {
                Error::target(what)
                    .because(format!("the server answers {text:?}, which is no number"))
            })?;
        }
    }
    Ok(numbers)
}

/// Reads the ledger of `schema`, which is the first one in the search path.
pub(super) async fn ledger(client: &Client, schema: &str) -> Result<Ledger> {
    let what = format!("can't read the ledger of the schema {schema}");
    let mut ledger = Ledger { next_run: 1, next_object: 1, ..Ledger::default() };
    let present = shape::present(client, schema).await?;
    if present.contains(&Table::LoadRuns) {
        let [last] = numbers(client, &what, "SELECT max(run) FROM load_runs").await?;
        ledger.next_run = last as i64 + 1;
    }
    if present.contains(&Table::LoadObjects) {
        let [last] = numbers(client, &what, "SELECT max(object_id) FROM load_objects").await?;
        ledger.next_object = last as i64 + 1;
    }
    // Where a table is missing the others tell half of the story.
    if present.len() == Table::ALL.len() {
        let settings = "SELECT settings FROM load_runs ORDER BY run DESC LIMIT 1";
        let settings = rows(client, &what, settings).await?;
        ledger.settings = settings.first().and_then(|row| row.get(0)).map(str::to_owned);
        let loaded = rows(client, &what, include_str!("../../sql/ledger.sql")).await?;
        let loaded = loaded.iter().map(|row| version(&what, row));
        ledger.loaded = loaded.collect::<Result<_>>()?;
    }
    Ok(ledger)
}

fn version(what: &str, row: &SimpleQueryRow) -> Result<((Kind, String), Version)> {
    let text = |column| row.get(column).unwrap_or_default().to_owned();
    let kind = [Kind::Logs, Kind::Songs].into_iter().find(|kind| kind.name() == text(1));
    let kind = kind.ok_or_else(|| {
        let cause = format!("load_objects holds {:?}, which is no kind of object", text(1));
        Error::target(what).because(cause).with_help("read everything again by --full-refresh")
    })?;
    let [object_id, bytes] = numbers_of(what, row, [0, 3])?;
    let version = Version {
        object_id: object_id as i64,
        bytes,
        etag: text(4),
        amounts: amounts(numbers_of(what, row, [5, 6, 7, 8, 9])?),
    };
    Ok(((kind, text(2)), version))
}

/// Amounts from their numbers, in the order of the ledger's columns.
pub(super) fn amounts([records, taken, filtered, rejected, staged]: [u64; 5]) -> Amounts {
    Amounts { records, taken, filtered, rejected, staged }
}

/// The tables and views of the schema that is the first in the search path.
pub(super) async fn relations(client: &Client, what: &str) -> Result<Vec<String>> {
    // The schema `information_schema` shows none that the user has no right to.
    const QUERY: &str = "SELECT relname FROM pg_class
                         JOIN pg_namespace ON pg_namespace.oid = relnamespace
                         WHERE nspname = current_schema() AND relkind IN ('r', 'v')";
    let rows = rows(client, what, QUERY).await?;
    Ok(rows.iter().filter_map(|row| row.get(0)).map(str::to_owned).collect())
}

/// Whether one of them has this name.
pub(super) async fn is_there(client: &Client, what: &str, name: &str) -> Result<bool> {
    Ok(relations(client, what).await?.iter().any(|relation| relation == name))
}

/// Whether the run was published, asked when the answer to its COMMIT was lost.
pub(super) async fn has(client: &Client, run: &Run) -> Result<bool> {
    const WHAT: &str = "can't see in load_runs whether the load was published";
    if !is_there(client, WHAT, "load_runs").await? {
        return Ok(false);
    }
    let (number, token) = (run.number, literal(&run.token));
    let query = format!("SELECT count(*) FROM load_runs WHERE run = {number} AND token = {token}");
    let [found] = numbers(client, WHAT, &query).await?;
    Ok(found > 0)
}
