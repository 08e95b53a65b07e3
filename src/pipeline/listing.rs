//! Listing: what the source holds, and what is to be done with it.

use std::time::Instant;

use tokio::try_join;

use super::reading::WasRead;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Mode, Plan};
use crate::report::{Objects, Stage};
use crate::source::{Globs, Kind, Listing, Reach, Source, Store};

/// What the source holds, and how to read it.
pub(crate) struct Listed {
    songs: Listing,
    logs: Listing,
    pub song_store: Store,
    pub log_store: Store,
    /// How long the listing took.
    pub stage: Stage,
}

/// The share of the memory that songs, and logs too, may have for parts of large objects that come early.
pub(super) fn ahead_bytes(config: &Config) -> usize {
    config.reading_memory() / 8
}

/// Lists songs and logs at the same time.
pub(crate) async fn list(config: &Config) -> Result<Listed> {
    let start = Instant::now();
    let source = &config.source;
    let globs = Globs::new(&source.include, &source.exclude)?;
    let reach = Reach { fetches: config.fetches, ahead_bytes: ahead_bytes(config) };
    let open = |location| Store::open(location, &source.s3, config.retry, reach);
    let (song_store, log_store) = try_join!(open(&source.songs), open(&source.logs))?;
    let (songs, logs) = try_join!(song_store.list(), log_store.list())?;
    let (songs, logs) = (Listing::new(songs, &globs), Listing::new(logs, &globs));
    let stage = Stage::new("list", start, &[("objects", songs.listed() + logs.listed())]);
    Ok(Listed { songs, logs, song_store, log_store, stage })
}

impl Listed {
    /// Says what is to be done with what is listed.
    ///
    /// # Errors
    ///
    /// There are no songs or no logs, and it is not that those of before have gone: a prefix may be mistyped.
    pub fn plan(&self, config: &Config, ledger: &Ledger) -> Result<Plan> {
        let covers = |kind, name: &str| match kind {
            Kind::Logs => self.log_store.covers(name),
            Kind::Songs => self.song_store.covers(name),
        };
        let plan = Plan::new(config, ledger, &self.logs, &self.songs, covers)?;
        let Source { songs, logs, .. } = &config.source;
        for (kind, listing, location, what) in
            [(Kind::Songs, &self.songs, songs, "song"), (Kind::Logs, &self.logs, logs, "log")]
        {
            let is_known =
                || ledger.loaded.keys().any(|(of, name)| *of == kind && covers(kind, name));
            if listing.found.iter().all(|entry| entry.size == 0)
                && (plan.mode == Mode::Full || !is_known())
            {
                let skipped = listing.listed();
                let what = format!("no {what} objects to load in {location} ({skipped} skipped)");
                return Err(Error::source(what)
                    .with_help("check the prefix; objects must end in .json, .jsonl or .ndjson"));
            }
        }
        Ok(plan)
    }

    /// What became of what is listed, when all that `plan` says is done.
    pub(super) fn objects(&self, plan: &Plan, was_read: WasRead) -> Objects {
        let resumed = plan.kept.len() as u64;
        let kept_bytes: u64 = plan.kept.iter().map(|(_, version)| version.bytes).sum();
        let mut skipped = self.songs.skipped.plus(self.logs.skipped);
        skipped.empty += plan.empty;
        skipped.gone += was_read.gone;
        Objects {
            listed: self.songs.listed() + self.logs.listed(),
            loaded: was_read.objects + resumed,
            resumed,
            unchanged: plan.unchanged,
            gone: plan.gone.len() as u64,
            skipped,
            bytes: was_read.bytes + kept_bytes,
        }
    }
}
