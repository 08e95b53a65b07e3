//! `sparkload load`: shows how far it is, then what it did.

use std::process::ExitCode;

use futures::FutureExt;
use indicatif::MultiProgress;
use sparkload::{load_until, read_jsonpaths};
use tokio::select;
use tokio::sync::oneshot;

use super::args::Output;
use super::display::{Display, during};
use super::failure::Failure;
use super::settings::{Front, Load};
use super::{output, summary};

pub async fn run(
    job: Box<Load>,
    front: Front,
    bars: MultiProgress,
    mut stop: oneshot::Receiver<()>,
) -> Result<ExitCode, Failure> {
    let Load { mut config, jsonpaths, output, usual_target } = *job;
    if let Some(place) = jsonpaths {
        config.format.jsonpaths = Some(select! {
            read = read_jsonpaths(&place, &config.source.s3) => read?,
            _ = &mut stop => return Err(Failure::Stopped),
        });
    }
    let mut display = Display::new(front, bars, &config);
    let report = during(&mut display, load_until(&config, stop.map(drop))).await?;
    drop(display);
    match output {
        Output::Json => output::json(&report)?,
        Output::Table => summary::write(&report, &config, usual_target)?,
    }
    Ok(ExitCode::SUCCESS)
}
