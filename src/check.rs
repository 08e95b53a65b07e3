//! The quality report: what holds of the loaded tables, what is broken, what one should know.

use std::fmt;

use serde::Serialize;
use serde_json::Number;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::error::{Error, Result};
use crate::query::refused;
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
    /// The objects whose rows are not those of the books, the ten that differ most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Difference>,
}

/// An object of which a table holds other rows than the books say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Its name, or its id where the books don't know it.
    pub object: String,
    /// How many rows it should have.
    pub booked: u64,
    /// How many rows there are.
    pub found: u64,
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

/// Looks at every table in `schema` and holds it against the books of the loads, in one statement and so as of one
/// moment.
///
/// # Errors
///
/// The target can't be reached, or a table is missing.
pub async fn check(target: &Target, schema: &str) -> Result<Vec<Check>> {
    let database = Database::open(target).await?;
    let messages = database
        .ask_in_schema(schema, SQL)
        .await?
        .map_err(|error| refused("the tables can't be checked", error, schema))?;
    let mut checks = Vec::new();
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message {
            add(&mut checks, row).ok_or_else(|| {
                Error::target("the tables can't be checked").because("the answer makes no sense")
            })?;
        }
    }
    Ok(checks)
}

/// Reads a row: a check, or an object that belongs to the last one.
fn add(checks: &mut Vec<Check>, row: &SimpleQueryRow) -> Option<()> {
    match row.get("object") {
        None => checks.push(Check::read(row)?),
        Some(object) => checks.last_mut()?.objects.push(Difference {
            object: object.to_owned(),
            booked: row.get("booked")?.parse().ok()?,
            found: row.get("found")?.parse().ok()?,
        }),
    }
    Some(())
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
            objects: Vec::new(),
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
