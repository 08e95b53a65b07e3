//! A load into PostgreSQL: its rows go into tables beside the live ones, where no reader sees them.

use bytes::Bytes;
use futures::future::try_join_all;
use futures::{SinkExt, pin_mut};
use tokio_postgres::{Client, CopyInSink};

use super::load::Part;
use super::publish::{self, Existing};
use super::{Database, failed, literal, quoted};
use crate::encode::{HEADER, TRAILER};
use crate::error::{Error, Result};
use crate::report::{Progress, RowCounts};
use crate::table::Table;

/// A load that has begun. Dropped, it leaves the live tables as they were, and what it has written is removed by
/// the next load.
pub(crate) struct PostgresLoad {
    schema: String,
    /// The schema that holds the new tables until they are published.
    loading: String,
    run: i64,
    /// The first one holds the lock and publishes; all of them write.
    connections: Vec<Client>,
    database: Database,
}

/// The statements that make the tables.
const TABLES: &str = include_str!("../sql/tables.sql");
/// The statements that make their keys.
const KEYS: &str = include_str!("../sql/keys.sql");

/// The longest schema name that leaves room for `_loading_` and a process id in PostgreSQL's 63 bytes.
const SCHEMA_BYTES: usize = 44;

/// A COPY is ended after so many bytes: the server's refusal, of a full disk say, is only heard at the end.
const COPY_BYTES: usize = 256 << 20;

impl PostgresLoad {
    /// Locks `schema`, clears away what a killed load has left, and makes empty tables.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or another load holds it, or a right is missing.
    pub async fn begin(
        database: Database,
        schema: &str,
        connections: Option<usize>,
    ) -> Result<Self> {
        check_schema_name(schema)?;
        let control = database.connect().await?;
        require_schema(&control, &database, schema).await?;
        lock(&control, schema).await?;
        let run = next_run(&control, schema).await?;
        // The server's process is in the name, so that no connection of a load whose lock is lost can write into
        // the tables of its successor.
        let what = |cause| failed("can't ask for the server's process", cause);
        let row = control.query_one("SELECT pg_backend_pid()", &[]).await.map_err(what)?;
        let loading = format!("{schema}_loading_{}", row.get::<_, i32>(0));
        let schema = schema.to_owned();
        let wanted = database.connections(connections);
        let mut load = Self { schema, loading, run, connections: vec![control], database };
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
        let what = |cause| failed(format!("can't prepare the schema {}", self.loading), cause);
        let control = &self.connections[0];
        let mark = format!("sparkload: a load into {} in progress", self.schema);
        let left = control.query(include_str!("../sql/left_behind.sql"), &[&mark]).await;
        for row in left.map_err(what)? {
            let name = quoted(row.get(0));
            control.batch_execute(&format!("DROP SCHEMA {name} CASCADE")).await.map_err(what)?;
        }
        let name = quoted(&self.loading);
        let use_it = format!("SET search_path = {name}");
        let mark = literal(&mark);
        let make = format!("CREATE SCHEMA {name}; COMMENT ON SCHEMA {name} IS {mark}; {use_it}");
        control.batch_execute(&make).await.map_err(what)?;
        self.connections[0].batch_execute(TABLES).await.map_err(what)?;
        for _ in 1..connections {
            let connection = self.database.connect().await?;
            connection.batch_execute(&use_it).await.map_err(what)?;
            self.connections.push(connection);
        }
        Ok(())
    }

    /// The number of this load.
    pub fn run(&self) -> i64 {
        self.run
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

    /// Builds the keys, one after the other on each connection.
    pub async fn build_keys(&self) -> Result<()> {
        let (sender, statements) = async_channel::unbounded();
        for statement in KEYS.split_inclusive(";\n") {
            sender.try_send(statement).expect("the channel is open and without bound");
        }
        drop(sender);
        let builders = self.connections.iter().map(async |client| {
            while let Ok(statement) = statements.recv().await {
                let what = || {
                    let name = statement.split_whitespace().nth(2).unwrap_or_default();
                    format!("can't build the key of {name}")
                };
                client.batch_execute(statement).await.map_err(|cause| failed(what(), cause))?;
            }
            Ok(())
        });
        try_join_all(builders).await.map(drop)
    }

    /// Makes the new tables the live ones, in one commit.
    pub async fn publish(&mut self) -> Result<()> {
        publish::publish(&mut self.connections[0], &self.schema, &self.loading).await
    }

    /// Makes the new tables, which hold nothing, the live ones where there are none; returns those.
    pub async fn publish_empty(&mut self, existing: Existing) -> Result<Vec<Table>> {
        let control = &mut self.connections[0];
        publish::publish_empty(control, &self.schema, &self.loading, existing).await
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
async fn lock(client: &Client, schema: &str) -> Result<()> {
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

async fn next_run(client: &Client, schema: &str) -> Result<i64> {
    let what = || format!("can't read load_objects of the schema {schema}");
    let table = format!("{}.load_objects", quoted(schema));
    let row = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])
        .await
        .map_err(|cause| failed(what(), cause))?;
    if !row.get::<_, bool>(0) {
        return Ok(1);
    }
    let query = format!("SELECT coalesce(max(run), 0) + 1 FROM {table}");
    let row = client.query_one(&query, &[]).await.map_err(|cause| failed(what(), cause))?;
    Ok(row.get(0))
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
