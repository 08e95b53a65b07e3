//! `sparkload generate`: writes made-up songs and logs, and says what a load of them must find.

use std::io::{self, Write};
use std::process::ExitCode;

use console::style;
use sparkload::{Compression, Generated};

use super::args::Output;
use super::failure::Failure;
use super::figures::{bytes, count, counted, duration, per_second};
use super::output;
use super::settings::Generate;

pub async fn run(job: Box<Generate>) -> Result<ExitCode, Failure> {
    let Generate { settings, output } = *job;
    let generated = sparkload::generate(&settings).await?;
    match output {
        Output::Json => output::json(&generated)?,
        Output::Table => summary(&settings, &generated)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(settings: &sparkload::Generate, generated: &Generated) -> io::Result<()> {
    let Generated { objects, plain_bytes, songs, events, plays, matching, dirty, seconds, .. } =
        *generated;
    let into = &settings.into;
    let mut out = io::stdout().lock();
    let done = style("Generated").green().bold();
    let rate = per_second(plain_bytes, seconds);
    let rate = rate.map_or_else(String::new, |rate| format!(", {}/s", bytes(rate)));
    writeln!(out, "{done} {} in {into} in {}{rate}.\n", bytes(plain_bytes), duration(seconds))?;
    let packed = match settings.compression {
        Compression::Plain => String::new(),
        compression => format!(", {} as {compression}", bytes(generated.bytes)),
    };
    let other = events - plays - dirty;
    let plays = format!("{} ({} in the catalog)", counted(plays, "play"), count(matching));
    let others = format!("{} others + {} dirty", count(other), count(dirty));
    let events = format!("{} = {plays} + {others}", counted(events, "record"));
    let objects = format!("{} written{packed}", count(objects));
    let songs = counted(songs, "record");
    for (name, line) in [("objects", objects), ("songs", songs), ("events", events)] {
        writeln!(out, " {} {line}", style(format!("{name:<7}")).bold())?;
    }
    Ok(())
}
