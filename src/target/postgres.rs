//! A load into PostgreSQL: its rows go into tables beside the live ones, where no reader sees them.

use bytes::Bytes;
use futures::future::try_join_all;
use futures::{SinkExt, pin_mut};
use tokio_postgres::{Client, CopyInSink};

use super::load::Part;
use super::merge::{self, Rules};
use super::publish::{self, INDEXES, Publication};
use super::{Database, failed, ledger, leftover, quoted};
use crate::config::Config;
use crate::encode::{HEADER, TRAILER};
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Plan, Run, Settings, Way};
use crate::report::{Progress, RowCounts, TableRows};
use crate::table::Table;

/// A load that has begun. Dropped, it leaves the live tables as they were, and what it has written is removed by
/// the next load.
pub(crate) struct PostgresLoad {
    schema: String,
    /// The schema that holds the new tables until they are published.
    loading: String,
    ledger: Ledger,
    /// Those that the rows depend on.
    settings: String,
    rules: Rules,
    /// Whether all records are staged, so that later loads can build upon this one.
    staging: bool,
    /// The first one holds the lock and publishes; all of them write.
    connections: Vec<Client>,
    database: Database,
}

/// The statements that make their keys.
pub(super) const KEYS: &str = include_str!("../sql/keys.sql");
/// The statements that tell the planner what is in the tables.
const ANALYZE: &str = include_str!("../sql/analyze.sql");

/// The longest schema name that leaves room for `_loading_` and 16 digits in PostgreSQL's 63 bytes.
const SCHEMA_BYTES: usize = 38;

/// A COPY is ended after so many bytes: the server's refusal, of a full disk say, is only heard at the end.
const COPY_BYTES: usize = 256 << 20;

impl PostgresLoad {
    /// Locks `schema`, clears away what a killed load has left, and makes empty tables.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or another load holds it, or a right is missing.
    pub async fn begin(database: Database, config: &Config) -> Result<Self> {
        let schema = &*config.schema;
        check_schema_name(schema)?;
        let control = database.connect().await?;
        require_schema(&control, &database, schema).await?;
        lock(&control, schema).await?;
        let use_it = format!("SET search_path = {}", quoted(schema));
        let what = |cause| failed("can't set the search path", cause);
        control.batch_execute(&use_it).await.map_err(what)?;
        let ledger = ledger::read(&control, schema).await?;
        let loading = leftover::name(schema);
        let schema = schema.to_owned();
        let wanted = database.connections(config.connections);
        let staging = config.staging;
        let connections = vec![control];
        let rules = Rules { matching: config.matching, matched_only: config.matched_only };
        let settings = Settings::of(config).text();
        let mut load =
            Self { schema, loading, ledger, settings, staging, rules, connections, database };
        match load.prepare(wanted).await {
            Ok(()) => Ok(load),
            Err(error) => {
                load.end().await;
                Err(error)
            }
        }
    }

    /// Makes the tables, and more connections that see them.
    async fn prepare(&mut self, connections: usize) -> Result<()> {
        let what = |cause| failed("can't prepare the load", cause);
        let control = &self.connections[0];
        let left = leftover::take_over(control, &self.schema, &self.settings).await?;
        if let Some(left) = left {
            self.loading = left;
            control
                .batch_execute(&format!("SET search_path = {}", quoted(&self.loading)))
                .await
                .map_err(what)?;
            ledger::read_finished(control, &mut self.ledger).await?;
        } else {
            leftover::make(
                control,
                &self.schema,
                &self.loading,
                self.staging.then_some(&*self.settings),
            )
            .await?;
        }
        let use_it = format!("SET search_path = {}", quoted(&self.loading));
        for _ in 1..connections {
            let connection = self.database.connect().await?;
            connection.batch_execute(&use_it).await.map_err(what)?;
            self.connections.push(connection);
        }
        Ok(())
    }

    /// What was loaded before.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Keeps what `plan` keeps of an unfinished load, and drops the rest.
    pub async fn keep(&self, plan: &Plan) -> Result<()> {
        leftover::keep(&self.connections[0], plan, self.ledger.next_run).await
    }

    /// Writes all of `parts`, over every connection, until no more can come; returns how many rows went where.
    pub async fn write(
        &self,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        let writers = self.connections.iter().map(|client| write(client, parts.clone(), progress));
        Ok(try_join_all(writers).await?.into_iter().fold(RowCounts::default(), RowCounts::plus))
    }

    /// Makes the new rows ready to be published, when all are in.
    pub async fn complete(&mut self, way: Way) -> Result<()> {
        let statements = match way {
            Way::Direct if !self.staging => [KEYS, ANALYZE].concat(),
            Way::Direct | Way::Rebuild => [KEYS, INDEXES, ANALYZE].concat(),
            Way::Merge => ANALYZE.to_owned(),
        };
        self.run_all(&statements).await?;
        if way == Way::Rebuild {
            let what = |cause| failed("can't make the star of the staged rows", cause);
            let transaction = self.connections[0].transaction().await.map_err(what)?;
            merge::rebuild(&transaction, &self.loading, self.rules).await?;
            transaction.commit().await.map_err(what)?;
        }
        Ok(())
    }

    /// Runs `statements` on all connections, each as soon as one is free.
    async fn run_all(&self, statements: &str) -> Result<()> {
        let (sender, queue) = async_channel::unbounded();
        for statement in statements.split_inclusive(";\n") {
            sender.try_send(statement).expect("the channel is open and without bound");
        }
        drop(sender);
        let runners = self.connections.iter().map(async |client| {
            while let Ok(statement) = queue.recv().await {
                let what = |cause| failed("can't build the keys of the tables", cause);
                client.batch_execute(statement).await.map_err(what)?;
            }
            Ok(())
        });
        try_join_all(runners).await.map(drop)
    }

    /// Makes the new rows the live ones, in one commit; returns what the tables hold then.
    pub async fn publish(&mut self, run: &Run) -> Result<Vec<TableRows>> {
        let Self { schema, loading, rules, staging, .. } = self;
        let publication = Publication { schema, loading, run, rules: *rules, indexed: *staging };
        publish::publish(&mut self.connections[0], &publication).await
    }

    /// Clears away what was not published, and gives the lock back.
    pub async fn end(self) {
        // The server would give the lock back by itself, but only when it has noticed that we are gone.
        let clear = format!(
            "DROP SCHEMA IF EXISTS {} CASCADE; SELECT pg_advisory_unlock_all()",
            quoted(&self.loading)
        );
        // The connection may be what has failed; the next load clears away what stays behind.
        if let Err(error) = self.connections[0].batch_execute(&clear).await {
            tracing::debug!(%error, "can't clear away after a load");
        }
    }
}

/// Refuses a name that the server would refuse or cut.
pub(super) fn check_schema_name(schema: &str) -> Result<()> {
    if (1..=SCHEMA_BYTES).contains(&schema.len()) {
        return Ok(());
    }
    let what = format!("a schema's name has 1 to {SCHEMA_BYTES} bytes: {schema:?}");
    Err(Error::config(what))
}

async fn require_schema(client: &Client, database: &Database, schema: &str) -> Result<()> {
    const QUERY: &str = "SELECT to_regnamespace(quote_ident($1)) IS NOT NULL";
    let what = || format!("can't look for the schema {schema} in {database}");
    let row = client.query_one(QUERY, &[&schema]).await.map_err(|cause| failed(what(), cause))?;
    if row.get(0) {
        return Ok(());
    }
    let what = format!("there is no schema {schema} in {database}");
    Err(Error::target(what)
        .with_help(format!("run `sparkload create --schema {schema}` to make it")))
}

/// Takes the advisory lock of `schema`, held until the connection ends.
pub(super) async fn lock(client: &Client, schema: &str) -> Result<()> {
    let what = || format!("can't lock the schema {schema}");
    const LOCK: &str = "SELECT pg_try_advisory_lock(hashtext('sparkload'), hashtext($1))";
    let row = client.query_one(LOCK, &[&schema]).await.map_err(|cause| failed(what(), cause))?;
    if row.get(0) {
        return Ok(());
    }
    let holder = client
        .query_opt(include_str!("../sql/lock_holder.sql"), &[&schema])
        .await
        .map_err(|cause| failed(what(), cause))?;
    let holder: String = holder.map_or_else(|| "it has just ended".to_owned(), |row| row.get(0));
    Err(Error::target(format!("another load works on the schema {schema}"))
        .because(holder)
        .with_help("wait until it is done, then run this one again"))
}

/// Writes parts as they come; a COPY stays open as long as they are of the same table.
async fn write(
    client: &Client,
    parts: async_channel::Receiver<Part>,
    progress: &Progress,
) -> Result<RowCounts> {
    let mut written = RowCounts::default();
    let mut next = parts.recv().await.ok();
    while let Some(part) = next.take() {
        let table = part.rows.table;
        let what = |cause| failed(format!("can't copy rows into {table}"), cause);
        let sink = client.copy_in::<_, Bytes>(&copy_statement(table)).await.map_err(what)?;
        pin_mut!(sink);
        sink.feed(Bytes::from_static(HEADER)).await.map_err(what)?;
        let mut current = Some(part);
        let mut sent = 0;
        let mut sent_bytes = 0;
        while let Some(Part { rows, reserved }) = current.take() {
            let bytes = rows.bytes.len();
            sink.feed(Bytes::from(rows.bytes)).await.map_err(what)?;
            drop(reserved);
            progress.add_rows(table, rows.count);
            sent += rows.count;
            sent_bytes += bytes;
            match parts.recv().await {
                Ok(part) if part.rows.table == table && sent_bytes < COPY_BYTES => {
                    current = Some(part);
                }
                other => next = other.ok(),
            }
        }
        sink.feed(Bytes::from_static(TRAILER)).await.map_err(what)?;
        let taken = CopyInSink::finish(sink.as_mut()).await.map_err(what)?;
        if taken != sent {
            let what = format!("{table} took {taken} of the {sent} rows that were sent");
            return Err(Error::target(what).with_help("look for triggers or rules on the server"));
        }
        written.add(table, taken);
    }
    Ok(written)
}

fn copy_statement(table: Table) -> String {
    let columns: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
    format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", columns.join(", "))
}
