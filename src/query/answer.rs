//! An answer while it comes: piece by piece, so that it takes no more memory than its longest row.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio_postgres::{CopyOutStream, SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use super::Query;
use super::rows::{Column, Kind};
use super::session::Session;
use super::statements::{Purpose, Statement};
use crate::error::{Error, Result};
use crate::target::{Database, Target};

/// What a [`Query`] gives, statement by statement.
///
/// Dropped before its end, what is not committed is rolled back. The server may be at work for a while yet, until it
/// notices; [`Interrupt::cancel`](crate::Interrupt::cancel) ends that.
pub struct Answer {
    running: Option<Running>,
    waiting: VecDeque<Waiting>,
    is_in_block: bool,
    /// No statement is done yet.
    is_first: bool,
    session: Session,
    /// The embedded PostgreSQL lives as long as this does.
    _database: Database,
}

/// A piece of an [`Answer`]. Those of each statement end with [`Piece::Done`].
#[derive(Debug)]
pub enum Piece {
    /// A result set begins.
    Columns(Vec<Column>),
    /// A row of it.
    Row(Row),
    /// Some of what `COPY … TO STDOUT` gives, in the format that it was told.
    Copied(Bytes),
    /// A statement is done.
    Done(Done),
}

/// A statement that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its first word in capitals, such as `DELETE`.
    pub verb: String,
    /// How many rows it gave or changed, as far as the server says.
    pub rows: Option<u64>,
    /// Whether it is one that changes rows, such as `DELETE`.
    pub changed: bool,
}

/// A row: one value for each column, as the server writes it.
#[derive(Debug)]
pub struct Row(SimpleQueryRow);

impl Row {
    /// The values in the order of the columns; `None` is NULL.
    ///
    /// # Errors
    ///
    /// One is no UTF-8, as it may be in a database that has no encoding (`SQL_ASCII`).
    pub fn values(&self) -> Result<Vec<Option<&str>>> {
        let value = |at: usize| {
            self.0.try_get(at).map_err(|_| {
                let name = self.0.columns().get(at).map_or("", |column| column.name());
                Error::target(format!("a value of the column {name} is no UTF-8"))
                    .with_help("ask for its bytes instead, as convert_to(…) gives them")
            })
        };
        (0..self.0.len()).map(value).collect()
    }
}

/// A statement that is still to be run, and what its columns hold where that is known already.
struct Waiting {
    statement: Statement,
    kinds: Option<Vec<Kind>>,
}

struct Running {
    statement: Statement,
    kinds: Vec<Kind>,
    stream: Stream,
}

enum Stream {
    Rows(Pin<Box<SimpleQueryStream>>),
    Copy(Pin<Box<CopyOutStream>>),
}

impl Answer {
    pub(super) async fn begin(query: &Query, target: &Target) -> Result<Self> {
        let database = Database::open(target).await?;
        let (session, statements) = Session::begin(query, &database).await?;
        let mut waiting = VecDeque::with_capacity(statements.len());
        for statement in statements {
            let kinds = match session.describes_before() {
                true => session.describe(&statement).await?,
                false => None,
            };
            waiting.push_back(Waiting { statement, kinds });
        }
        if session.describes_before() {
            session.hold().await?;
        }
        Ok(Self {
            running: None,
            waiting,
            is_in_block: false,
            is_first: true,
            session,
            _database: database,
        })
    }

    /// Whether no statement was run before the one that runs, or ran last.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether none is to be run after it.
    pub fn is_last(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a transaction is open that a statement has begun.
    pub fn is_in_block(&self) -> bool {
        self.is_in_block
    }

    /// Whether what runs may commit something before its end, as `VACUUM` and procedures do.
    pub fn may_commit_on_its_way(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.statement.may_commit())
    }

    /// Waits for the next piece; none comes after the end of the last statement.
    ///
    /// # Errors
    ///
    /// The server refuses a statement, or the connection is lost. Nothing comes after that.
    pub async fn next(&mut self) -> Result<Option<Piece>> {
        let running = match &mut self.running {
            Some(running) => running,
            empty => {
                let Some(waiting) = self.waiting.pop_front() else {
                    self.session.end().await?;
                    return Ok(None);
                };
                empty.insert(Running::begin(&self.session, waiting).await?)
            }
        };
        let piece = running.next(&self.session).await?;
        if let Piece::Done(_) = piece {
            self.is_in_block = running.statement.leaves_open(self.is_in_block);
            self.is_first = false;
            self.running = None;
        }
        Ok(Some(piece))
    }
}

impl Running {
    async fn begin(session: &Session, waiting: Waiting) -> Result<Self> {
        let Waiting { statement, kinds } = waiting;
        if statement.purpose() == Purpose::CopiesOut {
            let stream = Stream::Copy(Box::pin(session.copy(&statement).await?));
            return Ok(Self { statement, kinds: Vec::new(), stream });
        }
        let kinds = match kinds {
            Some(kinds) => kinds,
            None if session.describes_before() => Vec::new(),
            None => session.describe(&statement).await?.unwrap_or_default(),
        };
        let stream = Stream::Rows(Box::pin(session.rows(&statement).await?));
        Ok(Self { statement, kinds, stream })
    }

    async fn next(&mut self, session: &Session) -> Result<Piece> {
        let Self { statement, kinds, stream } = self;
        let failed = |error| session.refused(error, statement);
        let done = |rows| {
            let verb = statement.verb().to_owned();
            Ok(Piece::Done(Done { verb, rows, changed: statement.counts() }))
        };
        let stream = match stream {
            Stream::Copy(stream) => {
                return match stream.try_next().await.map_err(failed)? {
                    Some(bytes) => Ok(Piece::Copied(bytes)),
                    None => done(None),
                };
            }
            Stream::Rows(stream) => stream,
        };
        loop {
            return match stream.try_next().await.map_err(failed)? {
                Some(SimpleQueryMessage::RowDescription(columns)) => {
                    let named = columns.iter().enumerate().map(|(at, column)| Column {
                        name: column.name().to_owned(),
                        kind: kinds.get(at).copied().unwrap_or(Kind::Text),
                    });
                    Ok(Piece::Columns(named.collect()))
                }
                Some(SimpleQueryMessage::Row(row)) => Ok(Piece::Row(Row(row))),
                Some(SimpleQueryMessage::CommandComplete(rows)) => {
                    // What is left is that the server is ready for more.
                    while stream.try_next().await.map_err(failed)?.is_some() {}
                    done(session.counted(statement, rows))
                }
                Some(_) => continue,
                None => done(None),
            };
        }
    }
}
