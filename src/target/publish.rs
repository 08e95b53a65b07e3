//! Publishing: one transaction makes the rows of a load the live ones, and enters them in the ledger.
//!
//! A table that is not there yet is moved into place as it is. One that is there gets the rows that differ, by
//! ordinary statements: so its views, grants and foreign keys stay, readers are not held up, and every snapshot
//! sees all of the old state or all of the new one. (Swapping the table itself would show an empty one to a
//! transaction whose snapshot is older than the swap.)

use futures::future::try_join;
use tokio_postgres::{Client, IsolationLevel, Transaction};

use super::merge::{self, Rules};
use super::missing::{Moved, build_missing_indexes, make_missing, move_missing};
use super::names::OWN;
use super::replication::Replication;
use super::{failed, ledger, literal, quoted};
use crate::error::{Error, Result};
use crate::ledger::{Mode, Published, Run};
use crate::report::{RowCounts, TableRows};
use crate::table::{Kind, Table};

/// What is published, and where.
pub(super) struct Publication<'a> {
    pub schema: &'a str,
    /// The schema that holds the new rows.
    pub loading: &'a str,
    pub run: &'a Run,
    pub rules: Rules,
    /// Whether the tables get the indexes that incremental loads look rows up by.
    pub indexed: bool,
    /// Whether tables that are missing are made where they are to stay, and not moved there.
    pub replication: Replication,
    /// What the new tables hold, where the load has written all of it and counted.
    pub written: Option<RowCounts>,
}

/// The tables that hold what the source says; the others are the ledger.
pub(super) const CONTENT: [Table; 8] = [
    Table::Artists,
    Table::Songs,
    Table::Users,
    Table::Time,
    Table::Songplays,
    Table::StagingEvents,
    Table::StagingSongs,
    Table::LoadErrors,
];

/// Publishes a load; `published` becomes what the tables hold then, and counts once the ledger has the run.
pub(super) async fn publish(
    client: &mut Client,
    publication: &Publication<'_>,
    published: &mut Published,
) -> Result<()> {
    let Publication { schema, loading, run, rules, .. } = publication;
    let what = |cause| failed(format!("can't publish the load in the schema {schema}"), cause);
    let transaction = begin(client).await.map_err(what)?;
    failpoint!("begun");
    let tables = match run.mode {
        Mode::Full => publish_all(&transaction, publication).await?,
        Mode::Incremental => publish_changes(&transaction, publication).await?,
    };
    let amounts = match rules.matched_only {
        true => ledger::amounts(&transaction, schema, run).await?,
        false => run.amounts,
    };
    // Up to the end, for triggers may wait for the commit.
    let enter = ledger::enter(&transaction, schema, run, amounts, &tables);
    try_join(look_up_live_names(&transaction, schema), enter).await?;
    failpoint!("entered");
    // Nothing is to be gone on with any more, should this be the last that the load gets done.
    let done = format!("DELETE FROM {}.unfinished", quoted(loading));
    transaction.batch_execute(&done).await.map_err(what)?;
    *published = Published { tables, amounts };
    failpoint!("cleared");
    transaction.commit().await.map_err(what)?;
    failpoint!("committed");
    Ok(())
}

/// Makes the live tables equal to the new ones.
async fn publish_all(
    transaction: &Transaction<'_>,
    publication: &Publication<'_>,
) -> Result<Vec<TableRows>> {
    let Publication { schema, loading, run, rules: _, indexed, replication, written } = publication;
    if *replication == Replication::On {
        make_missing(transaction, schema).await?;
    }
    let Moved { moved, kept } = move_missing(transaction, schema, loading).await?;
    let kept: Vec<Change> =
        kept.into_iter().map(|table| Change::all(table, schema, loading)).collect();
    for change in &kept {
        change.run(transaction, &change.lock()).await?;
    }
    failpoint!("all locked");
    let content: Vec<_> = kept.iter().filter(|change| CONTENT.contains(&change.table)).collect();
    let change_all = async {
        if let Some(change) = kept.iter().find(|change| change.table == Table::LoadObjects) {
            let old = format!(
                "UPDATE {} SET replaced_by = {}\nWHERE replaced_by IS NULL",
                change.live, run.number
            );
            change.run(transaction, &old).await?;
            change.run(transaction, &change.insert()).await?;
        }
        failpoint!("all objects entered");
        apply(transaction, &content).await
    };
    let mut tables = with_live_names(transaction, schema, change_all).await?;
    failpoint!("all applied");
    for (change, rows) in content.iter().zip(&mut tables) {
        (rows.rows, rows.counted) = (change.verify(transaction).await?, true);
    }
    if !kept.is_empty() && *indexed {
        build_missing_indexes(transaction, schema).await?;
    }
    with_live_names(transaction, schema, analyze(transaction, schema, &tables)).await?;
    failpoint!("all verified");
    for table in moved.into_iter().filter(|table| CONTENT.contains(table)) {
        let rows = match written {
            Some(written) => written.rows(table),
            None => count(transaction, schema, table).await?,
        };
        let (inserted, counted) = (rows, true);
        tables.push(TableRows { table, rows, counted, inserted, updated: 0, deleted: 0 });
    }
    Ok(in_order(tables))
}

/// Brings the live tables up to date with the objects that the load has read.
async fn publish_changes(
    transaction: &Transaction<'_>,
    publication: &Publication<'_>,
) -> Result<Vec<TableRows>> {
    let Publication { schema, loading, run, rules, .. } = publication;
    let tables = ledger::rows_before(transaction, schema).await?;
    for table in Table::ALL {
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", qualified(schema, table));
        execute(transaction, table, &lock).await?;
    }
    failpoint!("changes locked");
    merge::begin(transaction, schema, loading, *rules).await?;
    failpoint!("changes found");

    // The records first: what the star becomes is read off them.
    let change = |table| Change::touched(table, schema);
    let records = [Table::StagingEvents, Table::StagingSongs, Table::LoadErrors].map(change);
    let records: Vec<_> = records.iter().collect();
    let objects = Change::touched(Table::LoadObjects, schema);
    let change_records = async {
        let changes = apply(transaction, &records).await?;
        let old = format!(
            "UPDATE {} AS old SET replaced_by = {}\nFROM {} AS new\n\
             WHERE old.object_id = new.object_id AND old.replaced_by IS NULL",
            objects.live, run.number, objects.new
        );
        objects.run(transaction, &old).await?;
        objects.run(transaction, &objects.insert()).await?;
        Ok(changes)
    };
    let mut changes = with_live_names(transaction, schema, change_records).await?;
    failpoint!("records applied");

    merge::compute(transaction, schema).await?;
    failpoint!("star computed");
    let star =
        [Table::Artists, Table::Songs, Table::Users, Table::Time, Table::Songplays].map(change);
    let star: Vec<_> = star.iter().collect();
    changes.extend(with_live_names(transaction, schema, apply(transaction, &star)).await?);
    failpoint!("star applied");
    for change in records.iter().chain(&star) {
        change.verify(transaction).await?;
    }
    let recount = merge::recount(transaction, schema, *rules);
    with_live_names(transaction, schema, recount).await?;
    let counts = count_small(transaction, schema, &CONTENT).await?;
    for rows in &mut changes {
        let table = rows.table;
        let found = match counts.iter().find(|(small, _)| *small == table) {
            Some((_, found)) => Some(*found),
            // The books of the runs don't have these.
            None if table == Table::LoadErrors => Some(count(transaction, schema, table).await?),
            None => None,
        };
        rows.counted = found.is_some();
        let by_the_books = (tables.rows(table) + rows.inserted).saturating_sub(rows.deleted);
        rows.rows = found.unwrap_or(by_the_books);
    }
    with_live_names(transaction, schema, analyze(transaction, schema, &changes)).await?;
    failpoint!("changes verified");
    Ok(in_order(changes))
}

/// Tells the planner what is in tables of which a good part is new, since the next load may come before the server
/// finds out by itself: it would look for a few rows by reading all of them.
async fn analyze(transaction: &Transaction<'_>, schema: &str, tables: &[TableRows]) -> Result<()> {
    let is_new = |rows: &&TableRows| (rows.inserted + rows.updated + rows.deleted) * 10 > rows.rows;
    for TableRows { table, .. } in tables.iter().filter(is_new) {
        let what = |cause| failed(format!("can't analyze {table}"), cause);
        transaction
            .batch_execute(&format!("ANALYZE {}", qualified(schema, *table)))
            .await
            .map_err(what)?;
    }
    Ok(())
}

/// Makes the live rows the new ones.
async fn apply(transaction: &Transaction<'_>, changes: &[&Change]) -> Result<Vec<TableRows>> {
    let mut tables = Vec::new();
    // Dimensions get their new rows before the facts that refer to them, and lose their old ones after.
    for change in changes {
        let updated = change.run(transaction, &change.update()).await?;
        let inserted = change.run(transaction, &change.insert()).await?;
        let table = change.table;
        tables.push(TableRows { table, rows: 0, counted: false, inserted, updated, deleted: 0 });
    }
    for (change, rows) in changes.iter().zip(&mut tables).rev() {
        rows.deleted = change.run(transaction, &change.delete()).await?;
    }
    Ok(tables)
}

/// The tables in the order in which a report names them.
fn in_order(mut tables: Vec<TableRows>) -> Vec<TableRows> {
    tables.sort_unstable_by_key(|rows| Table::ALL.iter().position(|table| *table == rows.table));
    tables
}

async fn execute(transaction: &Transaction<'_>, table: Table, statement: &str) -> Result<u64> {
    let what = |cause| failed(format!("can't publish {table}"), cause);
    transaction.execute(statement, &[]).await.map_err(what)
}

async fn count(transaction: &Transaction<'_>, schema: &str, table: Table) -> Result<u64> {
    let what = |cause| failed(format!("can't count the rows of {table}"), cause);
    let count = format!("SELECT count(*) FROM {}", qualified(schema, table));
    Ok(transaction.query_one(&count, &[]).await.map_err(what)?.get::<_, i64>(0) as u64)
}

/// How large a table may be that an incremental load counts the rows of: it has to read all of it.
const COUNTED_BYTES: i64 = 8 << 20;

/// Counts the rows of those `tables` that are small.
async fn count_small(
    transaction: &Transaction<'_>,
    schema: &str,
    tables: &[Table],
) -> Result<Vec<(Table, u64)>> {
    let what = |cause| failed("can't count the rows of the tables", cause);
    // Of a partitioned table the size says nothing.
    let counts = tables.iter().map(|table| {
        let live = qualified(schema, *table);
        let id = format!("{}::regclass", literal(&live));
        format!(
            "CASE WHEN (SELECT relkind = 'r' FROM pg_class WHERE oid = {id})\n\
             AND pg_relation_size({id}) <= {COUNTED_BYTES} THEN (SELECT count(*) FROM {live}) END"
        )
    });
    let query = format!("SELECT {}", counts.collect::<Vec<_>>().join(",\n"));
    let row = transaction.query_one(&query, &[]).await.map_err(what)?;
    let counted = tables
        .iter()
        .enumerate()
        .filter_map(|(column, table)| Some((*table, row.get::<_, Option<i64>>(column)? as u64)));
    Ok(counted.collect())
}

/// Begins a transaction that can write, whatever the role's own settings are, and finds nothing by its name alone but
/// what is the server's own.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let isolation = IsolationLevel::ReadCommitted;
    let transaction =
        client.build_transaction().isolation_level(isolation).read_only(false).start().await?;
    transaction.batch_execute(OWN).await?;
    Ok(transaction)
}

/// Does `work`, in which live tables are written: what users have hung upon them (triggers, indexes by functions of
/// theirs) looks names up in `schema` and in `public`, as it does for whoever else works there.
///
/// Anyone may have put operators and functions there. So `work` calls none but by types that the server has one for,
/// since that one is found first.
async fn with_live_names<T>(
    transaction: &Transaction<'_>,
    schema: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    // Sent together, and run one after the other.
    let ((), done) = try_join(look_up_live_names(transaction, schema), work).await?;
    let what = |cause| failed("can't set the search path", cause);
    transaction.batch_execute(OWN).await.map_err(what)?;
    Ok(done)
}

async fn look_up_live_names(transaction: &Transaction<'_>, schema: &str) -> Result<()> {
    let what = |cause| failed("can't set the search path", cause);
    let path = format!("SET LOCAL search_path = {}, public", quoted(schema));
    transaction.batch_execute(&path).await.map_err(what)
}

pub(super) fn qualified(schema: &str, table: Table) -> String {
    format!("{}.{table}", quoted(schema))
}

/// The statements that make rows of a live table equal to their new versions.
struct Change {
    table: Table,
    live: String,
    /// The table of the new versions.
    new: String,
    scope: Scope,
}

/// Which live rows are meant.
enum Scope {
    All,
    /// Those of the keys in a table.
    Keys {
        touched: String,
        key: &'static str,
    },
    /// The records of the objects that the load has read; the old ones are in a table.
    Records {
        touched: String,
    },
}

impl Change {
    /// All rows of `table` become those of the same table in `loading`.
    fn all(table: Table, schema: &str, loading: &str) -> Self {
        let (live, new) = (qualified(schema, table), qualified(loading, table));
        Self { table, live, new, scope: Scope::All }
    }

    /// The rows that an incremental load touches become those that it has computed.
    fn touched(table: Table, schema: &str) -> Self {
        let own = |name: &str| format!("pg_temp.{name}");
        let objects = || Scope::Keys { touched: own("delta_objects"), key: "object_id" };
        let touched = own(&format!("touched_{table}"));
        let (new, scope) = match table {
            Table::StagingEvents => (own("delta_events"), Scope::Records { touched }),
            Table::StagingSongs => (own("delta_songs"), Scope::Records { touched }),
            Table::LoadErrors => (own("delta_errors"), objects()),
            Table::LoadObjects | Table::LoadRuns => (own("delta_objects"), objects()),
            Table::Songplays | Table::Users | Table::Songs | Table::Artists | Table::Time => {
                (own(&format!("fresh_{table}")), Scope::Keys { touched, key: table.key()[0] })
            }
        };
        Self { table, live: qualified(schema, table), new, scope }
    }

    async fn run(&self, transaction: &Transaction<'_>, statement: &str) -> Result<u64> {
        execute(transaction, self.table, statement).await
    }

    /// Sees to it that there are as many live rows as there should be: one without a key may stand there twice, and
    /// a trigger may do what it likes. Returns how many there are.
    async fn verify(&self, transaction: &Transaction<'_>) -> Result<u64> {
        let Self { table, live, new, scope } = self;
        let what = |cause| failed(format!("can't count the rows of {table}"), cause);
        let meant = match scope {
            Scope::All => live.clone(),
            Scope::Keys { touched, key } => {
                format!("{live} AS old WHERE {}", self.is_in(key, touched))
            }
            Scope::Records { .. } => format!(
                "pg_temp.delta_objects AS delta CROSS JOIN LATERAL\n\
                 (SELECT FROM {live} AS live WHERE live.object_id = delta.object_id OFFSET 0) AS live"
            ),
        };
        let count = format!("SELECT (SELECT count(*) FROM {meant}), (SELECT count(*) FROM {new})");
        let counts = transaction.query_one(&count, &[]).await.map_err(what)?;
        let (found, expected): (i64, i64) = (counts.get(0), counts.get(1));
        let surplus = found - expected;
        if surplus == 0 {
            return Ok(found as u64);
        }
        let (much, many) = if surplus < 0 { ("less", -surplus) } else { ("more", surplus) };
        Err(Error::target(format!("{table} would hold {many} rows {much} than it should"))
            .because("rows stand in it twice, or a trigger or rule changes what is written")
            .with_help("make the tables anew by `sparkload create --drop`"))
    }

    /// Keeps writers out, not readers.
    fn lock(&self) -> String {
        format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self.live)
    }

    fn delete(&self) -> String {
        let Self { live, new, scope, .. } = self;
        let meant = match scope {
            Scope::All => String::new(),
            Scope::Keys { touched, key } => format!("{}\n  AND ", self.is_in(key, touched)),
            Scope::Records { touched } => format!(
                "(old.object_id, old.record_no) IN (SELECT object_id, record_no FROM {touched})\n  AND "
            ),
        };
        format!(
            "DELETE FROM {live} AS old\nWHERE {meant}NOT EXISTS (SELECT FROM {new} AS new WHERE {})",
            self.same_key()
        )
    }

    fn update(&self) -> String {
        let Self { live, new, .. } = self;
        let set = self.list(", ", |column| format!("{column} = new.{column}"));
        let old = self.images("old");
        let changed = self.images("new");
        format!(
            "UPDATE {live} AS old\nSET {set}\nFROM {new} AS new\n\
             WHERE {} AND ({old}) IS DISTINCT FROM ({changed})",
            self.same_key()
        )
    }

    fn insert(&self) -> String {
        let Self { live, new, .. } = self;
        let columns = self.list(", ", str::to_owned);
        format!(
            "INSERT INTO {live} ({columns})\nSELECT {columns}\nFROM {new} AS new\n\
             WHERE NOT EXISTS (SELECT FROM {live} AS old WHERE {})",
            self.same_key()
        )
    }

    /// The columns of a row as they are compared: by what is stored, since 0 is equal to -0 but not the same.
    fn images(&self, row: &str) -> String {
        let columns = self.table.columns().iter().map(|column| match column.kind {
            Kind::Double => format!("float8send({row}.{})", column.name),
            Kind::Int | Kind::BigInt | Kind::Timestamp => format!("{row}.{}", column.name),
            Kind::Word | Kind::Key | Kind::Text | Kind::Long => self.exact(row, column.name),
            // 1.0 is equal to 1 but not the same.
            Kind::Json => self.exact(row, column.name),
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    fn same_key(&self) -> String {
        let same = self.table.key().iter().flat_map(|key| {
            let both = self.joined_by("old", key).into_iter().zip(self.joined_by("new", key));
            both.map(|(old, new)| format!("{old} = {new}"))
        });
        same.collect::<Vec<_>>().join(" AND ")
    }

    /// A column as a type that the server has an operator `=` for. `VARCHAR` is compared as `TEXT`, unless someone has made
    /// an operator for it.
    fn exact(&self, row: &str, name: &str) -> String {
        let column = self.table.columns().iter().find(|column| column.name == name);
        match column.map(|column| column.kind) {
            Some(Kind::Word | Kind::Key | Kind::Text | Kind::Long | Kind::Json) => {
                format!("CAST({row}.{name} AS text)")
            }
            Some(Kind::Double | Kind::Int | Kind::BigInt | Kind::Timestamp) | None => {
                format!("{row}.{name}")
            }
        }
    }

    fn list(&self, separator: &str, each: impl Fn(&str) -> String) -> String {
        let columns = self.table.columns().iter().map(|column| each(column.name));
        columns.collect::<Vec<_>>().join(separator)
    }

    /// Whether the row `old` has one of the keys in a table.
    fn is_in(&self, key: &str, keys: &str) -> String {
        let [old, wanted] = ["old", "wanted"].map(|row| self.joined_by(row, key).join(", "));
        format!("({old}) IN (SELECT {wanted} FROM {keys} AS wanted)")
    }

    /// What rows with the same key share, as far as a join has to be told. The server hashes a BIGINT by its halves XORed.
    /// In `songplay_id` these are an object and a record, small numbers both, so that thousands of plays fall on one hash;
    /// the object beside it spreads them.
    fn joined_by(&self, row: &str, key: &str) -> Vec<String> {
        let mut shared = vec![self.exact(row, key)];
        if key == "songplay_id" {
            shared.push(format!("{row}.{key} >> 32"));
        }
        shared
    }
}
