//! Amazon Redshift on this machine alone: a cluster is made in moto, which plays AWS; the fixtures are served from an S3
//! server in this process, staged there, and copied by a stand-in for Redshift before a PostgreSQL server. No AWS is
//! needed, and none is reached.
//!
//! `make demo-redshift` runs it.

#[path = "../tests/support/moto.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod moto;
#[path = "../tests/support/serverless.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod serverless;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod support;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use moto::Moto;
use support::clean::clean;
use support::postgres::{self, PASSWORD, USER};
use support::redshift::Redshift;
use support::s3::{ACCESS_KEY, S3, SECRET_KEY};

const BUCKET: &str = "sparkify";
const STAGE: &str = "stage";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let program = Program { directory: directory.path() };

    println!(
        "# A cluster, in moto's AWS. It is only written down there: nothing can be loaded into it."
    );
    let aws = Moto::start();
    let cluster = Endpoint::Aws(aws.endpoint());
    let source = format!("s3://{BUCKET}");
    let stage = format!("s3://{STAGE}/loads");
    let create = ["cluster", "create", "--nodes", "2", "--source", &source, "--stage", &stage];
    program.run(&cluster, &[&create[..], &["--allow-cidr", "203.0.113.7/32"]].concat())?;
    program.run(&cluster, &["cluster", "status"])?;
    let settings = std::fs::read_to_string(directory.path().join("sparkload.toml"))?;
    println!("\nWhat it has written into sparkload.toml:\n\n{settings}");
    let role = settings.lines().find_map(|line| line.strip_prefix("iam-role = "));
    let role = role.ok_or("no role was written down")?.trim_matches('"').to_owned();

    println!("# A load, into the stand-in instead.");
    let s3 = S3::start_private();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sparkify");
    s3.put_directory(BUCKET, "", &fixtures);
    s3.create_bucket(STAGE);
    let warehouse = Redshift::start(postgres::server().database(), &s3);
    warehouse.role(&role);
    let name = warehouse.database().name();
    let stand_in = Endpoint::StandIn {
        target: format!("postgres://{USER}@127.0.0.1:{}/{name}?sslmode=disable", warehouse.port()),
        s3: s3.endpoint(),
    };
    program.run(&stand_in, &["create"])?;
    program.run(&stand_in, &["load", "--source", &source, "--keep-staged"])?;
    program.run(&stand_in, &["load", "--source", &source])?;
    for question in [&["query", "top-songs"][..], &["check"], &["history"]] {
        program.run(&stand_in, question)?;
    }
    println!("\nWhat was staged (--keep-staged):\n");
    for (key, bytes) in s3.objects(STAGE) {
        println!("{:>7} bytes  s3://{STAGE}/{key}", bytes.len());
    }
    let statements = warehouse.statements();
    let copy = statements.iter().find(|statement| statement.starts_with("COPY songplays"));
    println!("\nHow the plays came in:\n\n{}", copy.ok_or("no plays were copied")?);

    println!("\n# And the cluster goes again.");
    program.run(&cluster, &["cluster", "delete", "--yes", "--skip-final-snapshot"])
}

/// What the program talks to.
enum Endpoint {
    Aws(String),
    StandIn { target: String, s3: String },
}

/// The program, in a directory of its own.
struct Program<'a> {
    directory: &'a Path,
}

impl Program<'_> {
    /// Runs the program, showing the command line as one would type it.
    fn run(&self, endpoint: &Endpoint, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        println!("\n$ sparkload {}", arguments.join(" "));
        let mut command = Command::new(program()?);
        command.args(arguments).current_dir(self.directory);
        clean(&mut command, self.directory);
        command.env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        match endpoint {
            Endpoint::Aws(url) => command.env("AWS_ENDPOINT_URL", url),
            Endpoint::StandIn { target, s3 } => command
                .env("SPARKLOAD_TARGET", target)
                .env("SPARKLOAD_ENDPOINT_URL", s3)
                .env("PGPASSWORD", PASSWORD),
        };
        let status = command.status()?;
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
