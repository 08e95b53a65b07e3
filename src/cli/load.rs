//! `sparkload load`: shows how far it is, then what it did.

use std::process::ExitCode;

use indicatif::MultiProgress;

use super::args::Output;
use super::display::Display;
use super::failure::Failure;
use super::settings::{Front, Load};
use super::{output, summary};

pub async fn run(job: Box<Load>, front: Front, bars: MultiProgress) -> Result<ExitCode, Failure> {
    let Load { config, output, usual_target } = *job;
    let mut display = Display::new(front, bars, &config);
    let report = display.during(sparkload::load(&config)).await?;
    drop(display);
    match output {
        Output::Json => output::json(&report)?,
        Output::Table => summary::write(&report, &config, usual_target)?,
    }
    Ok(ExitCode::SUCCESS)
}
