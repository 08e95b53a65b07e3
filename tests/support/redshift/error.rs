//! What the stand-in answers in place of a result, in Redshift's own words where they are known.

use pgwire::error::{ErrorInfo, PgWireError};

/// An error as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    /// The connection ends with it.
    pub fatal: bool,
}

pub type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub fn new(code: &str, message: impl Into<String>) -> Refusal {
        Refusal { code: code.to_owned(), message: message.into(), detail: None, fatal: false }
    }

    pub fn fatal(code: &str, message: impl Into<String>) -> Refusal {
        Refusal { fatal: true, ..Refusal::new(code, message) }
    }

    /// What PostgreSQL's grammar has, or could have, and Redshift's has not.
    pub fn syntax(near: &str) -> Refusal {
        Refusal::new("42601", format!("syntax error at or near \"{near}\""))
    }

    /// What Redshift understands and refuses, or what nobody has taught the stand-in.
    pub fn unsupported(what: &str) -> Refusal {
        Refusal::new("0A000", format!("{what} is not supported"))
    }

    /// An error of Redshift's own engine, with the block that it puts into the detail. The shape is that of the reports
    /// of awslabs/aws-lambda-redshift-loader#73 and databricks/spark-redshift#257.
    pub fn engine(message: impl Into<String>, code: u32, context: &str, query: i64) -> Refusal {
        let message = message.into();
        let line = "-----------------------------------------------";
        let detail = format!(
            "\n  {line}\n  error:  {message}\n  code:      {code}\n  context:   {context}\n  query:     {query}\n  \
             location:  stand_in.cpp:1\n  process:   padbmaster [pid=1]\n  {line}\n"
        );
        Refusal { detail: Some(detail), ..Refusal::new("XX000", message) }
    }

    /// A serializable isolation violation. Reports of clients show SQLSTATE XX000 (estuary/connectors#5218) and this
    /// detail (snowplow/snowplow-rdb-loader#557).
    pub fn conflict(process: i32) -> Refusal {
        let detail = format!(
            "Serializable isolation violation on table - 100167, transactions forming the cycle are: 55705701, 55705754 \
             (pid:{process})"
        );
        Refusal { detail: Some(detail), ..Refusal::new("XX000", "1023") }
    }

    /// What a statement gets between an error and the end of its transaction.
    pub fn aborted() -> Refusal {
        let text =
            "current transaction is aborted, commands ignored until end of transaction block";
        Refusal::new("25P02", text)
    }
}

/// What PostgreSQL says, put as Redshift would.
impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Refusal {
        let Some(error) = error.as_db_error() else {
            return Refusal::fatal("57P01", format!("the backend is gone: {error}"));
        };
        let (code, message) = (error.code().code(), error.message());
        let detail = error.detail().map(str::to_owned);
        match code {
            // A byte limit; see `columns`, which names the constraints.
            "23514" => {
                let limit = error.constraint().and_then(super::columns::limit_of).unwrap_or("?");
                let text = format!("value too long for type character varying({limit})");
                Refusal::new("22001", text)
            }
            "23502" => {
                let column = error.column().unwrap_or("?");
                let message = format!("Cannot insert a NULL value into column {column}");
                Refusal::engine(message, 8007, "query execution", 0)
            }
            "40001" => Refusal::conflict(0),
            "42501" => {
                Refusal::new(code, message.replace("denied for table", "denied for relation"))
            }
            "57014" if message.contains("statement timeout") => {
                // The text of a Redshift that runs out of `statement_timeout`.
                Refusal::new(code, "Query cancelled on user's request")
            }
            _ => Refusal {
                detail,
                fatal: error.severity() == "FATAL",
                ..Refusal::new(code, message)
            },
        }
    }
}

impl From<Refusal> for ErrorInfo {
    fn from(refusal: Refusal) -> ErrorInfo {
        let severity = if refusal.fatal { "FATAL" } else { "ERROR" };
        let mut info = ErrorInfo::new(severity.to_owned(), refusal.code, refusal.message);
        info.detail = refusal.detail;
        info
    }
}

impl From<Refusal> for PgWireError {
    fn from(refusal: Refusal) -> PgWireError {
        PgWireError::UserError(Box::new(refusal.into()))
    }
}
