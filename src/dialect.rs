//! Dialects: the kinds of servers that speak PostgreSQL's protocol, and not quite the same SQL.

use std::fmt;

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL, 12 or later: takes rows by binary `COPY FROM STDIN`.
    Postgres,
    /// Amazon Redshift: takes rows by `COPY` from files in S3.
    Redshift,
}

impl Dialect {
    /// The dialect of a server that calls itself by `version`, as `SELECT version()` tells.
    pub(crate) fn of(version: &str) -> Self {
        // PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC …, Redshift 1.0.12103
        match version.contains("Redshift") {
            true => Self::Redshift,
            false => Self::Postgres,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redshift => "Amazon Redshift",
        })
    }
}
