//! Silence: a server that does not answer is asked over another connection why, which tells one that works from a line
//! that is dead.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::select;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::database::is_answer;
use super::link::Link;
use super::session::Process;
use super::{Database, failed};
use crate::error::{Error, Result};

/// How long a server may say nothing while an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// After so long, and as often again, the server is asked over another connection what it does; a warning tells that.
    /// If it says twice that it waits for us, the first connection is taken for broken.
    pub told_after: Duration,
    /// After so long the connection is taken for broken, unless the server answers on another one.
    pub broken_after: Duration,
}

impl Default for Silence {
    fn default() -> Self {
        let (told_after, broken_after) = (Duration::from_secs(10), Duration::from_secs(60));
        Self { told_after, broken_after }
    }
}

/// A connection, and its pulse if it has one: the embedded database does not fall silent.
#[derive(Debug)]
pub(crate) struct Connected {
    pub client: Client,
    pub(super) pulse: Option<Pulse>,
}

impl Connected {
    /// A connection that `connect` makes.
    pub(super) async fn by(connect: impl Future<Output = Result<Client>>) -> Result<Self> {
        let connected = async {
            let client = connect.await?;
            Ok(Self { client, pulse: MAKING.with(|making| making.take()) })
        };
        MAKING.scope(RefCell::default(), connected).await
    }
}

/// When something last went over a connection, and the means to cut it.
#[derive(Debug, Clone)]
pub(crate) struct Pulse {
    since: Instant,
    /// Milliseconds from then until something last went over it.
    last: Arc<AtomicU64>,
    task: Option<AbortHandle>,
}

tokio::task_local! {
    /// Where the pulse of a connection goes that is being made: the driver's client does not know it.
    static MAKING: RefCell<Option<Pulse>>;
}

impl Pulse {
    pub fn new() -> Self {
        Self { since: Instant::now(), last: Arc::default(), task: None }
    }

    /// Something went over the connection, or is about to.
    pub fn beat(&self) {
        self.last.store(self.since.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Hands the pulse of a connection, which `task` serves, to who has it made.
    pub fn hand_over(self, task: AbortHandle) {
        let pulse = Self { task: Some(task), ..self };
        // Nobody may want to know.
        let _ = MAKING.try_with(|making| making.replace(Some(pulse)));
    }

    fn last(&self) -> Duration {
        Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn silence(&self) -> Duration {
        self.since.elapsed().saturating_sub(self.last())
    }

    /// Who waits for an answer meets a connection that was closed.
    fn cut(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Listens to a connection as long as an answer is waited for; dropped, it stops.
#[derive(Debug)]
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who serves the connection that is listened to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Served {
    /// Nobody knows; what is asked so early takes no time.
    Unknown,
    /// The process of this number, unless a pooler has made it up.
    Named(i32),
    By(Process),
}

/// Listens to the connection with this `pulse`.
pub(super) fn listen(link: Arc<Link>, pulse: Pulse, served: Served) -> Listening {
    pulse.beat();
    Listening(tokio::spawn(async move {
        let Link { database, silence, .. } = &*link;
        let is_scarce = || link.is_scarce();
        Listener { database, silence: *silence, is_scarce, pulse, served }.run().await;
    }))
}

/// Listens to a connection of no load with this `pulse` while it does `work`, which may take any time.
pub(crate) async fn listening<T>(
    database: &Database,
    pulse: Option<Pulse>,
    process: Option<i32>,
    work: impl Future<Output = T>,
) -> T {
    let Some(pulse) = pulse else { return work.await };
    pulse.beat();
    let (silence, served) = (Silence::default(), Served::Named(process.unwrap_or_default()));
    let listener = Listener { database, silence, is_scarce: || false, pulse, served };
    let mut work = pin!(work);
    select! {
        done = &mut work => return done,
        () = listener.run() => {}
    }
    work.await
}

struct Listener<'a, F> {
    database: &'a Database,
    silence: Silence,
    /// Whether no more connections were to be had.
    is_scarce: F,
    pulse: Pulse,
    served: Served,
}

/// How long the server has to say why it does not answer, before it is told that it doesn't.
const WHY: Duration = Duration::from_secs(1);

/// What comes of asking over another connection.
enum Found {
    /// The server is at work, or waits for something.
    Busy(String),
    /// It has nothing to do for us.
    Idle,
    /// It has no such process any more.
    Gone,
    /// It answers, but can't tell.
    Unknown(String),
    /// There is no answer at all.
    Nothing(Error),
}

impl<F: Fn() -> bool> Listener<'_, F> {
    /// Listens until the connection is cut.
    async fn run(self) {
        let Silence { told_after, broken_after } = self.silence;
        // How often the server has said that it waits for us, and what was told.
        let (mut waits, mut told) = (0, String::new());
        loop {
            let last = self.pulse.last();
            let left = told_after.saturating_sub(self.pulse.silence());
            if !left.is_zero() {
                (waits, told) = (0, String::new());
                sleep(left).await;
                continue;
            }
            let mut look = pin!(self.look());
            let found = match timeout(WHY, &mut look).await {
                Ok(found) => found,
                Err(_) => {
                    if told.is_empty() {
                        told = self.tell("it is asked why over another connection".to_owned());
                    }
                    look.await
                }
            };
            if self.pulse.last() != last {
                continue;
            }
            let is_long = self.pulse.silence() >= broken_after;
            let (what, is_broken) = match found {
                Found::Busy(what) => (what, false),
                Found::Unknown(what) => (what, is_long && matches!(self.served, Served::Unknown)),
                Found::Idle => {
                    waits += 1;
                    let is_sure = waits > 1 && matches!(self.served, Served::By(_));
                    ("it waits for us: the line may be dead".to_owned(), is_sure)
                }
                Found::Gone => ("it has ended the session".to_owned(), true),
                Found::Nothing(error) => {
                    let cause = error.causes();
                    (format!("it does not answer on another connection either ({cause})"), is_long)
                }
            };
            if told != what {
                told = self.tell(what);
            }
            if is_broken {
                tracing::warn!("the connection to {} is taken for broken", self.database);
                self.pulse.cut();
                return;
            }
            sleep(told_after).await;
        }
    }

    fn tell(&self, what: String) -> String {
        let seconds = self.pulse.silence().as_secs();
        tracing::warn!("{} has not answered for {seconds} s: {what}", self.database);
        what
    }

    async fn look(&self) -> Found {
        let limit = self.silence.broken_after;
        let asked = timeout(limit, self.ask()).await;
        let error = match asked {
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => error,
            Err(_) => Error::target("").because(format!("no answer in {} s", limit.as_secs())),
        };
        // Who has no other connection to give is there, though it may be a pooler that lets us wait.
        match is_answer(&error) || (self.is_scarce)() {
            true => {
                let cause = error.causes();
                Found::Unknown(format!("no other connection is to be had to ask why ({cause})"))
            }
            false => Found::Nothing(error),
        }
    }

    async fn ask(&self) -> Result<Found> {
        let unknown = || Ok(Found::Unknown("it answers on another connection".to_owned()));
        let client = self.database.connect().await?;
        let (id, since, server_since) = match self.served {
            Served::Unknown => return unknown(),
            Served::Named(id) => (id, None, None),
            Served::By(Process { id, since, server_since }) => {
                (id, Some(since), Some(server_since))
            }
        };
        let query = include_str!("../sql/silence.sql");
        let row = match client.query_one(query, &[&id, &since, &server_since]).await {
            Ok(row) => row,
            // Not every server has what PostgreSQL knows of itself.
            Err(cause) if cause.as_db_error().is_some() => return unknown(),
            Err(cause) => {
                return Err(failed(format!("can't ask {} what it does", self.database), cause));
            }
        };
        if !row.get::<_, bool>("same_server") {
            return Ok(Found::Unknown("another server answers on another connection".to_owned()));
        }
        let found: Option<SystemTime> = row.get("backend_start");
        if found.is_none() {
            return if since.is_some() { Ok(Found::Gone) } else { unknown() };
        }
        let [state, kind, event] = ["state", "wait_event_type", "wait_event"]
            .map(|column| row.get::<_, Option<String>>(column).unwrap_or_default());
        let holder: Option<String> = row.get("holder");
        Ok(match (&*state, &*kind, &*event) {
            (_, "Lock", _) => Found::Busy(format!(
                "it waits for a lock, which is held by {}",
                holder.as_deref().unwrap_or("another session")
            )),
            (_, _, "SyncRep") => {
                Found::Busy("it waits for a synchronous standby (synchronous_standby_names)".into())
            }
            ("active", "Client", _) | ("idle" | "idle in transaction", ..) => Found::Idle,
            ("idle in transaction (aborted)", ..) => Found::Idle,
            ("active", ..) => Found::Busy("it works on a statement".to_owned()),
            _ => return unknown(),
        })
    }
}
