//! Writing: encoded rows into the target, as a load writes them, measured in three stages.

use std::time::SystemTime;

use super::meter::Meter;
use super::{Handled, Subject, Took};
use crate::config::Config;
use crate::encode::Rows;
use crate::error::Result;
use crate::ledger::{Amounts, Mode, Run, Settings, Way};
use crate::report::Objects;
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
    let mut handled = Handled::default();
    let (sender, parts) = async_channel::unbounded();
    for rows in rows {
        handled.bytes += rows.bytes.len() as u64;
        handled.rows += rows.count;
        let part = Part { rows, reserved: None };
        sender.try_send(part).expect("the channel is open and without bound");
    }
    drop(sender);

    let copying = Meter::start();
    let written = load.write(parts, &config.progress).await?;
    let copied = copying.stop();
    if subject == Subject::Copy {
        return Ok((copied, handled));
    }
    // From here on no bytes are sent.
    handled.bytes = 0;
    let completing = Meter::start();
    load.complete(Way::Direct).await?;
    let completed = completing.stop();
    if subject == Subject::Keys {
        return Ok((completed, handled));
    }
    let run = Run {
        number: load.ledger().next_run,
        token: format!("{:016x}", fastrand::u64(..)),
        mode: Mode::Full,
        started: SystemTime::now(),
        settings: Settings::of(config).text(),
        objects: Objects::default(),
        amounts: Amounts::default(),
    };
    let publishing = Meter::start();
    load.publish(&run, written).await?;
    Ok((publishing.stop(), handled))
}
