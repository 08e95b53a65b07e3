//! The stage: a place in a bucket where rows lie in compressed files until Redshift copies them.
//!
//! A load has a folder of its own there, beside those of other loads into the same schema. The lock keeps these out, so
//! that whatever folder is there when a load begins was left by a dead one, unless it was to be kept.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use futures::future::try_join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio_postgres::Client;

use super::files::Files;
use super::sql::{self, literal};
use super::waiting::columns;
use crate::config::Config;
use crate::encode::NullMark;
use crate::error::{Error, Remedy, Result};
use crate::report::{Progress, RowCounts};
use crate::source::{Bucket, Location, Purpose, Reach};
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
    /// What the files may hold until they are sent.
    memory: usize,
}

/// Where a load's files lie.
struct Folder {
    /// What the keys of all loads into the same schema begin with.
    place: String,
    /// What the keys of this one begin with.
    own: String,
    files: Files,
}

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
            bucket: Arc::new(bucket.await?),
            prefix,
            name: format!("{:016x}", fastrand::u64(..)),
            folder: OnceLock::new(),
            memory: config.staging_memory(),
            access,
            keep,
            writers,
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
        let files = Files::new(self.bucket.clone(), own.clone(), self.memory);
        let folder = self.folder.get_or_init(|| Folder { place, own, files });
        self.remove_leftovers(folder).await?;
        let slices = sql::numbers(client, "can't count slices", "SELECT count(*) FROM stv_slices");
        let slices = match slices.await {
            Ok([slices]) if slices > 0 => slices as usize,
            Ok(_) => USUAL_SLICES,
            Err(error) => {
                tracing::debug!(%error, "taking the usual number");
                USUAL_SLICES
            }
        };
        folder.files.share_out(slices);
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
                self.folder().files.add(rows).await?;
                progress.add_rows(table, count);
                written.add(table, count);
            }
            Ok::<_, Error>(written)
        };
        let writers = (0..self.writers).map(|_| writer());
        Ok(try_join_all(writers).await?.into_iter().fold(RowCounts::default(), RowCounts::plus))
    }

    /// Completes all files, and lists those of each table in a manifest.
    pub async fn seal(&self) -> Result<()> {
        let files = self.folder().files.complete_all().await?;
        let put = files.into_iter().map(async |(table, keys)| {
            self.bucket.put(&self.manifest(table), self.manifest_of(&keys).into()).await
        });
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
        self.folder().files.rows(table)
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

    /// Marks the files as such that are to be kept, if they are.
    pub async fn keep(&self) -> Result<()> {
        if !self.keep {
            return Ok(());
        }
        let kept = format!("{}{KEPT}", self.folder().own);
        self.bucket.put(&kept, self.options().into()).await
    }

    /// Removes the files of a load that was published, unless they are to be kept.
    pub async fn end(&self) {
        if self.keep {
            let place = self.bucket.name(&self.folder().own);
            tracing::info!(place, "the staged files are kept");
        } else if let Err(error) = self.clear().await {
            tracing::warn!("{error}, the next load tries again");
        }
    }

    /// Removes the files, and lets go of those that are not complete, also of those that were written to when the load
    /// was stopped.
    pub async fn clear(&self) -> Result<()> {
        let Some(Folder { own, files, .. }) = self.folder.get() else { return Ok(()) };
        files.clear();
        let removed = self.bucket.remove(&self.keys(own).await?).await;
        removed.and(self.bucket.abort_uploads(own).await)
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
        let Folder { own, files, .. } = self.folder();
        let there: BTreeSet<String> = self.keys(own).await?.into_iter().collect();
        let cause = match files.keys() {
            Some(keys) if keys.iter().all(|key| there.contains(key)) => return Ok(()),
            Some(_) => "another load had the lock meanwhile, and has removed them",
            None => "some could not be completed",
        };
        Err(Error::target("the staged files of this load are not all there")
            .because(cause)
            .with_help("run the load again")
            .with_remedy(Remedy::StartOver))
    }
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
    fn a_folder_s_name_tells_whose_it_is_and_differs_from_all_others() {
        let names = [("1a/db", "public"), ("1a-db", "public"), ("1a/db-public", "")]
            .map(|(database, schema)| folder_name(database, schema));
        assert!(names[0].starts_with("1a-db-public-"), "{}", names[0]);
        assert!(names[0] != names[1] && names[0] != names[2], "{names:?}");
    }
}
