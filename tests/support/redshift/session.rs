//! One client's session: its own connection to PostgreSQL, its transaction, and what Redshift remembers for it.

use std::sync::Arc;

use futures::TryStreamExt;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;
use pgwire::messages::response::TransactionStatus;
use tokio::sync::Notify;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::Shared;
use super::answer::{Answer, data_row, fields};
use super::error::{Refusal, Result};
use super::query::Facts;
use super::sql::{self, Command};
use super::tokens;

/// What makes PostgreSQL read and write as Redshift does: backslashes escape, numbers have fifteen digits, times are UTC
/// (written so that it needs no zone files), and a transaction sees what was there when it began.
const SETUP: &str = "
    SET standard_conforming_strings = off;
    SET escape_string_warning = off;
    SET backslash_quote = on;
    SET extra_float_digits = 0;
    SET DateStyle = 'ISO, MDY';
    SET timezone = '<UTC>0';
    SET default_transaction_isolation = 'repeatable read'";

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// That of one message, which ends with it.
    Implicit,
    Block,
    /// After an error, until the client ends the block; PostgreSQL has rolled back already.
    Failed,
}

/// What the session functions tell of COPYs.
#[derive(Debug, Clone, Copy)]
pub struct LastCopy {
    pub id: i64,
    pub count: i64,
}

pub struct Session {
    pub shared: Arc<Shared>,
    pub client: Arc<Client>,
    pub process: i32,
    /// Closes the client's connection.
    hang_up: Arc<Notify>,
    state: State,
    pub(super) last_copy: LastCopy,
    /// What it was when the transaction began.
    pub(super) last_copy_before: LastCopy,
}

impl Session {
    /// Connects `user` to PostgreSQL. When that connection ends, so does the client's.
    pub async fn open(shared: Arc<Shared>, hang_up: Arc<Notify>, user: &str) -> Result<Session> {
        let mut config: tokio_postgres::Config = shared.keywords.parse()?;
        let (client, connection) = config.user(user).connect(NoTls).await?;
        let gone = hang_up.clone();
        tokio::spawn(async move {
            let _ = connection.await;
            gone.notify_one();
        });
        client.batch_execute(SETUP).await?;
        let process = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        let last_copy = LastCopy { id: -1, count: 0 };
        Ok(Session {
            shared,
            client: Arc::new(client),
            process,
            hang_up,
            state: State::Idle,
            last_copy,
            last_copy_before: last_copy,
        })
    }

    pub fn status(&self) -> TransactionStatus {
        match self.state {
            State::Idle | State::Implicit => TransactionStatus::Idle,
            State::Block => TransactionStatus::Transaction,
            State::Failed => TransactionStatus::Error,
        }
    }

    /// Carries out all statements of a message, in one transaction unless they say otherwise.
    ///
    /// # Errors
    /// The answers until then are in `answers`.
    pub async fn message(&mut self, message: &str, answers: &mut Vec<Answer>) -> Result<()> {
        let result = self.statements(message, answers).await;
        match result {
            Ok(()) if self.state == State::Implicit => {
                self.state = State::Idle;
                self.client.batch_execute("COMMIT").await.map_err(Refusal::from)
            }
            Ok(()) => Ok(()),
            Err(refusal) => {
                self.fail().await;
                Err(refusal)
            }
        }
    }

    async fn statements(&mut self, message: &str, answers: &mut Vec<Answer>) -> Result<()> {
        let statements = tokens::split(message)?;
        let alone = statements.len() == 1;
        for statement in statements {
            self.shared.record(&statement.text);
            let command = self.understand(&statement).await?;
            let answer = self.carry_out(&statement.text, command, alone).await?;
            answers.push(answer);
        }
        Ok(())
    }

    pub async fn understand(&self, statement: &tokens::Statement) -> Result<Command> {
        let settings = self.shared.settings();
        let facts = Facts {
            keys: self.keys(&statement.text).await?,
            serverless: settings.serverless,
            case_insensitive: settings.case_insensitive,
            last_copy_id: self.last_copy.id,
            last_copy_count: self.last_copy.count,
        };
        let command = sql::understand(statement, facts);
        // A failed transaction hears nothing but its end.
        match command {
            Ok(Command::Commit | Command::Rollback) => command,
            _ if self.state == State::Failed => Err(Refusal::aborted()),
            _ => command,
        }
    }

    /// The declared keys of all tables, where a statement asks for what is distinct.
    async fn keys(&self, statement: &str) -> Result<Vec<(String, String)>> {
        if self.state == State::Failed || !statement.to_uppercase().contains("DISTINCT") {
            return Ok(Vec::new());
        }
        const KEYS: &str = "SELECT relname::text, key FROM pg_class, \
             split_part(obj_description(oid, 'pg_class'), ';', 3) AS key WHERE key <> ''";
        let rows = self.client.query(KEYS, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Carries out one statement that came by itself.
    pub async fn single(&mut self, text: &str, command: Command) -> Result<Answer> {
        let result = self.carry_out(text, command, true).await;
        match result {
            Ok(answer) if self.state == State::Implicit => {
                self.state = State::Idle;
                self.client.batch_execute("COMMIT").await?;
                Ok(answer)
            }
            Ok(answer) => Ok(answer),
            Err(refusal) => {
                self.fail().await;
                Err(refusal)
            }
        }
    }

    /// Lets the faults that wait for this statement happen, and opens the transaction that it needs.
    pub async fn prelude(&mut self, text: &str, command: &Command) -> Result<()> {
        let shared = self.shared.clone();
        if shared.faults.closed_before(text) {
            self.close().await;
        }
        if let Some(duration) = shared.faults.unnoticed(text) {
            let client = self.client.clone();
            tokio::spawn(async move {
                tokio::time::sleep(duration).await;
                drop(client);
            });
            self.close().await;
        }
        let is_control =
            matches!(command, Command::Begin { .. } | Command::Commit | Command::Rollback);
        if self.state == State::Idle
            && !is_control
            && !matches!(command, Command::Truncate { .. } | Command::Alone { .. })
        {
            self.begin(State::Implicit).await?;
        }
        if let Some(duration) = shared.faults.wait(text) {
            let sql = format!("SELECT pg_sleep({})", duration.as_secs_f64());
            self.client.batch_execute(&sql).await?;
        }
        if shared.faults.conflict_at(text) {
            return Err(Refusal::conflict(self.process));
        }
        if let Some(refusal) = shared.faults.refused_at(text) {
            return Err(refusal);
        }
        // Whoever writes a table has it alone until the transaction ends; others may read.
        let written = match command {
            Command::Changes { table, .. } => table.clone(),
            Command::Copy(copy) => copy.table.sql(),
            _ => return Ok(()),
        };
        let sql = format!("LOCK TABLE {written} IN SHARE ROW EXCLUSIVE MODE");
        Ok(self.client.batch_execute(&sql).await?)
    }

    async fn carry_out(&mut self, text: &str, command: Command, alone: bool) -> Result<Answer> {
        self.prelude(text, &command).await?;
        let done = |tag: &str| Ok(Answer::Done(tag.to_owned()));
        match command {
            Command::Begin { read_only } => {
                let before = self.state;
                match before {
                    State::Idle => self.begin(State::Block).await?,
                    // What went before in this message belongs to the block.
                    State::Implicit => self.state = State::Block,
                    State::Block | State::Failed => {}
                }
                if read_only && before == State::Idle {
                    self.client.batch_execute("SET TRANSACTION READ ONLY").await?;
                }
                done("BEGIN")
            }
            Command::Commit => self.commit().await,
            Command::Rollback => {
                self.rollback().await?;
                self.state = State::Idle;
                done("ROLLBACK")
            }
            Command::Rows { sql, tag } => {
                let (fields, rows) = self.rows(&sql).await?;
                Ok(Answer::Rows { fields, rows, tag: tag.to_owned() })
            }
            Command::Changes { sql, tag, .. } => {
                let mut count = 0;
                for message in self.client.simple_query(&sql).await? {
                    if let SimpleQueryMessage::CommandComplete(rows) = message {
                        count = rows;
                    }
                }
                Ok(Answer::Done(self.counted(tag, count)))
            }
            Command::Run { sql, tag } => {
                self.run(&sql).await?;
                done(tag)
            }
            Command::Truncate { sql } => {
                self.client.batch_execute(&sql).await?;
                if self.state != State::Idle {
                    self.client.batch_execute("COMMIT").await?;
                    self.state = State::Idle;
                }
                done("TRUNCATE TABLE")
            }
            Command::Alone { sql, tag } => {
                if self.state != State::Idle || !alone {
                    let text = format!("{tag} cannot run inside a transaction block");
                    return Err(Refusal::new("25001", text));
                }
                self.run(&sql).await?;
                done(tag)
            }
            Command::Copy(copy) => {
                self.copy(&copy).await?;
                done("COPY")
            }
        }
    }

    /// The tag of a statement that changed so many rows.
    pub fn counted(&self, tag: &str, count: u64) -> String {
        match self.shared.settings().counts {
            true => format!("{tag} {count}"),
            false => tag.trim_end_matches(" 0").to_owned(),
        }
    }

    async fn run(&self, sql: &[String]) -> Result<()> {
        for sql in sql {
            self.client.batch_execute(sql).await?;
        }
        Ok(())
    }

    async fn begin(&mut self, state: State) -> Result<()> {
        self.client.batch_execute("BEGIN").await?;
        self.last_copy_before = self.last_copy;
        self.state = state;
        Ok(())
    }

    async fn commit(&mut self) -> Result<Answer> {
        let done = |tag: &str| Ok(Answer::Done(tag.to_owned()));
        match self.state {
            State::Idle => return done("COMMIT"),
            State::Failed => {
                self.state = State::Idle;
                return done("ROLLBACK");
            }
            State::Implicit | State::Block => {}
        }
        if self.shared.faults.conflict_at_commit() {
            // The transaction is over, there is no block to end any more.
            self.rollback().await?;
            self.state = State::Idle;
            return Err(Refusal::conflict(self.process));
        }
        let result = self.client.batch_execute("COMMIT").await;
        self.state = State::Idle;
        result?;
        if self.shared.faults.commit_answer() {
            self.close().await;
        }
        done("COMMIT")
    }

    async fn rollback(&mut self) -> Result<()> {
        if matches!(self.state, State::Implicit | State::Block) {
            self.last_copy = self.last_copy_before;
            self.client.batch_execute("ROLLBACK").await?;
        }
        Ok(())
    }

    /// Ends the transaction after an error.
    pub async fn fail(&mut self) {
        let _ = self.rollback().await;
        self.state = match self.state {
            State::Idle | State::Implicit => State::Idle,
            State::Block | State::Failed => State::Failed,
        };
    }

    /// Commits what a statement of the extended protocol did by itself.
    pub async fn settle(&mut self) -> Result<()> {
        if self.state == State::Implicit {
            self.state = State::Idle;
            self.client.batch_execute("COMMIT").await?;
        }
        Ok(())
    }

    /// Closes the client's connection: whoever waits for this waits until the session is gone.
    async fn close(&self) {
        self.hang_up.notify_one();
        std::future::pending::<()>().await;
    }

    /// Rows as text, with the types that their columns have.
    async fn rows(&self, sql: &str) -> Result<(Vec<FieldInfo>, Vec<DataRow>)> {
        let fields = fields(&self.client.prepare(sql).await?, |_| FieldFormat::Text);
        let messages = self.client.simple_query_raw(sql).await?;
        let messages: Vec<_> = messages.try_collect().await?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                let values = (0..row.len()).map(|at| row.get(at).map(str::as_bytes));
                rows.push(data_row(values));
            }
        }
        Ok((fields, rows))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.leave(self.process);
    }
}
