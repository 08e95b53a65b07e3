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
mod cpu;
mod reading;

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, pin_mut};
use tokio::sync::mpsc;
use tokio::{join, try_join};

use self::books::Books;
use self::cpu::{Cpu, States};
use self::reading::{Batch, Budget, Reading, Reserved, batches};
use crate::config::Config;
use crate::encode::Rows;
use crate::error::{Error, Result};
use crate::record::{EventReader, SongReader};
use crate::report::{Objects, Phase, Progress, Report, RowCounts, Stage};
use crate::source::{Globs, Listing, Object, Store};
use crate::star::{Catalog, Fold};
use crate::table::Row;
use crate::target::{Database, Load, Part};
use crate::transform::{Listening, Logs, Outcome, Piece, Songs};

/// Loads the songs and logs of a source into the star schema of a target.
///
/// All tables of the schema are rebuilt from what the source holds now, and become visible in one commit:
/// readers see the old state or the new one. A load that fails, or whose future is dropped, changes nothing.
///
/// Must be called on a multi-threaded Tokio runtime with I/O and time enabled.
///
/// # Errors
///
/// The source can't be listed or read, more records are rejected than [`Config::max_errors`] tolerates, the
/// target refuses something, or another load works on the same schema. The error says which, where, and what to
/// do; the target is unchanged.
pub async fn load(config: &Config) -> Result<Report> {
    let start = Instant::now();
    config.validate()?;
    config.progress.enter(Phase::Preparing);
    let (listed, begun) = join!(list(config), begin(config));
    let load = begun?;
    let loaded = match listed {
        Ok(listed) => fill(config, listed, load.as_ref()).await,
        Err(error) => Err(error),
    };
    let (mut report, load) = match (loaded, load) {
        (Ok(report), load) => (report, load),
        (Err(error), Some(load)) => {
            load.abandon().await;
            return Err(error);
        }
        (Err(error), None) => return Err(error),
    };
    if let Some(load) = load {
        config.progress.enter(Phase::Publishing);
        let publishing = Instant::now();
        load.publish().await?;
        report.stages.push(Stage::new("publish", publishing, &[]));
    }
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// Reads everything and fills the tables of a load that has begun; with no load, the rows go nowhere.
async fn fill(config: &Config, listed: Listed, load: Option<&Load>) -> Result<Report> {
    let Listed { songs, logs, song_store, log_store, objects, listing } = listed;
    let progress = &*config.progress;
    let cpu = Cpu::new(config.threads)?;
    let run = load.map_or(0, Load::run);
    let mut books = Books::open(config, run, songs.len() + logs.len())?;

    // Logs are read while songs are, but can't be worked on before the catalog is complete: each has a budget of
    // its own, so that waiting logs never keep songs from being read.
    let song_budget = Budget::new(config.memory / 2);
    let log_budget = Budget::new(config.memory / 2);
    let reading = |store, budget: &Budget| Reading::new(config, store, budget.clone());
    let (song_pieces, songs_read) = mpsc::channel(PIECES);
    let (log_pieces, logs_read) = mpsc::channel(PIECES);
    let (rows, parts) = async_channel::bounded(PARTS);

    let read_songs = reading(song_store, &song_budget).run(&songs, song_pieces);
    let read_logs = reading(log_store, &log_budget).run(&logs, log_pieces);
    let transform = async {
        progress.enter(Phase::Songs);
        let started = Instant::now();
        let work = Songs { reader: SongReader::new(&config.format), staging: config.staging };
        let work = move |pieces: &[Piece], catalog: &mut Catalog| work.transform(pieces, catalog);
        let catalog = transform(&cpu, songs_read, work, &mut books, &rows).await?;
        books.close_songs();
        send(catalog.songs(), &rows).await;
        send(catalog.artists(), &rows).await;
        let mut stages = vec![listing, stage("songs", started, &songs, books.songs().records)];

        progress.enter(Phase::Logs);
        let started = Instant::now();
        log_budget.grow(config.memory / 2);
        let work = Logs {
            reader: EventReader::new(&config.format),
            songs: catalog.match_index(config.matching),
            staging: config.staging,
            matched_only: config.matched_only,
        };
        drop(catalog);
        let work = move |pieces: &[Piece], seen: &mut Listening| work.transform(pieces, seen);
        let listening = transform(&cpu, logs_read, work, &mut books, &rows).await?;
        stages.push(stage("logs", started, &logs, books.events().records));
        send(listening.users.rows(), &rows).await;
        send(listening.moments.iter(), &rows).await;
        send(books.objects(logs.iter().chain(&songs)), &rows).await;
        rows.close();
        Ok((books, stages))
    };
    let write = async {
        match load {
            Some(load) => load.write(parts, progress).await,
            None => discard(parts, progress).await,
        }
    };
    let writing = Instant::now();
    let ((), (), (books, mut stages), rows) = try_join!(read_songs, read_logs, transform, write)?;
    stages.push(Stage::new("copy", writing, &[("rows", rows.total())]));
    if let Some(load) = load {
        progress.enter(Phase::Keys);
        let started = Instant::now();
        load.build_keys().await?;
        stages.push(Stage::new("keys", started, &[]));
    }
    books.report(objects, rows.tables(), stages)
}

/// What the source holds, and how to read it.
struct Listed {
    songs: Vec<Arc<Object>>,
    logs: Vec<Arc<Object>>,
    song_store: Store,
    log_store: Store,
    objects: Objects,
    /// How long the listing took.
    listing: Stage,
}

/// Lists songs and logs at the same time.
async fn list(config: &Config) -> Result<Listed> {
    let start = Instant::now();
    let source = &config.source;
    let globs = Globs::new(&source.include, &source.exclude)?;
    let (song_store, log_store) =
        try_join!(Store::open(&source.songs, &source.s3), Store::open(&source.logs, &source.s3),)?;
    let (songs, logs) = try_join!(song_store.list(), log_store.list())?;
    let listed = (songs.len() + logs.len()) as u64;
    // Logs are numbered first, so that new songs leave the songplay ids as they are.
    let logs = Listing::new(logs, &globs, 1);
    let songs = Listing::new(songs, &globs, logs.objects.len() as u32 + 1);
    for (listing, location, kind) in [(&songs, &source.songs, "song"), (&logs, &source.logs, "log")]
    {
        if listing.objects.is_empty() {
            let skipped = listing.skipped.total();
            let what = format!("no {kind} objects to load in {location} ({skipped} skipped)");
            return Err(Error::source(what)
                .with_help("check the prefix; objects must end in .json, .jsonl or .ndjson"));
        }
    }
    let objects = Objects {
        listed,
        loaded: (songs.objects.len() + logs.objects.len()) as u64,
        skipped: songs.skipped.plus(logs.skipped),
        bytes: songs.objects.iter().chain(&logs.objects).map(|object| object.size).sum(),
    };
    config.progress.objects_total.add(objects.loaded);
    config.progress.bytes_total.add(objects.bytes);
    Ok(Listed {
        songs: songs.objects.into_iter().map(Arc::new).collect(),
        logs: logs.objects.into_iter().map(Arc::new).collect(),
        song_store,
        log_store,
        objects,
        listing: Stage::new("list", start, &[("objects", listed)]),
    })
}

/// Begins the load in the target, unless nothing is to be written.
async fn begin(config: &Config) -> Result<Option<Load>> {
    if config.dry_run {
        return Ok(None);
    }
    let database = Database::open(&config.target).await?;
    Load::begin(database, &config.schema, config.connections).await.map(Some)
}

/// Finished batches that may wait for their turn to be sent, for each thread.
const BATCHES_PER_THREAD: usize = 2;
/// Pieces that may wait to be worked on; the budget bounds their bytes.
const PIECES: usize = 1024;
/// Parts that may wait for a connection; the budget bounds their bytes.
const PARTS: usize = 16;

/// Works on pieces as they come, on all threads, and sends the rows on; returns what they were folded into.
async fn transform<S: Fold>(
    cpu: &Cpu,
    pieces: mpsc::Receiver<Reserved>,
    work: impl Fn(&[Piece], &mut S) -> Outcome + Send + Sync + 'static,
    books: &mut Books,
    rows: &async_channel::Sender<Part>,
) -> Result<S> {
    let states = Arc::new(States::default());
    let work = Arc::new(work);
    let outcomes = batches(pieces)
        .map(|Batch { pieces, reserved }| {
            let (states, work) = (states.clone(), work.clone());
            cpu.run(move || (states.with(|state| work(&pieces, state)), reserved))
        })
        .buffer_unordered(BATCHES_PER_THREAD * cpu.threads());
    pin_mut!(outcomes);
    while let Some((outcome, reserved)) = outcomes.next().await {
        let reserved = Arc::new(reserved);
        for run in books.enter(outcome)? {
            // No writer is left when one of them has failed; its error is on its way.
            let _ = rows.send(Part { rows: run, reserved: Some(reserved.clone()) }).await;
        }
    }
    Ok(states.take().into_iter().reduce(S::merged).unwrap_or_default())
}

/// Encodes and sends the rows of a dimension.
async fn send<R: Row>(all: impl Iterator<Item = R>, rows: &async_channel::Sender<Part>) {
    const PART_BYTES: usize = 1 << 20;
    let mut run = Rows::new(R::TABLE);
    for row in all {
        run.push(&row);
        if run.bytes.len() >= PART_BYTES {
            let full = mem::replace(&mut run, Rows::new(R::TABLE));
            let _ = rows.send(Part { rows: full, reserved: None }).await;
        }
    }
    if run.count > 0 {
        let _ = rows.send(Part { rows: run, reserved: None }).await;
    }
}

/// Counts rows that go nowhere.
async fn discard(parts: async_channel::Receiver<Part>, progress: &Progress) -> Result<RowCounts> {
    let mut discarded = RowCounts::default();
    while let Ok(Part { rows, .. }) = parts.recv().await {
        progress.add_rows(rows.table, rows.count);
        discarded.add(rows.table, rows.count);
    }
    Ok(discarded)
}

fn stage(name: &'static str, started: Instant, objects: &[Arc<Object>], records: u64) -> Stage {
    let bytes = objects.iter().map(|object| object.size).sum();
    let amounts = [("objects", objects.len() as u64), ("bytes", bytes), ("records", records)];
    Stage::new(name, started, &amounts)
}
