//! The history: the loads that were published, and what each of them has loaded.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::ToSql;

use crate::error::{Error, Result};
use crate::query::{connect_to_schema, refused};
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
    ask(target, schema, include_str!("sql/history.sql"), &[]).await
}

/// The objects that the load `run` of `schema` has loaded, in the order of their names.
///
/// # Errors
///
/// The target can't be reached, or has no history, or there is no such run.
pub async fn history_of(target: &Target, schema: &str, run: i64) -> Result<Vec<PastObject>> {
    let objects = ask(target, schema, include_str!("sql/history_of.sql"), &[&run]).await?;
    if objects.is_empty() && history(target, schema).await?.iter().all(|past| past.run != run) {
        let what = format!("schema {schema} has no run {run}");
        return Err(Error::config(what).with_help("see `sparkload history` for those that it has"));
    }
    Ok(objects)
}

async fn ask<T: DeserializeOwned>(
    target: &Target,
    schema: &str,
    query: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<T>> {
    const WHAT: &str = "the history can't be read";
    let database = Database::open(target).await?;
    let client = connect_to_schema(&database, schema).await?;
    let query = query.trim_end().trim_end_matches(';');
    let text = format!("SELECT entry::TEXT FROM ({query}) AS entries (entry)");
    let rows = client.query(&text, values).await.map_err(|error| refused(WHAT, error, schema))?;
    let entries = rows.iter().map(|row| serde_json::from_str(row.get(0)));
    entries.collect::<Result<_, _>>().map_err(|cause| Error::target(WHAT).because(cause))
}
