//! `sparkload history`: the loads that were published, or the objects of one.

use std::io::{self, Write};
use std::process::ExitCode;

use sparkload::{Interrupt, PastLoad, PastObject};
use tokio::sync::oneshot;

use super::args::Output;
use super::failure::Failure;
use super::figures::{bytes, count, counted, duration};
use super::output::{self, Align};
use super::settings::History;
use super::stopping::{self, Meaning};
use super::target::Target;

pub async fn run(job: History, stop: oneshot::Receiver<()>) -> Result<ExitCode, Failure> {
    let interrupt = Interrupt::default();
    let meaning = Meaning {
        cancelled: "there are no results",
        done: "the results are all there",
        unknown: "there are no results",
    };
    let job = Box::pin(show(job, &interrupt));
    stopping::or_cancel(job, &interrupt, stop, meaning).await
}

async fn show(job: History, interrupt: &Interrupt) -> Result<ExitCode, Failure> {
    let History { target, run, output } = job;
    let Target { database, schema } = target.existing()?;
    let database = database.interruptible(interrupt);
    match run {
        None => {
            let loads = sparkload::history(&database, &schema).await?;
            match output {
                Output::Json => output::json(&loads)?,
                Output::Table => all(&loads, &schema)?,
            }
        }
        Some(run) => {
            let objects = sparkload::history_of(&database, &schema, run).await?;
            match output {
                Output::Json => output::json(&objects)?,
                Output::Table => one(&objects)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a table of loads or objects stands: names to the left, figures to the right.
fn aligned<'a>(
    names: &'a [&'a str],
    figures: &'a [&'a str],
) -> impl Iterator<Item = (&'a str, Align)> {
    let names = names.iter().map(|name| (*name, Align::Left));
    names.chain(figures.iter().map(|name| (*name, Align::Right)))
}

fn all(loads: &[PastLoad], schema: &str) -> io::Result<()> {
    let names = ["run", "started (UTC)", "mode"];
    let figures = ["time", "objects", "records", "rejected", "unknown members", "songplays"];
    let mut table = output::table(aligned(&names, &figures));
    for load in loads {
        let PastLoad {
            run,
            mode,
            started_at,
            seconds,
            loaded,
            records,
            rejected,
            rows,
            unknown,
            ..
        } = load;
        table.add_row([
            run.to_string(),
            started_at.replace('T', " ").chars().take("2018-11-01 20:57:10".len()).collect(),
            mode.clone(),
            duration(*seconds),
            count(*loaded),
            count(*records),
            count(*rejected),
            count(unknown.total()),
            count(rows.get("songplays").copied().unwrap_or(0)),
        ]);
    }
    let mut out = io::stdout().lock();
    output::write_table(&mut out, &table)?;
    writeln!(out, "\n{} into schema {schema}", counted(loads.len() as u64, "load"))
}

fn one(objects: &[PastObject]) -> io::Result<()> {
    let names = ["kind", "object"];
    let figures = ["size", "records", "taken", "filtered", "rejected", "replaced by"];
    let mut table = output::table(aligned(&names, &figures));
    for object in objects {
        let PastObject { kind, object: name, records, taken, filtered, rejected, .. } = object;
        table.add_row([
            kind.clone(),
            name.clone(),
            bytes(object.bytes),
            count(*records),
            count(*taken),
            count(*filtered),
            count(*rejected),
            object.replaced_by.map_or_else(String::new, |run| format!("run {run}")),
        ]);
    }
    let mut out = io::stdout().lock();
    output::write_table(&mut out, &table)?;
    writeln!(out, "\n{}", counted(objects.len() as u64, "object"))
}
