//! What may stand between us and the server: a pooler, which may lend a session to a client for one transaction only.
//!
//! A load lives in its sessions: their locks keep other loads out and show that it lives, and they are gone with it. Where
//! a pooler gives every transaction another session, the locks, and all else that a session keeps, end up with other
//! clients. So it is found out before anything is left in a session, and such a pooler is refused.

use futures::future::try_join;
use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::server::process;
use super::session::SOON;
use super::silence::Connected;
use super::{Database, failed};
use crate::error::{Error, Result};

/// What stands between.
pub(super) enum Between {
    /// The server itself answers.
    Nothing,
    /// A pooler that keeps a session for each client. To find that out took a second connection, if one was to be had.
    Pooler(Result<Connected>),
}

impl Between {
    /// Leaves nothing in the session of `client`, if it goes back to a pooler, which may lend it to another client as it
    /// is.
    pub async fn forget(&self, client: &Client) {
        if matches!(self, Self::Pooler(_)) {
            forget(client).await;
        }
    }
}

/// Clears a session that goes back to a pooler.
pub(super) async fn forget(client: &Client) {
    if let Err(error) = client.batch_execute("DISCARD ALL").await {
        tracing::debug!(%error, "can't clear a session of a pooler");
    }
}

/// Names the process that answers. It takes a lock and gives it back, which leaves nothing behind; but from then on RDS
/// Proxy, which otherwise pools transactions, keeps the session for its client.
const PROCESS: &str = include_str!("../sql/process_of_pooler.sql");

/// Finds out what stands between us and `database`, over a connection on which nothing was done yet.
///
/// A server gives each connection the number of its process; who names another one is a pooler. An idle pooler gives
/// the same session back, so only two clients at once that meet the same process, or one that meets two, show that it
/// pools transactions or statements.
///
/// # Errors
///
/// It can't be loaded through what stands between.
pub(super) async fn look(database: &Database, first: &Client) -> Result<Between> {
    if !database.is_server() {
        return Ok(Between::Nothing);
    }
    let asked = try_join(serving(database, first), require_no_pgpool(database, first));
    let (serving, ()) = asked.await?;
    if process(first).await == Some(serving) {
        return Ok(Between::Nothing);
    }
    // Poolers lend the sessions in turn, or the one that came back last.
    for _ in 0..3 {
        require_same(database, first, serving).await?;
    }
    let second = match timeout(SOON, Second::connect(database)).await {
        Ok(Ok(second)) if second.process == serving => {
            let both = format!("process {serving} serves two clients at once");
            return Err(refused(database, both));
        }
        Ok(Ok(second)) => second,
        Ok(Err(error)) => return Ok(Between::Pooler(Err(error))),
        Err(_) => {
            let late = format!("no answer in {} seconds", SOON.as_secs());
            let error = Error::target(format!("can't connect to {database} once more"));
            return Ok(Between::Pooler(Err(error.because(late))));
        }
    };
    // As long as the second client's transaction is open, the first can't have its session.
    let what = |cause| failed(format!("can't begin a session with {database}"), cause);
    let Second { connected, process } = second;
    let client = &connected.client;
    let begun = ask(client, "BEGIN; SELECT pg_backend_pid()").await;
    let kept = match begun {
        Ok(begun) if begun == Some(process) => require_same(database, first, serving).await,
        Ok(begun) => Err(met_two(database, process, begun.unwrap_or_default())),
        Err(cause) => match cause.as_db_error() {
            Some(reply) if reply.message().contains("statement pooling") => {
                return Err(refused(database, reply.to_string()));
            }
            _ => return Err(what(cause)),
        },
    };
    // A pooler ends the session of a client that goes in the middle of a transaction.
    client.batch_execute("ROLLBACK").await.map_err(what)?;
    kept?;
    Ok(Between::Pooler(Ok(connected)))
}

/// Another client, and the process that serves it.
struct Second {
    connected: Connected,
    process: i32,
}

impl Second {
    async fn connect(database: &Database) -> Result<Self> {
        let connected = database.connect_with_pulse().await?;
        let process = serving(database, &connected.client).await?;
        Ok(Self { connected, process })
    }
}

async fn require_same(database: &Database, client: &Client, process: i32) -> Result<()> {
    let other = serving(database, client).await?;
    if other == process {
        return Ok(());
    }
    Err(met_two(database, process, other))
}

/// The error of a client that was served by two processes.
fn met_two(database: &Database, one: i32, other: i32) -> Error {
    refused(database, format!("the processes {one} and {other} have served one client"))
}

/// The process that serves `client`, for now.
async fn serving(database: &Database, client: &Client) -> Result<i32> {
    let what = |cause| failed(format!("can't begin a session with {database}"), cause);
    ask(client, PROCESS).await.map_err(what)?.ok_or_else(|| nonsense(database))
}

/// Asks by a plain text: a prepared statement would be left in the session.
async fn ask(client: &Client, query: &str) -> Result<Option<i32>, tokio_postgres::Error> {
    let answer = client.simple_query(query).await?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    }))
}

fn nonsense(database: &Database) -> Error {
    Error::target(format!("can't begin a session with {database}"))
        .because("the answer makes no sense")
}

/// The error of a pooler that pools transactions or statements.
fn refused(database: &Database, because: String) -> Error {
    let what = format!(
        "{database} is a pooler in transaction or statement mode, and a load needs sessions"
    );
    Error::target(what).because(because).with_help(
        "connect to the server itself, or to the pooler's session mode: port 5432 instead of 6543 at Supabase, the host \
         without `-pooler` at Neon, `pool_mode = session` in PgBouncer, `pool \"session\"` in Odyssey",
    )
}

/// Refuses pgpool, which passes the server's own process on, but no COPY from a client that prepares it. Asking it what
/// it is leaves a line in the log of a server that it does not stand before.
async fn require_no_pgpool(database: &Database, client: &Client) -> Result<()> {
    let version = match client.simple_query("SHOW pool_version").await {
        Ok(answer) => answer,
        Err(cause) if cause.as_db_error().is_some() => return Ok(()),
        Err(cause) => return Err(failed(format!("can't begin a session with {database}"), cause)),
    };
    let version = version.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let what = format!("{database} is a pgpool, which a load can't go through");
    let version = version.unwrap_or("of an unknown version");
    Err(Error::target(what)
        .because(format!("pgpool-II {version} passes no rows on that are sent by COPY"))
        .with_help("connect to the server behind it: `SHOW pool_nodes` lists host and port"))
}

/// What to do about what a pooler refuses, whoever asks and however often.
pub(super) fn help(reply: &DbError) -> Option<&'static str> {
    let says = |text: &str| reply.message().contains(text);
    Some(if says("unsupported startup parameter") {
        "leave it out of the target (`options`, PGOPTIONS) and set it for the role (ALTER ROLE … SET …), or have the \
         pooler pass it over (PgBouncer's ignore_startup_parameters)"
    } else if says("no such database") {
        "name a database that the pooler knows ([databases] in pgbouncer.ini)"
    } else {
        return None;
    })
}
