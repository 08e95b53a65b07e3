//! Listing: what the source holds, and what is to be done with it.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::try_join;

use super::reading::WasRead;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Mode, Plan};
use crate::report::{Objects, Stage};
use crate::source::{Choice, Kind, Listing, Object, Reach, Source, Store};

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
    let choice = Arc::new(Choice::of(source)?);
    let reach = Reach { fetches: config.fetches, ahead_bytes: ahead_bytes(config) };
    let open = |location| Store::open(location, &source.s3, config.retry, reach);
    let (song_store, log_store) = try_join!(open(&source.songs), open(&source.logs))?;
    let (songs, logs) = try_join!(song_store.list(&choice), log_store.list(&choice))?;
    let stage = Stage::new("list", start, &[("objects", songs.listed() + logs.listed())]);
    Ok(Listed { songs, logs, song_store, log_store, stage })
}

impl Listed {
    /// Says what is to be done with what is listed.
    ///
    /// # Errors
    ///
    /// There are no songs or no logs, and it is not that those of before have gone: a prefix may be mistyped. Or objects
    /// that are to be read are archived, and not to be left out.
    pub async fn plan(&self, config: &Config, ledger: &Ledger) -> Result<Plan> {
        let mut plan = self.wanted(config, ledger)?;
        let archived = self.archived(config, &plan).await?;
        if !archived.is_empty() && !config.source.skip_archived {
            return Err(self::archived(&archived));
        }
        plan.leave_out(&archived, ledger)?;
        Ok(plan)
    }

    fn wanted(&self, config: &Config, ledger: &Ledger) -> Result<Plan> {
        let covers = |kind, name: &str| self.store(kind).covers(name);
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
                return Err(Error::source(what).with_help(
                    "name a folder or one object; objects must end in .json, .jsonl or .ndjson",
                ));
            }
        }
        Ok(plan)
    }

    /// The objects that are to be read, and can't be before they are restored.
    async fn archived(&self, config: &Config, plan: &Plan) -> Result<Vec<Arc<Object>>> {
        let is_listed_so = |object: &&Arc<Object>| {
            let entry = self.listing(object.kind).get(&object.name);
            entry.is_some_and(|entry| entry.archived)
        };
        let listed = plan.objects().filter(is_listed_so).cloned();
        let ask =
            |store: Store, object: Arc<Object>| async move { store.is_archived(&object).await };
        self.ask(config, listed.collect(), ask).await
    }

    /// Checks that what was not read need not be: that it is archived and left out, or not listed any more.
    ///
    /// # Errors
    ///
    /// Objects are archived, where that was not to be seen in the listing; or they are not given and listed still.
    pub(super) async fn check_unread(
        &self,
        config: &Config,
        ledger: &Ledger,
        plan: &Plan,
        was_read: &WasRead,
    ) -> Result<()> {
        let WasRead { archived, gone, .. } = was_read;
        if !archived.is_empty() && !config.source.skip_archived {
            return Err(self::archived(archived));
        }
        plan.check_left_out(archived, ledger)?;
        let ask = |store: Store, object: Arc<Object>| async move { store.lists(&object).await };
        let listed = self.ask(config, gone.clone(), ask).await?;
        let Some(first) = listed.iter().min_by_key(|object| &object.name) else { return Ok(()) };
        let what = match listed.len() {
            1 => format!("an object is listed, and is not there: {}", first.name),
            count => format!("{count} objects are listed, and are not there: {} …", first.name),
        };
        Err(Error::source(what)
            .because("the source answers that there is none of that name, and lists it all the same")
            .with_help("see whether the server takes such names, rename them, or leave them out with --exclude"))
    }

    /// Asks about `objects`, many at once; returns those for which the answer is yes.
    async fn ask<F: Future<Output = Result<bool>>>(
        &self,
        config: &Config,
        objects: Vec<Arc<Object>>,
        ask: impl Fn(Store, Arc<Object>) -> F,
    ) -> Result<Vec<Arc<Object>>> {
        let asked = objects.into_iter().map(|object| {
            let asked = ask(self.store(object.kind).clone(), object.clone());
            async move { Ok(asked.await?.then_some(object)) }
        });
        let asked: Vec<Option<_>> =
            stream::iter(asked).buffered(config.fetches).try_collect().await?;
        Ok(asked.into_iter().flatten().collect())
    }

    fn listing(&self, kind: Kind) -> &Listing {
        match kind {
            Kind::Logs => &self.logs,
            Kind::Songs => &self.songs,
        }
    }

    fn store(&self, kind: Kind) -> &Store {
        match kind {
            Kind::Logs => &self.log_store,
            Kind::Songs => &self.song_store,
        }
    }

    /// What became of what is listed, when all that `plan` says is done.
    pub(super) fn objects(&self, plan: &Plan, was_read: &WasRead) -> Objects {
        let resumed = plan.kept.len() as u64;
        let kept_bytes: u64 = plan.kept.iter().map(|(_, version)| version.bytes).sum();
        let mut skipped = self.songs.skipped.plus(self.logs.skipped);
        skipped.empty += plan.empty;
        skipped.archived += plan.archived + was_read.archived.len() as u64;
        skipped.gone += was_read.gone.len() as u64;
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

/// The error of objects that would have to be read, and are archived.
fn archived(objects: &[Arc<Object>]) -> Error {
    let first = objects.first().map_or("", |object| &object.name);
    let what = match objects.len() {
        1 => format!("an object that is to be read is archived: {first}"),
        count => format!("{count} objects that are to be read are archived: {first} …"),
    };
    Error::source(what).with_help(
        "restore them first (aws s3api restore-object), or leave them out with --skip-archived",
    )
}
