//! What stages work on: the objects of the source, and as many of their bytes as are kept in memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::try_join;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Plan};
use crate::pipeline::{Listed, list};
use crate::source::{Object, Store};

/// How many bytes of the source are kept in memory: enough to run for seconds, and to fit where a load fits.
const SAMPLE_BYTES: u64 = 256 << 20;

/// The objects that a first load reads.
pub(super) struct Found {
    listed: Listed,
    plan: Plan,
}

/// Objects in memory.
pub(super) struct Sample {
    pub songs: Vec<Stored>,
    pub logs: Vec<Stored>,
    pub bytes: u64,
    /// How much of the source that is, of songs and logs alike.
    pub share: f64,
}

/// The bytes of an object, as they came.
pub(super) struct Stored {
    pub object: Arc<Object>,
    pub bytes: Vec<Bytes>,
    /// Whether these are all of it.
    pub whole: bool,
}

impl Found {
    /// Lists the source.
    ///
    /// # Errors
    ///
    /// That fails, or there are no songs or no logs.
    pub async fn list(config: &Config) -> Result<Self> {
        let listed = list(config).await?;
        let plan = listed.plan(config, &Ledger::default())?;
        Ok(Self { listed, plan })
    }

    pub fn objects(&self) -> u64 {
        self.plan.objects().count() as u64
    }

    /// Reads everything, as many objects of each kind at once as a load does; returns how many bytes came.
    pub async fn fetch(&self, config: &Config) -> Result<u64> {
        let Self { listed: Listed { song_store, log_store, .. }, plan } = self;
        let fetch = async |store: &Store, objects: &[Arc<Object>]| {
            let wanted = objects.iter().map(|object| (object.clone(), u64::MAX));
            let mut fetched = 0;
            each(store, wanted, config, Keep::Nothing, |_, bytes, _| fetched += bytes).await?;
            Ok::<_, Error>(fetched)
        };
        let (songs, logs) =
            try_join!(fetch(song_store, &plan.songs), fetch(log_store, &plan.logs))?;
        Ok(songs + logs)
    }

    /// Reads as much as fits into memory, in the order of the names and so the same each time.
    pub async fn sample(self, config: &Config) -> Result<Sample> {
        let Self { listed: Listed { song_store, log_store, .. }, plan } = self;
        let size: u64 = plan.objects().map(|object| object.size).sum();
        let share = (SAMPLE_BYTES as f64 / size.max(1) as f64).min(1.0);
        let keep = async |store: &Store, objects: &[Arc<Object>]| {
            let mut kept = Vec::new();
            each(store, first(objects, share), config, Keep::All, |object, bytes, chunks| {
                let whole = bytes >= object.size;
                kept.push(Stored { object, bytes: chunks, whole });
            })
            .await?;
            kept.sort_by_key(|stored| stored.object.rank);
            Ok::<_, Error>(kept)
        };
        let (songs, logs) =
            try_join!(keep(&song_store, &plan.songs), keep(&log_store, &plan.logs))?;
        let chunks = songs.iter().chain(&logs).flat_map(|stored| &stored.bytes);
        let bytes = chunks.map(|chunk| chunk.len() as u64).sum();
        Ok(Sample { songs, logs, bytes, share })
    }
}

impl Sample {
    pub fn objects(&self) -> u64 {
        (self.songs.len() + self.logs.len()) as u64
    }
}

/// The first of `objects` that make up a `share` of their bytes, and how many bytes of each; the last may be cut short.
fn first(objects: &[Arc<Object>], share: f64) -> impl Iterator<Item = (Arc<Object>, u64)> + '_ {
    let size: u64 = objects.iter().map(|object| object.size).sum();
    let mut left = (size as f64 * share).ceil() as u64;
    objects.iter().map_while(move |object| {
        let bytes = object.size.min(left);
        left -= bytes;
        (bytes > 0).then(|| (object.clone(), bytes))
    })
}

/// What is kept of the bytes that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    All,
}

/// Reads so many bytes of each of the `wanted` objects, several at once; `done` is told of each how many came, and what
/// was kept of them.
async fn each(
    store: &Store,
    wanted: impl Iterator<Item = (Arc<Object>, u64)>,
    config: &Config,
    keep: Keep,
    mut done: impl FnMut(Arc<Object>, u64, Vec<Bytes>),
) -> Result<()> {
    let mut tasks = JoinSet::new();
    let mut wanted = wanted.fuse();
    loop {
        while tasks.len() < config.fetches
            && let Some((object, most)) = wanted.next()
        {
            let (store, attempts) = (store.clone(), config.retry.attempts());
            tasks.spawn(async move {
                let mut body = match store.read(&object).await {
                    Ok(body) => body,
                    Err(cause) => return Err(cause.error(&object, &attempts)),
                };
                let (mut came, mut kept) = (0, Vec::new());
                while came < most {
                    let next = body.next().await;
                    let Some(mut bytes) = next.map_err(|cause| cause.error(&object, &attempts))?
                    else {
                        break;
                    };
                    bytes.truncate(usize::try_from(most - came).unwrap_or(usize::MAX));
                    came += bytes.len() as u64;
                    if keep == Keep::All {
                        kept.push(bytes);
                    }
                }
                Ok((object, came, kept))
            });
        }
        let Some(read) = tasks.join_next().await else { return Ok(()) };
        let (object, came, kept) = read.expect("reading does not panic")?;
        done(object, came, kept);
    }
}
