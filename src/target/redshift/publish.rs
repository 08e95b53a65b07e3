//! Publishing: the transaction that holds the lock takes the waiting rows in, enters the run, and commits.
//!
//! A load that has read everything replaces the rows of all tables. One that has read what is new computes by SQL what
//! that changes, and replaces just those rows. Either way readers see the old state until the commit.

use std::time::SystemTime;

use tokio_postgres::Client;

use super::shape;
use super::sql::{self, literal};
use super::waiting::{Waiting, columns, insert, temporary};
use crate::error::{Error, Remedy, Result};
use crate::ledger::{Amounts, Mode, Published, Run};
use crate::report::TableRows;
use crate::star::Matching;
use crate::table::Table;
use crate::table::time::Moment;
use crate::target::merge::{DELTAS, Rules};
use crate::target::publish::CONTENT;

/// What is published, and where.
pub(super) struct Publication<'a> {
    pub schema: &'a str,
    pub rules: Rules,
    pub run: &'a Run,
    /// The last run that was published when the load began.
    pub last_run: i64,
    pub waiting: &'a Waiting,
}

/// The statements that make the tables that are missing.
pub(super) const TABLES: &str = include_str!("../../sql/redshift/tables.sql");

/// Computes what is touched, and what becomes of it.
const TOUCHED: &str = include_str!("../../sql/redshift/merge/touched.sql");
/// Numbers the objects by their names, when the new ones are entered.
const PLACES: &str = include_str!("../../sql/redshift/merge/places.sql");
const FRESH: [(Table, &str); 5] = [
    (Table::Songs, include_str!("../../sql/redshift/merge/songs.sql")),
    (Table::Artists, include_str!("../../sql/redshift/merge/artists.sql")),
    (Table::Users, include_str!("../../sql/redshift/merge/users.sql")),
    (Table::Songplays, include_str!("../../sql/redshift/merge/songplays.sql")),
    (Table::Time, include_str!("../../sql/redshift/merge/time.sql")),
];

impl Publication<'_> {
    /// Does all but the commit; returns what the tables hold then.
    pub async fn prepare(&self, client: &Client) -> Result<Published> {
        let Self { schema, rules, run, .. } = self;
        self.require_same_ledger(client).await?;
        failpoint!("begun");
        // A role that may make no tables can do with those that are there.
        if shape::present(client, schema).await?.len() < Table::ALL.len() {
            let what = format!("can't create the tables in the schema {schema}");
            sql::run(client, &what, TABLES).await?;
        }
        let mut tables = match run.mode {
            Mode::Full => self.replace(client).await?,
            Mode::Incremental => self.merge(client).await?,
        };
        tables
            .sort_unstable_by_key(|rows| Table::ALL.iter().position(|table| *table == rows.table));
        let amounts = match rules.matched_only {
            true => {
                let query = include_str!("../../sql/amounts.sql");
                let query = query.replace("$1", &run.number.to_string());
                let what = "can't add up the records in load_objects";
                sql::amounts(sql::numbers(client, what, &query).await?)
            }
            false => run.amounts,
        };
        sql::run(client, "can't enter the run in load_runs", &entry(run, amounts, &tables)).await?;
        failpoint!("entered");
        Ok(Published { tables, amounts })
    }

    /// Two loads that lost sight of each other must not both build upon the same state.
    async fn require_same_ledger(&self, client: &Client) -> Result<()> {
        let Self { schema, last_run, .. } = self;
        let what = "can't read load_runs";
        let [last] = match sql::is_there(client, what, "load_runs").await? {
            true => sql::numbers(client, what, "SELECT max(run) FROM load_runs").await?,
            false => [0],
        };
        if last as i64 == *last_run {
            return Ok(());
        }
        Err(Error::target(format!("another load was published in the schema {schema} meanwhile"))
            .because("the session that held the lock broke, and the other one took it")
            .with_help("run the load again")
            .with_remedy(Remedy::StartOver))
    }

    /// Replaces the rows of all tables.
    async fn replace(&self, client: &Client) -> Result<Vec<TableRows>> {
        let Self { run, waiting, .. } = self;
        let mut tables = Vec::new();
        for table in CONTENT {
            let before = count(client, table).await?;
            let what = format!("can't replace the rows of {table}");
            if before > 0 {
                sql::run(client, &what, &format!("DELETE FROM {}", name(table))).await?;
            }
            waiting.fill(client, table, &name(table)).await?;
            let rows = count(client, table).await?;
            require(table, rows, waiting.rows(table))?;
            let (inserted, deleted) = (rows, before);
            tables.push(TableRows { table, rows, counted: true, inserted, updated: 0, deleted });
            failpoint!("one applied");
        }
        let old = format!(
            "UPDATE load_objects SET replaced_by = {} WHERE replaced_by IS NULL",
            run.number
        );
        sql::run(client, "can't enter what was replaced in load_objects", &old).await?;
        waiting.fill(client, Table::LoadObjects, "load_objects").await?;
        failpoint!("all applied");
        Ok(tables)
    }

    /// Brings the tables up to date with the objects that the load has read.
    async fn merge(&self, client: &Client) -> Result<Vec<TableRows>> {
        let Self { rules, run, waiting, .. } = self;
        const WHAT: &str = "can't find out what the load changes";
        for (delta, table) in DELTAS {
            sql::run(client, WHAT, &temporary(delta, table)).await?;
            waiting.fill(client, table, delta).await?;
        }
        let Rules { matching, matched_only } = *rules;
        let match_duration = matching == Matching::TitleArtistDuration;
        let rules_table = format!(
            "CREATE TEMP TABLE merge_rules AS SELECT {match_duration} AS match_duration, {matched_only} AS matched_only"
        );
        sql::run(client, WHAT, &rules_table).await?;
        sql::run(client, WHAT, TOUCHED).await?;
        failpoint!("changes found");

        // The records first: what the star becomes is read off them.
        let mut tables = Vec::new();
        for (delta, table) in DELTAS {
            let what = format!("can't publish {table}");
            if table == Table::LoadObjects {
                let old = format!(
                    "UPDATE load_objects SET replaced_by = {}\nFROM delta_objects\n\
                     WHERE load_objects.object_id = delta_objects.object_id AND load_objects.replaced_by IS NULL",
                    run.number
                );
                sql::run(client, &what, &old).await?;
                sql::run(client, &what, &insert(table, &name(table), delta)).await?;
                continue;
            }
            let before = count(client, table).await?;
            let delete = format!(
                "DELETE FROM {table} USING delta_objects WHERE {table}.object_id = delta_objects.object_id"
            );
            sql::run(client, &what, &delete).await?;
            let kept = count(client, table).await?;
            sql::run(client, &what, &insert(table, &name(table), delta)).await?;
            let rows = count(client, table).await?;
            let inserted = waiting.rows(table);
            require(table, rows, kept + inserted)?;
            tables.push(TableRows {
                table,
                rows,
                counted: true,
                inserted,
                updated: 0,
                deleted: before.saturating_sub(kept),
            });
        }

        failpoint!("records applied");
        sql::run(client, "can't put the objects in order", PLACES).await?;
        for (table, statements) in FRESH {
            sql::run(client, &format!("can't compute {table}"), statements).await?;
        }
        failpoint!("star computed");
        for (table, _) in FRESH {
            tables.push(apply(client, table).await?);
        }
        failpoint!("star applied");
        if rules.matched_only {
            let recount = include_str!("../../sql/redshift/merge/recount.sql");
            sql::run(client, "can't count the plays of each object", recount).await?;
        }
        Ok(tables)
    }
}

/// Makes the touched rows of a table of the star the fresh ones, whether they differ or not: a column of floating point
/// tells 0 from -0, and no comparison of Redshift's does.
async fn apply(client: &Client, table: Table) -> Result<TableRows> {
    let what = format!("can't publish {table}");
    let (live, key) = (name(table), table.key()[0]);
    // Trailing blanks count only before another character: the keys of touched.sql have it already.
    let exact = match table {
        Table::Songs | Table::Artists => format!("{key} || chr(1)"),
        _ => key.to_owned(),
    };
    let counts = format!(
        "SELECT (SELECT count(*) FROM {live}),\n\
                (SELECT count(*) FROM {live} WHERE {exact} IN (SELECT {key} FROM touched_{table})),\n\
                (SELECT count(*) FROM {live} WHERE {exact} IN (SELECT {exact} FROM fresh_{table})),\n\
                (SELECT count(*) FROM fresh_{table})"
    );
    let [before, touched, updated, fresh] = sql::numbers(client, &what, &counts).await?;
    let delete = format!("DELETE FROM {live} WHERE {exact} IN (SELECT {key} FROM touched_{table})");
    sql::run(client, &what, &delete).await?;
    sql::run(client, &what, &insert(table, &live, &format!("fresh_{table}"))).await?;
    let rows = count(client, table).await?;
    require(table, rows, (before + fresh).saturating_sub(touched))?;
    let inserted = fresh.saturating_sub(updated);
    let deleted = touched.saturating_sub(updated);
    Ok(TableRows { table, rows, counted: true, inserted, updated, deleted })
}

/// The table's name as it stands in a statement; one of them is a word of SQL.
fn name(table: Table) -> String {
    match table {
        Table::Time => "\"time\"".to_owned(),
        table => table.name().to_owned(),
    }
}

async fn count(client: &Client, table: Table) -> Result<u64> {
    let query = format!("SELECT count(*) FROM {}", name(table));
    let [rows] = sql::numbers(client, &format!("can't count the rows of {table}"), &query).await?;
    Ok(rows)
}

/// Sees to it that there are as many rows as there should be: no key keeps one from standing there twice.
fn require(table: Table, found: u64, expected: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::target(format!("{table} would hold {found} rows where it should hold {expected}"))
        .because("rows stand in it twice, or something else writes to it")
        .with_help("read everything again by `sparkload load --full-refresh`"))
}

/// The statement that enters a run, after which the tables hold `tables`.
fn entry(run: &Run, amounts: Amounts, tables: &[TableRows]) -> String {
    let Run { number, token, mode, started, settings, objects: _, amounts: _, unknown: _ } = run;
    let moment = |time| Moment::at(time).to_string();
    let mut values = vec![
        number.to_string(),
        literal(token),
        literal(mode.name()),
        literal(&moment(*started)),
        literal(&moment(SystemTime::now())),
        literal(settings),
    ];
    values.extend(run.counts(amounts, tables).iter().map(u64::to_string));
    values.push(literal(&run.unknown()));
    let columns = columns(Table::LoadRuns);
    format!("INSERT INTO load_runs ({columns})\nVALUES ({})", values.join(", "))
}
