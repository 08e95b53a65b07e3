//! The history: the loads that were published, and what each of them has loaded.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::error::{Error, Result};
use crate::query::refused;
use crate::report::UnknownMembers;
use crate::target::{Database, Target};

/// A load that was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PastLoad {
    /// Its number.
    pub run: i64,
    /// `full` where it has read everything, or `incremental`.
    pub mode: String,
    /// When it began, in UTC: `2018-11-01T20:57:10.796Z`.
    pub started_at: String,
    /// When it was published.
    pub finished_at: String,
    /// How long it took.
    pub seconds: f64,
    /// The settings that decide what the rows are.
    pub settings: serde_json::Value,
    /// Objects that it found: `listed = loaded + unchanged + skipped`.
    pub listed: u64,
    /// Objects that it loaded.
    pub loaded: u64,
    /// Objects that were loaded before, and were not read again.
    pub unchanged: u64,
    /// Objects that don't count.
    pub skipped: u64,
    /// Objects that were loaded before, and were not there any more.
    pub gone: u64,
    /// Bytes of the loaded objects, as they are stored.
    pub bytes: u64,
    /// Records of the loaded objects: `records = taken + filtered + rejected`.
    pub records: u64,
    /// Records that are song records or became plays.
    pub taken: u64,
    /// Events that are no plays.
    pub filtered: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// How many rows each table has held since, by its name.
    pub rows: BTreeMap<String, u64>,
    /// The most frequent members of the records that were read that feed no column.
    pub unknown: UnknownMembers,
}

/// A version of an object that was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PastObject {
    /// Its number in the tables.
    pub object_id: i64,
    /// What its records are: `songs` or `logs`.
    pub kind: String,
    /// Its name.
    pub object: String,
    /// How large it is.
    pub bytes: u64,
    /// S3's ETag, or a file's time of change.
    pub etag: String,
    /// Its records: `records = taken + filtered + rejected`.
    pub records: u64,
    /// Records that are song records or became plays.
    pub taken: u64,
    /// Events that are no plays.
    pub filtered: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// Its rows in the staging table.
    pub staged: u64,
    /// The run that has put another version in its place, or has dropped it.
    pub replaced_by: Option<i64>,
}

/// The loads of `schema` that were published, the last one first.
///
/// # Errors
///
/// The target can't be reached, or has no history.
pub async fn history(target: &Target, schema: &str) -> Result<Vec<PastLoad>> {
    ask(target, schema, include_str!("sql/history.sql"), PastLoad::read).await
}

/// The objects that the load `run` of `schema` has loaded, in the order of their names.
///
/// # Errors
///
/// The target can't be reached, or has no history, or there is no such run.
pub async fn history_of(target: &Target, schema: &str, run: i64) -> Result<Vec<PastObject>> {
    let query = include_str!("sql/history_of.sql").replace("$1", &run.to_string());
    let mut objects = ask(target, schema, &query, PastObject::read).await?;
    if objects.is_empty() && history(target, schema).await?.iter().all(|past| past.run != run) {
        let what = format!("schema {schema} has no run {run}");
        return Err(Error::config(what).with_help("see `sparkload history` for those that it has"));
    }
    // A server may sort by another collation than that of bytes.
    objects.sort_by(|a, b| (&a.kind, &a.object).cmp(&(&b.kind, &b.object)));
    Ok(objects)
}

/// Asks in a way that every dialect understands: for text.
async fn ask<T>(
    target: &Target,
    schema: &str,
    query: &str,
    read: fn(&SimpleQueryRow) -> Option<T>,
) -> Result<Vec<T>> {
    const WHAT: &str = "the history can't be read";
    let database = Database::open(target).await?;
    let answer = database.ask_in_schema(schema, query).await?;
    let answer = answer.map_err(|error| refused(WHAT, error, schema))?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        read(row).ok_or_else(|| Error::target(WHAT).because("the answer makes no sense"))
    })
    .collect()
}

fn value<T: FromStr>(row: &SimpleQueryRow, column: &str) -> Option<T> {
    row.get(column)?.parse().ok()
}

impl PastLoad {
    fn read(row: &SimpleQueryRow) -> Option<Self> {
        const COUNTED: [&str; 7] =
            ["songplays", "users", "songs", "artists", "time", "staging_events", "staging_songs"];
        let rows = COUNTED.map(|table| Some((table.to_owned(), value(row, table)?)));
        Some(Self {
            run: value(row, "run")?,
            mode: value(row, "mode")?,
            started_at: value(row, "started_at")?,
            finished_at: value(row, "finished_at")?,
            seconds: value(row, "seconds")?,
            settings: value(row, "settings")?,
            listed: value(row, "listed")?,
            loaded: value(row, "loaded")?,
            unchanged: value(row, "unchanged")?,
            skipped: value(row, "skipped")?,
            gone: value(row, "gone")?,
            bytes: value(row, "bytes")?,
            records: value(row, "records")?,
            taken: value(row, "taken")?,
            filtered: value(row, "filtered")?,
            rejected: value(row, "rejected")?,
            rows: rows.into_iter().collect::<Option<_>>()?,
            // A load of an earlier version has counted none.
            unknown: match row.get("unknown_members") {
                Some(unknown) => serde_json::from_str(unknown).ok()?,
                None => UnknownMembers::default(),
            },
        })
    }
}

impl PastObject {
    fn read(row: &SimpleQueryRow) -> Option<Self> {
        let replaced_by = match row.try_get("replaced_by").ok()? {
            None => None,
            Some(run) => Some(run.parse().ok()?),
        };
        Some(Self {
            object_id: value(row, "object_id")?,
            kind: value(row, "kind")?,
            object: value(row, "object")?,
            bytes: value(row, "bytes")?,
            etag: value(row, "etag")?,
            records: value(row, "records")?,
            taken: value(row, "taken")?,
            filtered: value(row, "filtered")?,
            rejected: value(row, "rejected")?,
            staged: value(row, "staged")?,
            replaced_by,
        })
    }
}
