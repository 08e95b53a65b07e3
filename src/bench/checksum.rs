//! Checksums: whether two loads have had the same result.

use serde::{Deserialize, Serialize};

use super::Measured;
use crate::error::{Error, Result};
use crate::query::query;
use crate::target::{Target, in_schema};

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
    let sums = in_schema(schema, include_str!("../sql/checksum.sql"));
    let found = query(target, schema, &format!("SET search_path = pg_catalog;\n{sums}")).await?;
    let sums = found.rows.into_iter().map(|row| match <[_; 3]>::try_from(row) {
        Ok([Some(table), Some(rows), Some(checksum)]) => {
            Some(TableSum { table, rows: rows.parse().ok()?, checksum })
        }
        _ => None,
    });
    let sums: Option<Vec<_>> = sums.collect();
    sums.ok_or_else(|| Error::target("the server gives no checksums"))
}

/// What the loads among `measured` have all come to.
///
/// # Errors
///
/// Two of them differ: then a load is not what it promises to be, or somebody has changed the source meanwhile.
pub fn same_result<'m>(measured: impl IntoIterator<Item = &'m Measured>) -> Result<Vec<TableSum>> {
    let mut results = measured.into_iter().map(|run| &run.result).filter(|sums| !sums.is_empty());
    let Some(first) = results.next() else { return Ok(Vec::new()) };
    let Some(other) = results.find(|other| *other != first) else { return Ok(first.clone()) };
    let differ = first.iter().zip(other).filter(|(one, other)| one != other);
    let tables: Vec<_> = differ.map(|(one, _)| one.table.as_str()).collect();
    let what = format!("two loads of the same source differ in {}", tables.join(", "));
    Err(Error::data(what)
        .with_help("if nothing writes to the source or the target meanwhile, please report this"))
}
