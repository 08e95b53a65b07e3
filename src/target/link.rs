//! The link of a load to its target: how its sessions reach it, and what they share.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio_postgres::Client;

use super::pooler::{self, Between};
use super::silence::Silence;
use super::{Database, failed, quoted};
use crate::error::{Error, Remedy, Result};
use crate::retry::Retry;

/// How the sessions of one load reach the target, and what they share.
pub(super) struct Link {
    pub database: Database,
    /// The private schema, which holds the new tables until they are published.
    pub loading: String,
    pub retry: Retry,
    pub silence: Silence,
    pub next_step: AtomicI64,
    /// How many steps are done.
    pub done: AtomicI64,
    /// A connection was made once: what the settings name is there.
    pub reached: AtomicBool,
    /// What stands between was found out, and lets a load through.
    pub passable: AtomicBool,
    /// Where sessions go back to a pooler, which may leave their state as it is.
    pub pooled: AtomicBool,
    /// No more connections were to be had.
    pub scarce: AtomicBool,
    /// The private schema was made, and is there until the load ends.
    pub begun: AtomicBool,
}

impl Link {
    pub fn new(database: Database, loading: String, retry: Retry, silence: Silence) -> Self {
        Self {
            database,
            loading,
            retry,
            silence,
            next_step: AtomicI64::new(1),
            done: AtomicI64::new(0),
            reached: AtomicBool::new(false),
            passable: AtomicBool::new(false),
            pooled: AtomicBool::new(false),
            scarce: AtomicBool::new(false),
            begun: AtomicBool::new(false),
        }
    }

    /// From now on each new connection must find the private schema; so many steps are `done` in it, and those from
    /// `next_step` on are not.
    pub fn begun(&self, done: i64, next_step: i64) {
        self.done.store(done, Ordering::Relaxed);
        self.next_step.store(next_step, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
    }

    /// The number of another step.
    pub fn next_step(&self) -> i64 {
        self.next_step.fetch_add(1, Ordering::Relaxed)
    }

    /// Sees to it that the server still has every step: one that crashes may lose what it has committed (with
    /// `synchronous_commit = off`), and so may one that takes over from it.
    ///
    /// # Errors
    ///
    /// It has not.
    pub async fn require_all_steps(&self, client: &Client) -> Result<()> {
        let what = |cause| failed("can't count the steps of the load", cause);
        let query = format!("SELECT count(*) FROM {}.steps", quoted(&self.loading));
        let found: i64 = client.query_one(&query, &[]).await.map_err(what)?.get(0);
        let lost = self.done.load(Ordering::Relaxed) - found;
        if lost == 0 {
            return Ok(());
        }
        Err(Error::target(format!("the server has lost {lost} of this load's transactions"))
            .because("it crashed, or another one took over, before they were safe")
            .with_help("run the load again")
            .with_remedy(Remedy::StartOver))
    }

    /// Whether anything may have been done over a connection.
    pub fn is_used(&self) -> bool {
        self.passable.load(Ordering::Relaxed)
    }

    /// Finds out, once, whether sessions of the load are its own, over a connection that is not used yet.
    ///
    /// # Errors
    ///
    /// They are not.
    pub async fn require_sessions(&self, first: &Client) -> Result<()> {
        if self.passable.load(Ordering::Relaxed) {
            return Ok(());
        }
        match pooler::look(&self.database, first).await? {
            Between::Nothing => {}
            Between::Pooler(second) => {
                self.pooled.store(true, Ordering::Relaxed);
                match second {
                    Ok(second) => self.database.spare(second),
                    Err(error) => self.do_without(&error),
                }
            }
        }
        self.passable.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Goes on with the connections that there are, since no more are to be had.
    pub fn do_without(&self, error: &Error) {
        if !self.scarce.swap(true, Ordering::Relaxed) {
            let because = error.causes();
            tracing::warn!(because, "{error}: the load goes on with fewer connections");
        }
    }

    /// Whether no more connections were to be had.
    pub fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Relaxed)
    }

    /// Leaves nothing in the session of `client`, if it goes back to a pooler.
    pub async fn leave(&self, client: &Client) {
        if self.pooled.load(Ordering::Relaxed) {
            pooler::forget(client).await;
        }
    }

    /// The private schema has gone, or is about to.
    pub fn lost(&self) -> Error {
        Error::target(format!("the schema {} of this load is gone", self.loading))
            .because(
                "another load cleared it away while this one had no connection, or the server lost it",
            )
            .with_help("run the load again")
    }
}
