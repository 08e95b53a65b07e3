//! The stage: a place in a bucket where rows lie in compressed files until Redshift copies them.
//!
//! A load has a folder of its own there, beside those of other loads into the same schema. The lock keeps these out, so
//! that whatever folder is there when a load begins was left by a dead one, unless it was to be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use compression_codecs::ZstdEncoder;
use futures::future::try_join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

use super::sql::{self, literal};
use super::waiting::columns;
use crate::config::Config;
use crate::encode::{NullMark, Rows};
use crate::error::{Error, Remedy, Result};
use crate::packing::{finish, pack_into};
use crate::report::{Progress, RowCounts};
use crate::source::{Bucket, Location, ObjectWriter, Purpose, Reach, joined};
use crate::table::Table;
use crate::target::load::Part;
use crate::target::{CopyAccess, S3Stage};

/// The staged files of a load.
pub(super) struct Stage {
    pub null: NullMark,
    bucket: Arc<Bucket>,
    /// What the keys of everything staged here begin with.
    prefix: String,
    /// Tells this load from all others.
    name: String,
    /// Known when the load has begun.
    folder: OnceLock<Folder>,
    access: CopyAccess,
    keep: bool,
    /// How many files are written at once.
    writers: usize,
    /// How many files of a table may be open: each holds a part in memory.
    most_open: usize,
    /// How many files of a table there should be: one for each slice, as far as memory allows.
    lanes: AtomicUsize,
    tables: Mutex<BTreeMap<Table, Files>>,
    /// Told whenever a file can be written to again.
    given_back: Notify,
}

/// Where a load's files lie.
struct Folder {
    /// What the keys of all loads into the same schema begin with.
    place: String,
    /// What the keys of this one begin with.
    own: String,
}

/// The files of one table.
#[derive(Default)]
struct Files {
    /// How many were ever begun.
    begun: u32,
    /// How many are not full yet.
    open: usize,
    /// How many of these have [`SMALL`] or more.
    large: usize,
    /// Of the open ones, those that nobody writes to now.
    idle: Vec<File>,
    /// The keys of those that are complete.
    done: Vec<String>,
    rows: u64,
}

struct File {
    object: ObjectWriter,
    encoder: ZstdEncoder,
    bytes: usize,
}

/// The least that S3 takes as a part of an object.
const PART_BYTES: usize = 5 << 20;
/// Redshift's guide wants files of 1 MB to 1 GB: below the first no other one is begun, far below the second a file is
/// full, so that those of a table stay of one size.
const SMALL: usize = 1 << 20;
const FULL: usize = 256 << 20;
/// Taken for the number of slices where the server does not tell, as Redshift Serverless doesn't.
const USUAL_SLICES: usize = 4;
/// How many files are written at once, unless told.
const WRITERS: usize = 4;
/// Lies in a folder that is to be kept, and says how its files are read.
const KEPT: &str = "_kept";

impl Stage {
    /// The stage of the load that `config` asks for.
    ///
    /// # Errors
    ///
    /// It is no place in a bucket.
    pub async fn new(stage: &S3Stage, config: &Config) -> Result<Self> {
        let S3Stage { location, s3, access, keep } = stage.clone();
        let Location::S3 { bucket, prefix } = &location else {
            return Err(Error::config(format!("the stage is no place in a bucket: {location}"))
                .with_help("write s3://bucket/prefix"));
        };
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let prefix = format!("{prefix}{slash}");
        let writers = config.connections.unwrap_or(WRITERS);
        let bucket = Box::pin(Bucket::open(
            Purpose::Stage,
            bucket,
            &prefix,
            &s3,
            config.retry,
            Reach::requests(writers * 2),
        ));
        Ok(Self {
            null: NullMark::by_chance(),
            bucket: Arc::new(bucket.await),
            prefix,
            name: format!("{:016x}", fastrand::u64(..)),
            folder: OnceLock::new(),
            access,
            keep,
            writers,
            most_open: (config.memory / 4 / PART_BYTES).max(1),
            lanes: AtomicUsize::new(1),
            tables: Mutex::default(),
            given_back: Notify::new(),
        })
    }

    /// Removes what dead loads have left, and asks how many slices there are.
    pub async fn begin(&self, client: &Client, schema: &str) -> Result<()> {
        // Not by the server's address: that of a cluster is not the same for everyone.
        let query = "SELECT current_namespace, current_database()";
        let database = sql::rows(client, "can't ask which database this is", query).await?;
        let database = |column| database.first().and_then(|row| row.get(column));
        let database = [database(0), database(1)].map(Option::unwrap_or_default).join("-");
        let place = format!("{}{}/", self.prefix, folder_name(&database, schema));
        let own = format!("{place}{}/", self.name);
        self.remove_leftovers(self.folder.get_or_init(|| Folder { place, own })).await?;
        let slices = sql::numbers(client, "can't count slices", "SELECT count(*) FROM stv_slices");
        let slices = match slices.await {
            Ok([slices]) if slices > 0 => slices as usize,
            Ok(_) => USUAL_SLICES,
            Err(error) => {
                tracing::debug!(%error, "taking the usual number");
                USUAL_SLICES
            }
        };
        self.lanes.store(lanes(slices, self.most_open), Ordering::Relaxed);
        Ok(())
    }

    async fn remove_leftovers(&self, folder: &Folder) -> Result<()> {
        let (bucket, place) = (&self.bucket, &folder.place);
        let keys = self.keys(place).await?;
        let folder =
            |key: &str| key[place.len()..].split('/').next().unwrap_or_default().to_owned();
        let kept: BTreeSet<String> =
            keys.iter().filter(|key| key.ends_with(KEPT)).map(|key| folder(key)).collect();
        let left: Vec<String> =
            keys.into_iter().filter(|key| !kept.contains(&folder(key))).collect();
        if !left.is_empty() {
            tracing::info!(files = left.len(), "removing the staged files of a load that died");
        }
        // They are in nobody's way.
        let removed = bucket.remove(&left).await.and(bucket.abort_uploads(place).await);
        if let Err(error) = removed {
            tracing::warn!("{error}, so that it stays: {}", error.causes());
        }
        Ok(())
    }

    fn folder(&self) -> &Folder {
        self.folder.get().expect("a load begins before it stages")
    }

    fn tables(&self) -> MutexGuard<'_, BTreeMap<Table, Files>> {
        self.tables.lock().expect("nothing panics while it holds the lock")
    }

    /// Writes all of `parts` into files, until no more can come; returns how many rows went where.
    pub async fn write(
        &self,
        parts: async_channel::Receiver<Part>,
        progress: &Progress,
    ) -> Result<RowCounts> {
        let writer = async || {
            let mut written = RowCounts::default();
            while let Ok(Part { rows, reserved: _reserved }) = parts.recv().await {
                let (table, count) = (rows.table, rows.count);
                self.add(rows).await?;
                progress.add_rows(table, count);
                written.add(table, count);
            }
            Ok::<_, Error>(written)
        };
        let writers = (0..self.writers).map(|_| writer());
        Ok(try_join_all(writers).await?.into_iter().fold(RowCounts::default(), RowCounts::plus))
    }

    async fn add(&self, rows: Rows) -> Result<()> {
        let Rows { table, bytes, count, .. } = rows;
        let mut file = self.take(table).await;
        let packing = spawn_blocking(move || {
            let packed = pack_into(&mut file.encoder, &bytes);
            (file, packed)
        });
        let (mut file, packed) = joined(packing.await)?;
        let was_small = file.bytes < SMALL;
        file.bytes += packed.len();
        file.object.write(&packed).await?;
        let grown = was_small && file.bytes >= SMALL;
        let (idle, done) = match file.bytes < FULL {
            true => (Some(file), None),
            false => (None, Some(file.finish().await?)),
        };
        let mut tables = self.tables();
        let files = tables.entry(table).or_default();
        files.rows += count;
        files.large += usize::from(grown);
        files.idle.extend(idle);
        if let Some(key) = done {
            files.done.push(key);
            files.open -= 1;
            files.large -= 1;
        }
        drop(tables);
        self.given_back.notify_waiters();
        Ok(())
    }

    /// The file that the next rows of `table` go into, as soon as there is one that nobody writes to.
    async fn take(&self, table: Table) -> File {
        loop {
            let given_back = self.given_back.notified();
            if let Some(file) = self.try_take(table) {
                return file;
            }
            given_back.await;
        }
    }

    /// Another file where all of the table's have some size, or else the smallest one.
    fn try_take(&self, table: Table) -> Option<File> {
        let lanes = self.lanes.load(Ordering::Relaxed);
        let mut tables = self.tables();
        let files = tables.entry(table).or_default();
        if files.open < lanes && files.open == files.large {
            files.begun += 1;
            files.open += 1;
            let key = format!("{}{table}/{:04}.csv.zst", self.folder().own, files.begun);
            let object = ObjectWriter::new(self.bucket.clone(), key, PART_BYTES);
            return Some(File { object, encoder: ZstdEncoder::new(LEVEL), bytes: 0 });
        }
        let smallest = (0..files.idle.len()).min_by_key(|&at| files.idle[at].bytes)?;
        Some(files.idle.swap_remove(smallest))
    }

    /// Completes all files, and lists those of each table in a manifest.
    pub async fn seal(&self) -> Result<()> {
        let open: Vec<(Table, File)> = {
            let mut tables = self.tables();
            let idle = |(table, files): (&Table, &mut Files)| {
                let table = *table;
                files.idle.drain(..).map(move |file| (table, file)).collect::<Vec<_>>()
            };
            tables.iter_mut().flat_map(idle).collect()
        };
        let finish = open.into_iter().map(async |(table, file)| {
            let key = file.finish().await?;
            self.tables().entry(table).or_default().done.push(key);
            Ok::<_, Error>(())
        });
        try_join_all(finish).await?;
        let manifests: Vec<(String, String)> = self
            .tables()
            .iter_mut()
            .map(|(table, files)| {
                files.done.sort_unstable();
                (self.manifest(*table), self.manifest_of(&files.done))
            })
            .collect();
        let put = manifests.iter().map(|(key, text)| self.bucket.put(key, text.clone().into()));
        try_join_all(put).await.map(drop)
    }

    fn manifest(&self, table: Table) -> String {
        format!("{}{table}.manifest", self.folder().own)
    }

    fn manifest_of(&self, keys: &[String]) -> String {
        let entry = |key: &String| json!({ "url": self.bucket.name(key), "mandatory": true });
        json!({ "entries": keys.iter().map(entry).collect::<Vec<_>>() }).to_string()
    }

    /// How many rows of `table` are staged.
    pub fn rows(&self, table: Table) -> u64 {
        self.tables().get(&table).map_or(0, |files| files.rows)
    }

    /// Copies the staged rows of `table` into the table `into`, which has the same columns.
    pub async fn copy(&self, client: &Client, table: Table, into: &str) -> Result<()> {
        let rows = self.rows(table);
        if rows == 0 {
            return Ok(());
        }
        let what = format!("can't copy the staged rows of {table}");
        let copy = format!(
            "COPY {into} ({})\nFROM {}\n{}\n{}",
            columns(table),
            literal(&self.bucket.name(&self.manifest(table))),
            self.access().await?.expose_secret(),
            self.options(),
        );
        sql::run(client, &what, &copy).await?;
        let [copied] = sql::numbers(client, &what, "SELECT pg_last_copy_count()").await?;
        if copied == rows {
            return Ok(());
        }
        Err(Error::target(format!("{table} took {copied} of the {rows} rows that were staged"))
            .with_help("run the load again"))
    }

    /// How the files are to be read.
    fn options(&self) -> String {
        let region = literal(self.bucket.region());
        format!(
            "MANIFEST CSV NULL AS '{}' ZSTD\nREGION {region} TIMEFORMAT 'epochmillisecs' COMPUPDATE OFF",
            self.null
        )
    }

    /// By what right the server reads, as COPY takes it.
    async fn access(&self) -> Result<SecretString> {
        let access = match &self.access {
            CopyAccess::Role(arn) => format!("IAM_ROLE {}", literal(arn)),
            CopyAccess::DefaultRole => "IAM_ROLE default".to_owned(),
            CopyAccess::Keys => {
                let keys = self.bucket.credentials().await?;
                let (id, secret) = (keys.access_key_id(), keys.secret_access_key());
                let token = keys
                    .session_token()
                    .map_or_else(String::new, |token| format!(";token={token}"));
                let keys = format!("aws_access_key_id={id};aws_secret_access_key={secret}{token}");
                format!("CREDENTIALS {}", literal(&keys))
            }
        };
        Ok(access.into())
    }

    /// Adds to the error of a COPY what the server has noted of the line that it could not take.
    pub async fn explain(&self, client: &Client, error: Error) -> Error {
        if !error.causes().contains("load_error") {
            return error;
        }
        // The transaction is lost, and so are only its own notes.
        let _ = client.batch_execute("ROLLBACK").await;
        for query in [
            include_str!("../../sql/redshift/load_errors.sql"),
            include_str!("../../sql/redshift/load_errors_serverless.sql"),
        ] {
            let query = query.replace("$1", &literal(&format!("%/{}/%", self.name)));
            let noted = sql::rows(client, "can't read the errors of the load", &query).await;
            if let Some(row) = noted.ok().as_ref().and_then(|rows| rows.first()) {
                let noted = |column| row.get(column).unwrap_or_default().trim();
                let cause =
                    format!("{}, line {}, column {}: {}", noted(0), noted(1), noted(2), noted(3));
                return error.because(cause);
            }
        }
        error
    }

    /// Removes the files of a load that was published, unless they are to be kept.
    pub async fn end(&self) {
        let Folder { own, .. } = self.folder();
        if self.keep {
            let kept = self.bucket.put(&format!("{own}{KEPT}"), self.options().into()).await;
            let place = self.bucket.name(own);
            match kept {
                Ok(()) => tracing::info!(place, "the staged files are kept"),
                Err(error) => tracing::warn!("{error}, the next load removes {place}"),
            }
        } else if let Err(error) = self.clear().await {
            tracing::warn!("{error}, the next load does");
        }
    }

    /// Removes the files, and lets go of those that are not complete, also of those that were written to when the load
    /// was stopped.
    pub async fn clear(&self) -> Result<()> {
        self.tables().clear();
        let Some(Folder { own, .. }) = self.folder.get() else { return Ok(()) };
        self.bucket.abort_uploads(own).await?;
        self.bucket.remove(&self.keys(own).await?).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let entries = self.bucket.list_under(prefix).await?;
        Ok(entries.into_iter().map(|entry| entry.key).collect())
    }

    /// Sees to it that all files are complete and there.
    ///
    /// # Errors
    ///
    /// They are not: the load is to start over.
    pub async fn require_kept(&self) -> Result<()> {
        let there: BTreeSet<String> = self.keys(&self.folder().own).await?.into_iter().collect();
        let is_kept = |(table, files): (&Table, &Files)| {
            files.begun as usize == files.done.len()
                && files.done.iter().all(|key| there.contains(key))
                && there.contains(&self.manifest(*table))
        };
        if self.tables().iter().all(is_kept) {
            return Ok(());
        }
        Err(Error::target("the staged files of this load are gone")
            .because("the session that held the lock broke, and another load has removed them")
            .with_help("run the load again")
            .with_remedy(Remedy::StartOver))
    }
}

/// What a level more saves is less than it costs: the network between S3 and Redshift is fast.
const LEVEL: i32 = 1;

impl File {
    /// Completes the file; returns its key.
    async fn finish(mut self) -> Result<String> {
        let end = finish(&mut self.encoder);
        self.object.write(&end).await?;
        let key = self.object.key().to_owned();
        self.object.finish().await?;
        Ok(key)
    }
}

/// How many files of a table are filled at once: one for each slice, or a number that divides theirs where that is too
/// many.
fn lanes(slices: usize, most: usize) -> usize {
    (1..=slices.min(most)).rev().find(|lanes| slices.is_multiple_of(*lanes)).unwrap_or(1)
}

/// A folder for what is loaded into `schema` of `database`: one can read whose it is, and no two share one.
fn folder_name(database: &str, schema: &str) -> String {
    let name = format!("{database}-{schema}");
    let number = crc32fast::hash(format!("{database}\0{schema}").as_bytes());
    let plain = |it: char| if it.is_ascii_alphanumeric() || "._-".contains(it) { it } else { '-' };
    format!("{}-{number:08x}", name.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_many_as_slices_or_divide_them() {
        for (slices, most, expected) in
            [(1, 6, 1), (4, 6, 4), (6, 6, 6), (8, 6, 4), (7, 6, 1), (64, 12, 8)]
        {
            assert_eq!(lanes(slices, most), expected, "{slices} slices, at most {most}");
        }
    }

    #[test]
    fn a_folder_s_name_tells_whose_it_is_and_differs_from_all_others() {
        let names = [("1a/db", "public"), ("1a-db", "public"), ("1a/db-public", "")]
            .map(|(database, schema)| folder_name(database, schema));
        assert!(names[0].starts_with("1a-db-public-"), "{}", names[0]);
        assert!(names[0] != names[1] && names[0] != names[2], "{names:?}");
    }
}
