//! The whole job on this machine alone: the fixtures are served from an S3 server in this process and loaded from
//! there into the embedded PostgreSQL by the program itself, which then answers a few questions.
//!
//! `make demo` runs it.

#[path = "../tests/support/s3.rs"]
mod s3;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use s3::S3;

const BUCKET: &str = "sparkify";

fn main() -> Result<(), Box<dyn Error>> {
    let server = S3::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sparkify");
    server.put_directory(BUCKET, "", &fixtures);
    let directory = tempfile::tempdir()?;

    let endpoint = server.endpoint();
    let load = [
        "load",
        "--source",
        "s3://sparkify",
        "--no-sign-request",
        "--region",
        "us-east-1",
        "--endpoint-url",
        &endpoint,
    ];
    sparkload(directory.path(), &load)?;
    for question in ["top-songs", "top-users", "plays-by-weekday", "plays-by-gender-and-level"] {
        sparkload(directory.path(), &["query", question])?;
    }
    sparkload(directory.path(), &["check"])
}

/// Runs the program in `directory`, showing the command line as one would type it.
fn sparkload(directory: &Path, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    println!("\n$ sparkload {}", arguments.join(" "));
    let status = Command::new(program()?).args(arguments).current_dir(directory).status()?;
    if !status.success() {
        return Err(format!("sparkload {} failed: {status}", arguments[0]).into());
    }
    Ok(())
}

/// The program that Cargo builds beside its examples.
fn program() -> Result<PathBuf, Box<dyn Error>> {
    let example = std::env::current_exe()?;
    let target =
        example.parent().and_then(Path::parent).ok_or("the example is not in a target folder")?;
    Ok(target.join(format!("sparkload{}", std::env::consts::EXE_SUFFIX)))
}
