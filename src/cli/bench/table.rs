//! The tables of a bench: stages, the floor under them, and sweeps.

use std::io::{self, Write};

use console::style;
use sparkload::bench::{Floor, PerSecond, Spread, Subject, Summary};

use super::super::figures::{bytes, count, counted, duration};
use super::super::output::{self, Align};
use super::report::{Machine, Report, Settings, Swept};

/// Writes everything to stdout.
pub fn write(report: &Report) -> io::Result<()> {
    let Report { machine: Machine { cores, cpu, .. }, server, settings, .. } = report;
    let Settings { source, target, runs, .. } = settings;
    {
        let mut out = io::stdout().lock();
        let of = counted(u64::from(*runs), "run");
        let what = style("Measured").green().bold();
        writeln!(out, "{what} {source} and {target}: medians of {of}.")?;
        let cpu = cpu.as_ref().map(|cpu| format!(", {cpu}")).unwrap_or_default();
        let server = server.get("server_version").map(|it| format!(", PostgreSQL {it}"));
        let server = server.unwrap_or_default();
        writeln!(out, "{}{cpu}{server}.\n", counted(*cores as u64, "core"))?;
    }
    write_stages(&report.stages)?;
    let mut out = io::stdout().lock();
    if let Some(floor) = &report.floor {
        write_floor(&mut out, floor)?;
    }
    write_result(&mut out, report)?;
    report.sweeps.iter().try_for_each(|swept| write_sweep(&mut out, swept))
}

/// Writes a line for each stage.
pub fn write_stages(stages: &[Summary]) -> io::Result<()> {
    let header = ["stage", "time", "adds", "spread", "MB/s", "rate", "CPU", "machine", "peak"];
    let aligns = [Align::Left].into_iter().chain([Align::Right; 8]);
    let mut table = output::table(header.into_iter().zip(aligns));
    for summary in stages {
        let Summary { stage, seconds, adds_seconds, per_second, peak_bytes, .. } = summary;
        let median = |spread: Option<Spread>| {
            spread.map_or_else(String::new, |spread| duration(spread.median))
        };
        table.add_row([
            stage.to_string(),
            duration(seconds.median),
            adds_seconds.map_or_else(String::new, |adds| duration(adds.max(0.0))),
            spread(seconds),
            per_second.bytes.map_or_else(String::new, megabytes),
            rate(summary),
            median(summary.cpu_seconds),
            median(summary.machine_cpu_seconds),
            peak_bytes.map_or_else(String::new, bytes),
        ]);
    }
    let mut out = io::stdout().lock();
    output::write_table(&mut out, &table)?;
    let sampled = |summary: &&Summary| summary.share < 1.0;
    if let Some(Summary { share, .. }) = stages.iter().find(sampled) {
        let of = format!("{:.1} % of the source", share * 100.0);
        writeln!(out, "\n From decode to publish it was a sample: the first {of}.")?;
    }
    Ok(())
}

fn write_floor(out: &mut impl Write, floor: &Floor) -> io::Result<()> {
    let Floor { seconds, path_seconds, cpu_seconds, parts, longest, cores, ratio, .. } = floor;
    let ratio = format!("{ratio:.2} times");
    writeln!(
        out,
        "\n {} {} the floor of {}",
        head("load"),
        style(ratio).bold(),
        duration(*seconds)
    )?;
    let part = |stage| parts.iter().find(move |part| part.stage == stage);
    let steps = [part(Subject::List), Some(longest), part(Subject::Keys), part(Subject::Publish)];
    let steps = steps.into_iter().flatten();
    let steps: Vec<_> =
        steps.map(|part| format!("{} {}", part.stage, duration(part.seconds))).collect();
    writeln!(out, " {} {} = {}", head("path"), duration(*path_seconds), steps.join(" + "))?;
    let cores = counted(*cores as u64, "core");
    writeln!(out, " {} {} of work on {cores}", head("CPU"), duration(*cpu_seconds))
}

fn write_result(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Some(star) = report.result.iter().find(|sum| sum.table == "star") else { return Ok(()) };
    let rows = counted(star.rows, "row");
    let checksum = &star.checksum;
    writeln!(out, " {} {rows} in the star, checksum {checksum}, by every load", head("result"))
}

fn write_sweep(out: &mut impl Write, swept: &Swept) -> io::Result<()> {
    let Swept { option, knob, values } = swept;
    let header = [*option, "load", "spread", "MB/s", "records/s", "CPU", "peak", "null"];
    let aligns = [Align::Right; 8];
    let mut table = output::table(header.into_iter().zip(aligns));
    for value in values {
        let Summary { seconds, per_second, cpu_seconds, peak_bytes, .. } = &value.load;
        let median = |spread: Spread| duration(spread.median);
        table.add_row([
            knob.shown(value.value),
            duration(seconds.median),
            spread(seconds),
            per_second.bytes.map_or_else(String::new, megabytes),
            per_second.records.map_or_else(String::new, |rate| count(rate as u64)),
            cpu_seconds.map_or_else(String::new, median),
            peak_bytes.map_or_else(String::new, bytes),
            value.null.as_ref().map_or_else(String::new, |null| median(null.seconds)),
        ]);
    }
    writeln!(out)?;
    output::write_table(out, &table)
}

fn head(name: &str) -> impl std::fmt::Display {
    style(format!("{name:<7}")).bold()
}

/// How far the fastest and the slowest are apart, of the median.
fn spread(Spread { median, min, max, .. }: &Spread) -> String {
    if *median > 0.0 && min < max {
        return format!("±{:.0} %", (max - min) / median * 50.0);
    }
    String::new()
}

/// Bytes a second in millions; three digits are enough.
pub fn megabytes(rate: f64) -> String {
    match rate / 1e6 {
        rate if rate < 9.995 => format!("{rate:.2}"),
        rate if rate < 99.95 => format!("{rate:.1}"),
        rate => count(rate.round() as u64),
    }
}

/// What the stage is about, a second.
pub fn rate(Summary { stage, per_second, .. }: &Summary) -> String {
    let PerSecond { objects, bytes: _, records, rows, .. } = *per_second;
    let mut units = [(records, "records"), (rows, "rows"), (objects, "objects")];
    if *stage == Subject::Encode {
        units.swap(0, 1);
    }
    let known = units.into_iter().find_map(|(rate, unit)| Some((rate?, unit)));
    known
        .map_or_else(String::new, |(rate, unit)| format!("{} {unit}/s", count(rate.round() as u64)))
}
