//! The command line: a thin shell over the library.
//!
//! `args` (what was typed) over `layers` (environment, file) → `settings` (what it means) → one file a command.

mod args;
mod check;
mod create;
mod display;
mod failure;
mod figures;
mod file;
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
mod summary;
mod target;

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::select;
use tokio::time::timeout;

use self::failure::Failure;
use self::settings::{Job, Settings};

/// How long an interrupted job may take to let go of what it holds; the exit comes within two seconds.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Does what the command line says.
pub fn run() -> Result<ExitCode, Failure> {
    let line: Vec<_> = std::env::args_os().collect();
    let environment = layers::environment();
    let Settings { job, front } =
        Settings::new(layers::arguments(&line, &environment)?, &environment)?;
    let bars = logging::start(front);

    let runtime = Runtime::new().map_err(Failure::Start)?;
    let outcome = runtime.block_on(async {
        let if_interrupted = job.if_interrupted();
        let interrupted = signals::listen().map_err(Failure::Start)?;
        let mut task = tokio::spawn(async move {
            match job {
                Job::Load(job) => load::run(job, front, bars).await,
                Job::Create(job) => create::run(job).await,
                Job::Query(job) => query::run(job).await,
                Job::Check(job) => check::run(job).await,
                Job::History(job) => history::run(job).await,
            }
        });
        select! {
            done = &mut task => done.unwrap_or_else(|error| resume_unwind(error.into_panic())),
            () = interrupted => {
                let said = if_interrupted();
                task.abort();
                let _ = timeout(GOODBYE, task).await;
                Err(Failure::Interrupted(said))
            }
        }
    });
    // What still runs is of no use to anyone.
    runtime.shutdown_background();
    outcome
}
