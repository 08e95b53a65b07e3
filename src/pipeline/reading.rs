//! Reading: objects are fetched and decoded, several at once, into pieces that wait to be worked on.

use std::sync::Arc;

use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::decode::{Block, Compression, Cutter, Limits};
use crate::error::{Error, Result};
use crate::report::Progress;
use crate::source::{Object, Store};
use crate::transform::Piece;

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
        let kib = (bytes >> 10).saturating_add(1).min(self.kib as usize) as u32;
        self.free.clone().acquire_many_owned(kib).await.expect("the budget is never closed")
    }
}

/// A block takes this much memory for each of its bytes: once as text, and at most about one and a half times as
/// encoded rows (0.95 for staging, 0.5 for plays, on the real sample).
const BYTES_IN_FLIGHT: f64 = 2.5;

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
    budget: Budget,
    progress: Arc<Progress>,
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
            budget: budget.clone(),
            progress: config.progress.clone(),
        }
    }

    /// Reads all of `objects` and sends their pieces.
    pub async fn run(self, objects: &[Arc<Object>], pieces: mpsc::Sender<Reserved>) -> Result<()> {
        let reading = Arc::new(self);
        let mut tasks = JoinSet::new();
        for object in objects {
            if tasks.len() == reading.fetches {
                finished(tasks.join_next().await)?;
            }
            tasks.spawn(reading.clone().read(object.clone(), pieces.clone()));
        }
        while !tasks.is_empty() {
            finished(tasks.join_next().await)?;
        }
        Ok(())
    }

    async fn read(
        self: Arc<Self>,
        object: Arc<Object>,
        pieces: mpsc::Sender<Reserved>,
    ) -> Result<()> {
        let broken = |cause| {
            Error::data(format!("can't decode {}", object.name))
                .because(cause)
                .with_help("upload the object again, or leave it out with --exclude")
        };
        let mut reserved = Some(self.reserve(&object).await);
        let mut body = self.store.read(&object).await?;
        let mut cutter = Cutter::new(object.compression, self.limits);
        while let Some(mut bytes) = body.next().await? {
            self.progress.bytes.add(bytes.len() as u64);
            while let Some(block) = cutter.push(&mut bytes).map_err(broken)? {
                self.send(&object, block, false, reserved.take(), &pieces).await;
                reserved = Some(self.reserve(&object).await);
            }
        }
        let mut next = cutter.finish().map_err(broken)?;
        loop {
            let block = next.unwrap_or_else(|| cutter.end());
            next = cutter.finish().map_err(broken)?;
            self.send(&object, block, next.is_none(), reserved.take(), &pieces).await;
            if next.is_none() {
                break;
            }
        }
        self.progress.objects.add(1);
        Ok(())
    }

    /// Sends `block` with what is reserved for it, or with what it still has to wait for.
    async fn send(
        &self,
        object: &Arc<Object>,
        block: Block,
        last: bool,
        reserved: Option<OwnedSemaphorePermit>,
        pieces: &mpsc::Sender<Reserved>,
    ) {
        let reserved = match reserved {
            Some(reserved) => reserved,
            None => self.reserve(object).await,
        };
        let piece = Piece { object: object.clone(), block, last };
        // Nobody takes pieces any more when the load has failed; the error is on its way.
        let _ = pieces.send(Reserved { piece, reserved }).await;
    }

    /// Reserves memory for the next block of `object`.
    async fn reserve(&self, object: &Object) -> OwnedSemaphorePermit {
        let block = match object.compression {
            Compression::Plain => self.limits.block_bytes.min(object.size as usize),
            _ => self.limits.block_bytes,
        };
        self.budget.reserve((block as f64 * BYTES_IN_FLIGHT) as usize).await
    }
}

fn finished(task: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match task {
        Some(Ok(result)) => result,
        Some(Err(cause)) if cause.is_panic() => std::panic::resume_unwind(cause.into_panic()),
        Some(Err(_)) | None => Ok(()),
    }
}

/// Pieces that are worked on in one go, and the memory that is reserved for them.
pub(super) struct Batch {
    pub pieces: Vec<Piece>,
    pub reserved: OwnedSemaphorePermit,
}

/// Small pieces are taken together up to this size: a job of one 300-byte object would cost more to hand over
/// than to do.
const BATCH_BYTES: usize = 256 << 10;

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
