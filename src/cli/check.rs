//! `sparkload check`: a verdict a row, and exit code 1 if something is broken.

use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::{Cell, Color};
use console::style;
use sparkload::{Check, Difference, Interrupt, Verdict};
use tokio::sync::oneshot;

use super::args::Output;
use super::failure::Failure;
use super::figures::{count, counted};
use super::output::{self, Align};
use super::settings;
use super::stopping::{self, Meaning};
use super::target::Target;

pub async fn run(job: settings::Check, stop: oneshot::Receiver<()>) -> Result<ExitCode, Failure> {
    let interrupt = Interrupt::default();
    let meaning = Meaning {
        cancelled: "there are no results",
        done: "the results are all there",
        unknown: "there are no results",
    };
    let job = Box::pin(check(job, &interrupt));
    stopping::or_cancel(job, &interrupt, stop, meaning).await
}

async fn check(job: settings::Check, interrupt: &Interrupt) -> Result<ExitCode, Failure> {
    let settings::Check { target, output } = job;
    let Target { database, schema } = target.existing()?;
    let database = database.interruptible(interrupt);
    let checks = sparkload::check(&database, &schema).await?;
    match output {
        Output::Json => output::json(&checks)?,
        Output::Table => table(&checks, &schema)?,
    }
    let broken = checks.iter().any(|check| check.verdict == Verdict::Broken);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(checks: &[Check], schema: &str) -> io::Result<()> {
    let header = ["table", "check", "value", "verdict"];
    let aligns = [Align::Left, Align::Left, Align::Right, Align::Left];
    let mut table = output::table(header.into_iter().zip(aligns));
    let mut last = "";
    for check in checks {
        let Check { table: name, check, value, verdict, objects: _ } = check;
        let shown = if name == last { "" } else { name };
        last = name;
        let (check, value) = match check.strip_suffix(", percent") {
            Some(check) => (check, format!("{:.2} %", value.as_f64().unwrap_or(0.0))),
            None => (check.as_str(), value.as_u64().map_or_else(|| value.to_string(), count)),
        };
        let verdict = Cell::new(verdict).fg(match verdict {
            Verdict::Ok => Color::Green,
            Verdict::Note => Color::Yellow,
            Verdict::Broken => Color::Red,
        });
        table.add_row([Cell::new(shown), Cell::new(check), Cell::new(value), verdict]);
    }
    let mut out = io::stdout().lock();
    output::write_table(&mut out, &table)?;

    let of = |verdict| checks.iter().filter(|check| check.verdict == verdict).count() as u64;
    let (ok, notes, broken) = (of(Verdict::Ok), of(Verdict::Note), of(Verdict::Broken));
    let all = match broken {
        0 => style(format!("No rule is broken in schema {schema}")).green().bold(),
        1 => style(format!("1 rule is broken in schema {schema}")).red().bold(),
        _ => style(format!("{} rules are broken in schema {schema}", count(broken))).red().bold(),
    };
    writeln!(out, "\n{all}: {} ok, {}.", count(ok), counted(notes, "note"))?;
    differences(&mut out, checks)
}

/// Names the objects whose rows are not those of the books.
fn differences(out: &mut impl Write, checks: &[Check]) -> io::Result<()> {
    for Check { table, objects, .. } in checks.iter().filter(|check| !check.objects.is_empty()) {
        writeln!(out, "\n{} {}", style(table).bold(), style("by object").bold())?;
        for Difference { object, booked, found, .. } in objects {
            let (found, booked) = (counted(*found, "row"), count(*booked));
            writeln!(out, "  {object}: {found}, {booked} by the books")?;
        }
    }
    if checks.iter().any(|check| check.verdict == Verdict::Broken) {
        let cure = "Every load keeps these rules, so something else has changed rows.\n\
                    `sparkload load --full-refresh` reads everything and makes the tables right;\n\
                    it drops the rows of objects that are not there any more.";
        writeln!(out, "\n{cure}")?;
    }
    Ok(())
}
