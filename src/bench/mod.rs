//! Benchmarks: each stage of a load alone, and the whole, measured by the code that loads.
//!
//! [`measure`] does one stage once, with the settings of a load, and says what it took. CPU seconds and peak memory
//! are those of the process, so a figure is worth something only if its process has done nothing else:
//! `sparkload bench` starts one for each measurement. [`Summary`] makes medians of several, [`Floor`] says what the
//! parts make possible. `docs/benchmarks.md` defines every figure.

mod checksum;
mod floor;
mod measured;
mod meter;
mod sample;
mod server;
mod subject;
mod summary;
mod work;
mod writing;

use std::sync::Arc;

use tokio::select;
use tokio::task::spawn_blocking;

pub use self::checksum::{TableSum, same_result};
pub use self::floor::{Floor, FloorPart};
pub use self::measured::{Handled, Measured, Took};
use self::meter::Meter;
use self::sample::{Found, Sample};
pub use self::server::server_settings;
pub use self::subject::Subject;
pub use self::summary::{PerSecond, Spread, Summary};
use crate::config::Config;
use crate::encode::Rows;
use crate::error::{Error, Result};
use crate::pipeline::{list, load_until};
use crate::report::Report;
use crate::target::scratch;

/// Does `subject` once and says what it took; what it needs is made ready before the clock starts.
///
/// What writes does so into [`Config::schema`], which is made for it and dropped afterwards. A schema that is there
/// already is refused, unless another measurement has left it.
///
/// # Errors
///
/// Those of [`load`](crate::load), the schema is another's, and one of the kind
/// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) if `stop` completes first; then [`clear`] removes what may
/// be left of it.
pub async fn measure(
    config: &Config,
    subject: Subject,
    stop: impl Future<Output = ()>,
) -> Result<Measured> {
    config.validate()?;
    // The futures are boxed: held in one another they would be too large for a stack.
    match subject {
        Subject::Null => Box::pin(dry_run(config, stop)).await,
        Subject::Load => Box::pin(load(config, stop)).await,
        _ => select! {
            measured = Box::pin(part(config, subject)) => measured,
            () = stop => Err(Error::interrupted("the measurement was interrupted")),
        },
    }
}

/// Drops the schema that measurements with these settings work in, if one of them has left it.
///
/// # Errors
///
/// A setting makes no sense, the target can't be reached, the schema is another's, or another measurement is at work
/// in it.
pub async fn clear(config: &Config) -> Result<()> {
    config.validate()?;
    scratch::remove(&config.target, &config.schema).await
}

/// Measures a stage by itself.
async fn part(config: &Config, subject: Subject) -> Result<Measured> {
    match subject {
        Subject::List => {
            let meter = Meter::start();
            let listed = list(config).await?;
            let took = meter.stop();
            let objects = listed.stage.amounts.iter().map(|amount| amount.count).sum();
            Ok(Measured::new(subject, took, Handled { objects, ..Handled::default() }))
        }
        Subject::Fetch => {
            let found = Found::list(config).await?;
            let meter = Meter::start();
            let bytes = found.fetch(config).await?;
            let handled = Handled { objects: found.objects(), bytes, ..Handled::default() };
            Ok(Measured::new(subject, meter.stop(), handled))
        }
        Subject::Decode | Subject::Parse | Subject::Transform | Subject::Encode => {
            let sample = Found::list(config).await?.sample(config).await?;
            in_memory(config.clone(), subject, Arc::new(sample)).await
        }
        Subject::Copy | Subject::Keys | Subject::Publish => {
            let sample = Found::list(config).await?.sample(config).await?;
            let share = sample.share;
            let rows = encoded(config.clone(), sample).await?;
            let (took, handled) = writing::measure(config, subject, rows).await?;
            Ok(Measured { share, ..Measured::new(subject, took, handled) })
        }
        Subject::Null | Subject::Load => unreachable!("the whole is no part"),
    }
}

/// Measures what one thread does with the `sample`.
async fn in_memory(config: Config, subject: Subject, sample: Arc<Sample>) -> Result<Measured> {
    let work = move || {
        let meter = Meter::start();
        let (records, rows) = match subject {
            Subject::Decode => (work::decode(&sample, &config)?, 0),
            Subject::Parse => (work::parse(&sample, &config)?, 0),
            Subject::Transform => (work::transform(&sample, &config)?, 0),
            _ => {
                let mut rows = 0;
                let records = work::encode(&sample, &config, |run| rows += run.count)?;
                (records, rows)
            }
        };
        let took = meter.stop();
        let handled = Handled { objects: sample.objects(), bytes: sample.bytes, records, rows };
        Ok(Measured { share: sample.share, ..Measured::new(subject, took, handled) })
    };
    spawn_blocking(work).await.expect("the work does not panic")
}

/// The rows that come of the `sample`.
async fn encoded(config: Config, sample: Sample) -> Result<Vec<Rows>> {
    let work = move || {
        let mut rows = Vec::new();
        work::encode(&sample, &config, |run| rows.push(run))?;
        Ok(rows)
    };
    spawn_blocking(work).await.expect("the work does not panic")
}

/// Measures a load that goes nowhere.
async fn dry_run(config: &Config, stop: impl Future<Output = ()>) -> Result<Measured> {
    let config = Config { dry_run: true, ..config.clone() };
    let meter = Meter::start();
    let report = Box::pin(load_until(&config, stop)).await?;
    Ok(Measured::new(Subject::Null, meter.stop(), handled(&report)))
}

/// Measures a first load.
async fn load(config: &Config, stop: impl Future<Output = ()>) -> Result<Measured> {
    scratch::renew(&config.target, &config.schema).await?;
    let measured = load_into_scratch(config, stop).await;
    // What has failed says more than that it can't be cleared away.
    let removed = scratch::remove(&config.target, &config.schema).await;
    measured.and_then(|measured| removed.map(|()| measured))
}

async fn load_into_scratch(config: &Config, stop: impl Future<Output = ()>) -> Result<Measured> {
    let config = Config { dry_run: false, ..config.clone() };
    let meter = Meter::start();
    let report = Box::pin(load_until(&config, stop)).await?;
    let took = meter.stop();
    let result = checksum::of_star(&config.target, &config.schema).await?;
    Ok(Measured { result, ..Measured::new(Subject::Load, took, handled(&report)) })
}

fn handled(report: &Report) -> Handled {
    Handled {
        objects: report.objects.loaded,
        bytes: report.objects.bytes,
        records: report.songs.records + report.events.records,
        rows: report.tables.iter().map(|table| table.rows).sum(),
    }
}
