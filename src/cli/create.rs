//! `sparkload create`: makes the tables and says which.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;
use sparkload::Interrupt;
use tokio::sync::oneshot;

use super::args::Output;
use super::failure::Failure;
use super::figures::counted;
use super::output;
use super::settings::Create;
use super::stopping::{self, Meaning};
use super::target::Target;

pub async fn run(job: Create, stop: oneshot::Receiver<()>) -> Result<ExitCode, Failure> {
    let interrupt = Interrupt::default();
    let meaning = Meaning {
        cancelled: "no table was made or changed",
        done: "the tables had been made before that",
        unknown: "the tables were made all together or not at all",
    };
    let job = Box::pin(create(job, &interrupt));
    stopping::or_cancel(job, &interrupt, stop, meaning).await
}

async fn create(job: Create, interrupt: &Interrupt) -> Result<ExitCode, Failure> {
    let Create { target: Target { database, schema }, existing, output } = job;
    let database = database.interruptible(interrupt);
    let made = sparkload::create(&database, &schema, existing).await?;
    if output == Output::Json {
        output::json(&json!({ "schema": schema, "created": made }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    if made.is_empty() {
        writeln!(out, "All tables are there already in schema {schema} of {database}.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let count = counted(made.len() as u64, "table");
    writeln!(out, "Made {count} in schema {schema} of {database}:")?;
    for table in made {
        writeln!(out, "  {table}")?;
    }
    Ok(ExitCode::SUCCESS)
}
