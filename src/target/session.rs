//! A session: a connection of a load that is made again when it breaks.
//!
//! What a connection was doing when it broke is often not known: the server may have committed and its answer got
//! lost. So each piece of work is a numbered step, and the transaction that does it begins by entering the number
//! into the table `steps` of the private schema. Done again, it meets the number there: it waits while the old
//! transaction is open, and leaves the work be once that was committed.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures::future::join;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::database::is_answer;
use super::link::Link;
use super::silence::{Connected, Listening, Pulse, Served, listen};
use super::{Database, failed, lock};
use crate::error::{Error, Remedy, Result};
use crate::retry::Attempts;

/// A connection that is made again when it breaks, for one user at a time.
///
/// Work whose future is dropped is rolled back, at the latest before the session is used again.
pub(super) struct Session {
    link: Arc<Link>,
    /// The schema whose lock this session holds as long as it is connected.
    locks: Option<String>,
    line: Mutex<Line>,
    /// Does this one's work as well where no connection is to be had for it.
    deputy: Option<Arc<Session>>,
}

#[derive(Default)]
struct Line {
    client: Option<Client>,
    /// That of the client.
    pulse: Option<Pulse>,
    /// As long as an answer may be waited for.
    listening: Option<Listening>,
    /// A transaction may be open.
    unsettled: bool,
    /// The server's processes that serve or have served this session, as far as they may still be there.
    processes: Vec<Process>,
}

/// A process of the server; its id alone may be another's later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pub id: i32,
    pub since: SystemTime,
    /// When the server was started that it belongs to.
    pub server_since: SystemTime,
}

/// How long a connection beside the first one may take, with all attempts, before the load does without it: a server that
/// is far away needs a second or so, and who has none to give away may never answer.
pub(super) const SOON: Duration = Duration::from_secs(3);

/// How long a server may take to end a process that it was told to end; one that is at work looks up within
/// milliseconds.
const FAREWELL: Duration = Duration::from_secs(10);

/// Has a server that is at work for us look for our end of the connection every second, and not only when the work is
/// done: until then it keeps the locks of a load that was killed. PostgreSQL can since version 14, though not on every
/// platform. What was set for the role or the database counts.
const LOOK_FOR_US: &str = "SELECT set_config(name, '1s', false) FROM pg_settings
                           WHERE name = 'client_connection_check_interval' AND setting = '0'";

impl Session {
    /// A session that connects when it is first used, and holds the lock of `schema`: once the load has begun, each new
    /// connection takes it again.
    pub fn locking(link: Arc<Link>, schema: &str) -> Self {
        Self { link, locks: Some(schema.to_owned()), line: Mutex::default(), deputy: None }
    }

    /// Another one, whose work `first` does if no connection is to be had for it.
    pub fn beside(first: &Arc<Self>) -> Self {
        let (link, deputy) = (first.link.clone(), Some(first.clone()));
        Self { link, locks: None, line: Mutex::default(), deputy }
    }

    /// Does `work` in a transaction of its own exactly once, however often the connection breaks. What it says to the
    /// server may be said again; only the last time counts.
    ///
    /// # Errors
    ///
    /// The work fails for good, or too often; nothing of it was committed then, unless the answer to the last of the
    /// commits is what was lost.
    pub async fn once(&self, what: &str, work: &impl Work) -> Result<()> {
        let step = self.link.next_step();
        let begin =
            format!("BEGIN ISOLATION LEVEL READ COMMITTED; INSERT INTO steps VALUES ({step})");
        let mut committing = false;
        let mut tries = self.tries().await;
        loop {
            let attempt = async {
                let client = tries.client().await?;
                match client.batch_execute(&begin).await {
                    Err(cause)
                        if committing && cause.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
                    {
                        let end = client.batch_execute("ROLLBACK").await;
                        return end.map_err(|cause| failed(what, cause));
                    }
                    begun => begun.map_err(|cause| failed(what, cause))?,
                }
                work.run(client).await?;
                committing = true;
                client.batch_execute("COMMIT").await.map_err(|cause| failed(what, cause))
            };
            let done = attempt.await;
            if tries.settle(done).await?.is_some() {
                self.link.done.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// Begins to try something over this session, until [`Tries::settle`] says that it is over.
    pub async fn tries(&self) -> Tries<'_> {
        let attempts = self.link.retry.attempts();
        Tries { session: self, line: self.line.lock().await, attempts }
    }

    /// A connection, as soon as one is to be had; `None` if none is, and another session is to do the work.
    async fn connect(&self, line: &mut Line) -> Result<Option<Client>> {
        if self.deputy.is_none() {
            return self.connect_once(line).await.map(Some);
        }
        let Link { database, retry, scarce, .. } = &*self.link;
        if line.processes.is_empty() && scarce.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut last = None;
        let mut attempts = retry.attempts();
        let soon = timeout(SOON, async {
            loop {
                match self.connect_once(line).await {
                    Err(error) if error.remedy() == Remedy::TryAgain => last = Some(error),
                    connected => return connected.map(Some),
                }
                if !attempts.again().await {
                    return Ok(None);
                }
            }
        });
        let connected = soon.await.unwrap_or(Ok(None))?;
        if connected.is_none() {
            self.link.do_without(&last.unwrap_or_else(|| late(database)));
        }
        Ok(connected)
    }

    async fn connect_once(&self, line: &mut Line) -> Result<Client> {
        let Link { database, .. } = &*self.link;
        // Whatever is said against another connection, the first one was let in.
        let refused = |error: Error| match self.deputy {
            Some(_) => error.with_remedy(Remedy::TryAgain),
            None => error,
        };
        let Connected { client, pulse } = database.connect_with_pulse().await.map_err(refused)?;
        self.link.reached.store(true, Ordering::Relaxed);
        line.listen(&self.link, pulse, None);
        self.link.require_sessions(&client).await?;
        let what = |cause| failed(format!("can't begin a session with {database}"), cause);
        let process = Process::of(&client).await.map_err(what)?;
        line.processes.extend(process);
        line.listen(&self.link, line.pulse.clone(), process);
        line.end_others(&client, &self.link.loading).await?;

        let setup = include_str!("../sql/session.sql");
        let parameters: [&(dyn ToSql + Sync); 1] = [&self.link.loading];
        let (row, looks) =
            join(client.query_one(setup, &parameters), client.batch_execute(LOOK_FOR_US)).await;
        if let Err(error) = looks {
            tracing::debug!(%error, "the server can't look whether we are still there");
        }
        let row = row.map_err(what)?;
        let (lives, exists): (bool, bool) = (row.get(1), row.get(2));
        if self.link.begun.load(Ordering::Relaxed) {
            if !exists || !lives {
                return Err(self.link.lost());
            }
            if let Some(schema) = &self.locks {
                lock::take_again(&client, schema).await?;
            }
        }
        Ok(client)
    }

    /// Leaves nothing in a session that goes back to a pooler, which may lend it to another client as it is.
    pub async fn leave(&self) {
        if let Some(client) = &self.line.lock().await.client {
            self.link.leave(client).await;
        }
    }

    /// Ends the session; returns its client if nothing is open there, and the processes that may hold something.
    pub async fn close(&self) -> (Option<Client>, Vec<Process>) {
        let Line { client, unsettled, processes, .. } =
            std::mem::take(&mut *self.line.lock().await);
        match client {
            Some(client) if !unsettled && !client.is_closed() => (Some(client), Vec::new()),
            _ => (None, processes),
        }
    }
}

/// Work in a transaction that may have to be done again.
pub(super) trait Work: Sync {
    /// Does it, from its beginning, in the transaction that is open on `client`.
    fn run(&self, client: &Client) -> impl Future<Output = Result<()>> + Send;
}

/// What is tried over a session again and again where what stops it may pass. It must find out by itself whether an
/// earlier attempt was committed.
pub(super) struct Tries<'a> {
    session: &'a Session,
    line: MutexGuard<'a, Line>,
    attempts: Attempts,
}

impl Tries<'_> {
    /// Whether the server still answers: what it said last is all there is to know.
    pub fn is_connected(&self) -> bool {
        self.line.client.as_ref().is_some_and(|client| !client.is_closed())
    }

    /// A client without an open transaction; all server processes of earlier attempts have ended.
    ///
    /// # Errors
    ///
    /// There is no connection, for now or at all.
    pub async fn client(&mut self) -> Result<&mut Client> {
        while !self.is_ready().await? {
            let deputy = self.session.deputy.as_deref().expect("the first session gets its own");
            // What this session's last transaction has open would be in the way.
            let processes = std::mem::take(&mut self.line.processes);
            (self.session, self.line) = (deputy, deputy.line.lock().await);
            self.line.processes.splice(0..0, processes);
        }
        let Line { client, unsettled, .. } = &mut *self.line;
        *unsettled = true;
        Ok(client.as_mut().expect("it is connected"))
    }

    /// Connects the session if it isn't, and ends what others have left open; returns whether it is connected.
    async fn is_ready(&mut self) -> Result<bool> {
        let line = &mut *self.line;
        line.listen(&self.session.link, line.pulse.clone(), line.processes.last().copied());
        if line.unsettled {
            line.settle().await;
        }
        match line.client.take().filter(|client| !client.is_closed()) {
            Some(client) => {
                let ended = line.end_others(&client, &self.session.link.loading).await;
                line.client = Some(client);
                ended?;
            }
            // The embedded PostgreSQL takes one connection at a time: the old one is dropped by now.
            None => line.client = self.session.connect(line).await?,
        }
        Ok(line.client.is_some())
    }

    /// Takes down how an attempt went, and waits a while where another one is to follow: then it returns `None`.
    ///
    /// # Errors
    ///
    /// It failed for good, or too often; or the very first connection of the load can't be made, which is more likely
    /// a wrong setting than a server that restarts.
    pub async fn settle<T>(&mut self, attempt: Result<T>) -> Result<Option<T>> {
        let error = match attempt {
            Ok(done) => {
                self.line.unsettled = false;
                self.line.listening = None;
                return Ok(Some(done));
            }
            Err(error) => error,
        };
        self.line.settle().await;
        self.line.listening = None;
        if error.remedy() != Remedy::TryAgain
            || !(self.session.link.reached.load(Ordering::Relaxed) || is_answer(&error))
        {
            return Err(error);
        }
        let cause = error.source().map(ToString::to_string);
        tracing::info!(cause, "{error}, trying again");
        match self.attempts.again().await {
            true => Ok(None),
            false => {
                let cause = self.attempts.explain(error.causes());
                Err(error.because(cause))
            }
        }
    }
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        self.line.listening = None;
    }
}

impl Line {
    /// Listens to the connection with this `pulse`, which `process` serves.
    fn listen(&mut self, link: &Arc<Link>, pulse: Option<Pulse>, process: Option<Process>) {
        let served = process.map_or(Served::Unknown, Served::By);
        self.listening = pulse.clone().map(|pulse| listen(link.clone(), pulse, served));
        self.pulse = pulse;
    }

    /// Rolls back what is open, or gives up the connection.
    async fn settle(&mut self) {
        let Some(client) = &self.client else { return };
        if client.is_closed() || client.batch_execute("ROLLBACK").await.is_err() {
            self.client = None;
        }
        self.unsettled = false;
    }

    /// Ends the processes that have served this session before the one that does now, the last of them.
    async fn end_others(&mut self, client: &Client, loading: &str) -> Result<()> {
        if self.processes.len() > 1 {
            end_processes(client, loading, &self.processes).await?;
            self.processes.drain(..self.processes.len() - 1);
        }
        Ok(())
    }
}

impl Process {
    async fn of(client: &Client) -> Result<Option<Self>, tokio_postgres::Error> {
        let row = client.query_one(include_str!("../sql/process.sql"), &[]).await?;
        let since: Option<SystemTime> = row.get(1);
        Ok(since.map(|since| Self { id: row.get(0), since, server_since: row.get(2) }))
    }
}

/// The error of a server that has not answered in time.
fn late(database: &Database) -> Error {
    Error::target(format!("can't connect to {database} once more"))
        .because(format!("no answer in {} seconds", SOON.as_secs()))
        .with_remedy(Remedy::TryAgain)
}

/// Ends `processes`, as far as they are still the load's, and waits until they are gone: a connection that broke on our
/// side alone would keep its locks, and could still commit. One that a pooler has lent to another client meanwhile has
/// lost the lock of the load in the schema `loading`.
pub(super) async fn end_processes(
    client: &Client,
    loading: &str,
    processes: &[Process],
) -> Result<()> {
    let what = "can't end the server's process of a broken connection";
    let (ids, since): (Vec<i32>, Vec<SystemTime>) =
        processes.iter().map(|process| (process.id, process.since)).unzip();
    let deadline = Instant::now() + FAREWELL;
    let end = include_str!("../sql/end_processes.sql");
    while !client
        .query(end, &[&ids, &since, &loading])
        .await
        .map_err(|it| failed(what, it))?
        .is_empty()
    {
        if Instant::now() > deadline {
            return Err(Error::target(what)
                .because(format!("it is still there after {} s", FAREWELL.as_secs()))
                .with_remedy(Remedy::TryAgain));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::test_server;

    /// The driver ends a COPY twice that is refused before it begins, and takes every answer from then on for that to
    /// the statement after.
    #[tokio::test]
    async fn no_session_goes_on_after_a_refused_copy_unless_its_answers_are_its_own() {
        let database = test_server::server().database();
        for _ in 0..10 {
            let client = database.connect().await;
            client.batch_execute("BEGIN").await.unwrap();
            client.copy_in::<_, Bytes>("COPY missing FROM STDIN").await.map(drop).unwrap_err();
            let mut line = Line { client: Some(client), unsettled: true, ..Line::default() };
            line.settle().await;
            if let Some(client) = line.client {
                assert_eq!(client.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
            }
        }
    }

    /// A pooler lends a session to another client when it has cleared it.
    #[tokio::test]
    async fn a_process_is_ended_as_long_as_it_holds_the_lock_of_the_load() {
        let database = test_server::server().database();
        let (client, other) = (database.connect().await, database.connect().await);
        let process = Process::of(&other).await.unwrap().unwrap();
        let lock = "SELECT pg_advisory_lock_shared(hashtext('sparkload loading'), hashtext($1))";
        other.execute(lock, &[&"another load"]).await.unwrap();
        end_processes(&client, "a load", &[process]).await.unwrap();
        other.execute(lock, &[&"a load"]).await.unwrap();
        end_processes(&client, "a load", &[process]).await.unwrap();
        assert!(other.simple_query("SELECT").await.is_err());
    }
}
