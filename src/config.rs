//! What a load is told: every setting once, typed, with its default and meaning.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::record::Format;
use crate::report::Progress;
use crate::retry::Retry;
use crate::source::Source;
use crate::star::Matching;
use crate::target::{CopyAccess, S3Stage, Server, Silence, Target};

/// Everything [`load`](crate::load) needs to know; nothing is read from the environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the songs and logs are.
    pub source: Source,
    /// The database to load.
    pub target: Target,
    /// Where rows are staged for Redshift, which reads them from S3; without it they are inserted, which is slow. No other
    /// target takes one.
    pub stage: Option<S3Stage>,
    /// The schema that holds all tables; it must be there ([`create`](crate::create) makes it).
    pub schema: String,
    /// How JSON becomes typed records.
    pub format: Format,
    /// When a play and a song are the same.
    pub matching: Matching,
    /// Leaves out the plays that match no song.
    pub matched_only: bool,
    /// Fills `staging_events` and `staging_songs` too; otherwise they end up empty.
    pub staging: bool,
    /// Reads every object again, and drops the rows of those that have gone from the source.
    pub full_refresh: bool,
    /// How many rejected records a load tolerates; one more and nothing is published.
    pub max_errors: u64,
    /// Writes each reject, with its whole raw record, to this file as NDJSON.
    pub rejects: Option<PathBuf>,
    /// Reads and checks everything but writes nothing to the target.
    pub dry_run: bool,
    /// How long to wait for another load of the same schema to end; `None` fails within three seconds.
    pub wait: Option<Duration>,
    /// When to give up on what fails for now.
    pub retry: Retry,
    /// What to do when PostgreSQL does not answer.
    pub silence: Silence,
    /// Bounds the bytes in flight between the source and the target; half of them are those of staged files where there
    /// is a stage.
    pub memory: usize,
    /// How many objects of each kind are read at once.
    pub fetches: usize,
    /// How many connections write at once; `None` takes what suits the target.
    pub connections: Option<usize>,
    /// How many threads parse and encode; `None` takes one for each core.
    pub threads: Option<usize>,
    /// The size of the pieces that a large object is worked on in.
    pub block_bytes: usize,
    /// Counts that move while the load runs; keep a clone to watch it.
    pub progress: Arc<Progress>,
}

impl Config {
    /// Settings for loading `source` into the schema `public` of `target`, all else at its default.
    pub fn new(source: Source, target: Target) -> Self {
        Self {
            source,
            target,
            stage: None,
            schema: "public".to_owned(),
            format: Format::default(),
            matching: Matching::default(),
            matched_only: false,
            staging: true,
            full_refresh: false,
            max_errors: 0,
            rejects: None,
            dry_run: false,
            wait: None,
            retry: Retry::default(),
            silence: Silence::default(),
            memory: 128 << 20,
            fetches: 32,
            connections: None,
            threads: None,
            block_bytes: 1 << 20,
            progress: Arc::default(),
        }
    }

    /// Checks what the types leave open.
    pub(crate) fn validate(&self) -> Result<()> {
        const MAX_BLOCK_BYTES: usize = 256 << 20;
        let wrong = |what: &str| Err(Error::config(what));
        if self.fetches == 0 || self.connections == Some(0) || self.threads == Some(0) {
            return wrong("fetches, connections and threads are at least 1");
        }
        if self.retry.attempts == 0 {
            return wrong("at least one attempt is made");
        }
        if !(1..=MAX_BLOCK_BYTES).contains(&self.block_bytes) {
            return wrong("a block has between 1 byte and 256 MiB");
        }
        if !(1..=MAX_BLOCK_BYTES).contains(&self.format.max_record_bytes) {
            return wrong("a record may have between 1 byte and 256 MiB");
        }
        if let Some(S3Stage { access, .. }) = &self.stage {
            match &self.target {
                Target::Embedded(_) => return Err(self.stage_is_idle()),
                Target::Postgres(server) if server.dialect() == Some(Dialect::Postgres) => {
                    return Err(self.stage_is_idle());
                }
                Target::Postgres(server) if *access == CopyAccess::Keys && !server.is_private() => {
                    return Err(overheard(server));
                }
                Target::Postgres(_) => {}
            }
        }
        let fits = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if !self.format.replace_invalid_chars.is_none_or(fits) {
            return wrong(
                "what replaces invalid characters is a printable ASCII character, and neither \" nor \\",
            );
        }
        Ok(())
    }

    /// What files on their way to the stage may hold.
    pub(crate) fn staging_memory(&self) -> usize {
        if self.stage.is_some() { self.memory / 2 } else { 0 }
    }

    /// What may be held of what is read until it is written.
    pub(crate) fn reading_memory(&self) -> usize {
        self.memory - self.staging_memory()
    }

    /// The error of a stage for a target that is PostgreSQL.
    pub(crate) fn stage_is_idle(&self) -> Error {
        let what = format!("a stage is for Redshift, and {} is PostgreSQL", self.target);
        Error::config(what).with_help("leave --stage out, or name a Redshift with --target")
    }
}

/// The error of keys that would go to `server` for all to see.
fn overheard(server: &Server) -> Error {
    let what =
        format!("the keys of the stage would go to {server} over a line that may not be encrypted");
    Error::config(what).with_help(
        "name a role with --iam-role, so that none are sent, or add sslmode=verify-full to the target",
    )
}
