//! The session that a query runs in, and how it is kept from changing anything.
//!
//! A query that only reads is one transaction. It is READ ONLY, which the server lets nobody take back once a snapshot was
//! taken; it ends with ROLLBACK, whatever was done in it; and no statement that could end it before is sent: only those
//! are that read by their first word, each alone, and the server itself says that it is one. What functions do outside of
//! any transaction (`dblink`, `pg_terminate_backend`, a file that a superuser writes) nothing of this can hold.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, CopyOutStream, SimpleQueryMessage, SimpleQueryStream};

use super::named::named_queries;
use super::rows::Kind;
use super::statements::{Purpose, Statement, split};
use super::{Access, Query, refused, refused_at};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::target::{Database, in_schema, literal, quoted};

pub(super) struct Session {
    client: Client,
    schema: String,
    access: Access,
    dialect: Dialect,
}

const FAILED: &str = "the query failed";

impl Session {
    /// Connects, and sets the session up; returns the statements of the query, which are all possible.
    pub async fn begin(query: &Query, database: &Database) -> Result<(Self, Vec<Statement>)> {
        let Query { schema, sql, access, parameters } = query;
        // Who waits for an answer can try again.
        let once = Retry { attempts: 1, ..Retry::default() };
        let dialect = database.dialect(once).await?;
        let client = database.connect().await?;

        let is_held = *access == Access::ReadOnly && dialect == Dialect::Postgres;
        // Nothing of it outlives the transaction then, which is as well where others share the server's session.
        let (begin, set) = if is_held { ("BEGIN READ ONLY;", "SET LOCAL") } else { ("", "SET") };
        // In the program's own SQL nothing is found by its name that anyone else may have made.
        let is_own = named_queries().iter().any(|named| named.sql == *sql);
        let (path, sql) = match is_own && dialect == Dialect::Postgres {
            true => ("pg_catalog".to_owned(), in_schema(schema, sql)),
            false => (format!("{}, public", quoted(schema)), sql.clone()),
        };
        let mut setup = format!("{begin} {set} search_path TO {path};");
        for (name, value) in parameters {
            setup += &format!(" {set} {} TO {};", quoted(name), literal(value));
        }
        if dialect == Dialect::Postgres {
            // It takes the snapshot, too.
            setup += " SELECT current_setting('standard_conforming_strings')";
        }
        let answer = client
            .simple_query(&setup)
            .await
            .map_err(|error| refused("the session can't be set up", error, schema))?;
        let conforming = answer.iter().any(
            |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on")),
        );

        let session = Self { client, schema: schema.clone(), access: *access, dialect };
        let statements = split(&sql, !conforming);
        for statement in &statements {
            session.require_possible(statement).await?;
        }
        Ok((session, statements))
    }

    /// Whether statements have to be described before the first one runs: Redshift's own types are not known here, and
    /// looking one up there ends the transaction.
    pub fn describes_before(&self) -> bool {
        self.access == Access::ReadOnly && self.dialect == Dialect::Redshift
    }

    /// Begins the transaction, where it has not begun yet.
    pub async fn hold(&self) -> Result<()> {
        let hold = self.client.batch_execute("BEGIN READ ONLY; SELECT 1").await;
        hold.map_err(|error| refused(FAILED, error, &self.schema))
    }

    /// Ends it.
    pub async fn end(&self) -> Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => {
                let end = self.client.batch_execute("ROLLBACK").await;
                end.map_err(|error| refused(FAILED, error, &self.schema))
            }
        }
    }

    /// Refuses what can't be run here; a mistake in the SQL is said rather than that.
    async fn require_possible(&self, statement: &Statement) -> Result<()> {
        match (statement.purpose(), self.access) {
            (Purpose::CopiesIn, _) => {
                Err(Error::target("COPY … FROM STDIN is not run: there are no rows to send")
                    .with_help("load them with `sparkload load`, or with psql"))
            }
            (Purpose::Other, Access::ReadOnly) => {
                if let Err(error) = self.client.prepare(&statement.text).await
                    && error.code() == Some(&SqlState::SYNTAX_ERROR)
                {
                    return Err(self.refused(error, statement));
                }
                let verb = statement.verb();
                Err(Error::target(format!("{verb} is not run: a query only reads"))
                    .because("it may change something, or end the transaction that keeps the query from that")
                    .with_help("add --write if that is what it is meant to do"))
            }
            _ => Ok(()),
        }
    }

    /// What the texts in the columns stand for, if it gives rows and the server says so.
    pub async fn describe(&self, statement: &Statement) -> Result<Option<Vec<Kind>>> {
        if !statement.may_give_rows() {
            return Ok(None);
        }
        // Only the description in the extended protocol names types. It takes a single statement: one that was cut
        // wrongly out of the SQL is found out here.
        match self.client.prepare(&statement.text).await {
            Ok(described) => {
                Ok(Some(described.columns().iter().map(|it| Kind::of(it.type_())).collect()))
            }
            Err(error) if error.code() == Some(&SqlState::SYNTAX_ERROR) => {
                Err(self.refused(error, statement))
            }
            // The transaction is over then.
            Err(error) if self.access == Access::ReadOnly && !self.describes_before() => {
                Err(self.refused(error, statement))
            }
            // It may run all the same; if not, that says why.
            Err(_) => Ok(None),
        }
    }

    pub async fn rows(&self, statement: &Statement) -> Result<SimpleQueryStream> {
        let rows = self.client.simple_query_raw(&statement.text).await;
        rows.map_err(|error| self.refused(error, statement))
    }

    pub async fn copy(&self, statement: &Statement) -> Result<CopyOutStream> {
        let copied = self.client.copy_out(&statement.text).await;
        copied.map_err(|error| self.refused(error, statement))
    }

    /// How many rows it gave or changed, if the server has said it. Redshift may leave it out, and of what neither
    /// gives nor changes rows there is none to be said.
    pub fn counted(&self, statement: &Statement, rows: u64) -> Option<u64> {
        let says_always =
            self.dialect == Dialect::Postgres && (statement.counts() || statement.may_give_rows());
        (rows > 0 || says_always).then_some(rows)
    }

    pub fn refused(&self, error: tokio_postgres::Error, statement: &Statement) -> Error {
        let is_write = error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION);
        let refused = refused_at(FAILED, error, &self.schema, statement.at);
        match (is_write, self.access) {
            (true, Access::ReadOnly) => refused
                .with_help("a query only reads: add --write if it is meant to change something"),
            (true, Access::ReadWrite) => refused.with_help(
                "this server takes no writes: name the primary, or see default_transaction_read_only",
            ),
            (false, _) => refused,
        }
    }
}
