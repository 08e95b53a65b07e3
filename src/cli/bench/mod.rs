//! `sparkload bench`: measures each stage of a load alone and the whole, again and again, and says what came of it.

mod chart;
mod process;
mod report;
mod table;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use futures::FutureExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sparkload::bench::{self, Measured, Subject, Summary};
use sparkload::{Error, Interrupt, Target, read_jsonpaths};
use tokio::select;
use tokio::sync::oneshot;

use self::process::Program;
use self::report::Report;
use super::args::Output;
use super::display::is_live;
use super::failure::Failure;
use super::output;
use super::settings::{Bench, Front};
use super::sweep::{Knob, Sweep};

pub async fn run(
    job: Box<Bench>,
    front: Front,
    bars: MultiProgress,
    mut stop: oneshot::Receiver<()>,
) -> Result<ExitCode, Failure> {
    let mut job = *job;
    let folder = match job.usual_target {
        true => Some(tempfile::Builder::new().prefix("sparkload-bench-").tempdir()),
        false => None,
    };
    let folder = folder.transpose().map_err(Failure::Start)?;
    if let Some(folder) = &folder {
        job.config.target = Target::Embedded(folder.path().join("sparkload.db"));
    }
    if let Some(subject) = job.only {
        return once(job, subject, stop).await;
    }
    let program = Program::new(folder.is_some().then_some(&job.config.target))?;
    let begin = async {
        // A schema that is another's is refused before much is done.
        bench::clear(&job.config).await?;
        bench::server_settings(&job.config.target).await
    };
    let server = select! {
        begun = begin => begun?,
        _ = &mut stop => return Err(Failure::Stopped),
    };
    if let Some(path) = &job.svg {
        // What can't be written is told before much is done; what is there stays until the end.
        let is_new = !path.exists();
        let writable = File::options().write(true).create(true).truncate(false).open(path);
        writable.map_err(|error| unwritable(path, &error))?;
        if is_new {
            fs::remove_file(path).map_err(|error| unwritable(path, &error))?;
        }
    }
    let measured = match rounds(&job, &program, front, &bars, &mut stop).await {
        Ok(measured) => measured,
        Err(failure) => {
            // The next bench does it otherwise.
            let _ = bench::clear(&job.config).await;
            return Err(failure);
        }
    };
    let report = Report::new(&job, server, measured)?;
    if let Some(path) = &job.svg {
        fs::write(path, chart::draw(&report)).map_err(|error| unwritable(path, &error))?;
    }
    match job.output {
        Output::Json => output::json(&report)?,
        Output::Table => table::write(&report)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::config(format!("can't write {}: {error}", path.display()))
}

/// Measures once, in this process.
async fn once(
    job: Bench,
    subject: Subject,
    mut stop: oneshot::Receiver<()>,
) -> Result<ExitCode, Failure> {
    let Bench { mut config, jsonpaths, output, .. } = job;
    if let Some(place) = jsonpaths {
        config.format.jsonpaths = Some(select! {
            read = read_jsonpaths(&place, &config.source.s3) => read?,
            _ = &mut stop => return Err(Failure::Stopped),
        });
    }
    let interrupt = Interrupt::default();
    config.target = config.target.interruptible(&interrupt);
    let measured = bench::measure(&config, subject, stop.map(drop)).await;
    if measured.is_err() {
        // A statement that nobody waits for any more would hold up whoever clears away what is left.
        interrupt.cancel().await;
    }
    let measured = measured?;
    match output {
        Output::Json => output::json(&measured)?,
        Output::Table => table::write_stages(&Summary::all(vec![measured]))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is measured in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    subject: Subject,
    /// An option that differs from the settings.
    with: Option<(Knob, usize)>,
}

impl Step {
    /// Every stage, then the loads of the sweeps.
    fn all(sweeps: &[Sweep]) -> Vec<Self> {
        let mut steps: Vec<_> = Subject::ALL.map(|subject| Self { subject, with: None }).into();
        for Sweep { knob, values } in sweeps {
            for &value in values {
                let with = Some((*knob, value));
                if knob.is_of_reading() {
                    steps.push(Self { subject: Subject::Null, with });
                }
                steps.push(Self { subject: Subject::Load, with });
            }
        }
        steps
    }
}

/// Takes every step once a round, so that whatever disturbs the machine for a while disturbs all of them.
async fn rounds(
    job: &Bench,
    program: &Program,
    front: Front,
    bars: &MultiProgress,
    stop: &mut oneshot::Receiver<()>,
) -> Result<Vec<(Step, Vec<Measured>)>, Failure> {
    let mut steps: Vec<_> =
        Step::all(&job.sweeps).into_iter().map(|step| (step, Vec::new())).collect();
    let total = u64::from(job.runs) * steps.len() as u64;
    let style = ProgressStyle::with_template("{spinner} {pos} of {len} measurements: {msg}")
        .expect("the template is good");
    let bar = match is_live(front) {
        true => bars.add(ProgressBar::new(total).with_style(style)),
        false => ProgressBar::hidden(),
    };
    for run in 1..=job.runs {
        if bar.is_hidden() {
            tracing::info!("run {run} of {}", job.runs);
        }
        for (Step { subject, with }, measured) in &mut steps {
            bar.set_message(match with {
                None => subject.to_string(),
                Some((knob, value)) => {
                    format!("{subject} with {} {}", knob.name(), knob.shown(*value))
                }
            });
            measured.push(program.measure(*subject, *with, bars, stop).await?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(steps)
}
