//! The whole job on this machine alone: the fixtures are served from an S3 server in this process and loaded from
//! there into the embedded PostgreSQL by the program itself, which then answers a few questions.
//!
//! `make demo` runs it.

#[path = "../tests/support/clean.rs"]
mod clean;
#[path = "../tests/support/s3.rs"]
mod s3;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use s3::S3;

const BUCKET: &str = "sparkify";

fn main() -> Result<(), Box<dyn Error>> {
    demo(&program()?)
}

/// Shows what `program` does; nothing that its user's environment or settings say counts.
pub fn demo(program: &Path) -> Result<(), Box<dyn Error>> {
    let server = S3::start();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sparkify");
    server.put_directory(BUCKET, "", &fixtures);
    let directory = tempfile::tempdir()?;
    let shown = Shown { program, directory: directory.path() };

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
    shown.run(&load)?;
    for question in ["top-songs", "top-users", "plays-by-weekday", "plays-by-gender-and-level"] {
        shown.run(&["query", question])?;
    }
    shown.run(&["check"])
}

/// The program, in a directory of its own.
struct Shown<'a> {
    program: &'a Path,
    directory: &'a Path,
}

impl Shown<'_> {
    /// Runs the program, showing the command line as one would type it.
    fn run(&self, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        let arguments = [arguments, &["--target", "./sparkload.db"]].concat();
        println!("\n$ sparkload {}", arguments.join(" "));
        let mut command = Command::new(self.program);
        command.args(&arguments).current_dir(self.directory);
        let status = clean::clean(&mut command, self.directory).status()?;
        if !status.success() {
            return Err(format!("sparkload {} failed: {status}", arguments[0]).into());
        }
        Ok(())
    }
}

/// The program that Cargo builds beside its examples.
fn program() -> Result<PathBuf, Box<dyn Error>> {
    let example = std::env::current_exe()?;
    let target =
        example.parent().and_then(Path::parent).ok_or("the example is not in a target folder")?;
    Ok(target.join(format!("sparkload{}", std::env::consts::EXE_SUFFIX)))
}
