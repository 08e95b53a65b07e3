//! Asking the loaded tables: any SQL, or one of the analytics team's own queries by name.

mod named;
mod rows;

use std::pin::pin;

use futures::TryStreamExt;
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::{Client, SimpleQueryMessage};

pub use self::named::{NamedQuery, named_queries};
pub use self::rows::{Column, Kind, Rows};
use crate::error::{Error, Result};
use crate::table::Table;
use crate::target::{Database, Target, quoted};

/// Runs `sql` in `target`, where names without a schema mean those in `schema`, then in `public`.
///
/// Of several statements the last result set counts; they are one transaction unless they say otherwise.
/// Values come as the server writes them. Columns have types when `sql` is a single statement; else
/// all are text.
///
/// # Errors
///
/// The target can't be reached, or refuses the SQL.
///
/// ```no_run
/// # async fn example(target: &sparkload::Target) -> sparkload::Result<()> {
/// let rows = sparkload::query(target, "public", "SELECT count(*) AS plays FROM songplays").await?;
/// assert_eq!(rows.columns[0].name, "plays");
/// assert_eq!(rows.rows[0][0].as_deref(), Some("6820"));
/// # Ok(())
/// # }
/// ```
pub async fn query(target: &Target, schema: &str, sql: &str) -> Result<Rows> {
    let database = Database::open(target).await?;
    let client = connect_to_schema(&database, schema).await?;
    let failed = |error| refused("the query failed", error, schema);

    let mut result = run(&client, sql).await.map_err(failed)?;
    // Only the description in the extended protocol names types, and it takes a single statement.
    // What refuses to be prepared has been run all the same.
    if !result.columns.is_empty()
        && let Ok(statement) = client.prepare(sql).await
        && statement.columns().len() == result.columns.len()
    {
        for (column, described) in result.columns.iter_mut().zip(statement.columns()) {
            column.kind = Kind::of(described.type_());
        }
    }
    Ok(result)
}

async fn run(client: &Client, sql: &str) -> Result<Rows, tokio_postgres::Error> {
    let mut result = Rows::default();
    let mut messages = pin!(client.simple_query_raw(sql).await?);
    while let Some(message) = messages.try_next().await? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                result.columns = columns.iter().map(|column| Column::text(column.name())).collect();
                result.rows.clear();
            }
            SimpleQueryMessage::Row(row) => {
                let values = (0..row.len()).map(|index| row.get(index).map(str::to_owned));
                result.rows.push(values.collect());
            }
            SimpleQueryMessage::CommandComplete(affected) => result.affected = affected,
            _ => {}
        }
    }
    Ok(result)
}

/// Opens a connection on which names without a schema mean those in `schema`, then in `public`.
pub(crate) async fn connect_to_schema(database: &Database, schema: &str) -> Result<Client> {
    let client = database.connect().await?;
    let path = format!("SET search_path TO {}, public", quoted(schema));
    client
        .batch_execute(&path)
        .await
        .map_err(|error| refused("the schema can't be chosen", error, schema))?;
    Ok(client)
}

/// Says what the server has against a statement, and where in it.
pub(crate) fn refused(what: &str, error: tokio_postgres::Error, schema: &str) -> Error {
    let Some(database) = error.as_db_error() else {
        return Error::target(what)
            .because(error)
            .with_help("the connection was lost: look at the server's log, then try again");
    };
    let help = match database.hint() {
        Some(hint) => hint.to_owned(),
        None if *database.code() == SqlState::UNDEFINED_TABLE && names_ours(database.message()) => {
            format!(
                "fill schema {schema} with `sparkload load`, or make empty tables with `sparkload create`"
            )
        }
        None if *database.code() == SqlState::UNDEFINED_TABLE => format!(
            "correct the table's name, or put its schema before it if that is neither {schema} nor public"
        ),
        None if *database.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
            format!("ask for USAGE on schema {schema} and SELECT on its tables")
        }
        None => match database.position() {
            Some(ErrorPosition::Original(at)) => format!("look at character {at} of the SQL"),
            _ => "correct the SQL".to_owned(),
        },
    };
    let cause = error.into_source().unwrap_or_else(|| "refused".into());
    Error::target(what).because(cause).with_help(help)
}

/// Whether what the server says names one of our tables, whatever language it speaks.
fn names_ours(message: &str) -> bool {
    let mut words = message.split(|it: char| !it.is_alphanumeric() && it != '_');
    words.any(|word| Table::ALL.iter().any(|table| table.name() == word))
}
