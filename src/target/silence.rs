//! Silence: a server that does not answer is asked over another connection why, which tells one that works from a line
//! that is dead.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use super::database::is_answer;
use super::failed;
use super::session::{Link, Process};
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

/// Listens to the connection with this `pulse`, which the server's `process` serves, if that is known.
pub(super) fn listen(link: Arc<Link>, pulse: Pulse, process: Option<Process>) -> Listening {
    pulse.beat();
    Listening(tokio::spawn(Listener { link, pulse, process, waits: 0, told: String::new() }.run()))
}

struct Listener {
    link: Arc<Link>,
    pulse: Pulse,
    process: Option<Process>,
    /// How often the server has said that it waits for us.
    waits: u32,
    /// What the user was told.
    told: String,
}

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

impl Listener {
    async fn run(mut self) {
        let Silence { told_after, broken_after } = self.link.silence;
        loop {
            let last = self.pulse.last();
            let left = told_after.saturating_sub(self.pulse.silence());
            if !left.is_zero() {
                (self.waits, self.told) = (0, String::new());
                sleep(left).await;
                continue;
            }
            let found = self.look().await;
            if self.pulse.last() != last {
                continue;
            }
            let is_long = self.pulse.silence() >= broken_after;
            let (what, is_broken) = match found {
                // Before the process is known, there are but questions that take no time.
                Found::Busy(what) | Found::Unknown(what) => {
                    (what, is_long && self.process.is_none())
                }
                Found::Idle => {
                    self.waits += 1;
                    ("it waits for us: the line may be dead".to_owned(), self.waits > 1)
                }
                Found::Gone => ("it has ended the session".to_owned(), true),
                Found::Nothing(error) => {
                    (format!("nor on another connection: {}", error.causes()), is_long)
                }
            };
            self.tell(what);
            if is_broken {
                tracing::warn!("the connection to {} is taken for broken", self.link.database);
                self.pulse.cut();
                return;
            }
            sleep(told_after).await;
        }
    }

    fn tell(&mut self, what: String) {
        if self.told != what {
            let seconds = self.pulse.silence().as_secs();
            tracing::warn!("{} has not answered for {seconds} s: {what}", self.link.database);
            self.told = what;
        }
    }

    async fn look(&self) -> Found {
        let limit = self.link.silence.broken_after;
        let asked = timeout(limit, self.ask()).await;
        let error = match asked {
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => error,
            Err(_) => Error::target("").because(format!("no answer in {} s", limit.as_secs())),
        };
        // Who has no other connection to give is there, though it may be a pooler that lets us wait.
        match is_answer(&error) || self.link.is_scarce() {
            true => {
                Found::Unknown(format!("no other connection is to be had to ask why ({error})"))
            }
            false => Found::Nothing(error),
        }
    }

    async fn ask(&self) -> Result<Found> {
        let Link { database, .. } = &*self.link;
        let client = database.connect().await?;
        let Some(process) = self.process else {
            return Ok(Found::Unknown("it answers on another connection".to_owned()));
        };
        let what = |cause| failed(format!("can't ask {database} what it does"), cause);
        let query = include_str!("../sql/silence.sql");
        let Process { id, since, server_since } = process;
        let row = client.query_one(query, &[&id, &since, &server_since]).await.map_err(what)?;
        if !row.get::<_, Option<bool>>("same_server").unwrap_or_default() {
            return Ok(Found::Unknown("another server answers on another connection".to_owned()));
        }
        let found: Option<SystemTime> = row.get("backend_start");
        if found.is_none() {
            return Ok(Found::Gone);
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
            _ => Found::Unknown("it answers on another connection".to_owned()),
        })
    }
}
