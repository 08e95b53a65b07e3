//! Checksums: whether two loads have had the same result.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::query::query;
use crate::target::Target;

/// What a table of the star holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableSum {
    /// Its name; `star` is all of them together.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// A sum over them that knows no order.
    pub checksum: String,
}

/// The sums of the tables of the star in `schema`, and of all of them together.
pub(super) async fn of_star(target: &Target, schema: &str) -> Result<Vec<TableSum>> {
    let found = query(target, schema, include_str!("../sql/checksum.sql")).await?;
    let sums = found.rows.into_iter().map(|row| match <[_; 3]>::try_from(row) {
        Ok([Some(table), Some(rows), Some(checksum)]) => {
            Some(TableSum { table, rows: rows.parse().ok()?, checksum })
        }
        _ => None,
    });
    let sums: Option<Vec<_>> = sums.collect();
    sums.ok_or_else(|| Error::target("the server gives no checksums"))
}
