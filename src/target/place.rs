//! The place of the tables: whether a load can work there at all, asked before anything is read.

use tokio_postgres::Client;

use super::{Database, failed};
use crate::error::{Error, Result};

/// The encodings that keep text as it comes: the second one stores the bytes of UTF-8 without looking at them.
const ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

/// Sees to it that the database takes whatever is written; returns whether it has the schema.
///
/// # Errors
///
/// It has another encoding, or takes no writes.
pub(super) async fn require_writable(
    client: &Client,
    database: &Database,
    schema: &str,
) -> Result<bool> {
    let what = |cause| failed(format!("can't look for the schema {schema} in {database}"), cause);
    let query = include_str!("../sql/place.sql");
    let row = client.query_one(query, &[&schema]).await.map_err(what)?;
    let encoding: String = row.get(1);
    if !ENCODINGS.contains(&encoding.as_str()) {
        return Err(Error::target(format!("{database} can't hold all text that JSON can"))
            .because(format!("its encoding is {encoding}"))
            .with_help("load into a database in UTF-8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"));
    }
    let (standby, read_only): (bool, bool) = (row.get(2), row.get(3));
    let error = Error::target(format!("{database} takes no writes"));
    match (standby, read_only) {
        (true, _) => Err(error.because("it is a standby").with_help(
            "name the primary, or all servers of the cluster with target_session_attrs=read-write",
        )),
        (false, true) => Err(error.because("default_transaction_read_only is on").with_help(
            "turn it off for the role or the database (ALTER ROLE … SET default_transaction_read_only = off), or for \
             this session: options='-c default_transaction_read_only=off'",
        )),
        (false, false) => Ok(row.get(0)),
    }
}

/// Sees to it that a load can work in `schema`.
///
/// # Errors
///
/// Those of [`require_writable`], and there is no such schema.
pub(super) async fn require(client: &Client, database: &Database, schema: &str) -> Result<()> {
    if require_writable(client, database, schema).await? {
        return Ok(());
    }
    Err(Error::target(format!("there is no schema {schema} in {database}"))
        .with_help(format!("run `sparkload create --schema {schema}` to make it")))
}
