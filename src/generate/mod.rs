//! Generating: songs and logs that look like the real ones, as many as are wanted.
//!
//! What an object holds is pure: `data` makes any stretch of it from the settings and a number, in any order
//! (`calendar`, `sessions` and `listening` say whose turn it is, `event` and `song` what is written). `destination`
//! takes it to where it belongs.

mod calendar;
mod changes;
mod damage;
mod data;
mod destination;
mod event;
mod listening;
mod page;
mod popularity;
mod random;
mod sessions;
mod settings;
mod song;
mod text;
mod user;
mod words;

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use self::data::Data;
use self::destination::Destination;
use crate::cpu::Cpu;
use crate::error::Result;
use crate::report::Counter;

pub use self::settings::Generate;

/// What was generated, which is what a load of it must find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Generated {
    /// Objects of songs and of days that have events.
    pub objects: u64,
    /// The bytes of all objects as they lie there.
    pub bytes: u64,
    /// The bytes of all objects before they were compressed.
    pub plain_bytes: u64,
    /// Songs in the catalog.
    pub songs: u64,
    /// Records in the logs, dirty ones too.
    pub events: u64,
    /// Plays that are not dirty.
    pub plays: u64,
    /// Plays among them whose song is in the catalog.
    pub matching: u64,
    /// Records that a load must reject.
    pub dirty: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Counts that move while objects are generated.
#[derive(Debug, Default)]
pub struct Generating {
    /// Songs that were written.
    pub songs: Counter,
    /// Events that were written.
    pub events: Counter,
    /// The bytes of both before they were compressed.
    pub plain_bytes: Counter,
}

impl Generating {
    fn add(&self, made: &Generated) {
        self.songs.add(made.songs);
        self.events.add(made.events);
        self.plain_bytes.add(made.plain_bytes);
    }
}

/// How many pieces are made ahead for each thread: while one is written, all threads have work.
const AHEAD: usize = 4;

/// Writes songs and logs into a directory or bucket that holds none.
///
/// The bytes follow from the settings alone, whatever the machine and the number of threads. Memory does not grow
/// with the data. What is interrupted or fails leaves the objects that were complete; dropping the future may leave
/// parts of an upload in a bucket too, which nobody sees and a lifecycle rule removes.
///
/// # Errors
///
/// A setting makes no sense, there are songs or logs in the place already, or it can't be written.
pub async fn generate(settings: &Generate) -> Result<Generated> {
    settings.validate()?;
    let started = Instant::now();
    let cpu = Cpu::new(settings.threads)?;
    let destination = Destination::open(&settings.into, &settings.s3, settings.retry).await?;
    let wanted = settings.clone();
    let data = Arc::new(cpu.run(move || Data::new(&wanted)).await);

    let mut generated = Generated::default();
    let mut add = |made: Generated| {
        settings.progress.add(&made);
        generated = generated.plus(made);
    };
    write_songs(&data, &cpu, &destination, &mut add).await?;
    Box::pin(write_logs(&data, &cpu, &destination, &mut add)).await?;
    generated.seconds = started.elapsed().as_secs_f64();
    Ok(generated)
}

async fn write_songs(
    data: &Arc<Data>,
    cpu: &Cpu,
    destination: &Destination,
    add: &mut impl FnMut(Generated),
) -> Result<()> {
    let folders = stream::iter(data.folders()).map(|songs| async {
        let data = data.clone();
        let made = cpu.run(move || data.folder(songs)).await;
        let counts = made.iter().fold(Generated::default(), |sum, (_, made)| sum.plus(made.counts));
        let objects = made.into_iter().map(|(key, made)| (key, made.bytes)).collect();
        destination.write_all(objects).await?;
        Ok(counts)
    });
    let mut written = folders.buffer_unordered(AHEAD * cpu.threads());
    while let Some(counts) = written.try_next().await? {
        add(counts);
    }
    Ok(())
}

/// Writes all logs, one after the other; their blocks are made by all threads and come in order.
async fn write_logs(
    data: &Arc<Data>,
    cpu: &Cpu,
    destination: &Destination,
    add: &mut impl FnMut(Generated),
) -> Result<()> {
    let (spare, reused) = async_channel::unbounded();
    let blocks = stream::iter(data.blocks()).map(|block| {
        let (data, reused) = (data.clone(), reused.clone());
        async move {
            let key = data.begins(block);
            let memory = reused.try_recv().unwrap_or_default();
            (key, cpu.run(move || data.block(block, memory)).await)
        }
    });
    let mut made = blocks.buffered(AHEAD * cpu.threads());
    let mut log = None;
    while let Some((key, block)) = made.next().await {
        if let Some(key) = key
            && let Some(complete) = log.replace(destination.begin(&key).await?)
        {
            complete.finish().await?;
        }
        let log = log.as_mut().expect("each log's first block has its key");
        if let Some(memory) = log.write(block.bytes).await? {
            // The channel is open: its other end is above.
            let _ = spare.try_send(memory);
        }
        add(block.counts);
    }
    if let Some(complete) = log {
        complete.finish().await?;
    }
    Ok(())
}

impl Generated {
    fn plus(self, more: Self) -> Self {
        let Self { objects, bytes, plain_bytes, songs, events, plays, matching, dirty, seconds } =
            more;
        Self {
            objects: self.objects + objects,
            bytes: self.bytes + bytes,
            plain_bytes: self.plain_bytes + plain_bytes,
            songs: self.songs + songs,
            events: self.events + events,
            plays: self.plays + plays,
            matching: self.matching + matching,
            dirty: self.dirty + dirty,
            seconds: self.seconds + seconds,
        }
    }
}
