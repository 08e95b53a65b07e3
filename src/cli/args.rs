//! The arguments: the commands and what each can be told, as it is typed; `settings` says what it means.
//!
//! None of the options has a default here: what is not typed may still come from the environment or the settings
//! file.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::cluster_args::Cluster;
use super::options::{
    Data, Database, Front, How, Measuring, Records, Retries, Rows, S3, Source, Staging, Target,
    Tuning,
};

const EXAMPLES: &str = "\
Loads Sparkify's song and log JSON from S3 or a directory into PostgreSQL or Amazon Redshift.

  sparkload load --source s3://bucket --target postgres://user@host/db
  sparkload load --source ./data          into the embedded PostgreSQL in ./sparkload.db
  sparkload query top-songs               ask what was loaded
  sparkload check                         see whether all is well with it
  sparkload history                       see what was loaded when
  sparkload bench --source ./data         see how fast it is
  sparkload cluster create                make a Redshift cluster to load into";

const LOAD_EXAMPLES: &str = "\
Loads the songs and logs of a source into the tables, all or nothing

  sparkload load --source s3://bucket --target postgres://user@host/db
  sparkload load --source ./data
  sparkload load --source s3://bucket/prefix --no-sign-request --dry-run
  sparkload load --songs s3://a/song_data --logs /var/log/sparkify --max-errors 100
  sparkload load --source s3://bucket --stage s3://mine --iam-role default --target postgres://me@cluster:5439/db

What is new or has changed since the last load is read, and becomes visible in one commit: readers see the old \
state or the new one, and the tables are those of a load that reads everything. A load that fails or is interrupted \
changes nothing; it is safe to run it again at any time.";

const GENERATE_EXAMPLES: &str = "\
Generates songs and logs that look like the real ones, in any amount

  sparkload generate --into ./data
  sparkload generate --into ./big --events 20000000 --songs 100000 --users 200000
  sparkload generate --into s3://bucket/prefix --compression zstd --seed 7
  sparkload generate --into ./dirty --events 10000 --dirty 0.01 --match 0.9

The same settings give the same bytes on every machine. Each event that is dirty must be rejected by a load, each play \
that matches must find its song: the summary says how many there are. A place that has songs or logs is refused.";

const BENCH_EXAMPLES: &str = "\
Measures each stage of a load alone, and the whole

  sparkload bench --source s3://bucket --target postgres://user@host/db
  sparkload bench --source ./data --no-staging --runs 9 --svg bench.svg
  sparkload bench --source ./data --sweep threads=1..8 --sweep fetches=1,16,64
  sparkload bench --source ./data --only encode     one measurement, in this process

Each measurement is a process of its own, and they take turns: run 1 of every stage, then run 2. It works in a schema \
of its own and never touches other tables; without a target, in an embedded PostgreSQL that is gone afterwards. \
docs/benchmarks.md says what the figures mean and how to get some that hold.";

const BENCH_TARGET: &str = "\
A PostgreSQL server (URL or keywords), or a directory for the embedded one [default: one that is gone afterwards]";

const BENCH_TARGET_LONG: &str = "\
A PostgreSQL server (URL or keywords), or a directory for the embedded one

postgres://user@host/db, 'host=… dbname=…', or the path of a directory that the embedded PostgreSQL keeps its data in, \
as ./sparkload.db or embedded:PATH. What a URL leaves open comes from libpq's variables (PGHOST, PGUSER, …) and password \
file. Without a target: the server that PGHOST, PGHOSTADDR or PGDATABASE name, or else an embedded PostgreSQL in a \
temporary folder.";

const CLUSTER_EXAMPLES: &str = "\
Makes, shows and removes a Redshift cluster to load into

  sparkload cluster create --source s3://bucket --stage s3://bucket/stage --nodes 2
  sparkload cluster create --serverless --allow-cidr 203.0.113.7/32
  sparkload cluster status
  sparkload cluster delete --final-snapshot last

A cluster costs money from the moment that it is made until it is removed. It comes with a role that may read the source \
and use the stage and no more, and with a security group that lets in one address; what is there already is left as it \
is, and only what was made here is ever removed. docs/cluster.md says more.";

const LAYERS: &str = "\
Every option can also be set by a variable, such as SPARKLOAD_MAX_ERRORS for --max-errors, or in a file by its \
name: max-errors = 10. Flags come first, then SPARKLOAD_* variables, then those of libpq (PGHOST, …) and AWS \
(AWS_REGION, …), then ./sparkload.toml, or else ./dwh.cfg, or the file that --config names. A target that only a \
variable names is told first. Sizes are written as 128MiB, 4MB or 1048576, \
times as 30s, 5min or 1h.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

#[derive(Debug, Parser)]
#[command(
    name = "sparkload",
    version,
    about = "Loads song and log JSON into a star schema in PostgreSQL or Redshift"
)]
#[command(long_about = EXAMPLES, after_long_help = LAYERS, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub front: Front,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load the songs and logs of a source into the tables
    #[command(long_about = LOAD_EXAMPLES, after_long_help = LAYERS)]
    Load(Box<Load>),
    /// Make the tables, without rows, or bring those of an earlier version up to date
    Create(Create),
    /// Run an analytics query by its name, or any SQL
    Query(Query),
    /// Look for broken keys and references and missing values in the tables
    Check(Check),
    /// Show the loads that were published, or the objects of one
    History(History),
    /// Generate songs and logs that look like the real ones, in any amount
    #[command(long_about = GENERATE_EXAMPLES, after_long_help = LAYERS)]
    Generate(Box<Generate>),
    /// Measure each stage of a load alone, and the whole
    // Its measurements are processes with the same arguments and a few more, of which the last ones count.
    #[command(long_about = BENCH_EXAMPLES, after_long_help = LAYERS, args_override_self = true)]
    #[command(mut_arg("target", |target| target.help(BENCH_TARGET).long_help(BENCH_TARGET_LONG)))]
    Bench(Box<Bench>),
    /// Make, show and remove a Redshift cluster to load into
    #[command(long_about = CLUSTER_EXAMPLES, after_long_help = LAYERS)]
    Cluster(Cluster),
}

#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub records: Records,
    #[command(flatten)]
    pub rows: Rows,
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub staging: Staging,
    #[command(flatten)]
    pub retries: Retries,
    #[command(flatten)]
    pub tuning: Tuning,

    /// How the summary is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    pub target: Target,

    /// Drop tables that are there, with their rows, and make them anew
    #[arg(long, help_heading = "Tables")]
    pub drop: bool,

    /// How the result is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct Query {
    /// The name of an analytics query (see --list), or SQL
    #[arg(value_name = "NAME|SQL", required_unless_present = "list")]
    pub query: Option<String>,

    /// List the analytics queries
    #[arg(long, conflicts_with = "query")]
    pub list: bool,

    /// Let it change something
    ///
    /// Without this a query only reads: it is one transaction that is READ ONLY and rolled back. With it each statement is
    /// committed by itself, and no transaction is added, so that VACUUM and CREATE DATABASE work; BEGIN and COMMIT make one.
    #[arg(long)]
    pub write: bool,

    #[command(flatten)]
    pub target: Target,

    /// How the rows are written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<RowsOutput>,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub target: Target,

    /// How the verdicts are written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct History {
    /// The number of a load whose objects are to be shown
    #[arg(value_name = "RUN")]
    pub run: Option<i64>,

    #[command(flatten)]
    pub target: Target,

    /// How the result is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub retries: Retries,

    /// How many threads generate [default: one for each core]
    #[arg(long, value_name = "COUNT", hide_short_help = true, help_heading = "Tuning")]
    pub threads: Option<usize>,

    /// How the summary is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub s3: S3,
    #[command(flatten)]
    pub database: Database,
    #[command(flatten)]
    pub records: Records,
    #[command(flatten)]
    pub rows: Rows,
    #[command(flatten)]
    pub retries: Retries,
    #[command(flatten)]
    pub tuning: Tuning,
    #[command(flatten)]
    pub measuring: Measuring,

    /// How the figures are written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RowsOutput {
    #[default]
    Table,
    Json,
    Csv,
}
