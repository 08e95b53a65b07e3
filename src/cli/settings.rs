//! The settings: what was typed, in the environment or in a file, as what it means.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sparkload::{
    Config, Defaults, Error, Existing, Format, JsonPaths, Location, Matching, Phase, Result,
    S3Options, Server, Source,
};

use super::args::{self, Arguments, Command, LogFormat, Match, Output, RowsOutput};
use super::layers::Environment;

/// The embedded database that is used when nothing names a target.
const DEFAULT_TARGET: &str = "./sparkload.db";

/// All that the program was told.
pub struct Settings {
    pub job: Job,
    pub front: Front,
}

/// What is to be done.
pub enum Job {
    Load(Box<Load>),
    Create(Create),
    Query(Query),
    Check(Check),
}

pub struct Load {
    pub config: Config,
    pub output: Output,
    /// Nothing named the target, so that nothing need be named to query it.
    pub usual_target: bool,
}

pub struct Create {
    pub target: Target,
    pub existing: Existing,
    pub output: Output,
}

pub enum Query {
    List(RowsOutput),
    Run { target: Target, query: String, output: RowsOutput },
}

pub struct Check {
    pub target: Target,
    pub output: Output,
}

/// Where the tables are.
pub struct Target {
    pub database: sparkload::Target,
    pub schema: String,
}

/// How much is said while it is done, and how.
#[derive(Clone, Copy)]
pub struct Front {
    pub quiet: bool,
    pub verbose: bool,
    pub log_format: LogFormat,
}

impl Settings {
    /// Works out what the arguments mean.
    ///
    /// # Errors
    ///
    /// One of them makes no sense, or the JSONPaths file can't be read.
    pub fn new(arguments: Arguments, environment: &Environment) -> Result<Self> {
        let Arguments { command, front } = arguments;
        // Which file was read is settled.
        let args::Front { quiet, verbose, log_format, config: _ } = front;
        let front = Front { quiet, verbose, log_format: log_format.unwrap_or_default() };
        let job = match command {
            Command::Load(load) => Job::Load(Box::new(Load::new(*load, environment)?)),
            Command::Create(create) => {
                let args::Create { target, drop, output } = create;
                let existing = if drop { Existing::Drop } else { Existing::Keep };
                let target = Target::new(target, environment)?;
                Job::Create(Create { target, existing, output: output.unwrap_or_default() })
            }
            Command::Query(args::Query { query, list: _, target, output }) => {
                let output = output.unwrap_or_default();
                Job::Query(match query {
                    None => Query::List(output),
                    Some(query) => {
                        Query::Run { target: Target::new(target, environment)?, query, output }
                    }
                })
            }
            Command::Check(args::Check { target, output }) => {
                let target = Target::new(target, environment)?;
                Job::Check(Check { target, output: output.unwrap_or_default() })
            }
        };
        Ok(Self { job, front })
    }
}

impl Job {
    /// What an interruption means for the tables, by how far the job is.
    pub fn if_interrupted(&self) -> impl FnOnce() -> &'static str + use<> {
        let (idle, progress) = match self {
            Self::Load(load) if load.config.dry_run => ("nothing was written", None),
            Self::Load(load) => {
                let said = "nothing was published, the tables are as they were before";
                (said, Some(Arc::clone(&load.config.progress)))
            }
            Self::Create(_) => ("the tables were made all together or not at all", None),
            Self::Query(_) | Self::Check(_) => ("there are no results", None),
        };
        move || match progress.map(|progress| progress.phase()) {
            Some(Phase::Publishing) => {
                "the load was being published, and is there as a whole or not at all"
            }
            _ => idle,
        }
    }
}

impl Load {
    fn new(load: args::Load, environment: &Environment) -> Result<Self> {
        let args::Load { source, s3, target, records, how, tuning, output } = load;
        let usual_target = target.target.is_none() && target.schema.is_none();
        let Target { database, schema } = Target::new(target, environment)?;
        let source = self::source(source, s3)?;
        let args::How { matching, matched_only, no_staging, dry_run } = how;
        let args::Tuning { memory, fetches, connections, threads, block_bytes } = tuning;
        let args::Records {
            jsonpaths,
            ignore_case,
            empty_as_null,
            blanks_as_null,
            truncate_columns,
            replace_invalid_chars,
            max_record_bytes,
            max_errors,
            rejects,
        } = records;

        let format = Format {
            jsonpaths: jsonpaths.map(self::jsonpaths).transpose()?,
            ignore_case,
            empty_as_null,
            blanks_as_null,
            truncate_columns,
            replace_invalid_chars,
            max_record_bytes: max_record_bytes.unwrap_or(Format::default().max_record_bytes),
        };
        let usual = Config::new(source, database);
        let config = Config {
            schema,
            format,
            matching: match matching {
                None => usual.matching,
                Some(Match::TitleArtistDuration) => Matching::TitleArtistDuration,
                Some(Match::TitleArtist) => Matching::TitleArtist,
            },
            matched_only,
            staging: !no_staging,
            max_errors: max_errors.unwrap_or(usual.max_errors),
            rejects,
            dry_run,
            memory: memory.unwrap_or(usual.memory),
            fetches: fetches.unwrap_or(usual.fetches),
            connections,
            threads,
            block_bytes: block_bytes.unwrap_or(usual.block_bytes),
            ..usual
        };
        Ok(Self { config, output: output.unwrap_or_default(), usual_target })
    }
}

fn source(source: args::Source, s3: args::S3) -> Result<Source> {
    let args::Source { source: base, songs, logs, include, exclude } = source;
    let args::S3 { region, profile, endpoint_url, path_style, no_sign_request, request_payer } = s3;
    let base = base.map(|base| base.parse::<Location>()).transpose()?;
    let part = |place: Option<String>, name: &str| match (place, &base) {
        (Some(place), _) => place.parse(),
        (None, Some(base)) => Ok(base.join(name)),
        (None, None) => Err(Error::config(format!("nothing says where {name} is")).with_help(
            "name what holds song_data and log_data with --source: s3://bucket[/prefix] or a directory",
        )),
    };
    let mut source = Source::new(part(songs, "song_data")?, part(logs, "log_data")?);
    source.include = include;
    source.exclude = exclude;
    source.s3 = S3Options {
        region,
        profile,
        endpoint_url,
        path_style,
        no_sign_request,
        request_payer,
        credentials: None,
    };
    Ok(source)
}

fn jsonpaths(path: String) -> Result<JsonPaths> {
    let text = fs::read_to_string(&path).map_err(|error| {
        Error::config(format!("cannot read the JSONPaths file {path}: {error}"))
            .with_help("name a file that is there with --jsonpaths")
    })?;
    JsonPaths::parse(&text)
}

impl Target {
    fn new(target: args::Target, environment: &Environment) -> Result<Self> {
        let args::Target { target, schema } = target;
        let schema = schema.unwrap_or_else(|| "public".to_owned());
        Ok(Self { database: database(target.as_deref(), environment)?, schema })
    }
}

/// Tells a server from a directory.
///
/// A lone word could be either (for psql it is a database, for a shell a directory), so that it is neither.
fn database(target: Option<&str>, environment: &Environment) -> Result<sparkload::Target> {
    let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    let server = |conninfo: &str| {
        Server::parse(conninfo, &defaults(environment)).map(sparkload::Target::Postgres)
    };
    let embedded = |path: &str| Ok(sparkload::Target::Embedded(PathBuf::from(path)));
    let Some(target) = target else {
        if is_set("PGSERVICE") {
            return Err(Error::config("PGSERVICE is set, and sparkload reads no service files")
                .with_help("name the server with --target, or unset PGSERVICE and set PGHOST"));
        }
        let named = ["PGHOST", "PGHOSTADDR", "PGDATABASE"].into_iter().any(is_set);
        return if named { server("") } else { embedded(DEFAULT_TARGET) };
    };
    if let Some(path) = target.strip_prefix("embedded:").filter(|path| !path.is_empty()) {
        return embedded(path);
    }
    let path_like = target.contains(['/', '\\']) || target.starts_with('.') || target.ends_with(".db");
    match target {
        _ if target.contains("://") => server(target),
        // A password may hold any character, a path with `=` can be written as embedded:PATH.
        _ if target.contains('=') => server(target),
        _ if path_like => embedded(target),
        _ => Err(Error::config("the target is neither a server nor a directory").with_help(
            "write postgres://user@host/db or dbname=… for a server, ./name for the embedded PostgreSQL",
        )),
    }
}

fn defaults(environment: &Environment) -> Defaults {
    Defaults {
        variables: environment.clone(),
        user: whoami::username().ok(),
        home: std::env::home_dir(),
    }
}

/// The variables that mean something here.
pub fn environment() -> Environment {
    let all = std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    all.filter(|(name, _)| ["SPARKLOAD_", "PG", "AWS_"].iter().any(|it| name.starts_with(it)))
        .collect::<BTreeMap<_, _>>()
}
