//! Asking the loaded tables: any SQL, or one of the analytics team's own queries by name.

mod answer;
mod formats;
mod named;
mod rows;
mod session;
mod statements;

use tokio_postgres::error::{ErrorPosition, SqlState};

pub use self::answer::{Answer, Done, Piece, Row};
pub use self::formats::{CsvWriter, JsonWriter};
pub use self::named::{NamedQuery, named_queries};
pub use self::rows::{Column, Kind, Rows};
use crate::error::{Error, Result};
use crate::table::Table;
use crate::target::Target;

/// Some SQL, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Names without a schema mean those in this one, then in `public`.
    pub schema: String,
    /// One statement or several, which are run one after the other until one fails.
    pub sql: String,
    /// Whether it may change anything.
    pub access: Access,
    /// Parameters of the session and their values, such as `TimeZone` and `DateStyle`.
    pub parameters: Vec<(String, String)>,
}

/// What a [`Query`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads. Its statements are one transaction, which is READ ONLY and rolled back in the end. What functions do
    /// outside of any transaction is not held by that.
    ReadOnly,
    /// It does what it says. Each statement is committed by itself, unless the statements themselves begin a transaction.
    ReadWrite,
}

impl Query {
    /// A query that only reads.
    pub fn new(schema: impl Into<String>, sql: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            sql: sql.into(),
            access: Access::ReadOnly,
            parameters: Vec::new(),
        }
    }

    /// Asks `target`, and gives the answer piece by piece.
    ///
    /// # Errors
    ///
    /// The target can't be reached, or a statement is there that is not to be run, as one that changes something in a
    /// query that only reads. Then none has been run.
    pub async fn ask(&self, target: &Target) -> Result<Answer> {
        Answer::begin(self, target).await
    }
}

/// Runs `sql` in `target`, where names without a schema mean those in `schema`, then in `public`.
///
/// It may change things. Of several statements, each of which is committed by itself, the last result set counts. Values
/// come as the server writes them. All of them are held in memory: [`Query::ask`] gives them one by one.
///
/// # Errors
///
/// The target can't be reached, or refuses the SQL; or it is `COPY … TO STDOUT`, which gives no rows.
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
    let query = Query { access: Access::ReadWrite, ..Query::new(schema, sql) };
    let mut answer = query.ask(target).await?;
    let mut result = Rows::default();
    while let Some(piece) = answer.next().await? {
        match piece {
            Piece::Columns(columns) => result = Rows { columns, ..Rows::default() },
            Piece::Row(row) => {
                let values = row.values()?.into_iter().map(|value| value.map(str::to_owned));
                result.rows.push(values.collect());
            }
            Piece::Copied(_) => {
                return Err(Error::target("COPY … TO STDOUT gives no rows")
                    .with_help("take what it gives with `Query::ask`"));
            }
            Piece::Done(Done { rows, .. }) => result.affected = rows.unwrap_or(0),
        }
    }
    Ok(result)
}

/// Says what the server has against a statement, and where in it.
pub(crate) fn refused(what: &str, error: tokio_postgres::Error, schema: &str) -> Error {
    refused_at(what, error, schema, 0)
}

/// The same for one that stands so many characters from the beginning of the SQL.
fn refused_at(what: &str, error: tokio_postgres::Error, schema: &str, offset: usize) -> Error {
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
            Some(ErrorPosition::Original(at)) => {
                format!("look at character {} of the SQL", offset + *at as usize)
            }
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
