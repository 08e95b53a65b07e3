//! The server that is measured.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::target::{Database, Target, failed};

/// The version of the server, and its settings that make a load faster or slower, by their names.
///
/// # Errors
///
/// The target can't be reached.
pub async fn server_settings(target: &Target) -> Result<BTreeMap<String, String>> {
    let what = |cause| failed(format!("can't ask {target} for its settings"), cause);
    // An embedded database is there as long as it is open.
    let database = Database::open(target).await?;
    let client = database.connect().await?;
    let rows = client.query(include_str!("../sql/server_settings.sql"), &[]).await.map_err(what)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
