//! Reading: objects are fetched and decoded, several at once, into pieces that wait to be worked on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, mem};

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::buffer::Buffers;
use crate::config::Config;
use crate::decode::{Block, Compression, Cutter, Foreign, Limits};
use crate::error::{Error, Remedy, Result};
use crate::queue::queue;
use crate::report::Progress;
use crate::retry::Retry;
use crate::source::{Body, Object, ReadError, Store, joined};
use crate::transform::{BATCH_BYTES, Piece};

/// The bytes that may be in flight; what is reserved comes back when the reservation is dropped.
#[derive(Clone)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    kib: u32,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let kib = (bytes >> 10).clamp(1, u32::MAX as usize >> 4) as u32;
        Self { free: Arc::new(Semaphore::new(kib as usize)), kib }
    }

    pub fn grow(&self, bytes: usize) {
        self.free.add_permits(bytes >> 10);
    }

    /// Waits until `bytes` are free; more than there are in all count as all.
    async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let kib = kib(bytes).min(self.kib as usize) as u32;
        self.free.clone().acquire_many_owned(kib).await.expect("the budget is never closed")
    }
}

fn kib(bytes: usize) -> usize {
    (bytes >> 10).saturating_add(1)
}

/// Gives back what is `reserved` beyond these `bytes`.
fn shrink(reserved: &mut OwnedSemaphorePermit, bytes: usize) {
    let beyond = reserved.num_permits().saturating_sub(kib(bytes));
    drop(reserved.split(beyond));
}

/// How much memory the encoded rows of so many bytes take at most (on the real sample 0.95 times as much for staging, 0.5
/// for plays).
fn rows_of(bytes: usize) -> usize {
    bytes / 2 * 3
}

/// What comes of a body at once is no larger than this, or little.
const READ_BYTES: u64 = 256 << 10;

/// A piece and the memory that is reserved for it.
pub(super) struct Reserved {
    piece: Piece,
    reserved: OwnedSemaphorePermit,
}

/// How objects of one kind are read.
pub(super) struct Reading {
    store: Store,
    limits: Limits,
    fetches: usize,
    retry: Retry,
    budget: Budget,
    /// The memory of blocks.
    buffers: Buffers,
    progress: Arc<Progress>,
    /// An object was an archive, and its name did not say so.
    archives_unnamed: AtomicBool,
}

/// What became of the objects that were to be read.
#[derive(Debug, Default)]
pub(super) struct WasRead {
    pub objects: u64,
    /// Bytes of the versions that were read to the end.
    pub bytes: u64,
    /// Objects that were deleted before anything of them was read.
    pub gone: Vec<Arc<Object>>,
    /// Objects that are archived.
    pub archived: Vec<Arc<Object>>,
}

/// What became of an object that was to be read, in the version that counts.
enum Outcome {
    Read(Arc<Object>),
    Gone(Arc<Object>),
    Archived(Arc<Object>),
}

/// How much of a version came before it proved to be void.
#[derive(Default)]
struct Came {
    bytes: u64,
    pieces: u64,
}

impl Reading {
    pub fn new(config: &Config, store: Store, budget: &Budget) -> Self {
        Self {
            store,
            limits: Limits {
                block_bytes: config.block_bytes,
                max_record_bytes: config.format.max_record_bytes,
            },
            fetches: config.fetches,
            retry: config.retry,
            budget: budget.clone(),
            buffers: Buffers::default(),
            progress: config.progress.clone(),
            archives_unnamed: AtomicBool::new(false),
        }
    }

    /// Reads all of `objects` and sends their pieces.
    pub async fn run(
        self,
        objects: &[Arc<Object>],
        pieces: mpsc::Sender<Reserved>,
    ) -> Result<WasRead> {
        let reading = Arc::new(self);
        let queue = queue(objects.iter().cloned());
        let readers = (0..reading.fetches.min(objects.len()))
            .map(|_| reading.clone().read_all(queue.clone(), pieces.clone()));
        let mut readers: JoinSet<_> = readers.collect();
        let mut was_read = WasRead::default();
        while let Some(reader) = readers.join_next().await {
            was_read = was_read.plus(joined(reader)??);
        }
        Ok(was_read)
    }

    /// Reads what is in the `queue`, one object after the other.
    async fn read_all(
        self: Arc<Self>,
        queue: async_channel::Receiver<Arc<Object>>,
        pieces: mpsc::Sender<Reserved>,
    ) -> Result<WasRead> {
        let mut was_read = WasRead::default();
        while let Ok(listed) = queue.recv().await {
            was_read.add(self.read(listed, &pieces).await?);
        }
        Ok(was_read)
    }

    /// Reads `listed`, or the version that has taken its place.
    ///
    /// # Errors
    ///
    /// Where pieces of a version that is void were sent, the error is one to start over for.
    async fn read(&self, listed: Arc<Object>, pieces: &mpsc::Sender<Reserved>) -> Result<Outcome> {
        let mut object = listed;
        let mut attempts = self.retry.attempts();
        loop {
            let mut came = Came::default();
            let Err(error) = self.read_version(&object, pieces, &mut came).await else {
                self.progress.objects.add(1);
                return Ok(Outcome::Read(object));
            };
            let cured = match error {
                ReadError::Failed(error) => return Err(error),
                error if came.pieces > 0 => {
                    return Err(error.error(&object, &attempts).with_remedy(Remedy::StartOver));
                }
                ReadError::Gone => None,
                ReadError::Archived(_) => {
                    self.progress.objects.add(1);
                    return Ok(Outcome::Archived(object));
                }
                error if !attempts.again().await => return Err(error.error(&object, &attempts)),
                ReadError::Changed(_) => self.store.stat(&object).await?,
            };
            let Some(version) = cured else {
                tracing::warn!(object = %object.name, "deleted since it was listed, and left out");
                self.progress.objects.add(1);
                return Ok(Outcome::Gone(object));
            };
            self.progress.bytes_total.add(came.bytes);
            object = Arc::new(version);
        }
    }

    /// Reads one version of an object and sends its pieces.
    async fn read_version(
        &self,
        object: &Arc<Object>,
        pieces: &mpsc::Sender<Reserved>,
        came: &mut Came,
    ) -> Result<(), ReadError> {
        let expected = self.expected(object);
        let mut reserved = self.reserve(expected, object).await;
        let mut body = self.store.read(object).await?;
        let (mut compression, mut start) = self.start(&mut body, came).await?;
        if self.needed(compression, object) > self.needed(expected, object) {
            // Who waits for more holds nothing, or all could wait for each other: it is read again.
            drop((body, start, reserved));
            self.archives_unnamed.store(true, Ordering::Relaxed);
            self.progress.bytes_total.add(mem::take(&mut came.bytes));
            reserved = self.reserve(compression, object).await;
            body = self.store.read(object).await?;
            (compression, start) = self.start(&mut body, came).await?;
        }
        shrink(&mut reserved, self.needed(compression, object));
        let mut reserved = Some(reserved);
        let mut cutter = Cutter::new(compression, self.limits, &self.buffers, object.size);
        let mut next = Some(start);
        while let Some(mut bytes) = next {
            loop {
                let block = match cutter.push(&mut bytes) {
                    Ok(Some(block)) => block,
                    Ok(None) => break,
                    Err(cause) => return Err(broken(object, &mut body, cause).await),
                };
                came.pieces += 1;
                self.send(compression, object, block, false, reserved.take(), pieces).await;
                reserved = Some(self.reserve(compression, object).await);
            }
            next = self.next(&mut body, came).await?;
        }
        // The last piece goes out when all are known to be those of one version. It may be empty: what it says then is
        // that the object has ended.
        let mut next = cutter.finish().map_err(|cause| undecodable(object, cause))?;
        loop {
            let block = next.unwrap_or_else(|| cutter.end());
            next = cutter.finish().map_err(|cause| undecodable(object, cause))?;
            came.pieces += 1;
            self.send(compression, object, block, next.is_none(), reserved.take(), pieces).await;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// What memory is reserved for until the first bytes of `object` tell: its name says so, or others were archives
    /// whose names did not.
    fn expected(&self, object: &Object) -> Compression {
        match Compression::named(&object.name) {
            Compression::Plain if self.archives_unnamed.load(Ordering::Relaxed) => {
                Compression::Gzip
            }
            named => named,
        }
    }

    /// The next bytes of a body.
    async fn next(&self, body: &mut Body, came: &mut Came) -> Result<Option<Bytes>, ReadError> {
        let bytes = body.next().await?;
        let length = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.progress.bytes.add(length);
        came.bytes += length;
        Ok(bytes)
    }

    /// The first bytes of a body, as many as it takes to tell how they are compressed.
    async fn start(
        &self,
        body: &mut Body,
        came: &mut Came,
    ) -> Result<(Compression, Bytes), ReadError> {
        let mut start = Bytes::new();
        loop {
            if let Some(compression) = Compression::of(&start) {
                return Ok((compression, start));
            }
            match self.next(body, came).await? {
                Some(bytes) if start.is_empty() => start = bytes,
                Some(bytes) => start = [start, bytes].concat().into(),
                None => return Ok((Compression::Plain, start)),
            }
        }
    }

    /// Sends `block` with what is reserved for it, or with what it still has to wait for.
    async fn send(
        &self,
        compression: Compression,
        object: &Arc<Object>,
        block: Block,
        last: bool,
        reserved: Option<OwnedSemaphorePermit>,
        pieces: &mpsc::Sender<Reserved>,
    ) {
        let mut reserved = match reserved {
            Some(reserved) => reserved,
            None => self.reserve(compression, object).await,
        };
        // How little is in a small archive is known only now.
        shrink(&mut reserved, block.bytes.capacity() + rows_of(block.bytes.len()));
        let piece = Piece { object: object.clone(), block, last };
        // Nobody takes pieces any more when the load has failed; the error is on its way.
        let _ = pieces.send(Reserved { piece, reserved }).await;
    }

    /// Reserves memory for the next block of `object`.
    async fn reserve(&self, compression: Compression, object: &Object) -> OwnedSemaphorePermit {
        self.budget.reserve(self.needed(compression, object)).await
    }

    /// How much memory the next block of `object` takes at most.
    fn needed(&self, compression: Compression, object: &Object) -> usize {
        let block = self.limits.block_of(compression, object.size);
        let read = object.size.min(READ_BYTES) as usize;
        block + rows_of(block) + read
    }
}

impl WasRead {
    pub fn plus(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            bytes: self.bytes + other.bytes,
            gone: [self.gone, other.gone].concat(),
            archived: [self.archived, other.archived].concat(),
        }
    }

    /// How many objects were not read.
    pub fn unread(&self) -> u64 {
        (self.gone.len() + self.archived.len()) as u64
    }

    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Read(object) => {
                self.objects += 1;
                self.bytes += object.size;
            }
            Outcome::Gone(object) => self.gone.push(object),
            Outcome::Archived(object) => self.archived.push(object),
        }
    }
}

/// What is wrong with an object whose bytes can't be decoded: perhaps only that somebody writes to it meanwhile, which
/// the end of its `body` tells. Of another format no more is read.
async fn broken(object: &Object, body: &mut Body, cause: io::Error) -> ReadError {
    while Foreign::in_error(&cause).is_none() {
        match body.next().await {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return error,
        }
    }
    undecodable(object, cause)
}

fn undecodable(object: &Object, cause: io::Error) -> ReadError {
    let help = match Foreign::in_error(&cause) {
        Some(foreign) => foreign.help,
        None => "upload the object again, or leave it out with --exclude",
    };
    let error = Error::data(format!("can't decode {}", object.name)).because(cause);
    ReadError::Failed(error.with_help(help))
}

/// Pieces that are worked on in one go, and the memory that is reserved for them.
pub(super) struct Batch {
    pub pieces: Vec<Piece>,
    pub reserved: OwnedSemaphorePermit,
}

/// Takes together what is there, without waiting for more.
pub(super) fn batches(pieces: mpsc::Receiver<Reserved>) -> impl Stream<Item = Batch> {
    stream::unfold(pieces, async |mut receiver| {
        let Reserved { piece, mut reserved } = receiver.recv().await?;
        let mut bytes = piece.block.bytes.len();
        let mut pieces = vec![piece];
        while bytes < BATCH_BYTES {
            let Ok(more) = receiver.try_recv() else { break };
            bytes += more.piece.block.bytes.len();
            pieces.push(more.piece);
            reserved.merge(more.reserved);
        }
        Some((Batch { pieces, reserved }, receiver))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::Path;
    use std::time::Duration;

    use flate2::write::GzEncoder;
    use tokio::time::timeout;

    use super::*;
    use crate::config::Config;
    use crate::ledger::{Ledger, Plan};
    use crate::source::{Choice, Listing, Reach, Source};
    use crate::target::Target;

    /// The settings of reading what is in `folder`.
    fn config(folder: &Path) -> Config {
        let folder = folder.to_str().unwrap();
        let source = Source::new(folder.parse().unwrap(), folder.parse().unwrap());
        Config::new(source, Target::Embedded("unused".into()))
    }

    async fn opened(config: &Config) -> (Store, Vec<Arc<Object>>) {
        let Source { songs, s3, .. } = &config.source;
        let store = Store::open(songs, s3, config.retry, Reach::ONE).await.unwrap();
        let choice = Arc::new(Choice::of(&config.source).unwrap());
        let listing = store.list(&choice).await.unwrap();
        let (ledger, no_logs) = (Ledger::default(), Listing::default());
        let plan = Plan::new(config, &ledger, &no_logs, &listing, |_, _| true).unwrap();
        (store, plan.songs)
    }

    /// Each piece's object, number of records, and whether it is the last one.
    async fn pieces(config: &Config) -> Vec<(String, usize, bool)> {
        let (store, objects) = opened(config).await;
        let (sender, mut receiver) = mpsc::channel(100);
        let budget = Budget::new(1 << 20);
        let run = Reading::new(config, store, &budget).run(&objects, sender);
        let receive = async {
            let mut pieces = Vec::new();
            while let Some(Reserved { piece, .. }) = receiver.recv().await {
                let name = piece.object.name.rsplit('/').next().unwrap().to_owned();
                pieces.push((name, piece.block.frames.len(), piece.last));
            }
            pieces
        };
        let (was_read, pieces) = tokio::join!(run, receive);
        assert_eq!(was_read.unwrap().objects, objects.len() as u64);
        pieces
    }

    #[tokio::test]
    async fn exactly_the_last_piece_of_an_object_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a.json", "{}".to_owned()),
            ("b.json", " \n ".to_owned()),
            ("c.json", "{\"n\":1}\n".repeat(100)),
            ("d.json", "{\"n\":1}\n".repeat(100) + &" ".repeat(100)),
            // Exactly as long as a block.
            ("e.json", " ".repeat(62) + "{}"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut config = config(folder.path());
        for block_bytes in [1, 7, 64, 1 << 20] {
            (config.block_bytes, config.fetches) = (block_bytes, 1);
            let pieces = pieces(&config).await;
            for (name, records) in
                [("a.json", 1), ("b.json", 0), ("c.json", 100), ("d.json", 100), ("e.json", 1)]
            {
                let of: Vec<_> = pieces.iter().filter(|piece| piece.0 == name).collect();
                let lasts: Vec<_> = of.iter().map(|piece| piece.2).collect();
                let expected: Vec<_> = (1..=of.len()).map(|number| number == of.len()).collect();
                assert_eq!(lasts, expected, "{name} in blocks of {block_bytes}");
                assert_eq!(of.iter().map(|piece| piece.1).sum::<usize>(), records, "{name}");
            }
        }
    }

    #[tokio::test]
    async fn a_small_archive_takes_as_much_memory_as_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{\"n\":1}\n").unwrap();
        let packed = packed.finish().unwrap();
        for number in 0..500 {
            fs::write(folder.path().join(format!("{number}.json")), &packed).unwrap();
        }
        // What is called an archive may be none.
        fs::write(folder.path().join("plain.json.gz"), b"{\"n\":1}\n").unwrap();
        let config = config(folder.path());
        let (store, objects) = opened(&config).await;
        // There is room for one whole block, and all wait at once.
        let budget = Budget::new(3 << 20);
        let (sender, _waiting) = mpsc::channel(objects.len());
        let run = Reading::new(&config, store, &budget).run(&objects, sender);
        let was_read = timeout(Duration::from_secs(60), run).await.expect("there is room for all");
        assert_eq!(was_read.unwrap().objects, 501);
    }
}
