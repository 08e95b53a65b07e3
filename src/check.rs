//! The quality report: what holds of the loaded tables, what is broken, what one should know.

use std::fmt;

use serde::Serialize;
use serde_json::Number;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::error::{Error, Result};
use crate::query::{in_schema, refused};
use crate::target::{Database, Target};

const SQL: &str = include_str!("sql/check.sql");

/// One line of the quality report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The table that was looked at.
    pub table: String,
    /// What was counted, such as `rows` or `user_id not in users`.
    pub check: String,
    /// How many rows, or how many percent of them where `check` says so.
    pub value: Number,
    /// What to think of it.
    pub verdict: Verdict,
}

/// What to think of a [`Check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Nothing is wrong with the tables, but who uses the data should know.
    Note,
    /// A rule that every load keeps does not hold: a key, a reference, a NOT NULL.
    Broken,
}

/// Looks at every table in `schema`, in one statement and so as of one moment.
///
/// # Errors
///
/// The target can't be reached, or a table is missing.
pub async fn check(target: &Target, schema: &str) -> Result<Vec<Check>> {
    let database = Database::open(target).await?;
    let client = database.connect().await?;
    let messages = client
        .simple_query(&in_schema(schema, SQL))
        .await
        .map_err(|error| refused("the tables can't be checked", error, schema))?;
    let mut checks = Vec::new();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            let check = Check::read(row).ok_or_else(|| {
                Error::target("the tables can't be checked").because("the answer makes no sense")
            })?;
            checks.push(check);
        }
    }
    Ok(checks)
}

impl Check {
    fn read(row: &SimpleQueryRow) -> Option<Self> {
        Some(Self {
            table: row.get("table")?.to_owned(),
            check: row.get("check")?.to_owned(),
            value: row.get("value")?.parse().ok()?,
            verdict: match row.get("verdict")? {
                "ok" => Verdict::Ok,
                "note" => Verdict::Note,
                "broken" => Verdict::Broken,
                _ => return None,
            },
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Broken => "broken",
        })
    }
}
