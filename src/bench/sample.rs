//! What stages work on: the objects of the source, and as many of their bytes as are kept in memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::try_join;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Plan};
use crate::pipeline::{Listed, list};
use crate::queue::queue;
use crate::source::{Object, ReadError, Store, joined};

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
        let plan = listed.plan(config, &Ledger::default()).await?;
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
            let fetched = each(store, wanted, config, Keep::Nothing).await?;
            Ok::<_, Error>(fetched.iter().map(|fetched| fetched.came).sum::<u64>())
        };
        let (songs, logs) =
            try_join!(fetch(song_store, &plan.songs), fetch(log_store, &plan.logs))?;
        Ok(songs + logs)
    }

    /// Reads as much as fits into memory, in the order of the names and so the same each time.
    pub async fn sample(self, config: &Config) -> Result<Sample> {
        self.first_bytes(SAMPLE_BYTES, config).await
    }

    async fn first_bytes(self, most: u64, config: &Config) -> Result<Sample> {
        let Self { listed: Listed { song_store, log_store, .. }, plan } = self;
        let size: u64 = plan.objects().map(|object| object.size).sum();
        let share = (most as f64 / size.max(1) as f64).min(1.0);
        let keep = async |store: &Store, objects: &[Arc<Object>]| {
            let fetched = each(store, first(objects, share), config, Keep::All).await?;
            let mut kept: Vec<_> = fetched.into_iter().map(Stored::from).collect();
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

/// What came of an object.
struct Fetched {
    object: Arc<Object>,
    came: u64,
    kept: Vec<Bytes>,
}

impl From<Fetched> for Stored {
    fn from(fetched: Fetched) -> Self {
        let Fetched { object, came, kept } = fetched;
        Self { whole: came >= object.size, object, bytes: kept }
    }
}

/// Reads so many bytes of each of the `wanted` objects, several at once, as a load does.
async fn each(
    store: &Store,
    wanted: impl Iterator<Item = (Arc<Object>, u64)>,
    config: &Config,
    keep: Keep,
) -> Result<Vec<Fetched>> {
    let queue = queue(wanted);
    let readers = (0..config.fetches).map(|_| {
        let (store, queue, retry) = (store.clone(), queue.clone(), config.retry);
        async move {
            let mut fetched = Vec::new();
            while let Ok((object, most)) = queue.recv().await {
                let read = read(&store, &object, most, keep).await;
                let (came, kept) = read.map_err(|cause| cause.error(&object, &retry.attempts()))?;
                fetched.push(Fetched { object, came, kept });
            }
            Ok::<_, Error>(fetched)
        }
    });
    let mut readers: JoinSet<_> = readers.collect();
    let mut fetched = Vec::new();
    while let Some(reader) = readers.join_next().await {
        fetched.extend(joined(reader)??);
    }
    Ok(fetched)
}

/// Reads an object to its end or up to `most` bytes; returns how many came, and which were kept.
async fn read(
    store: &Store,
    object: &Object,
    most: u64,
    keep: Keep,
) -> Result<(u64, Vec<Bytes>), ReadError> {
    let mut body = store.read(object).await?;
    let (mut came, mut kept) = (0, Vec::new());
    while came < most
        && let Some(mut bytes) = body.next().await?
    {
        bytes.truncate(usize::try_from(most - came).unwrap_or(usize::MAX));
        came += bytes.len() as u64;
        if keep == Keep::All {
            kept.push(bytes);
        }
    }
    Ok((came, kept))
}

#[cfg(test)]
mod tests {
    use super::super::work;
    use super::*;
    use crate::decode::Compression;
    use crate::generate::{Generate, generate};
    use crate::source::{Location, Source};
    use crate::target::Target;

    /// The numbers of records that each stage finds in `sample`.
    fn records(sample: &Sample, config: &Config) -> [u64; 4] {
        [
            work::decode(sample, config).unwrap(),
            work::parse(sample, config).unwrap(),
            work::transform(sample, config).unwrap(),
            work::encode(sample, config, drop).unwrap(),
        ]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sample_is_the_first_of_songs_and_of_logs_and_may_end_within_an_object() {
        for compression in [Compression::Plain, Compression::Gzip] {
            let folder = tempfile::tempdir().unwrap();
            let into = Location::Directory(folder.path().to_owned());
            let settings = Generate { songs: 60, events: 40_000, days: 3, ..Generate::new(into) };
            generate(&Generate { compression, ..settings }).await.unwrap();
            let source = Source::at(folder.path().to_str().unwrap()).unwrap();
            let config = Config::new(source, Target::Embedded("nowhere".into()));

            let all = Found::list(&config).await.unwrap().sample(&config).await.unwrap();
            assert_eq!((all.share, all.songs.len(), all.logs.len()), (1.0, 60, 3));
            assert_eq!(records(&all, &config), [40_060; 4]);

            let found = Found::list(&config).await.unwrap();
            let half = found.first_bytes(all.bytes / 2, &config).await.unwrap();
            assert!((half.share - 0.5).abs() < 0.001, "{}", half.share);
            assert!(half.bytes.abs_diff(all.bytes / 2) <= 2, "{} of {}", half.bytes, all.bytes);
            assert!((20..40).contains(&half.songs.len()), "{}", half.songs.len());
            assert_eq!(half.logs.iter().map(|log| log.whole).collect::<Vec<_>>(), [true, false]);
            for (half, all) in half.logs.iter().zip(&all.logs) {
                let [half, all] = [half, all].map(|log| log.bytes.concat());
                assert!(all.starts_with(&half));
            }
            let found = records(&half, &config);
            assert_eq!(found, [found[0]; 4]);
            assert!((15_000..21_000).contains(&found[0]), "{found:?}");
        }
    }
}
