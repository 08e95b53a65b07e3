//! Targets: where the tables are, and a load in progress there.

mod copy;
mod create;
mod database;
#[cfg(feature = "embedded")]
mod embedded;
mod interrupt;
mod ledger;
mod leftover;
mod link;
mod load;
mod lock;
mod merge;
mod missing;
mod names;
mod passfile;
mod place;
mod pooler;
mod postgres;
mod publish;
mod rebuild;
mod redshift;
mod replication;
mod s3_reply;
#[cfg(feature = "bench")]
pub(crate) mod scratch;
mod server;
mod session;
mod shape;
mod silence;
mod tls;
mod upgrade;

use std::error::Error as _;
use std::path::PathBuf;
use std::{fmt, io};

use tokio_postgres::GenericClient;
use tokio_postgres::error::{DbError, SqlState};

pub use create::{Existing, create};
pub(crate) use database::Database;
pub use interrupt::Interrupt;
pub(crate) use load::{Discarded, Load, Part};
pub(crate) use names::in_schema;
pub use server::{Defaults, Server};
pub use silence::Silence;

use crate::error::{Error, Remedy};
use crate::source::{Location, S3Options};

/// The database to load.
#[derive(Debug, Clone)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(Server),
    /// The embedded PostgreSQL, kept in this directory.
    Embedded(PathBuf),
}

/// Few enough to leave others theirs of the server's `max_connections` (100 by default).
const CONNECTIONS: usize = 4;

impl Target {
    /// How many connections write at once, if so many are `wanted`: the embedded PostgreSQL takes one.
    pub fn connections(&self, wanted: Option<usize>) -> usize {
        match self {
            Self::Postgres(_) => wanted.unwrap_or(CONNECTIONS).max(1),
            Self::Embedded(_) => 1,
        }
    }

    /// Lets `interrupt` stop what is done over connections to it. The embedded PostgreSQL can't be stopped: it ends with
    /// the program, and what it has not committed by then is undone.
    #[must_use]
    pub fn interruptible(self, interrupt: &Interrupt) -> Self {
        match self {
            Self::Postgres(server) => Self::Postgres(server.interruptible(interrupt)),
            Self::Embedded(_) => self,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(server) => server.fmt(f),
            Self::Embedded(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where rows are staged for a server that reads them from S3.
#[derive(Debug, Clone)]
pub struct S3Stage {
    /// A place in a bucket: `s3://bucket[/prefix]`.
    pub location: Location,
    /// How to reach the bucket.
    pub s3: S3Options,
    /// How the server reaches it.
    pub access: CopyAccess,
    /// Leaves the files of a load that was published.
    pub keep: bool,
}

/// By what right Redshift reads the staged files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyAccess {
    /// By this IAM role, which the cluster may take on.
    Role(String),
    /// By the cluster's default role.
    DefaultRole,
    /// By the keys that the files are written with.
    Keys,
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

/// Which of `names` are tables, views or indexes in `schema`.
pub(crate) async fn present(
    client: &impl GenericClient,
    schema: &str,
    names: &[&str],
) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = "SELECT name FROM unnest($2::TEXT[]) AS name
                 WHERE to_regclass(quote_ident($1) || '.' || quote_ident(name)) IS NOT NULL";
    let rows = client.query(query, &[&schema, &names]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A statement that failed where it may be that only the owner can run it; `help` says what to do then.
pub(crate) fn failed_unless_owner(
    what: &str,
    cause: tokio_postgres::Error,
    help: &'static str,
) -> Error {
    let is_others = cause.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    let error = failed(what, cause);
    if is_others { error.with_help(help) } else { error }
}

/// A statement that failed, with what the server says and what to do about it.
pub(crate) fn failed(what: impl Into<String>, cause: tokio_postgres::Error) -> Error {
    let error = Error::target(what);
    let error = error.with_remedy(match cause.code().map(SqlState::code) {
        Some("53100") => Remedy::MakeRoom,
        _ if is_passing(&cause) => Remedy::TryAgain,
        _ => Remedy::None,
    });
    let Some(reply) = cause.as_db_error() else {
        let lost = is_passing(&cause);
        let error = error.because(cause);
        if !lost {
            return error;
        }
        return error
            .with_help("check that the server is up and reachable, then run the load again");
    };
    let mut message =
        format!("{}: {} (SQLSTATE {})", reply.severity(), reply.message(), reply.code().code());
    for more in [reply.detail(), reply.hint()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(more);
    }
    let error = error.because(message);
    let of_s3 = || s3_reply::help(reply.message()).or_else(|| s3_reply::help(reply.detail()?));
    let code = match reply.code().code() {
        _ if is_conflict(reply) => CONFLICT,
        // Redshift has row-level security as well, and neither has a code for it.
        _ if reply.message().contains("row-level security") => ROW_SECURITY,
        code => code,
    };
    match help(code).or_else(of_s3) {
        Some(help) => error.with_help(help),
        None => error,
    }
}

/// What to do about an error of the server.
fn help(code: &str) -> Option<&'static str> {
    Some(match code {
        "42501" => {
            "the role needs CREATE and TEMPORARY on the database, USAGE and CREATE on the schema, and SELECT, INSERT, \
             UPDATE and DELETE on tables that are there"
        }
        ROW_SECURITY => {
            "row-level security would hide rows from the load: let the role own the tables (and ALTER TABLE … NO FORCE \
             ROW LEVEL SECURITY), or give it BYPASSRLS"
        }
        // A column that is missing, or of another type.
        "42703" | "42804" | "42883" => {
            "a table there has other columns than sparkload's: `sparkload create` brings those of an earlier version up \
             to date, and tells what is wrong with others"
        }
        "53100" => "make room on the server's disk and run the load again",
        "53200" => "the server is out of memory: use fewer --connections, and run the load again",
        "53300" => "use fewer --connections, or raise the server's max_connections",
        "25006" => {
            "name the primary if this is a standby (target_session_attrs=read-write); else turn \
             default_transaction_read_only off for the role or the database"
        }
        "57014" => {
            "if nobody cancelled it, raise statement_timeout for this role \
             (ALTER ROLE … SET statement_timeout = 0), or on Redshift the limit of its queue, and run the load again"
        }
        "55P03" => "end what locks the tables, or raise lock_timeout, and run the load again",
        "57P01" | "57P02" | "57P03" => "the server went down: run the load again when it is up",
        CONFLICT | "40P01" => "end what else writes to the tables, and run the load again",
        _ => return None,
    })
}

/// Whether the same may go well in a while: the connection broke, the server is busy or restarts, or another
/// transaction was in the way.
pub(crate) fn is_passing(cause: &tokio_postgres::Error) -> bool {
    match cause.code().map(SqlState::code) {
        Some(code) => {
            is_passing_for_redshift(cause)
                || code.starts_with("08")
                || matches!(
                    code,
                    CONFLICT | "40P01" | "53300" | "55P03" | "57P01" | "57P02" | "57P03" | "57P05"
                )
        }
        None => cause.is_closed() || is_broken_line(cause),
    }
}

/// What PostgreSQL says of transactions that got into each other's way.
const CONFLICT: &str = "40001";

/// Stands for what row-level security refuses.
const ROW_SECURITY: &str = "row-level security";

/// Whether Redshift says the same, which has no SQLSTATE for it, or either of them that two transactions made the same
/// thing at once: `IF NOT EXISTS` does not keep the catalog's keys from being violated.
fn is_conflict(reply: &DbError) -> bool {
    let message = reply.message();
    message.trim().starts_with("1023")
        || message.contains("conflict with concurrent transaction")
        || message.contains("concurrent transaction conflict")
        || message.contains("could not open relation with OID")
        || message.contains("unique constraint \"pg_")
        || reply.detail().is_some_and(|detail| detail.contains("Serializable isolation violation"))
}

/// Whether transactions got into each other's way, or S3 was too busy for a COPY of Redshift's.
fn is_passing_for_redshift(cause: &tokio_postgres::Error) -> bool {
    cause.as_db_error().is_some_and(|reply| {
        let both = [reply.message(), reply.detail().unwrap_or_default()];
        both.into_iter().any(s3_reply::is_passing) || is_conflict(reply)
    })
}

/// Whether bytes could not be sent or received, and not for what TLS or we have against them.
fn is_broken_line(cause: &tokio_postgres::Error) -> bool {
    let mut next = cause.source();
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return !io.get_ref().is_some_and(|wrapped| {
                wrapped.is::<rustls::Error>() || wrapped.is::<server::Refusal>()
            });
        }
        next = cause.source();
    }
    false
}
