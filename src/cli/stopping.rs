//! Stopping: what a job that asks servers does when a signal comes.

use std::error::Error as _;
use std::process::ExitCode;
use std::time::Duration;

use sparkload::{Error, Interrupt};
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::{DbError, SqlState};

use super::failure::Failure;

/// How long a server has to answer when it is told to cancel a statement: most do in milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is told, as another statement may have begun meanwhile.
const AGAIN: Duration = Duration::from_millis(100);

/// When whoever waits is told what for.
const SILENCE: Duration = Duration::from_secs(1);

/// How a job went.
pub enum Ended<T> {
    /// No signal came.
    Undisturbed(T),
    /// It ended so after one had come.
    Stopped(T),
    /// It did not end in time.
    Unanswered,
}

/// Waits for `job`. When `stop` completes, servers are told to cancel what they do for it, and `patience` says how long it
/// may take until it ends.
pub async fn until<T>(
    job: impl Future<Output = T>,
    interrupt: &Interrupt,
    stop: impl Future,
    patience: impl FnOnce() -> Duration,
) -> Ended<T> {
    let mut job = std::pin::pin!(job);
    select! {
        done = &mut job => return Ended::Undisturbed(done),
        _ = stop => {}
    }
    let cancel = async {
        loop {
            interrupt.cancel().await;
            sleep(AGAIN).await;
        }
    };
    let tell = async {
        sleep(SILENCE).await;
        tracing::warn!(
            "waiting until the statement is cancelled; another signal ends this at once"
        );
        std::future::pending::<()>().await;
    };
    let ended = async {
        select! {
            done = job => done,
            () = cancel => unreachable!("it goes on until the job ends"),
            () = tell => unreachable!("it waits until the job ends"),
        }
    };
    match timeout(patience(), ended).await {
        Ok(done) => Ended::Stopped(done),
        Err(_) => Ended::Unanswered,
    }
}

/// Does a job that only asks servers; stopped, it says what that means.
pub async fn or_cancel(
    job: impl Future<Output = Result<ExitCode, Failure>>,
    interrupt: &Interrupt,
    stop: oneshot::Receiver<()>,
    Meaning { cancelled, done, unknown }: Meaning,
) -> Result<ExitCode, Failure> {
    // Where there is no connection, nothing was asked yet, or there is nothing that could be stopped.
    let patience = || if interrupt.is_connected() { PATIENCE } else { Duration::ZERO };
    Err(Failure::Interrupted(match until(job, interrupt, stop, patience).await {
        Ended::Undisturbed(done) => return done,
        Ended::Stopped(Ok(_)) => done,
        Ended::Stopped(Err(Failure::Error(error))) if is_cancelled(&error) => cancelled,
        Ended::Unanswered if !interrupt.is_connected() => cancelled,
        Ended::Stopped(Err(_)) | Ended::Unanswered => unknown,
    }))
}

/// What it means that a job was stopped.
pub struct Meaning {
    /// The server has cancelled it, or it had not begun.
    pub cancelled: &'static str,
    /// It was done before that.
    pub done: &'static str,
    /// The server has not said.
    pub unknown: &'static str,
}

/// Whether a statement failed because it was told to.
pub fn is_cancelled(error: &Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        let code = cause.downcast_ref::<DbError>().map(DbError::code);
        if code == Some(&SqlState::QUERY_CANCELED) || cause.to_string().contains("(SQLSTATE 57014)")
        {
            return true;
        }
        next = cause.source();
    }
    false
}
