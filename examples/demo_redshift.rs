//! A load into Amazon Redshift on this machine alone: the fixtures are served from an S3 server in this process, staged
//! there, and copied by a stand-in for Redshift before a PostgreSQL server. No Redshift is needed, and none is reached.
//!
//! `make demo-redshift` runs it.

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod support;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::postgres::{self, PASSWORD, USER};
use support::redshift::Redshift;
use support::s3::{ACCESS_KEY, S3, SECRET_KEY};

const BUCKET: &str = "sparkify";
const STAGE: &str = "stage";
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

fn main() -> Result<(), Box<dyn Error>> {
    let s3 = S3::start_private();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sparkify");
    s3.put_directory(BUCKET, "", &fixtures);
    s3.create_bucket(STAGE);
    let warehouse = Redshift::start(postgres::server().database(), &s3);
    warehouse.role(ROLE);

    let directory = tempfile::tempdir()?;
    let name = warehouse.database().name();
    let target = format!("postgres://{USER}@127.0.0.1:{}/{name}?sslmode=disable", warehouse.port());
    let settings = format!(
        "target = \"{target}\"\n\
         source = \"s3://{BUCKET}\"\n\
         stage = \"s3://{STAGE}/loads\"\n\
         iam-role = \"{ROLE}\"\n\
         region = \"us-east-1\"\n\
         endpoint-url = \"{}\"\n",
        s3.endpoint()
    );
    println!("sparkload.toml:\n\n{settings}");
    std::fs::write(directory.path().join("sparkload.toml"), settings)?;

    for arguments in [
        &["create"][..],
        &["load", "--keep-staged"],
        &["load"],
        &["query", "top-songs"],
        &["check"],
        &["history"],
    ] {
        sparkload(directory.path(), arguments)?;
    }

    println!("\nWhat was staged (--keep-staged):\n");
    for (key, bytes) in s3.objects(STAGE) {
        println!("{:>7} bytes  s3://{STAGE}/{key}", bytes.len());
    }
    println!("\nHow the plays came in:\n");
    let statements = warehouse.statements();
    let copy = statements.iter().find(|statement| statement.starts_with("COPY songplays"));
    println!("{}", copy.ok_or("no plays were copied")?);
    Ok(())
}

/// Runs the program in `directory`, showing the command line as one would type it.
fn sparkload(directory: &Path, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    println!("\n$ sparkload {}", arguments.join(" "));
    let status = Command::new(program()?)
        .args(arguments)
        .current_dir(directory)
        .env("PGPASSWORD", PASSWORD)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .status()?;
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
