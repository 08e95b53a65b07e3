//! The story of a load, and all of its concurrency.
//!
//! ```text
//! song objects ─ fetch, decode ─▶ blocks ─ parse ─▶ catalog ┐      ┌▶ users, time ┐
//!                                            └▶ rows ─────┐ ▼      │              ▼
//! log objects ── fetch, decode ─▶ blocks ─────────────▶ parse, match, encode ─▶ rows ─▶ writers
//! ```
//!
//! Every arrow is bounded: a slow database slows the fetches down, and nothing piles up. Dropping the future
//! stops all of it.

mod books;
mod listing;
mod reading;
mod transforming;

use std::future::pending;
use std::pin::{Pin, pin};
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::{select, try_join};

use self::books::{Books, Closed};
pub(crate) use self::listing::{Listed, list};
use self::reading::{Budget, Reading, WasRead};
use self::transforming::{Transforming, send};
use crate::config::Config;
use crate::error::{Error, Remedy, Result};
use crate::ledger::{Mode, Plan, Run, Settings, Way};
use crate::report::{Phase, Progress, Report, RowCounts, Stage};
use crate::table::Table;
use crate::target::{Discarded, Load, Part};

/// Loads the songs and logs of a source into the star schema of a target.
///
/// What is new or has changed since the last load is read, or with [`Config::full_refresh`] everything. It becomes
/// visible in one commit: readers see the old state or the new one, and the new one is that of a load that reads
/// everything. A load that fails, or whose future is dropped, changes nothing.
///
/// Must be called on a multi-threaded Tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// The source can't be listed or read, more records are rejected than [`Config::max_errors`] tolerates, the
/// target refuses something, or another load works on the same schema. The error says which, where, and what to
/// do; the target is unchanged.
pub async fn load(config: &Config) -> Result<Report> {
    load_until(config, pending()).await
}

/// Does what [`load`] does, unless `stop` completes first: then the load lets go of all that it holds, and nothing is
/// left of it. That takes less than two seconds; only the target may be out of reach, and then the next load clears
/// away what is left of this one.
///
/// # Errors
///
/// Those of [`load`], and one of the kind [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) that says whether
/// the load was published before it could be stopped.
pub async fn load_until(config: &Config, stop: impl Future<Output = ()>) -> Result<Report> {
    config.validate()?;
    let mut stop = pin!(stop);
    let mut attempts = config.retry.attempts();
    loop {
        match Box::pin(attempt(config, stop.as_mut())).await {
            // What is finished is kept, so that only the rest is read again.
            Err(error) if error.remedy() == Remedy::StartOver => {
                tracing::warn!("{error}, starting over");
                select! {
                    again = attempts.again() => if !again { return Err(error) },
                    () = &mut stop => return Err(interrupted(Discarded::LeftBehind)),
                }
            }
            result => return result,
        }
    }
}

/// Loads once, from the beginning.
async fn attempt(config: &Config, mut stop: Pin<&mut impl Future<Output = ()>>) -> Result<Report> {
    config.progress.enter(Phase::Preparing);
    let mut load = select! {
        biased;
        opened = Load::open(config) => opened?,
        () = &mut stop => return Err(interrupted(Discarded::Cleared)),
    };
    let done = select! {
        biased;
        done = Box::pin(work(config, &mut load)) => Some(done),
        () = &mut stop => None,
    };
    match done {
        Some(Ok(report)) => {
            load.end().await;
            Ok(report)
        }
        Some(Err(error)) => Err(match load.give_up(error.remedy()).await {
            Discarded::Cleared | Discarded::LeftBehind => error,
            Discarded::Published => error.with_help("the load was published before that"),
            Discarded::Unknown => error.with_help(
                "the load was being published, as a whole or not at all: run it again, what is published stays",
            ),
        }),
        None => Err(interrupted(load.discard().await)),
    }
}

fn interrupted(discarded: Discarded) -> Error {
    match discarded {
        Discarded::Cleared => {
            let what =
                "the load was interrupted; nothing was published, and nothing is left behind";
            Error::interrupted(what)
        }
        Discarded::LeftBehind => {
            Error::interrupted("the load was interrupted; nothing was published")
                .with_help("the next load clears away what is left of this one in the target")
        }
        Discarded::Published => {
            Error::interrupted("the load was interrupted, but it had been published already")
        }
        Discarded::Unknown => Error::interrupted("the load was interrupted while it was published")
            .because("the target does not say whether it was, as a whole or not at all")
            .with_help("run it again: what is published already stays as it is"),
    }
}

/// The whole of a load: begins, fills and publishes it.
async fn work(config: &Config, load: &mut Load) -> Result<Report> {
    let (start, started) = (Instant::now(), SystemTime::now());
    let listed = match config.wait {
        // Should the listing fail, the load has begun all the same, and is to be ended.
        None => try_join!(async { Ok(list(config).await) }, load.begin(None))?.0?,
        // What was listed before the load that is waited for was done would be out of date.
        Some(wait) => {
            load.begin(Some(wait)).await?;
            list(config).await?
        }
    };
    let plan = listed.plan(config, load.ledger()).await?;
    load.keep(&plan).await?;
    for object in plan.gone.iter().take(NAMED) {
        let then = match plan.mode {
            Mode::Full => "its rows are dropped",
            Mode::Incremental => "its rows stay until --full-refresh",
        };
        tracing::warn!(object, "loaded before and not there any more, {then}");
    }
    let prepared = Stage::new("prepare", start, &[]);

    let Filled { was_read, closed, written, mut stages } =
        Box::pin(fill(config, &listed, &plan, load)).await?;
    stages.insert(0, prepared);

    config.progress.enter(Phase::Publishing);
    let publishing = Instant::now();
    let run = Run {
        number: load.ledger().next_run,
        token: format!("{:016x}", fastrand::u64(..)),
        mode: plan.mode,
        started,
        settings: Settings::of(config).text(),
        objects: listed.objects(&plan, &was_read),
        amounts: closed.amounts(),
        unknown: closed.unknown.clone(),
    };
    let published = load.publish(&run, written).await?;
    stages.push(Stage::new("publish", publishing, &[]));
    let mut report = closed.report(run, published, stages);
    report.dry_run = config.dry_run;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// What filling a load has come to.
struct Filled {
    was_read: WasRead,
    closed: Closed,
    written: RowCounts,
    stages: Vec<Stage>,
}

/// Reads what is to be read and fills the tables of a load that has begun.
async fn fill(config: &Config, listed: &Listed, plan: &Plan, load: &Load) -> Result<Filled> {
    let Listed { song_store, log_store, stage: list_stage, .. } = listed;
    let Plan { songs, logs, .. } = plan;
    config.progress.objects_total.add(plan.objects().count() as u64);
    config.progress.bytes_total.add(plan.objects().map(|object| object.size).sum());
    // Logs are read while songs are, but can't be worked on before the catalog is complete: each has a budget of
    // its own, so that waiting logs never keep songs from being read.
    let share = config.reading_memory() / 2 - listing::ahead_bytes(config);
    let song_budget = Budget::new(share);
    let log_budget = Budget::new(share);
    let (song_pieces, songs_read) = mpsc::channel(PIECES);
    let (log_pieces, logs_read) = mpsc::channel(PIECES);
    let (rows, parts) = async_channel::bounded(PARTS);
    let way = plan.way();
    let encoding = load.encoding();
    let books = Books::open(config, load.ledger().next_run, plan, encoding)?;
    let mut transforming = Transforming::new(config, way, encoding, books, rows)?;

    let read_songs = Reading::new(config, song_store.clone(), &song_budget).run(songs, song_pieces);
    let read_logs = Reading::new(config, log_store.clone(), &log_budget).run(logs, log_pieces);
    let transform = async {
        let index = transforming.songs(songs_read, songs).await?;
        log_budget.grow(share);
        let listening = transforming.logs(logs_read, logs, index).await?;
        Ok((listening, transforming.finish()))
    };
    let writing = Instant::now();
    let write = load.write(parts, &config.progress);
    let (songs_read, logs_read, (listening, (books, stages)), written) =
        try_join!(read_songs, read_logs, transform, write)?;
    let was_read = songs_read.plus(logs_read);
    listed.check_unread(config, load.ledger(), plan, &was_read).await?;
    let copied = Stage::new("copy", writing, &[("rows", written.total())]);

    // Only now all users and times are known. They are copied while the keys of the other tables are built.
    config.progress.enter(Phase::Keys);
    let completing = Instant::now();
    let (rows, parts) = async_channel::bounded(PARTS);
    let send_late = async {
        send(&rows, encoding, listening.users.rows()).await;
        send(&rows, encoding, listening.moments.rows()).await;
        rows.close();
        Ok(())
    };
    let ((), late) = try_join!(send_late, complete(load, way, parts, &config.progress))?;
    let completed = Stage::new("keys", completing, &[("rows", late.total())]);

    let written = written.plus(late);
    let closed = books.close(written, &was_read, way)?;
    let stages = [vec![list_stage.clone()], stages, vec![copied, completed]].concat();
    Ok(Filled { was_read, closed, written, stages })
}

/// Builds all keys when all rows are in but those of the [`LATE`] tables: these are written meanwhile.
pub(crate) async fn complete(
    load: &Load,
    way: Way,
    late: async_channel::Receiver<Part>,
    progress: &Progress,
) -> Result<RowCounts> {
    let early: Vec<_> = Table::ALL.into_iter().filter(|table| !LATE.contains(table)).collect();
    let (written, ()) = try_join!(load.write(late, progress), load.complete(way, &early))?;
    load.complete(way, &LATE).await?;
    load.make_star(way).await?;
    Ok(written)
}

/// The tables whose rows are known when all logs are read.
pub(crate) const LATE: [Table; 2] = [Table::Users, Table::Time];
/// How many objects that are gone are named.
const NAMED: usize = 10;
/// Pieces that may wait to be worked on; the budget bounds their bytes.
const PIECES: usize = 1024;
/// Parts that may wait for a connection; the budget bounds their bytes.
const PARTS: usize = 16;
