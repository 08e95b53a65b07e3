//! The locks of a load: one keeps a second load of the schema out, the other shows that a load lives.
//!
//! The first is held by one connection and gone with it, though only for a moment, as a session connects again. The
//! second is shared by all sessions of a load: while any of them is connected, nobody takes its tables for left behind.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{failed, leftover};
use crate::error::{Error, Result};

/// How often it is looked whether another load has ended. To wait in the lock's queue instead would hold a snapshot,
/// and vacuum up, for as long.
const LOOK: Duration = Duration::from_millis(500);

/// How long a lock that another load holds is waited for in any case. That load may have been killed: a server that is at work
/// for it looks for its client every second ([`session`](super::session) has it do so), if it can.
const GRACE: Duration = Duration::from_secs(3);

/// How long a load that has lost its lock tries to get it back: another one that looks in lets go in milliseconds.
const RETAKE: Duration = Duration::from_secs(2);

/// The name of the lock that keeps a second load out.
const SCHEMA: &str = "sparkload";
/// The name of the lock that shows that a load lives; session.sql takes it.
const LIVES: &str = "sparkload loading";

/// Waiting for another load to end.
pub(super) struct Patience {
    until: Option<Instant>,
    told: bool,
}

/// Later than anyone waits.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(10 * 365 * 24 * 3600)
}

impl Patience {
    /// At most `wait` from now on.
    pub fn new(wait: Option<Duration>) -> Self {
        // Longer than a clock can count is for ever.
        let until = |wait| Instant::now().checked_add(wait).unwrap_or_else(far_away);
        Self { until: wait.map(until), told: false }
    }

    /// At most `wait` from now on, if that is given, for other loads into the same schema.
    pub fn with_loads(wait: Option<Duration>) -> Self {
        Self { told: wait.is_none(), ..Self::new(Some(wait.unwrap_or(GRACE))) }
    }

    /// As long as a load that has lost its lock tries to get it back.
    pub fn short() -> Self {
        Self::new(Some(RETAKE))
    }

    /// Waits a moment.
    ///
    /// # Errors
    ///
    /// The error `busy` when the time is over.
    pub async fn wait(&mut self, busy: Error) -> Result<()> {
        let now = Instant::now();
        let Some(until) = self.until.filter(|until| now < *until) else { return Err(busy) };
        if !self.told {
            let cause = std::error::Error::source(&busy).map(ToString::to_string);
            tracing::info!(because = cause, "{busy}, waiting until it is done");
            self.told = true;
        }
        sleep(LOOK.min(until - now)).await;
        Ok(())
    }
}

/// Locks `schema` until the connection ends; returns the private schemas that this role's loads which live no more have
/// left behind, locked as well, and `loading` itself if it was made before a connection broke. What else looks like one
/// is warned of.
///
/// # Errors
///
/// Another load works on the schema and does not end in time.
pub(super) async fn take(
    client: &Client,
    schema: &str,
    loading: &str,
    patience: &mut Patience,
) -> Result<Vec<String>> {
    loop {
        let holder = if try_lock(client, SCHEMA, schema).await? {
            match take_left_behind(client, schema).await? {
                Ok(left_behind) => {
                    // The other sessions of this load are to share its lock.
                    if left_behind.iter().any(|name| name == loading) {
                        unlock(client, LIVES, loading).await?;
                    }
                    return Ok(left_behind);
                }
                Err(living) => {
                    let holder = holder(client, LIVES, &living).await?;
                    // It has lost its lock for a moment, and will want it back.
                    unlock(client, SCHEMA, schema).await?;
                    holder
                }
            }
        } else {
            holder(client, SCHEMA, schema).await?
        };
        patience.wait(busy(schema, holder)).await?;
    }
}

/// Locks `schema` once more, for a load whose connection broke.
///
/// # Errors
///
/// Another load has taken it meanwhile.
pub(super) async fn take_again(client: &Client, schema: &str) -> Result<()> {
    let deadline = Instant::now() + RETAKE;
    while !try_lock(client, SCHEMA, schema).await? {
        if Instant::now() > deadline {
            return Err(busy(schema, holder(client, SCHEMA, schema).await?));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Locks all private schemas that are left behind, or returns one whose load lives.
async fn take_left_behind(client: &Client, schema: &str) -> Result<Result<Vec<String>, String>> {
    let found = leftover::find(client, schema).await?;
    for (number, name) in found.own.iter().enumerate() {
        if !try_lock(client, LIVES, name).await? {
            for name in &found.own[..number] {
                unlock(client, LIVES, name).await?;
            }
            return Ok(Err(name.clone()));
        }
    }
    found.warn();
    Ok(Ok(found.own))
}

async fn try_lock(client: &Client, lock: &str, schema: &str) -> Result<bool> {
    let what = |cause| failed(format!("can't lock the schema {schema}"), cause);
    const TRY: &str = "SELECT pg_try_advisory_lock(hashtext($1), hashtext($2))";
    Ok(client.query_one(TRY, &[&lock, &schema]).await.map_err(what)?.get(0))
}

async fn unlock(client: &Client, lock: &str, schema: &str) -> Result<()> {
    let what = |cause| failed(format!("can't unlock the schema {schema}"), cause);
    const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtext($1), hashtext($2))";
    client.query_one(UNLOCK, &[&lock, &schema]).await.map(drop).map_err(what)
}

async fn holder(client: &Client, lock: &str, schema: &str) -> Result<String> {
    let what = |cause| failed(format!("can't ask who has locked the schema {schema}"), cause);
    let query = include_str!("../sql/lock_holder.sql");
    let row = client.query_opt(query, &[&lock, &schema]).await.map_err(what)?;
    Ok(row.map_or_else(|| "it has just ended".to_owned(), |row| row.get(0)))
}

fn busy(schema: &str, holder: String) -> Error {
    Error::target(format!("another load works on the schema {schema}"))
        .because(holder)
        .with_help("wait until it is done, then run this one again")
}
