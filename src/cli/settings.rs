//! The settings: what was typed, in the environment or in a file, as what it means.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sparkload::bench::Subject;
use sparkload::{
    Access, Compression, Config, CopyAccess, Encryption, Error, Existing, Format, Location,
    Matching, Phase, Result, Retry, S3Credentials, S3Options, S3Stage, Source,
};

use super::args::{self, Arguments, Command, Output, RowsOutput};
use super::layers::Environment;
use super::options::{self, LogFormat, Match};
use super::sweep::{Knob, Sweep};
use super::target::{self, Target};

/// All that the program was told.
pub struct Settings {
    pub job: Job,
    pub front: Front,
    /// The server that only the environment names, where the job changes its tables.
    pub by_environment: Option<String>,
    /// What to say of a settings file that is not understood as a whole.
    pub unread: Option<String>,
}

/// What is to be done.
pub enum Job {
    Load(Box<Load>),
    Create(Create),
    Query(Query),
    Check(Check),
    History(History),
    Generate(Box<Generate>),
    Bench(Box<Bench>),
    #[cfg(feature = "cluster")]
    Cluster(super::cluster::settings::Job),
}

pub struct Load {
    /// All but the JSONPaths, which have to be fetched.
    pub config: Config,
    pub jsonpaths: Option<Location>,
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
    Run(Box<Ask>),
}

pub struct Ask {
    pub target: Target,
    /// Its name, or SQL.
    pub query: String,
    pub access: Access,
    /// What the environment says of the session.
    pub parameters: Vec<(String, String)>,
    pub output: RowsOutput,
}

pub struct Check {
    pub target: Target,
    pub output: Output,
}

pub struct History {
    pub target: Target,
    /// The load whose objects are to be shown, instead of all loads.
    pub run: Option<i64>,
    pub output: Output,
}

pub struct Generate {
    pub settings: sparkload::Generate,
    pub output: Output,
}

pub struct Bench {
    /// All but the JSONPaths, which have to be fetched.
    pub config: Config,
    pub jsonpaths: Option<Location>,
    /// Nothing named the target, so that a database is made for the bench.
    pub usual_target: bool,
    pub runs: u32,
    pub sweeps: Vec<Sweep>,
    /// What is to be measured once, in this process.
    pub only: Option<Subject>,
    pub svg: Option<PathBuf>,
    pub output: Output,
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
    /// One of them makes no sense.
    pub fn new(arguments: Arguments, environment: &Environment) -> Result<Self> {
        let Arguments { command, front } = arguments;
        let options::Front { quiet, verbose, log_format, config, unread } = front;
        let target = match &command {
            Command::Load(load) => Some(load.target.database.target.as_deref()),
            Command::Create(create) => Some(create.target.database.target.as_deref()),
            // Each of its measurements is a process.
            Command::Bench(bench) if bench.measuring.only.is_none() => {
                Some(bench.database.target.as_deref())
            }
            _ => None,
        };
        let by_environment =
            target.and_then(|target| target::named_by_environment(target, environment));
        let front = Front { quiet, verbose, log_format: log_format.unwrap_or_default() };
        let job = match command {
            Command::Load(load) => Job::Load(Box::new(Load::new(*load, environment)?)),
            Command::Create(create) => {
                let args::Create { target, drop, output } = create;
                let existing = if drop { Existing::Drop } else { Existing::Keep };
                let target = Target::new(target, environment)?;
                Job::Create(Create { target, existing, output: output.unwrap_or_default() })
            }
            Command::Query(args::Query { query, list: _, write, target, output }) => {
                let output = output.unwrap_or_default();
                Job::Query(match query {
                    None => Query::List(output),
                    Some(query) => Query::Run(Box::new(Ask {
                        target: Target::new(target, environment)?,
                        query,
                        access: if write { Access::ReadWrite } else { Access::ReadOnly },
                        parameters: target::session_parameters(environment),
                        output,
                    })),
                })
            }
            Command::Check(args::Check { target, output }) => {
                let target = Target::new(target, environment)?;
                Job::Check(Check { target, output: output.unwrap_or_default() })
            }
            Command::History(args::History { run, target, output }) => {
                let target = Target::new(target, environment)?;
                Job::History(History { target, run, output: output.unwrap_or_default() })
            }
            Command::Generate(generate) => Job::Generate(Box::new(Generate::new(*generate)?)),
            Command::Bench(bench) => Job::Bench(Box::new(Bench::new(*bench, environment)?)),
            #[cfg(feature = "cluster")]
            Command::Cluster(cluster) => {
                Job::Cluster(super::cluster::settings::Job::new(cluster, config)?)
            }
            #[cfg(not(feature = "cluster"))]
            Command::Cluster(_) => {
                let _ = config;
                return Err(Error::config("this sparkload was built without `cluster`")
                    .with_help("build it with: cargo install --path . --features cluster"));
            }
        };
        let by_environment = by_environment.zip(job.target()).and_then(|(variable, target)| {
            let is_server = matches!(target, sparkload::Target::Postgres(_));
            is_server.then(|| {
                format!("the target {target} is named by {variable} alone; --target names another")
            })
        });
        Ok(Self { job, front, by_environment, unread })
    }
}

impl Job {
    /// Whose tables it makes or fills.
    fn target(&self) -> Option<&sparkload::Target> {
        match self {
            Self::Load(load) => Some(&load.config.target),
            Self::Create(create) => Some(&create.target.database),
            Self::Bench(bench) => Some(&bench.config.target),
            _ => None,
        }
    }

    /// Whether it is nothing but questions to servers, which it has cancelled when it is stopped.
    pub fn asks_servers(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Query(_) | Self::Check(_) | Self::History(_))
    }

    /// What an interruption means for the tables, by how far the job is.
    pub fn if_interrupted(&self) -> impl FnOnce() -> &'static str + use<> {
        let (idle, progress) = match self {
            Self::Load(load) if load.config.dry_run => ("nothing was written", None),
            Self::Load(load) => {
                let said = "nothing was published, the tables are as they were before";
                (said, Some(Arc::clone(&load.config.progress)))
            }
            Self::Create(_) => ("the tables were made all together or not at all", None),
            Self::Query(Query::Run(ask)) if ask.access == Access::ReadWrite => {
                ("the server has not said what was done: look before you run it again", None)
            }
            Self::Query(_) | Self::Check(_) | Self::History(_) => ("there are no results", None),
            #[cfg(feature = "cluster")]
            Self::Cluster(job) => (job.if_interrupted(), None),
            Self::Generate(_) => ("the objects that are complete stay, and are not all", None),
            Self::Bench(_) => {
                ("the next bench drops what may be left of the schema that this one has made", None)
            }
        };
        move || match progress.map(|progress| progress.phase()) {
            Some(Phase::Publishing) => {
                "the load was being published, and is there as a whole or not at all"
            }
            _ => idle,
        }
    }
}

/// Longer than anyone waits, and short enough to count with.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Load {
    fn new(load: args::Load, environment: &Environment) -> Result<Self> {
        let args::Load { source, s3, target, records, rows, how, staging, retries, tuning, output } =
            load;
        let usual_target = target.database.target.is_none() && target.schema.is_none();
        let iam_login = target.database.iam_login;
        let Target { database, schema } = Target::new(target, environment)?;
        let source = self::source(source, s3)?;
        let database = target::in_account(database, iam_login, &source.s3);
        let stage = self::stage(staging, &source.s3)?;
        let usual = Config { stage, ..Config::new(source, database) };
        let (config, jsonpaths) = loading(usual, records, rows, retries, tuning)?;
        let options::How { full_refresh, dry_run, wait } = how;
        let wait = wait.map(|wait| wait.unwrap_or(FOR_EVER));
        let config = Config { schema, full_refresh, dry_run, wait, ..config };
        Ok(Self { config, jsonpaths, output: output.unwrap_or_default(), usual_target })
    }
}

impl Bench {
    fn new(bench: args::Bench, environment: &Environment) -> Result<Self> {
        const SCHEMA: &str = "sparkload_bench";
        const RUNS: u32 = 5;
        let args::Bench { source, s3, database, records, rows, retries, tuning, .. } = bench;
        let options::Measuring { runs, sweep, only, bench_schema, svg } = bench.measuring;
        let named = target::named(database, environment)?;
        let usual_target = named.is_none();
        let source = self::source(source, s3)?;
        let usual = Config::new(source, named.unwrap_or_else(target::usual));
        let (config, jsonpaths) = loading(usual, records, rows, retries, tuning)?;
        let config = Config { schema: bench_schema.unwrap_or_else(|| SCHEMA.to_owned()), ..config };
        let (runs, sweeps) = (runs.unwrap_or(RUNS), sweep);
        let is_one = matches!(config.target, sparkload::Target::Embedded(_));
        if is_one && sweeps.iter().any(|sweep| sweep.knob == Knob::Connections) {
            return Err(Error::config(
                "the embedded PostgreSQL takes one connection, so there are none to sweep",
            )
            .with_help("name a server with --target"));
        }
        let output = bench.output.unwrap_or_default();
        Ok(Self { config, jsonpaths, usual_target, runs, sweeps, only, svg, output })
    }
}

/// What the options that load and bench share make of the `usual` settings, and the JSONPaths, which have to be fetched.
fn loading(
    usual: Config,
    records: options::Records,
    rows: options::Rows,
    retries: options::Retries,
    tuning: options::Tuning,
) -> Result<(Config, Option<Location>)> {
    let options::Rows { matching, matched_only, no_staging } = rows;
    let options::Tuning { memory, fetches, connections, threads, block_bytes } = tuning;
    let options::Records {
        jsonpaths,
        ignore_case,
        rescue,
        empty_as_null,
        blanks_as_null,
        truncate_columns,
        replace_invalid_chars,
        max_record_bytes,
        max_errors,
        rejects,
    } = records;

    let format = Format {
        jsonpaths: None,
        ignore_case,
        rescue,
        empty_as_null,
        blanks_as_null,
        truncate_columns,
        replace_invalid_chars,
        max_record_bytes: max_record_bytes.unwrap_or(Format::default().max_record_bytes),
    };
    let config = Config {
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
        retry: retry(retries),
        memory: memory.unwrap_or(usual.memory),
        fetches: fetches.unwrap_or(usual.fetches),
        connections,
        threads,
        block_bytes: block_bytes.unwrap_or(usual.block_bytes),
        ..usual
    };
    let jsonpaths = jsonpaths.map(|place| place.parse()).transpose()?;
    Ok((config, jsonpaths))
}

fn source(source: options::Source, s3: options::S3) -> Result<Source> {
    let options::Source {
        source: base,
        songs,
        logs,
        include,
        exclude,
        include_hidden,
        skip_archived,
    } = source;
    let base = base.map(|base| base.parse::<Location>()).transpose()?;
    let part = |place: Option<String>, name: &str| {
        match (place, &base) {
        (Some(place), _) => place.parse(),
        (None, Some(base)) => Ok(base.join(name)),
        (None, None) => Err(Error::config(format!("no source is given: nothing says where {name} is")).with_help(
            "name what holds song_data and log_data with --source: s3://bucket[/prefix] or a directory",
        )),
    }
    };
    let mut source = Source::new(part(songs, "song_data")?, part(logs, "log_data")?);
    source.include = include;
    source.exclude = exclude;
    source.include_hidden = include_hidden;
    source.skip_archived = skip_archived;
    source.s3 = self::s3(s3)?;
    Ok(source)
}

fn s3(s3: options::S3) -> Result<S3Options> {
    let options::S3 {
        region,
        profile,
        endpoint_url,
        path_style,
        no_sign_request,
        request_payer,
        access_key_id,
        secret_access_key,
    } = s3;
    let credentials = match (access_key_id, secret_access_key) {
        // What is said about a call goes before keys that lie in a file.
        _ if no_sign_request || profile.is_some() => None,
        (None, None) => None,
        (Some(access_key_id), Some(secret_access_key)) => {
            Some(S3Credentials { access_key_id, secret_access_key })
        }
        _ => {
            return Err(Error::config("of a pair of AWS keys only one half is given").with_help(
                "set access-key-id and secret-access-key (KEY and SECRET in dwh.cfg), or neither",
            ));
        }
    };
    Ok(S3Options {
        region,
        profile,
        endpoint_url,
        path_style,
        no_sign_request,
        request_payer,
        credentials,
        encryption: None,
    })
}

/// Where rows are staged for Redshift, in a bucket that is reached as the source's is.
fn stage(staging: options::Staging, source: &S3Options) -> Result<Option<S3Stage>> {
    let options::Staging {
        stage,
        iam_role,
        stage_region,
        keep_staged,
        stage_encryption,
        stage_kms_key,
    } = staging;
    let Some(stage) = stage else {
        let idle = [
            (iam_role.is_some(), "--iam-role"),
            (stage_region.is_some(), "--stage-region"),
            (keep_staged, "--keep-staged"),
            (stage_encryption.is_some(), "--stage-encryption"),
            (stage_kms_key.is_some(), "--stage-kms-key"),
        ];
        let Some((_, option)) = idle.into_iter().find(|(is_given, _)| *is_given) else {
            return Ok(None);
        };
        return Err(Error::config(format!("{option} is given, and no stage"))
            .with_help("name a place for staged files with --stage s3://bucket[/prefix]"));
    };
    let location: Location = stage.parse()?;
    if matches!(location, Location::Directory(_)) {
        return Err(Error::config(format!("the stage is no place in a bucket: {location}"))
            .with_help("give --stage s3://bucket[/prefix]"));
    }
    let encryption = match (stage_encryption, stage_kms_key) {
        (None, None) => None,
        (Some(options::Encryption::Aes256), None) => Some(Encryption::Aes256),
        (Some(options::Encryption::Kms) | None, key) => Some(Encryption::Kms(key)),
        (Some(options::Encryption::Aes256), Some(_)) => {
            return Err(Error::config(
                "staged files can't be encrypted with AES256 and a key of KMS",
            )
            .with_help("leave one of --stage-encryption and --stage-kms-key out"));
        }
    };
    let s3 = S3Options {
        region: stage_region.or_else(|| source.region.clone()),
        no_sign_request: false,
        request_payer: false,
        encryption,
        ..source.clone()
    };
    let access = match iam_role.as_deref() {
        None => CopyAccess::Keys,
        Some("default") => CopyAccess::DefaultRole,
        Some(arn) => CopyAccess::Role(arn.to_owned()),
    };
    Ok(Some(S3Stage { location, s3, access, keep: keep_staged }))
}

fn retry(retries: options::Retries) -> Retry {
    let options::Retries { attempts, max_retry_delay, max_retry_time } = retries;
    let usual = Retry::default();
    Retry {
        attempts: attempts.unwrap_or(usual.attempts),
        max_delay: max_retry_delay.unwrap_or(usual.max_delay),
        max_time: max_retry_time.unwrap_or(usual.max_time),
    }
}

impl Generate {
    fn new(generate: args::Generate) -> Result<Self> {
        let args::Generate { data, s3, retries, threads, output } = generate;
        let options::Data {
            into,
            songs,
            days,
            events,
            users,
            skew,
            matching,
            dirty,
            compression,
            seed,
        } = data;
        let Some(into) = into else {
            return Err(Error::config("nothing says where the data is to be put")
                .with_help("name a directory or s3://bucket[/prefix] with --into"));
        };
        let usual = sparkload::Generate::new(into.parse()?);
        let settings = sparkload::Generate {
            s3: self::s3(s3)?,
            seed: seed.unwrap_or(usual.seed),
            songs: songs.unwrap_or(usual.songs),
            days: days.unwrap_or(usual.days),
            events: events.unwrap_or(usual.events),
            users: users.unwrap_or(usual.users),
            skew: skew.unwrap_or(usual.skew),
            matching: matching.unwrap_or(usual.matching),
            dirty: dirty.unwrap_or(usual.dirty),
            compression: match compression {
                None => usual.compression,
                Some(options::Compression::None) => Compression::Plain,
                Some(options::Compression::Gzip) => Compression::Gzip,
                Some(options::Compression::Zstd) => Compression::Zstd,
                Some(options::Compression::Bzip2) => Compression::Bzip2,
            },
            retry: retry(retries),
            threads,
            ..usual
        };
        Ok(Self { settings, output: output.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::failure::Failure;
    use super::super::layers;
    use super::*;

    type Variables = [(&'static str, &'static str)];

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// What a command line means, with a settings file and an environment.
    fn settings(line: &str, variables: &[(&str, &str)], file: &str) -> Result<Settings, Failure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparkload.toml");
        fs::write(&path, file).unwrap();
        let mut environment = environment(variables);
        environment.insert("SPARKLOAD_CONFIG".to_owned(), path.to_string_lossy().into_owned());
        let line: Vec<_> = format!("sparkload {line}").split_whitespace().map(Into::into).collect();
        Ok(Settings::new(layers::arguments(&line, &environment)?, &environment)?)
    }

    fn load(line: &str, variables: &[(&str, &str)], file: &str) -> Load {
        match settings(&format!("load {line}"), variables, file) {
            Ok(Settings { job: Job::Load(load), .. }) => *load,
            Ok(_) => panic!("not a load: {line}"),
            Err(failure) => panic!("{line}: {failure:?}"),
        }
    }

    fn error(line: &str, variables: &[(&str, &str)], file: &str) -> String {
        match settings(line, variables, file) {
            Err(Failure::Error(error)) => error.to_string(),
            Err(failure) => panic!("{line}: {failure:?}"),
            Ok(_) => panic!("{line} means something"),
        }
    }

    #[test]
    fn keys_of_the_file_count_where_nothing_else_says_who_reads() {
        let file = "access-key-id = 'AK'\nsecret-access-key = 's3cret'";
        let keys = |line: &str, variables: &[(&str, &str)]| {
            let source = load(&format!("--source d {line}"), variables, file).config.source;
            source.s3.credentials.map(|keys| keys.access_key_id)
        };
        assert_eq!(keys("", &[]).as_deref(), Some("AK"));
        assert_eq!(keys("--no-sign-request", &[]), None);
        assert_eq!(keys("--profile p", &[]), None);
        assert_eq!(keys("", &[("AWS_PROFILE", "p")]), None);
        assert_eq!(keys("", &[("AWS_ACCESS_KEY_ID", "other")]), None);
        let half = error("load --source d", &[], "access-key-id = 'AK'");
        assert_eq!(half, "of a pair of AWS keys only one half is given");
    }

    #[test]
    fn flags_win_over_variables_and_those_over_the_file() {
        let fetches = |line: &str, variables: &[(&str, &str)], file: &str| {
            load(&format!("--source d {line}"), variables, file).config.fetches
        };
        let variable = [("SPARKLOAD_FETCHES", "2")];
        assert_eq!(fetches("--fetches 1", &variable, "fetches = 3"), 1);
        assert_eq!(fetches("", &variable, "fetches = 3"), 2);
        assert_eq!(fetches("", &[("SPARKLOAD_FETCHES", "")], "fetches = 3"), 3);
        assert_eq!(fetches("", &[], ""), 32);

        let ignores = |line: &str, variables: &[(&str, &str)]| {
            let file = "ignore-case = true";
            load(&format!("--source d {line}"), variables, file).config.format.ignore_case
        };
        assert!(ignores("", &[]));
        assert!(!ignores("", &[("SPARKLOAD_IGNORE_CASE", "no")]));
        assert!(ignores("--ignore-case", &[("SPARKLOAD_IGNORE_CASE", "0")]));
    }

    #[test]
    fn every_setting_can_come_from_a_file() {
        let file = r#"
            source = "s3://bucket"
            songs = "other/songs"
            exclude = ["*/old/*", "{a,b}"]
            include = "*.json"
            jsonpaths = "s3://bucket/log_json_path.json"
            memory = "64MiB"
            max-errors = 7
            no-staging = true
            match = "title-artist"
            replace-invalid-chars = "?"
            quiet = true
            full-refresh = true
            wait = "90s"
            attempts = 3
            max-retry-time = "2min"
            output = "json"
            target = "postgres://u:s3cret@h/d"
            schema = "sparkify"
        "#;
        let Ok(Settings { job: Job::Load(load), front, .. }) = settings("load", &[], file) else {
            panic!("the file is good")
        };
        let Load { config, jsonpaths, output, usual_target } = *load;
        assert_eq!(config.source.songs.to_string(), "other/songs");
        assert_eq!(config.source.logs.to_string(), "s3://bucket/log_data/");
        assert_eq!(config.source.exclude, ["*/old/*", "{a,b}"]);
        assert_eq!(config.source.include, ["*.json"]);
        assert_eq!((config.memory, config.max_errors), (64 << 20, 7));
        assert_eq!(config.wait, Some(Duration::from_secs(90)));
        let (max_delay, max_time) = (Duration::from_secs(20), Duration::from_secs(120));
        assert_eq!(config.retry, Retry { attempts: 3, max_delay, max_time });
        assert!(config.full_refresh);
        assert!(!config.staging && front.quiet && !usual_target);
        assert_eq!(config.matching, Matching::TitleArtist);
        assert_eq!(config.format.replace_invalid_chars, Some(b'?'));
        assert_eq!(output, Output::Json);
        assert_eq!(config.target.to_string(), "postgres://u@h:5432/d");
        assert_eq!(config.schema, "sparkify");
        assert_eq!(jsonpaths.unwrap().to_string(), "s3://bucket/log_json_path.json");
        // The other commands take of it what they know.
        assert!(settings("query top-songs", &[], &file.replace("json\"", "table\"")).is_ok());
    }

    #[test]
    fn what_to_generate_comes_from_all_layers_and_is_not_taken_for_what_to_load() {
        let file = "songs = 's'\nmatch = 'title-artist'\ngenerate-songs = 5\ndays = 2\ndirty = 0.5";
        let variables = [("SPARKLOAD_GENERATE_MATCH", "0.25"), ("SPARKLOAD_DAYS", "3")];
        let Ok(Settings { job: Job::Generate(generate), .. }) =
            settings("generate --into d --events 10", &variables, file)
        else {
            panic!("the settings are good")
        };
        let sparkload::Generate { songs, matching, days, dirty, events, .. } = generate.settings;
        assert_eq!((songs, matching, days, dirty, events), (5, 0.25, 3, 0.5, 10));
        assert_eq!(load("--logs l", &[], file).config.source.songs.to_string(), "s");
        let wrong = [("SPARKLOAD_GENERATE_SONGS", "many")];
        let said = error("generate --into d", &wrong, "");
        assert!(said.starts_with("in SPARKLOAD_GENERATE_SONGS: invalid value 'many'"), "{said}");
        let said = error("generate", &[], "");
        assert_eq!(said, "nothing says where the data is to be put");
    }

    #[test]
    fn a_bench_takes_the_settings_of_a_load_but_for_the_schema() {
        let file = "schema = 'live'\nno-staging = true\nsweep = ['threads=1..2', 'memory=1MiB']";
        let line = "bench --source d --fetches 3 --fetches 4";
        let settings = settings(line, &[("SPARKLOAD_RUNS", "7")], file).unwrap();
        let Job::Bench(bench) = settings.job else { panic!("not a bench: {line}") };
        let Bench { config, usual_target, runs, sweeps, only, .. } = *bench;
        assert_eq!(
            (config.schema.as_str(), config.staging, config.fetches),
            ("sparkload_bench", false, 4)
        );
        assert!(usual_target && only.is_none());
        assert_eq!((runs, sweeps.len()), (7, 2));
        assert!(error("bench --source d", &[], "only = 'load'").contains("unknown key `only`"));
    }

    #[test]
    fn a_base_is_not_mixed_with_the_parts_of_a_farther_one() {
        let songs = |line: &str, variables: &[(&str, &str)], file: &str| {
            load(line, variables, file).config.source.songs.to_string()
        };
        let parts = "songs = 'file-songs'\nlogs = 'file-logs'";
        assert_eq!(songs("", &[], parts), "file-songs");
        assert_eq!(songs("--source d", &[], parts), "d/song_data");
        assert_eq!(songs("", &[("SPARKLOAD_SOURCE", "e")], parts), "e/song_data");
        assert_eq!(songs("--source d", &[("SPARKLOAD_SONGS", "e")], ""), "d/song_data");
        assert_eq!(songs("--songs s", &[("SPARKLOAD_SOURCE", "e")], parts), "s");
        assert_eq!(songs("", &[("SPARKLOAD_SONGS", "e")], "source = 'd'"), "e");
    }

    #[test]
    fn the_target_comes_from_the_nearest_place_that_names_one() {
        let host = [("PGHOST", "pg"), ("PGUSER", "u")];
        let ours = [("SPARKLOAD_TARGET", "own.db"), ("PGHOST", "pg")];
        let file = "target = 'file.db'";
        let cases: [(&str, &Variables, &str, &str); 11] = [
            ("", &[], "", "./sparkload.db"),
            ("", &[], file, "file.db"),
            ("", &host, file, "postgres://u@pg:5432/u"),
            (
                "",
                &[("PGDATABASE", "d"), ("PGUSER", "u"), ("PGHOST", "h")],
                "",
                "postgres://u@h:5432/d",
            ),
            ("", &[("PGUSER", "u")], "", "./sparkload.db"),
            ("", &ours, file, "own.db"),
            ("--target ./x", &ours, file, "./x"),
            ("--target embedded:name", &ours, file, "name"),
            ("--target postgres://a@b", &ours, file, "postgres://a@b:5432/a"),
            ("--target host=b", &host, file, "postgres://u@b:5432/u"),
            ("--target postgres://", &host, file, "postgres://u@pg:5432/u"),
        ];
        for (line, variables, file, expected) in cases {
            let target = load(&format!("--source d {line}"), variables, file).config.target;
            assert_eq!(target.to_string(), expected, "{line} {variables:?}");
        }
    }

    #[test]
    fn foreign_variables_win_over_the_file_alone() {
        let region = |line: &str, variables: &[(&str, &str)]| {
            load(&format!("--source d {line}"), variables, "region = 'file'")
                .config
                .source
                .s3
                .region
        };
        // None leaves it to AWS's own chain, which reads the variable.
        assert_eq!(region("", &[("AWS_REGION", "aws")]), None);
        assert_eq!(region("", &[]).as_deref(), Some("file"));
        assert_eq!(region("--region typed", &[("AWS_REGION", "aws")]).as_deref(), Some("typed"));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_place() {
        let cases: [(&str, &Variables, &str, &str); 6] = [
            ("load", &[], "", "no source is given: nothing says where song_data is"),
            ("load --songs s", &[], "", "no source is given: nothing says where log_data is"),
            ("check --target word", &[], "", "the target is neither a server nor a directory"),
            (
                "check",
                &[("PGSERVICE", "no-such-service"), ("PGSYSCONFDIR", "/nowhere")],
                "",
                "the service no-such-service is not defined",
            ),
            (
                "load",
                &[("SPARKLOAD_MEMORY", "lots")],
                "",
                "in SPARKLOAD_MEMORY: invalid value 'lots' for '--memory <SIZE>': write a size as 128MiB, 4MB or 1048576",
            ),
            (
                "load --config /nowhere",
                &[],
                "",
                "cannot read the settings file /nowhere: No such file or directory (os error 2)",
            ),
        ];
        for (line, variables, file, expected) in cases {
            assert_eq!(error(line, variables, file), expected, "{line}");
        }
        let in_file = error("load", &[], "max-errors = 'many'");
        assert!(
            in_file.contains("sparkload.toml: invalid value 'many' for '--max-errors <COUNT>'"),
            "{in_file}"
        );
    }

    #[test]
    fn what_is_said_of_a_stage_needs_one_but_for_a_role_in_a_file() {
        let dwh = "iam-role = 'arn'";
        let access = |line: &str, variables: &[(&str, &str)], file: &str| {
            load(&format!("--source d {line}"), variables, file).config.stage.map(|it| it.access)
        };
        let role = Some(CopyAccess::Role("arn".to_owned()));
        assert_eq!(access("", &[], dwh), None);
        assert_eq!(access("--stage s3://b", &[], dwh), role);
        assert_eq!(access("", &[("SPARKLOAD_STAGE", "s3://b")], dwh), role);
        assert_eq!(access("", &[], "stage = 's3://b'\niam-role = 'arn'"), role);
        assert_eq!(
            access("--iam-role default", &[], "stage = 's3://b'"),
            Some(CopyAccess::DefaultRole)
        );
        assert_eq!(access("", &[("SPARKLOAD_KEEP_STAGED", "no")], ""), None);
        let cases: [(&str, &Variables, &str, &str); 6] = [
            ("--iam-role arn", &[], "", "--iam-role"),
            ("--keep-staged", &[], dwh, "--keep-staged"),
            ("", &[("SPARKLOAD_IAM_ROLE", "arn")], "", "--iam-role"),
            ("", &[], "stage-region = 'us-west-2'", "--stage-region"),
            ("", &[("SPARKLOAD_STAGE_ENCRYPTION", "AES256")], "", "--stage-encryption"),
            ("", &[], "stage-kms-key = 'k'", "--stage-kms-key"),
        ];
        for (line, variables, file, option) in cases {
            let said = error(&format!("load --source d {line}"), variables, file);
            assert_eq!(said, format!("{option} is given, and no stage"));
        }
    }

    #[test]
    fn no_setting_shows_a_password() {
        let file = "target = \"postgres://u:s3cret@h/d?nonsense=1\"";
        assert!(!error("check", &[("PGUSER", "u")], file).contains("s3cret"));
    }
}
