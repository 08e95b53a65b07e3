//! What a load that died has left behind: gone on with where that is possible, cleared away where not.
//!
//! A load that stages its records can be gone on with: the ledger of what it had read to the end is among its tables,
//! and the star can be made of staged rows.

use tokio_postgres::{Client, GenericClient};

use super::session::Work;
use super::{failed, failed_unless_owner, literal, lock, present, quoted};
use crate::error::Result;
use crate::ledger::Plan;

/// The version that must have made the tables.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// A name for the schema of a load into `schema` that no other load has.
pub(super) fn name(schema: &str) -> String {
    format!("{schema}_loading_{:016x}", fastrand::u64(..))
}

/// Makes the schema `loading` with its tables, for a load into `schema`. With `settings`, a load with the same ones may
/// go on with what this one leaves.
pub(super) async fn make(
    client: &impl GenericClient,
    schema: &str,
    loading: &str,
    settings: Option<&str>,
) -> Result<()> {
    let what = |cause| failed(format!("can't make a schema for a load into {schema}"), cause);
    let (name, mark) = (quoted(loading), literal(&lock::mark(schema)));
    let make = format!(
        "CREATE SCHEMA {name}; COMMENT ON SCHEMA {name} IS {mark}; SET search_path = {name};"
    );
    // One message, and so one transaction.
    let tables = [include_str!("../sql/tables.sql"), include_str!("../sql/loading.sql")].concat();
    let enter = settings.map_or_else(String::new, |settings| {
        format!("INSERT INTO unfinished VALUES ({}, {});", literal(PROGRAM), literal(settings))
    });
    client.batch_execute(&(make + &tables + &enter)).await.map_err(what)
}

/// Looks through the schemas that loads have `left` behind. One that a load with these `settings` can go on with becomes
/// `loading`, the others are cleared away; returns whether there was one.
///
/// The name changes so that nothing that knows the old one gets at the tables.
pub(super) async fn take_over(
    client: &Client,
    left: Vec<String>,
    loading: &str,
    settings: &str,
) -> Result<bool> {
    let what = |cause| {
        let help = "load as the role that began that one, or have its schema dropped";
        failed_unless_owner("can't clear away what an unfinished load has left", cause, help)
    };
    let mut taken = false;
    for left in left {
        let usable = !taken && is_usable(client, &left, settings).await.map_err(what)?;
        let then = match usable {
            // Made before the connection broke.
            true if left == loading => String::new(),
            true => format!("ALTER SCHEMA {} RENAME TO {}", quoted(&left), quoted(loading)),
            false => format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&left)),
        };
        client.batch_execute(&then).await.map_err(what)?;
        taken |= usable;
    }
    Ok(taken)
}

async fn is_usable(
    client: &Client,
    left: &str,
    settings: &str,
) -> Result<bool, tokio_postgres::Error> {
    if present(client, left, &["unfinished"]).await?.is_empty() {
        return Ok(false);
    }
    let same =
        format!("SELECT FROM {}.unfinished WHERE program = $1 AND settings = $2", quoted(left));
    Ok(client.query_opt(&same, &[&PROGRAM, &settings]).await?.is_some())
}

/// Whether the load in the schema `loading` has finished an object, so that another one can go on from there.
pub(super) async fn is_worth_keeping(client: &Client, loading: &str) -> Result<bool> {
    let what = |cause| failed(format!("can't look into the schema {loading}"), cause);
    let name = quoted(loading);
    let query = format!(
        "SELECT EXISTS (SELECT FROM {name}.unfinished) AND EXISTS (SELECT FROM {name}.load_objects)"
    );
    Ok(client.query_one(&query, &[]).await.map_err(what)?.get(0))
}

/// Keeps the rows that the plan keeps of an unfinished load's tables, and makes them those of the load `run`.
pub(super) struct Keep<'a> {
    pub plan: &'a Plan,
    pub run: i64,
}

impl Work for Keep<'_> {
    async fn run(&self, client: &Client) -> Result<()> {
        let Self { plan, run } = self;
        let what = |cause| failed("can't go on with what an unfinished load has left", cause);
        let make = "CREATE TEMP TABLE kept_objects (object_id BIGINT PRIMARY KEY) ON COMMIT DROP";
        client.batch_execute(make).await.map_err(what)?;
        let kept: Vec<i64> = plan.kept.iter().map(|(_, version)| version.object_id).collect();
        let enter = "INSERT INTO kept_objects SELECT unnest($1::BIGINT[])";
        client.execute(enter, &[&kept]).await.map_err(what)?;
        client.batch_execute(include_str!("../sql/adopt.sql")).await.map_err(what)?;
        let number =
            format!("UPDATE load_objects SET run = {run}; UPDATE load_errors SET run = {run}");
        client.batch_execute(&number).await.map_err(what)
    }
}
