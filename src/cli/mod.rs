//! The command line: a thin shell over the library.
//!
//! `args` (what was typed) over `layers` (environment, file) → `settings` (what it means) → one file a command.

mod args;
mod bench;
mod check;
#[cfg(feature = "cluster")]
mod cluster;
mod cluster_args;
mod create;
mod display;
mod dwh;
mod failure;
mod figures;
mod file;
mod generate;
mod history;
mod layers;
mod load;
mod logging;
mod nearest;
mod options;
mod output;
mod pace;
mod query;
mod settings;
mod signals;
mod size;
mod stopping;
mod summary;
mod sweep;
mod target;

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::select;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio::time::timeout;

use self::failure::Failure;
use self::settings::{Job, Settings};
use self::signals::Signals;

/// How long an interrupted job may take to let go of what it holds (a load takes 1.2 seconds at most); the exit comes
/// within two seconds. What asks servers has its own patience with them.
const GOODBYE: Duration = Duration::from_millis(1700);

/// Does what the command line says.
pub fn run() -> Result<ExitCode, Failure> {
    let line: Vec<_> = std::env::args_os().collect();
    let environment = layers::environment();
    let Settings { job, front, by_environment, unread } =
        Settings::new(layers::arguments(&line, &environment)?, &environment)?;
    let bars = logging::start(front);
    if let Some(said) = by_environment {
        tracing::info!("{said}");
    }
    if let Some(said) = unread {
        tracing::warn!("{said}");
    }

    let runtime = Runtime::new().map_err(Failure::Start)?;
    let outcome = runtime.block_on(async {
        let if_interrupted = job.if_interrupted();
        let goodbye = if job.asks_servers() { 2 * stopping::PATIENCE } else { GOODBYE };
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        let (stop, stopped) = oneshot::channel();
        let mut task = tokio::spawn(async move {
            match job {
                Job::Load(job) => load::run(job, front, bars, stopped).await,
                Job::Create(job) => create::run(job, stopped).await,
                Job::Query(job) => query::run(job, stopped).await,
                Job::Check(job) => check::run(job, stopped).await,
                Job::History(job) => history::run(job, stopped).await,
                Job::Generate(job) => or_stop(generate::run(job, front, bars), stopped).await,
                #[cfg(feature = "cluster")]
                Job::Cluster(job) => or_stop(Box::pin(cluster::run(job)), stopped).await,
                Job::Bench(job) => bench::run(job, front, bars, stopped).await,
            }
        });
        select! {
            done = &mut task => return finished(done),
            () = signals.next() => {}
        }
        let said = if_interrupted();
        let _ = stop.send(());
        select! {
            done = timeout(goodbye, &mut task) => match done.map(finished) {
                Ok(Err(Failure::Stopped)) | Err(_) => Err(Failure::Interrupted(said)),
                Ok(outcome) => outcome,
            },
            () = signals.next() => Err(Failure::Interrupted(said)),
        }
    });
    // What still runs is of no use to anyone.
    runtime.shutdown_background();
    outcome
}

/// What the task of a job came to.
fn finished(done: Result<Result<ExitCode, Failure>, JoinError>) -> Result<ExitCode, Failure> {
    done.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// Does a job that has nothing to let go of.
async fn or_stop(
    job: impl Future<Output = Result<ExitCode, Failure>>,
    stop: oneshot::Receiver<()>,
) -> Result<ExitCode, Failure> {
    select! {
        done = job => done,
        _ = stop => Err(Failure::Stopped),
    }
}
