//! What a load that died has left behind: gone on with where that is possible, cleared away where not.
//!
//! A load that stages its records can be gone on with: the ledger of what it had read to the end is among its tables,
//! and the star can be made of staged rows.

use std::slice;

use tokio_postgres::{Client, GenericClient, Row};

use super::missing::TABLES;
use super::replication::Replication;
use super::session::Work;
use super::{failed, literal, present, quoted};
use crate::error::Result;
use crate::ledger::Plan;
use crate::source::Kind;
use crate::table::Table;

/// The statements that make the tables of a private schema.
fn tables(replication: Replication) -> String {
    let tables = [TABLES, include_str!("../sql/loading.sql")].concat();
    match replication {
        Replication::Off => tables,
        Replication::On => tables.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"),
    }
}

/// The program that must have made the tables: its version, and a digest (64-bit FNV-1a) of what it makes, since a version is
/// not only changed as its number is.
fn program(tables: &str) -> String {
    let digest = tables.bytes().fold(0xcbf2_9ce4_8422_2325, |digest: u64, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} {digest:016x}", env!("CARGO_PKG_VERSION"))
}

/// A name for the schema of a load into `schema` that no other load has.
pub(super) fn name(schema: &str) -> String {
    format!("{schema}_loading_{:016x}", fastrand::u64(..))
}

/// The comment by which the private schemas of loads into `schema` are known.
fn mark(schema: &str) -> String {
    format!("sparkload: a load into {schema} in progress")
}

/// Makes the schema `loading` with its tables, for a load into `schema`. With `settings`, a load with the same ones may
/// go on with what this one leaves.
pub(super) async fn make(
    client: &impl GenericClient,
    schema: &str,
    loading: &str,
    settings: Option<&str>,
    replication: Replication,
) -> Result<()> {
    let what = |cause| failed(format!("can't make a schema for a load into {schema}"), cause);
    let (name, mark) = (quoted(loading), literal(&mark(schema)));
    let make = format!(
        "CREATE SCHEMA {name}; COMMENT ON SCHEMA {name} IS {mark}; SET search_path = {name};"
    );
    let rows = client.query(include_str!("../sql/default_grantees.sql"), &[]).await;
    let grantees: Vec<String> = rows.map_err(what)?.iter().map(|row| row.get(0)).collect();
    // One message, and so one transaction.
    let tables = tables(replication);
    let keep_out = match grantees.join(", ") {
        nobody if nobody.is_empty() => nobody,
        grantees => format!(
            "REVOKE ALL ON SCHEMA {name} FROM {grantees};\n\
             REVOKE ALL ON ALL TABLES IN SCHEMA {name} FROM {grantees};\n"
        ),
    };
    let enter = settings.map_or_else(String::new, |settings| {
        let program = literal(&program(&tables));
        format!("INSERT INTO unfinished VALUES ({program}, {});", literal(settings))
    });
    client.batch_execute(&(make + &tables + &keep_out + &enter)).await.map_err(what)
}

/// What loads into a schema have left behind.
#[derive(Default)]
pub(super) struct Found {
    /// The private schemas that hold what this program makes, and nothing else: nothing there runs when it is touched.
    pub own: Vec<String>,
    /// What is not to be touched, each with the reason.
    ignored: Vec<Ignored>,
}

struct Ignored {
    schema: String,
    because: String,
}

/// So many of the schemas that are ignored are named.
const NAMED: usize = 3;

impl Found {
    /// Says what is ignored, and how to be rid of it.
    pub fn warn(&self) {
        for Ignored { schema, because } in self.ignored.iter().take(NAMED) {
            tracing::warn!(
                schema,
                "left by an unfinished load and ignored, since {because}: once nothing works in it, \
                 have its owner drop it (DROP SCHEMA {} CASCADE)",
                quoted(schema)
            );
        }
        if let Some(more @ 1..) = self.ignored.len().checked_sub(NAMED) {
            tracing::warn!("{more} more schemas are left by unfinished loads and ignored");
        }
    }
}

/// Looks for what loads into `schema` have left behind.
///
/// Everyone who may make schemas can make one that looks like it. So only what belongs to the current role counts, and
/// only if all that is in it is what this program puts there: triggers, rules, defaults and the like would run
/// with the rights of whoever takes it over, or even drops it. What another role has left is
/// not even read.
pub(super) async fn find(client: &Client, schema: &str) -> Result<Found> {
    let what = |cause| failed("can't look for what other loads have left behind", cause);
    let left = include_str!("../sql/left_behind.sql");
    let mut found = Found::default();
    for row in client.query(left, &[&mark(schema)]).await.map_err(what)? {
        let (name, owner, is_own): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        match is_own {
            true => found.own.push(name),
            false => {
                let because = format!("it belongs to the role {owner}");
                found.ignored.push(Ignored { schema: name, because });
            }
        }
    }
    let mut strangers = strangers(client, &found.own).await?;
    if strangers.iter().any(|stranger| stranger.trigger.is_some()) {
        let usual = usual_triggers(client, schema).await?;
        strangers.retain(|it| !it.trigger.as_ref().is_some_and(|it| usual.contains(it)));
    }
    for Stranger { schema, object, trigger: _ } in strangers {
        if let Some(at) = found.own.iter().position(|own| *own == schema) {
            found.own.remove(at);
            let because = format!("not all of it is sparkload's doing: {object}");
            found.ignored.push(Ignored { schema, because });
        }
    }
    Ok(found)
}

/// Something in or about a private schema that this program does not put there.
pub(super) struct Stranger {
    schema: String,
    /// What it is, and what it is called.
    pub object: String,
    /// Its definition, if it is a trigger.
    trigger: Option<String>,
}

/// What in these `schemas` is not as this program makes it.
pub(super) async fn strangers(client: &Client, schemas: &[String]) -> Result<Vec<Stranger>> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let what = |cause| failed("can't look at what other loads have left behind", cause);
    let rows = client.query(include_str!("../sql/strangers.sql"), &[&schemas]).await;
    let stranger =
        |row: &Row| Stranger { schema: row.get(0), object: row.get(1), trigger: row.get(2) };
    Ok(rows.map_err(what)?.iter().map(stranger).collect())
}

/// The triggers that the server puts on tables that are made, as an event trigger of a superuser's may.
async fn usual_triggers(client: &Client, schema: &str) -> Result<Vec<String>> {
    let what = |cause| failed("can't look at what the server puts on new tables", cause);
    let probe = name(schema);
    client.batch_execute("BEGIN").await.map_err(what)?;
    let usual = async {
        make(client, schema, &probe, None, Replication::Off).await?;
        strangers(client, slice::from_ref(&probe)).await
    };
    let usual = usual.await;
    client.batch_execute("ROLLBACK").await.map_err(what)?;
    Ok(usual?.into_iter().filter_map(|stranger| stranger.trigger).collect())
}

/// Looks through the schemas that loads have `left` behind. One that a load with these `settings` can go on with becomes
/// `loading`, the others are cleared away; returns whether there was one. Without settings none is gone on with.
///
/// The name changes so that nothing that knows the old one gets at the tables.
pub(super) async fn take_over(
    client: &Client,
    left: Vec<String>,
    loading: &str,
    settings: Option<&str>,
    replication: Replication,
) -> Result<bool> {
    let what = |cause| failed("can't clear away what an unfinished load has left", cause);
    let program = program(&tables(replication));
    let mut taken = false;
    for left in left {
        let usable = match settings {
            Some(settings) if !taken => {
                is_usable(client, &left, &program, settings).await.map_err(what)?
            }
            _ => false,
        };
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
    program: &str,
    settings: &str,
) -> Result<bool, tokio_postgres::Error> {
    if present(client, left, &["unfinished"]).await?.is_empty() {
        return Ok(false);
    }
    // What another version has kept there may have other columns.
    let same = format!(
        "SELECT FROM {}.unfinished AS kept
         WHERE to_jsonb(kept) ->> 'program' = $1 AND to_jsonb(kept) ->> 'settings' = $2",
        quoted(left)
    );
    Ok(client.query_opt(&same, &[&program, &settings]).await?.is_some())
}

/// Drops the private schema `loading` with all that is in it.
pub(super) async fn drop(client: &Client, loading: &str) -> Result<()> {
    let what = |cause| failed(format!("can't drop the schema {loading}"), cause);
    let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(loading));
    client.batch_execute(&drop).await.map_err(what)
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

/// Has no load go on with what is in the schema that is the first in the search path.
pub(super) const FORGET: &str = "DELETE FROM unfinished";

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
        // Where no row is to come, the indexes stay as well.
        if plan.objects().next().is_some() {
            let adopt = include_str!("../sql/adopt_staging.sql");
            client.batch_execute(adopt).await.map_err(what)?;
        }
        for (kind, table) in
            [(Kind::Logs, Table::StagingEvents), (Kind::Songs, Table::StagingSongs)]
        {
            self.keep_staged(client, kind, table).await.map_err(what)?;
        }
        let number = format!(
            "UPDATE load_objects SET run = {run} WHERE run <> {run};\n\
             UPDATE load_errors SET run = {run} WHERE run <> {run}"
        );
        client.batch_execute(&number).await.map_err(what)
    }
}

impl Keep<'_> {
    /// Keeps the staged rows of objects that are kept: what is less to write is written, those that go or those that stay.
    async fn keep_staged(
        &self,
        client: &Client,
        kind: Kind,
        table: Table,
    ) -> Result<(), tokio_postgres::Error> {
        let kept = self.plan.kept.iter().filter(|(of, _)| *of == kind);
        let kept: u64 = kept.map(|(_, version)| version.amounts.staged).sum();
        let count = format!("SELECT count(*) FROM {table}");
        let found = client.query_one(&count, &[]).await?.get::<_, i64>(0) as u64;
        if found == kept {
            return Ok(());
        }
        let of_kept =
            format!("EXISTS (SELECT FROM kept_objects WHERE object_id = {table}.object_id)");
        let keep = match found.saturating_sub(kept) < kept {
            true => format!("DELETE FROM {table} WHERE NOT {of_kept}"),
            // What is deleted would have to be read, and would stay in the file, until the server vacuums it.
            false => format!(
                "CREATE TEMP TABLE kept_{table} ON COMMIT DROP AS SELECT * FROM {table} WHERE {of_kept};\n\
                 TRUNCATE {table};\n\
                 INSERT INTO {table} SELECT * FROM kept_{table}"
            ),
        };
        client.batch_execute(&keep).await
    }
}
