//! `sparkload load`: shows how far it is, then what it did.

use std::process::ExitCode;

use indicatif::MultiProgress;
use sparkload::read_jsonpaths;

use super::args::Output;
use super::display::Display;
use super::failure::Failure;
use super::settings::{Front, Load};
use super::{output, summary};

pub async fn run(job: Box<Load>, front: Front, bars: MultiProgress) -> Result<ExitCode, Failure> {
    let Load { mut config, jsonpaths, output, usual_target } = *job;
    if let Some(place) = jsonpaths {
        config.format.jsonpaths = Some(read_jsonpaths(&place, &config.source.s3).await?);
    }
    let mut display = Display::new(front, bars, &config);
    let report = display.during(sparkload::load(&config)).await?;
    drop(display);
    match output {
        Output::Json => output::json(&report)?,
        Output::Table => summary::write(&report, &config, usual_target)?,
    }
    Ok(ExitCode::SUCCESS)
}
