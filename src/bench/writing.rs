//! Writing: encoded rows into the target, as a load writes them, measured in three stages.

use std::time::SystemTime;

use super::meter::Meter;
use super::{Handled, Subject, Took};
use crate::config::Config;
use crate::encode::Rows;
use crate::error::Result;
use crate::ledger::{Amounts, Mode, Run, Settings, Way};
use crate::pipeline::{LATE, complete};
use crate::queue::queue;
use crate::report::{Objects, UnknownMembers};
use crate::target::{Load, Part, scratch};

/// Writes `rows` into a schema that holds nothing else, up to the stage that is measured; nothing is left of it.
pub(super) async fn measure(
    config: &Config,
    subject: Subject,
    rows: Vec<Rows>,
) -> Result<(Took, Handled)> {
    scratch::renew(&config.target, &config.schema).await?;
    let mut load = Load::open(config).await?;
    let measured = write(config, subject, &mut load, rows).await;
    load.discard().await;
    // What has failed says more than that it can't be cleared away.
    let removed = scratch::remove(&config.target, &config.schema).await;
    measured.and_then(|measured| removed.map(|()| measured))
}

async fn write(
    config: &Config,
    subject: Subject,
    load: &mut Load,
    rows: Vec<Rows>,
) -> Result<(Took, Handled)> {
    load.begin(config.wait).await?;
    let (late, early) = rows.into_iter().partition(|rows| LATE.contains(&rows.table));
    let (parts, copies) = ready(early);
    let (late_parts, late_copies) = ready(late);

    let copying = Meter::start();
    let written = load.write(parts, &config.progress).await?;
    let copied = copying.stop();
    if subject == Subject::Copy {
        return Ok((copied, copies));
    }
    let completing = Meter::start();
    let late = complete(load, Way::Direct, late_parts, &config.progress).await?;
    let completed = completing.stop();
    if subject == Subject::Keys {
        return Ok((completed, late_copies));
    }
    let run = Run {
        number: load.ledger().next_run,
        token: format!("{:016x}", fastrand::u64(..)),
        mode: Mode::Full,
        started: SystemTime::now(),
        settings: Settings::of(config).text(),
        objects: Objects::default(),
        amounts: Amounts::default(),
        unknown: UnknownMembers::default(),
    };
    let publishing = Meter::start();
    load.publish(&run, written.plus(late)).await?;
    let rows = copies.rows + late_copies.rows;
    Ok((publishing.stop(), Handled { rows, ..Handled::default() }))
}

/// The parts that writers take, all ready, and what there is of them.
fn ready(rows: Vec<Rows>) -> (async_channel::Receiver<Part>, Handled) {
    let handled = Handled {
        bytes: rows.iter().map(|rows| rows.bytes.len() as u64).sum(),
        rows: rows.iter().map(|rows| rows.count).sum(),
        ..Handled::default()
    };
    (queue(rows.into_iter().map(|rows| Part { rows, reserved: None })), handled)
}
