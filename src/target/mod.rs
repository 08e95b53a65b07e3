//! Targets: where the tables are, and a load in progress there.

mod create;
mod database;
#[cfg(feature = "embedded")]
mod embedded;
mod ledger;
mod leftover;
mod load;
mod merge;
mod passfile;
mod postgres;
mod publish;
mod server;
mod tls;

use std::fmt;
use std::path::PathBuf;

pub use create::{Existing, create};
pub(crate) use database::Database;
pub(crate) use load::{Load, Part};
pub use server::{Defaults, Server};

use crate::error::Error;

/// The database to load.
#[derive(Debug, Clone)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(Server),
    /// The embedded PostgreSQL, kept in this directory.
    Embedded(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(server) => server.fmt(f),
            Self::Embedded(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `name` as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    let escapes = if text.contains('\\') { "E" } else { "" };
    format!("{escapes}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A statement that failed, with what the server says and what to do about it.
pub(crate) fn failed(what: impl Into<String>, cause: tokio_postgres::Error) -> Error {
    use tokio_postgres::error::SqlState;
    let error = Error::target(what);
    let Some(reply) = cause.as_db_error() else {
        let help = "check that the server is up and reachable, then run the load again";
        let closed = cause.is_closed();
        let error = error.because(cause);
        return if closed { error.with_help(help) } else { error };
    };
    let mut message =
        format!("{}: {} (SQLSTATE {})", reply.severity(), reply.message(), reply.code().code());
    for more in [reply.detail(), reply.hint()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(more);
    }
    let help = match reply.code() {
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            "the role needs CREATE on the database and the schema, and SELECT, INSERT, UPDATE and DELETE on \
             tables that are there"
        }
        code if *code == SqlState::UNDEFINED_COLUMN
            || *code == SqlState::DATATYPE_MISMATCH
            || *code == SqlState::UNDEFINED_FUNCTION =>
        {
            "a table there has other columns than sparkload's: \
             make it anew by `sparkload create --drop`, or name another schema"
        }
        code if *code == SqlState::DISK_FULL => {
            "make room on the server's disk and run the load again"
        }
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            "this server takes no writes: point the target at the primary"
        }
        code if *code == SqlState::QUERY_CANCELED => {
            "raise statement_timeout for this role, and run the load again"
        }
        code if *code == SqlState::LOCK_NOT_AVAILABLE => {
            "end what locks the tables, or raise lock_timeout, and run the load again"
        }
        code if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN => {
            "the server went down: run the load again when it is up"
        }
        _ => return error.because(message),
    };
    error.because(message).with_help(help)
}
