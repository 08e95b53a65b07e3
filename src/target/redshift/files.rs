//! The files of a stage while rows are written into them: how many there are at once, how large they get, and what they
//! hold in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use compression_codecs::ZstdEncoder;
use futures::future::try_join_all;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;

use super::room::{FULL, PART_BYTES, Room, SMALL};
use crate::encode::Rows;
use crate::error::Result;
use crate::packing::{finish, pack_into};
use crate::source::{Bucket, ObjectWriter, joined};
use crate::table::Table;

/// The files of a load.
pub(super) struct Files {
    bucket: Arc<Bucket>,
    /// What their keys begin with.
    folder: String,
    room: Room,
    /// A turn for each part that may be on its way.
    turns: Arc<Semaphore>,
    /// How many files of a table are filled at once, and how many bytes each gets.
    lanes: AtomicUsize,
    full: AtomicUsize,
    state: Mutex<State>,
    /// Told whenever a file can be written to again, or another one begun.
    given_back: Notify,
}

#[derive(Default)]
struct State {
    tables: BTreeMap<Table, OfTable>,
    /// How many open files have [`SMALL`] or more.
    large: usize,
    /// How often files were written to.
    written: u64,
}

/// The files of one table.
#[derive(Default)]
struct OfTable {
    /// How many were ever begun.
    begun: u32,
    /// How many are not complete.
    open: usize,
    /// How many of these have [`SMALL`] or more.
    large: usize,
    /// Of the open ones, those that nobody writes to now.
    idle: Vec<File>,
    /// How many bytes the others had.
    busy: Vec<usize>,
    /// The keys of those that are complete.
    done: Vec<String>,
    rows: u64,
}

struct File {
    object: ObjectWriter,
    encoder: ZstdEncoder,
    bytes: usize,
    /// When it was last written to, by [`State::written`].
    last: u64,
}

/// How much larger than the smallest file of its table one may be and still get rows.
const AHEAD: usize = SMALL / 2;
/// What a level more saves is less than it costs: the network between S3 and Redshift is fast.
const LEVEL: i32 = 1;

impl State {
    /// The large file of another table than this one that was not written to for the longest, while others were so often
    /// at least.
    fn oldest(&self, table: Table, age: u64) -> Option<(Table, usize)> {
        let others = self.tables.iter().filter(|(of, _)| **of != table);
        let idle = others.flat_map(|(of, files)| {
            files.idle.iter().enumerate().map(|(at, file)| (file.last, *of, at, file.bytes))
        });
        let (last, of, at, _) = idle.filter(|(.., bytes)| *bytes >= SMALL).min()?;
        (self.written - last >= age).then_some((of, at))
    }

    fn take_oldest(&mut self, table: Table, age: u64) -> Option<(Table, File)> {
        let (of, at) = self.oldest(table, age)?;
        Some((of, self.tables.get_mut(&of)?.idle.swap_remove(at)))
    }
}

impl OfTable {
    fn smallest(&mut self) -> Option<File> {
        let at = (0..self.idle.len()).min_by_key(|&at| self.idle[at].bytes)?;
        let bytes = self.idle[at].bytes;
        if self.busy.iter().any(|busy| busy + AHEAD < bytes) {
            return None;
        }
        self.busy.push(bytes);
        Some(self.idle.swap_remove(at))
    }

    /// A file that had so many bytes is not busy any more.
    fn let_go(&mut self, bytes: usize) {
        if let Some(at) = self.busy.iter().position(|busy| *busy == bytes) {
            self.busy.swap_remove(at);
        }
    }
}

impl Files {
    /// The files of a load that has `memory` for them; their keys begin with `folder`.
    pub fn new(bucket: Arc<Bucket>, folder: String, memory: usize) -> Self {
        let room = Room::of(memory);
        Self {
            bucket,
            folder,
            room,
            turns: Arc::new(Semaphore::new(room.sent)),
            lanes: AtomicUsize::new(1),
            full: AtomicUsize::new(FULL),
            state: Mutex::default(),
            given_back: Notify::new(),
        }
    }

    /// Shares rows out among files so that so many slices can read them at once.
    pub fn share_out(&self, slices: usize) {
        let lanes = self.room.lanes(slices);
        self.lanes.store(lanes, Ordering::Relaxed);
        // Where lanes are fewer than slices, files get full the sooner, so that there are as many.
        self.full.store((FULL * lanes / slices).max(SMALL), Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// Adds `rows` to a file of their table.
    pub async fn add(&self, rows: Rows) -> Result<()> {
        let Rows { table, bytes, count, .. } = rows;
        let mut file = self.take(table).await;
        let packing = spawn_blocking(move || {
            let packed = pack_into(&mut file.encoder, &bytes);
            (file, packed)
        });
        let (mut file, packed) = joined(packing.await)?;
        let before = file.bytes;
        file.bytes += packed.len();
        file.object.write(&packed).await?;
        let (idle, complete) = self.wrote(table, file, before, count);
        // First, for what it holds.
        if let Some((of, file)) = complete {
            self.complete(of, file).await?;
        }
        if let Some(file) = idle {
            self.state().tables.entry(table).or_default().idle.push(file);
            self.given_back.notify_waiters();
        }
        Ok(())
    }

    /// Counts what was written to a file that had `before` bytes; returns it if it is to get more, and the file that is
    /// to be completed, which may be the same.
    fn wrote(
        &self,
        table: Table,
        mut file: File,
        before: usize,
        count: u64,
    ) -> (Option<File>, Option<(Table, File)>) {
        let grown = before < SMALL && file.bytes >= SMALL;
        let mut state = self.state();
        state.written += 1;
        state.large += usize::from(grown);
        file.last = state.written;
        let files = state.tables.entry(table).or_default();
        files.rows += count;
        files.large += usize::from(grown);
        files.let_go(before);
        // The first large file of a table may take the place of any other.
        let age = if files.large == 1 { 0 } else { self.room.forgotten() };
        if grown && state.large > self.room.filled {
            return match state.take_oldest(table, age) {
                Some(oldest) => (Some(file), Some(oldest)),
                None => (None, Some((table, file))),
            };
        }
        match file.bytes >= self.full.load(Ordering::Relaxed) {
            true => (None, Some((table, file))),
            false => (Some(file), None),
        }
    }

    /// The file that the next rows of `table` go into, as soon as there is one.
    async fn take(&self, table: Table) -> File {
        loop {
            let given_back = self.given_back.notified();
            if let Some(file) = self.try_take(table) {
                return file;
            }
            given_back.await;
        }
    }

    /// Another file where all of the table's have some size, or else the smallest one, unless a smaller one will be
    /// given back soon: writers that took what is there would let the first files get ahead.
    fn try_take(&self, table: Table) -> Option<File> {
        let mut state = self.state();
        let forgotten = || state.oldest(table, self.room.forgotten()).is_some();
        let has_room = || state.large < self.room.filled || forgotten();
        let files = state.tables.get(&table);
        let begins = files.is_none_or(|files| {
            let lanes = self.lanes.load(Ordering::Relaxed);
            files.open == 0 || files.open < lanes && files.open == files.large && has_room()
        });
        let files = state.tables.entry(table).or_default();
        if !begins {
            return files.smallest();
        }
        files.begun += 1;
        files.open += 1;
        files.busy.push(0);
        let key = format!("{}{table}/{:04}.csv.zst", self.folder, files.begun);
        let object = ObjectWriter::new(self.bucket.clone(), key, PART_BYTES, self.turns.clone());
        Some(File { object, encoder: ZstdEncoder::new(LEVEL), bytes: 0, last: 0 })
    }

    /// Completes a file that nobody else writes to.
    async fn complete(&self, table: Table, file: File) -> Result<()> {
        let File { mut object, mut encoder, bytes, .. } = file;
        object.write(&finish(&mut encoder)).await?;
        let key = object.key().to_owned();
        object.finish().await?;
        let mut state = self.state();
        let was_large = usize::from(bytes >= SMALL);
        state.large -= was_large;
        let files = state.tables.entry(table).or_default();
        files.open -= 1;
        files.large -= was_large;
        files.done.push(key);
        drop(state);
        self.given_back.notify_waiters();
        Ok(())
    }

    /// Completes all files, when nobody writes any more; returns the keys of those of each table.
    pub async fn complete_all(&self) -> Result<Vec<(Table, Vec<String>)>> {
        let open: Vec<(Table, File)> = {
            let mut state = self.state();
            let idle = |(table, files): (&Table, &mut OfTable)| {
                let table = *table;
                files.idle.drain(..).map(move |file| (table, file)).collect::<Vec<_>>()
            };
            state.tables.iter_mut().flat_map(idle).collect()
        };
        try_join_all(open.into_iter().map(|(table, file)| self.complete(table, file))).await?;
        let mut state = self.state();
        let keys = state.tables.iter_mut().map(|(table, files)| {
            files.done.sort_unstable();
            (*table, files.done.clone())
        });
        Ok(keys.collect())
    }

    /// The keys of all files, if every one that was begun is complete.
    pub fn keys(&self) -> Option<Vec<String>> {
        let state = self.state();
        let are_complete =
            state.tables.values().all(|files| files.begun as usize == files.done.len());
        let keys = || state.tables.values().flat_map(|files| files.done.iter().cloned()).collect();
        are_complete.then(keys)
    }

    /// How many rows of `table` were written.
    pub fn rows(&self, table: Table) -> u64 {
        self.state().tables.get(&table).map_or(0, |files| files.rows)
    }

    /// Forgets all files.
    pub fn clear(&self) {
        *self.state() = State::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::super::room::TABLES;
    use super::*;
    use crate::encode::{Encoding, NullMark};
    use crate::retry::Retry;
    use crate::source::{Purpose, Reach, S3Options};
    use crate::test_s3::{Fault, Operation, S3, When};

    /// Room for four large files, two parts on their way, and the small files.
    const MEMORY: usize = 6 * PART_BYTES + TABLES * SMALL;
    const PIECE: usize = 256 << 10;

    async fn files(server: &S3, slices: usize) -> Files {
        server.create_bucket("stage");
        let options = S3Options {
            endpoint_url: Some(server.endpoint()),
            no_sign_request: true,
            ..S3Options::default()
        };
        let retry = Retry { attempts: 1, ..Retry::default() };
        let (purpose, reach) = (Purpose::Stage, Reach::requests(8));
        let bucket = Bucket::open(purpose, "stage", "", &options, retry, reach).await.unwrap();
        let files = Files::new(Arc::new(bucket), String::new(), MEMORY);
        files.share_out(slices);
        files
    }

    /// What does not get smaller.
    fn piece(table: Table) -> Rows {
        let mut bytes = vec![0; PIECE];
        fastrand::fill(&mut bytes);
        let mut rows = Rows::within(table, Encoding::Csv(NullMark::by_chance()), bytes.into());
        rows.count = 1;
        rows
    }

    fn files_of(server: &S3, table: Table) -> Vec<usize> {
        let objects = server.objects("stage");
        let of_table = objects.iter().filter(|(key, _)| key.starts_with(&format!("{table}/")));
        of_table.map(|(_, bytes)| bytes.len()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_more_is_held_than_there_is_room_for_when_nothing_gets_out() {
        let server = S3::start();
        let stuck = When::all(Operation::PutObject, "");
        server.inject(stuck, Fault::Delay(Duration::from_secs(3600)));
        let files = files(&server, 4).await;
        let taken = AtomicUsize::new(0);
        let large = [Table::Songplays, Table::StagingEvents];
        let write = (0..8).map(async |it| {
            for number in 0.. {
                files.add(piece(large[(it + number) % 2])).await.unwrap();
                taken.fetch_add(PIECE, Ordering::Relaxed);
            }
        });
        let no_more_is_taken = async {
            while taken.load(Ordering::Relaxed) <= MEMORY / 2 {
                sleep(Duration::from_millis(10)).await;
            }
            let mut before = 0;
            let mut rest = 0;
            while rest < 10 {
                sleep(Duration::from_millis(100)).await;
                let now = taken.load(Ordering::Relaxed);
                rest = if now == before { rest + 1 } else { 0 };
                before = now;
            }
        };
        tokio::select! {
            _ = join_all(write) => {}
            rests = timeout(Duration::from_secs(120), no_more_is_taken) => {
                assert!(rests.is_ok(), "half of the room is not used");
            }
        }
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken <= MEMORY, "{taken} bytes");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_rows_get_out_however_many_tables_share_the_room() {
        const PIECES: usize = 100;
        let server = S3::start();
        let files = files(&server, 2).await;
        let taken = AtomicUsize::new(0);
        let write = (0..4).map(async |it| {
            for number in 0..PIECES {
                files.add(piece(Table::ALL[(it + number) % 8])).await.unwrap();
                let taken = taken.fetch_add(PIECE, Ordering::Relaxed) + PIECE;
                let held = taken.saturating_sub(server.bytes("stage"));
                assert!(held <= MEMORY, "{held} bytes");
            }
        });
        let written = timeout(Duration::from_secs(120), join_all(write)).await;
        assert!(written.is_ok(), "it is stuck");
        let keys: usize =
            files.complete_all().await.unwrap().into_iter().map(|(_, keys)| keys.len()).sum();
        let objects = server.objects("stage");
        assert_eq!((keys, server.open_uploads("stage")), (objects.len(), 0));
        let plain: usize =
            objects.values().map(|bytes| zstd::decode_all(&bytes[..]).unwrap().len()).sum();
        assert_eq!(plain, 4 * PIECES * PIECE);
        assert_eq!(Table::ALL.into_iter().map(|table| files.rows(table)).sum::<u64>(), 400);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_that_are_written_to_no_more_make_room() {
        let server = S3::start();
        let files = files(&server, 2).await;
        let songs = [Table::StagingSongs, Table::Songs];
        for table in songs.repeat(20) {
            files.add(piece(table)).await.unwrap();
        }
        assert_eq!(files.state().large, files.room.filled);
        for table in [Table::Songplays, Table::StagingEvents].repeat(60) {
            files.add(piece(table)).await.unwrap();
        }
        files.complete_all().await.unwrap();
        assert_eq!(songs.map(|table| files_of(&server, table).len()), [2, 2]);
        for table in [Table::Songplays, Table::StagingEvents] {
            let sizes = files_of(&server, table);
            let [one, other] = sizes[..] else { panic!("{table}: {sizes:?}") };
            assert!(one.abs_diff(other) <= AHEAD + PIECE, "{table}: {sizes:?}");
        }
    }
}
