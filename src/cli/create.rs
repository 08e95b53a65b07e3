//! `sparkload create`: makes the tables and says which.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use super::args::Output;
use super::failure::Failure;
use super::figures::counted;
use super::output;
use super::settings::Create;
use super::target::Target;

pub async fn run(job: Create) -> Result<ExitCode, Failure> {
    let Create { target: Target { database, schema }, existing, output } = job;
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
