//! The options: those that several commands share or that belong together, group by group.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use sparkload::bench::Subject;

use super::size;
use super::sweep::Sweep;

#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
pub struct Source {
    /// What holds song_data and log_data: s3://bucket[/prefix] or a directory
    #[arg(long, value_name = "BASE")]
    pub source: Option<String>,

    /// Where the songs are, if not in BASE/song_data
    #[arg(long, value_name = "PLACE")]
    pub songs: Option<String>,

    /// Where the logs are, if not in BASE/log_data
    #[arg(long, value_name = "PLACE")]
    pub logs: Option<String>,

    /// Read only the objects whose key this matches; may be repeated
    ///
    /// The key begins behind the bucket, or with the name of the directory that is read. `*` stands for anything, `/` too;
    /// NAME/ for all that is in folders of that name, at any depth, and A/B/ for all that is in that one.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,

    /// Don't read the objects whose key this matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,

    /// Read hidden objects too: a name, or that of a folder, starts with . or _
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub include_hidden: bool,

    /// Leave archived objects out (Glacier) instead of failing; the rows of those that are loaded stay
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub skip_archived: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "S3")]
pub struct S3 {
    /// The bucket's region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// The profile of the AWS configuration to use
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Another S3 than Amazon's
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Put the bucket's name into the path, not the host name
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub path_style: bool,

    /// Read a public bucket without credentials
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub no_sign_request: bool,

    /// Agree to pay for the requests
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub request_payer: bool,

    /// The public half of a pair of keys; for settings files, as others may see what is typed
    #[arg(long, value_name = "ID", hide = true)]
    pub access_key_id: Option<String>,

    /// The secret half
    #[arg(long, value_name = "KEY", hide = true)]
    pub secret_access_key: Option<SecretString>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct Target {
    #[command(flatten)]
    pub database: Database,

    /// The schema that holds the tables, a name of at most 38 bytes [default: public]
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct Database {
    /// A PostgreSQL server (URL or keywords), or a directory for the embedded one [default: ./sparkload.db]
    ///
    /// postgres://user@host/db, 'host=… dbname=…', or the path of a directory that the embedded PostgreSQL
    /// keeps its data in, as ./sparkload.db or embedded:PATH. What a URL leaves open comes from libpq's service file (service=…,
    /// PGSERVICE), variables (PGHOST, PGUSER, …) and password file. Without a target: the server that PGHOST, PGHOSTADDR,
    /// PGDATABASE or PGSERVICE name, or else the embedded PostgreSQL in ./sparkload.db.
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,

    /// What the server is, instead of asking it
    #[arg(long, value_name = "DIALECT", value_enum, hide_short_help = true)]
    pub dialect: Option<Dialect>,

    /// Log in to Redshift, RDS or Aurora by IAM, as AWS's tools find out who one is, instead of a password
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub iam_login: bool,
}

/// How rows come into Redshift, which reads them from S3.
#[derive(Debug, Args)]
#[command(next_help_heading = "Redshift")]
pub struct Staging {
    /// Where rows are staged for Redshift's COPY: s3://bucket[/prefix]
    ///
    /// The bucket is reached as --region, --profile and the like say, and always with credentials. Without a stage rows
    /// are inserted by statements, which is slow.
    #[arg(long, value_name = "PLACE")]
    pub stage: Option<String>,

    /// The IAM role by which Redshift reads the stage: an ARN, or `default` [default: the keys that write it]
    #[arg(long, value_name = "ARN")]
    pub iam_role: Option<String>,

    /// The region of the stage's bucket [default: that of --region]
    #[arg(long, value_name = "REGION", hide_short_help = true)]
    pub stage_region: Option<String>,

    /// Leave the staged files of a load that succeeds
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub keep_staged: bool,

    /// How S3 encrypts staged files [default: as the bucket says]
    #[arg(long, value_name = "METHOD", value_enum, hide_short_help = true)]
    pub stage_encryption: Option<Encryption>,

    /// The key of the Key Management Service that staged files are encrypted with
    #[arg(long, value_name = "ID", hide_short_help = true)]
    pub stage_kms_key: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
pub struct Records {
    /// A Redshift JSONPaths file, local or s3://…, that maps the events' columns
    #[arg(long, value_name = "PLACE", hide_short_help = true)]
    pub jsonpaths: Option<String>,

    /// Compare keys without regard to case
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub ignore_case: bool,

    /// Keep members that feed no column in the column `rescued` of the staging tables, as JSON
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub rescue: bool,

    /// Load "" as NULL
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub empty_as_null: bool,

    /// Load text of white space only as NULL
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub blanks_as_null: bool,

    /// Cut text that is too long for its column instead of rejecting the record
    #[arg(long, hide_short_help = true, value_parser = BoolishValueParser::new())]
    pub truncate_columns: bool,

    /// Put CHAR for each byte of what no text column can hold instead of rejecting the record
    #[arg(long, value_name = "CHAR", hide_short_help = true, value_parser = ascii)]
    pub replace_invalid_chars: Option<u8>,

    /// Reject longer records [default: 4MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size::parse)]
    pub max_record_bytes: Option<usize>,

    /// Tolerate this many rejected records; one more and nothing is loaded [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub max_errors: Option<u64>,

    /// Write the rejected records to this file too, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct Rows {
    /// What makes a play and a song the same [default: title-artist-duration]
    #[arg(long = "match", value_name = "RULE", value_enum)]
    pub matching: Option<Match>,

    /// Leave out the plays that match no song
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub matched_only: bool,

    /// Leave the staging tables empty
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub no_staging: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct How {
    /// Read everything again, and drop the rows of objects that are gone
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub full_refresh: bool,

    /// Read and check everything, write nothing
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub dry_run: bool,

    /// Wait until another load of the schema is done, at most so long, instead of failing
    #[arg(long, value_name = "TIME", num_args = 0..=1, value_parser = humantime::parse_duration)]
    pub wait: Option<Option<Duration>>,
}

/// One policy for requests to S3 and for connections and statements to PostgreSQL.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retries")]
pub struct Retries {
    /// Try what fails for now so often in all: each request to S3, each statement [default: 10]
    ///
    /// What fails for now: throttling and errors of the server's own (5xx), broken and stalled connections, a server
    /// that restarts. The pauses between two attempts double from 100 ms on, each less up to a half by chance. A body
    /// that goes on where it broke off counts anew. 1 never tries again.
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    pub attempts: Option<u32>,

    /// Pause no longer than this between two attempts [default: 20s]
    #[arg(long, value_name = "TIME", hide_short_help = true, value_parser = humantime::parse_duration)]
    pub max_retry_delay: Option<Duration>,

    /// Begin no other attempt when so much time has passed since the first failure [default: 5min]
    #[arg(long, value_name = "TIME", hide_short_help = true, value_parser = humantime::parse_duration)]
    pub max_retry_time: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Tuning")]
pub struct Tuning {
    /// How much may be in flight between source and target [default: 128MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size::parse)]
    pub memory: Option<usize>,

    /// How many objects of each kind are read at once [default: 32]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    pub fetches: Option<usize>,

    /// How many connections write at once, or as many of them as can be had [default: 4; 1 to the embedded PostgreSQL]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    pub connections: Option<usize>,

    /// How many threads parse and encode [default: one for each core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    pub threads: Option<usize>,

    /// The size of the pieces that a large object is worked on in [default: 1MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true, value_parser = size::parse)]
    pub block_bytes: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct Data {
    /// Where song_data and log_data are put, if neither is there: s3://bucket[/prefix] or a directory
    #[arg(long, value_name = "BASE")]
    pub into: Option<String>,

    /// How many songs the catalog has, each in an object of its own [default: 15000]
    ///
    /// In the environment and in files it is called generate-songs, since --songs is another option of load.
    #[arg(long, value_name = "COUNT", value_parser = whole)]
    pub songs: Option<u64>,

    /// How many days the logs cover, from 2018-11-01 on [default: 30]
    #[arg(long, value_name = "COUNT")]
    pub days: Option<u32>,

    /// How many events all days have together; a million is about 480 MB [default: 1000000]
    #[arg(long, value_name = "COUNT", value_parser = whole)]
    pub events: Option<u64>,

    /// Among how many users the events are shared out [default: 10000]
    #[arg(long, value_name = "COUNT", value_parser = whole)]
    pub users: Option<u64>,

    /// How much songs and users differ in demand: 0 not at all, 1 as Zipf's law says, 4 at most [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub skew: Option<f64>,

    /// The share of plays whose song is in the catalog, from 0 to 1 [default: 0.5]
    ///
    /// In the environment and in files it is called generate-match, since --match is another option of load.
    #[arg(long = "match", value_name = "SHARE")]
    pub matching: Option<f64>,

    /// The share of events that a load must reject, from 0 to 1; none changes a user's level [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub dirty: Option<f64>,

    /// How the objects are compressed [default: none]
    #[arg(long, value_name = "METHOD", value_enum)]
    pub compression: Option<Compression>,

    /// Another seed gives other data; the same gives the same bytes everywhere [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Benchmark")]
pub struct Measuring {
    /// How often each stage is measured [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: Option<u32>,

    /// Measure loads with several values of an option as well; may be repeated
    ///
    /// NAME is connections, threads, fetches, block-bytes or memory. A..B doubles A until it reaches B, and ends with
    /// B: 1..6 means 1, 2, 4 and 6. A,B,C names the values.
    #[arg(long, value_name = "NAME=A..B")]
    pub sweep: Vec<Sweep>,

    /// Measure this stage alone, once, in this process, without --runs, --sweep and --svg
    #[arg(long, value_name = "STAGE", value_parser = subjects())]
    pub only: Option<Subject>,

    /// The schema to work in: it is made, and dropped afterwards [default: sparkload_bench]
    #[arg(long, value_name = "NAME")]
    pub bench_schema: Option<String>,

    /// Draw the rates, and how they scale, into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// What all commands take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Front {
    /// Show no progress, and no log but errors
    #[arg(long, short, global = true, value_parser = BoolishValueParser::new())]
    pub quiet: bool,

    /// Log more of what is done
    #[arg(long, short, global = true, value_parser = BoolishValueParser::new())]
    pub verbose: bool,

    /// How progress, logs and errors are written to stderr [default: text]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// The settings file [default: ./sparkload.toml or ./dwh.cfg, if one is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to say of a settings file that is not understood as a whole
    #[arg(skip)]
    pub unread: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    Postgres,
    Redshift,
}

/// By the names that S3 has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Encryption {
    #[value(name = "AES256")]
    Aes256,
    #[value(name = "aws:kms")]
    Kms,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Match {
    TitleArtistDuration,
    TitleArtist,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

fn subjects() -> impl TypedValueParser<Value = Subject> {
    PossibleValuesParser::new(Subject::ALL.map(Subject::name)).try_map(|name| name.parse())
}

fn whole(text: &str) -> Result<u64, String> {
    let number = text.replace('_', "").parse();
    number.map_err(|_| "write a whole number, such as 2000000 or 2_000_000".to_owned())
}

fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        &[byte] if byte.is_ascii() => Ok(byte),
        _ => Err("give one ASCII character".to_owned()),
    }
}
