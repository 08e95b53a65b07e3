//! A load into PostgreSQL: its rows go into tables beside the live ones, where no reader sees them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::leftover::{self, Keep};
use super::link::Link;
use super::load::{Discarded, GOODBYE, Part};
use super::merge::Rules;
use super::missing::{INDEXES, KEYS, is_about};
use super::publish::{self, Publication};
use super::replication::Replication;
use super::session::{Session, Work, end_processes};
use super::{Database, copy, failed, ledger, lock, names, place, rebuild, upgrade};
use crate::config::Config;
use crate::error::{Error, Remedy, Result};
use crate::ledger::{Ledger, Plan, Published, Run, Settings, Way};
use crate::queue::queue;
use crate::report::{Progress, RowCounts};
use crate::table::Table;

/// A load. Dropped, it leaves the live tables as they were; the next load goes on with what it has written, or removes
/// it.
pub(crate) struct PostgresLoad {
    schema: String,
    /// Those that the rows depend on.
    settings: String,
    rules: Rules,
    /// Whether all records are staged, so that later loads can build upon this one.
    staging: bool,
    /// Whether what an unfinished load has left may be gone on with.
    goes_on: bool,
    ledger: Ledger,
    /// Whether the tables are those of a load that died.
    taken_over: bool,
    replication: Replication,
    link: Arc<Link>,
    /// The first one holds the lock and publishes; all of them write.
    sessions: Vec<Arc<Session>>,
    /// What is or was being published.
    publishing: OnceLock<Run>,
}

/// The statements that tell the planner what is in the tables.
const ANALYZE: &str = include_str!("../sql/analyze.sql");

/// The longest schema name that leaves room for `_loading_` and 16 digits in PostgreSQL's 63 bytes.
const SCHEMA_BYTES: usize = 38;

impl PostgresLoad {
    /// The load that `config` asks for. Nothing is done yet.
    ///
    /// # Errors
    ///
    /// The schema's name is too long.
    pub fn new(database: Database, config: &Config) -> Result<Self> {
        let schema = &config.schema;
        check_schema_name(schema)?;
        let connections = config.target.connections(config.connections);
        // No other load ever has the same name, so that none of this one's connections can write into the tables of
        // its successor.
        let link =
            Arc::new(Link::new(database, leftover::name(schema), config.retry, config.silence));
        let first = Arc::new(Session::locking(link.clone(), schema));
        let others = (1..connections).map(|_| Arc::new(Session::beside(&first)));
        let sessions = [first.clone()].into_iter().chain(others).collect();
        Ok(Self {
            schema: schema.clone(),
            settings: Settings::of(config).text(),
            rules: Rules { matching: config.matching, matched_only: config.matched_only },
            staging: config.staging,
            goes_on: config.staging && !config.full_refresh,
            ledger: Ledger::default(),
            taken_over: false,
            replication: Replication::Off,
            link,
            sessions,
            publishing: OnceLock::new(),
        })
    }

    /// Locks the schema, reads its ledger, and makes empty tables or takes those of a load that died. Waits up to
    /// `wait` for another load of the schema to end.
    ///
    /// # Errors
    ///
    /// The target can't be reached, the schema is missing or holds other tables, another load holds it, or a right is
    /// missing.
    pub async fn begin(&mut self, wait: Option<Duration>) -> Result<()> {
        let mut patience = lock::Patience::with_loads(wait);
        let mut tries = self.control().tries().await;
        let Begun { ledger, taken_over, replication, steps } = loop {
            let begun = match tries.client().await {
                Ok(client) => self.prepare(client, &mut patience).await,
                Err(error) => Err(error),
            };
            if let Some(begun) = tries.settle(begun).await? {
                break begun;
            }
        };
        drop(tries);
        self.ledger = ledger;
        self.taken_over = taken_over;
        self.replication = replication;
        self.link.begun(steps.done, steps.last + 1);
        failpoint!("prepared");
        Ok(())
    }

    async fn prepare(&self, client: &Client, patience: &mut lock::Patience) -> Result<Begun> {
        let Self { schema, settings, staging, goes_on, link, .. } = self;
        place::require(client, &link.database, schema).await?;
        let loading = &link.loading;
        let left = lock::take(client, schema, loading, patience).await?;
        failpoint!("locked");
        let replication = Replication::of(client, schema).await?;
        let usable = goes_on.then_some(settings.as_str());
        let taken_over = leftover::take_over(client, left, loading, usable, replication).await?;
        let settings = staging.then_some(settings.as_str());
        if !taken_over {
            leftover::make(client, schema, loading, settings, replication).await?;
        }
        upgrade::check(client, schema, loading).await?;
        let mut ledger = ledger::read(client, schema).await?;
        let taken_over = match taken_over {
            false => false,
            true => match ledger::read_finished(client, &mut ledger).await {
                Ok(()) => true,
                Err(error) if error.remedy() == Remedy::None => {
                    tracing::warn!(cause = error.causes(), "{error}, reading everything again");
                    leftover::drop(client, loading).await?;
                    leftover::make(client, schema, loading, settings, replication).await?;
                    false
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Begun { ledger, taken_over, replication, steps: Steps::of(client).await? })
    }

    fn control(&self) -> &Session {
        &self.sessions[0]
    }

    /// What was loaded before.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Keeps what `plan` keeps of an unfinished load, and drops the rest.
    pub async fn keep(&self, plan: &Plan) -> Result<()> {
        if self.taken_over {
            let keep = Keep { plan, run: self.ledger.next_run };
            let kept = self.control().once("can't go on with an unfinished load", &keep).await;
            self.or_afresh(kept).await?;
        }
        failpoint!("kept");
        Ok(())
    }

    /// Writes all of `parts`, over every connection, until no more can come; returns how many rows went where.
    pub async fn write(
        &self,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        let writers =
            self.sessions.iter().map(|session| copy::write(session, parts.clone(), progress));
        Ok(try_join_all(writers).await?.into_iter().fold(RowCounts::default(), RowCounts::plus))
    }

    /// Has what an unfinished load has left forgotten where something can't be `done` with it, such as within the
    /// server's `statement_timeout`: it must never be why a load fails, so everything is read again.
    async fn or_afresh(&self, done: Result<()>) -> Result<()> {
        let Err(error) = done else { return Ok(()) };
        if !self.taken_over || error.remedy() != Remedy::None {
            return Err(error);
        }
        let forget = Statement { what: "can't forget an unfinished load", sql: leftover::FORGET };
        self.control().once(forget.what, &forget).await?;
        Err(error.with_remedy(Remedy::StartOver))
    }

    /// Builds the keys of the new `tables`, when all their rows are in.
    pub async fn complete(&self, way: Way, tables: &[Table]) -> Result<()> {
        failpoint!("written");
        match way {
            // No load builds upon these tables, so the planner may wait for the server to look at them by itself.
            Way::Direct if !self.staging => self.run_all(&[KEYS], tables).await,
            Way::Direct => self.run_all(&[KEYS, INDEXES, ANALYZE], tables).await,
            Way::Rebuild => {
                let staged = tables.iter().copied().filter(|table| !rebuild::STAR.contains(table));
                let staged: Vec<_> = staged.collect();
                self.run_all(&[KEYS, INDEXES, ANALYZE], &staged).await
            }
            Way::Merge => self.run_all(&[ANALYZE], tables).await,
        }
    }

    /// Makes the star of the staged rows, where it was not made of the records.
    pub async fn make_star(&self, way: Way) -> Result<()> {
        if way == Way::Rebuild {
            let made = self.rebuild().await;
            self.or_afresh(made).await?;
        }
        failpoint!("completed");
        Ok(())
    }

    async fn rebuild(&self) -> Result<()> {
        const MAKING: &str = "can't make the star of the staged rows";
        let fill = rebuild::fill(self.rules);
        self.run_each(MAKING, fill.iter().map(String::as_str)).await?;
        self.run_all(&[KEYS, INDEXES, ANALYZE], &rebuild::STAR).await?;
        self.run_each(MAKING, rebuild::recount(self.rules).into_iter()).await
    }

    /// Runs the statements of each script that are about `tables`.
    async fn run_all(&self, scripts: &[&str], tables: &[Table]) -> Result<()> {
        for script in scripts {
            let is_meant =
                |statement: &&str| tables.iter().any(|table| is_about(statement, *table));
            let statements = script.split_inclusive(";\n").filter(is_meant);
            self.run_each("can't build the keys of the new tables", statements).await?;
        }
        Ok(())
    }

    /// Runs statements on all connections, each as soon as one is free.
    async fn run_each<'a>(
        &self,
        what: &'static str,
        statements: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        let queue = queue(statements);
        let runners = self.sessions.iter().map(async |session| {
            while let Ok(sql) = queue.recv().await {
                session.once(what, &Statement { what, sql }).await?;
            }
            Ok(())
        });
        try_join_all(runners).await.map(drop)
    }

    /// Makes the new rows, which were `written`, the live ones, in one commit; returns what the tables hold then.
    pub async fn publish(&self, run: &Run, written: RowCounts) -> Result<Published> {
        // What a load that died has written comes on top.
        let written = (!self.taken_over).then_some(written);
        let mut published = Published::default();
        let mut tries = self.control().tries().await;
        loop {
            let attempt = match tries.client().await {
                Ok(client) => self.publish_on(client, run, written, &mut published).await,
                Err(error) => Err(error),
            };
            match tries.settle(attempt).await {
                Ok(Some(())) => return Ok(published),
                Ok(None) => {}
                // The load may have lost all it had, and yet be published.
                Err(_) if !tries.is_connected() && self.is_published_by_another_way().await => {
                    return Ok(published);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn publish_on(
        &self,
        client: &mut Client,
        run: &Run,
        written: Option<RowCounts>,
        published: &mut Published,
    ) -> Result<()> {
        let Self { schema, link, rules, staging, replication, publishing, .. } = self;
        // Whether an earlier attempt was committed is not known when its connection broke.
        if publishing.get().is_some() && ledger::has(client, schema, run).await? {
            return Ok(());
        }
        link.require_all_steps(client).await?;
        replication.require_same(client, schema).await?;
        publishing.get_or_init(|| run.clone());
        let loading = &link.loading;
        let (rules, indexed, replication) = (*rules, *staging, *replication);
        let publication =
            Publication { schema, loading, run, rules, indexed, replication, written };
        publish::publish(client, &publication, published).await
    }

    /// Asks the ledger over a connection of its own whether the load was published.
    async fn is_published_by_another_way(&self) -> bool {
        let Some(run) = self.publishing.get() else { return false };
        match names::connect(&self.link.database).await {
            Ok(client) => ledger::has(&client, &self.schema, run).await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Clears away what is left of a load that was published, and gives the lock back.
    pub async fn end(self) {
        let mut tries = self.control().tries().await;
        // Once more where the connection breaks, but not for long: the load is done.
        for _ in 0..2 {
            let cleared = match tries.client().await {
                Ok(client) => clear(client, &self.link.loading).await,
                Err(error) => Err(error),
            };
            match tries.settle(cleared).await {
                Ok(None) => {}
                Ok(Some(())) => break,
                Err(error) => {
                    tracing::debug!(%error, "can't clear away after a load");
                    break;
                }
            }
        }
        drop(tries);
        let left = join_all(self.sessions.iter().map(|session| session.leave()));
        if timeout(GOODBYE, left).await.is_err() {
            tracing::debug!("it takes too long to clear the sessions of a pooler");
        }
    }

    /// Ends a load that failed: what it has finished stays for the next one to go on with, if that is
    /// anything and the target has room.
    pub async fn give_up(self, remedy: Remedy) -> Discarded {
        let rest = match remedy {
            Remedy::None | Remedy::TryAgain | Remedy::StartOver => Rest::KeptIfUseful,
            Remedy::MakeRoom => Rest::Cleared,
        };
        self.let_go_in_time(rest).await
    }

    /// Clears away a load that was interrupted, whatever its sessions are doing, and says what became of it.
    pub async fn discard(self) -> Discarded {
        self.let_go_in_time(Rest::Cleared).await
    }

    async fn let_go_in_time(self, rest: Rest) -> Discarded {
        let was_publishing = self.publishing.get().is_some();
        Discarded::within(GOODBYE, was_publishing, Box::pin(self.let_go(rest))).await
    }

    async fn let_go(self, rest: Rest) -> Result<Discarded> {
        if !self.link.is_used() {
            return Ok(Discarded::Cleared);
        }
        let mut control = None;
        let mut processes = Vec::new();
        for (number, session) in self.sessions.iter().enumerate() {
            let (client, unsettled) = session.close().await;
            processes.extend(unsettled);
            match client {
                Some(client) if number == 0 => control = Some(client),
                Some(client) => self.link.leave(&client).await,
                None => {}
            }
        }
        let client = match control {
            Some(client) => client,
            None => names::connect(&self.link.database).await?,
        };
        end_processes(&client, &self.link.loading, &processes).await?;
        let discarded = self.clear_or_keep(&client, rest).await;
        self.link.leave(&client).await;
        discarded
    }

    async fn clear_or_keep(&self, client: &Client, rest: Rest) -> Result<Discarded> {
        let loading = &self.link.loading;
        if let Some(run) = self.publishing.get()
            && ledger::has(client, &self.schema, run).await?
        {
            clear(client, loading).await?;
            return Ok(Discarded::Published);
        }
        // What can't be looked into is of no use, and may not even be there.
        let is_useful = rest == Rest::KeptIfUseful
            && leftover::is_worth_keeping(client, loading).await.unwrap_or(false);
        if is_useful {
            tracing::info!(
                schema = loading,
                "what was read to the end is kept, the next load goes on from there"
            );
            let what = |cause| failed("can't give the locks back", cause);
            client.batch_execute("SELECT pg_advisory_unlock_all()").await.map_err(what)?;
            return Ok(Discarded::LeftBehind);
        }
        clear(client, loading).await?;
        Ok(Discarded::Cleared)
    }
}

/// What becomes of the private schema of a load that is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Cleared,
    KeptIfUseful,
}

/// Statements in the new tables, and what can't be done where they fail.
struct Statement<'a> {
    what: &'static str,
    sql: &'a str,
}

impl Work for Statement<'_> {
    async fn run(&self, client: &Client) -> Result<()> {
        let Self { what, sql } = self;
        client.batch_execute(sql).await.map_err(|cause| failed(*what, cause))
    }
}

/// What a load begins with.
struct Begun {
    ledger: Ledger,
    taken_over: bool,
    replication: Replication,
    steps: Steps,
}

/// How far a load has come in its private schema.
struct Steps {
    done: i64,
    last: i64,
}

impl Steps {
    async fn of(client: &Client) -> Result<Self> {
        let what = |cause| failed("can't count the steps of the load", cause);
        let query = "SELECT count(*), coalesce(max(step), 0) FROM steps";
        let row = client.query_one(query, &[]).await.map_err(what)?;
        Ok(Self { done: row.get(0), last: row.get(1) })
    }
}

/// Drops the private schema and gives all locks back: the server would do that by itself, but only when it has noticed
/// that we are gone.
async fn clear(client: &Client, loading: &str) -> Result<()> {
    let what = |cause| failed(format!("can't drop the schema {loading}"), cause);
    let dropped = leftover::drop(client, loading).await;
    client.batch_execute("SELECT pg_advisory_unlock_all()").await.map_err(what)?;
    dropped
}

/// Refuses a name that the server would refuse or cut.
pub(super) fn check_schema_name(schema: &str) -> Result<()> {
    if (1..=SCHEMA_BYTES).contains(&schema.len()) {
        return Ok(());
    }
    let what =
        format!("a schema's name has 1 to {SCHEMA_BYTES} bytes, not {}: {schema:?}", schema.len());
    Err(Error::config(what).with_help(
        "name a shorter one: the private schema of a load is called like it, and 25 bytes more of PostgreSQL's 63",
    ))
}
