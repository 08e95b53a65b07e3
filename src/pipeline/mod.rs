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
mod transforming;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::try_join;

use self::books::Books;
use self::reading::{Budget, Reading};
use self::transforming::Transforming;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::report::{Objects, Phase, Report, Stage};
use crate::source::{Globs, Listing, Object, Store};
use crate::target::Load;

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
    // Should the listing fail, the load has begun all the same, and is to be ended.
    let listing = async { Ok(list(config).await) };
    let (listed, mut load) = try_join!(listing, begin(config))?;
    let loaded = async {
        let prepared = Stage::new("prepare", start, &[]);
        let mut report = fill(config, listed?, &load).await?;
        report.stages.insert(0, prepared);
        config.progress.enter(Phase::Publishing);
        let publishing = Instant::now();
        load.publish().await?;
        report.stages.push(Stage::new("publish", publishing, &[]));
        Ok(report)
    };
    let loaded = loaded.await;
    load.end().await;
    let mut report = loaded?;
    report.dry_run = config.dry_run;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// Reads everything and fills the tables of a load that has begun.
async fn fill(config: &Config, listed: Listed, load: &Load) -> Result<Report> {
    let Listed { songs, logs, song_store, log_store, objects, listing } = listed;
    // Logs are read while songs are, but can't be worked on before the catalog is complete: each has a budget of
    // its own, so that waiting logs never keep songs from being read.
    let song_budget = Budget::new(config.memory / 2);
    let log_budget = Budget::new(config.memory / 2);
    let (song_pieces, songs_read) = mpsc::channel(PIECES);
    let (log_pieces, logs_read) = mpsc::channel(PIECES);
    let (rows, parts) = async_channel::bounded(PARTS);
    let books = Books::open(config, load.run(), songs.len() + logs.len())?;
    let mut transforming = Transforming::new(config, books, rows)?;

    let read_songs = Reading::new(config, song_store, &song_budget).run(&songs, song_pieces);
    let read_logs = Reading::new(config, log_store, &log_budget).run(&logs, log_pieces);
    let transform = async {
        let catalog = transforming.songs(songs_read, &songs).await?;
        log_budget.grow(config.memory / 2);
        let index = catalog.match_index(config.matching);
        drop(catalog);
        transforming.logs(logs_read, &logs, index).await?;
        Ok(transforming.finish(logs.iter().chain(&songs)).await)
    };
    let writing = Instant::now();
    let write = load.write(parts, &config.progress);
    let ((), (), (books, stages), rows) = try_join!(read_songs, read_logs, transform, write)?;
    let written = Stage::new("copy", writing, &[("rows", rows.total())]);

    config.progress.enter(Phase::Keys);
    let building = Instant::now();
    load.build_keys().await?;
    let built = Stage::new("keys", building, &[]);
    let stages = [vec![listing], stages, vec![written, built]].concat();
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

/// Begins the load in the target, or one that goes nowhere.
async fn begin(config: &Config) -> Result<Load> {
    if config.dry_run {
        return Ok(Load::Nowhere);
    }
    Load::begin(&config.target, &config.schema, config.connections).await
}

/// Pieces that may wait to be worked on; the budget bounds their bytes.
const PIECES: usize = 1024;
/// Parts that may wait for a connection; the budget bounds their bytes.
const PARTS: usize = 16;
