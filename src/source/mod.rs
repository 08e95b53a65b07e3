//! Sources: where the objects are, which of them count, and how their bytes are had.

mod directory;
mod location;
#[cfg(feature = "s3")]
mod pace;
#[cfg(feature = "s3")]
mod s3;
mod selection;

use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::task::JoinError;

use crate::error::{Error, Result};
use crate::record::JsonPaths;
use crate::retry::{Attempts, Retry};

pub use location::Location;
pub use selection::Skipped;

#[cfg(feature = "cluster")]
pub(crate) use s3::{Account, Bundle};
#[cfg(feature = "s3")]
pub(crate) use s3::{Bucket, ObjectWriter, Purpose};
pub(crate) use selection::{Choice, Listing};

/// Where songs and logs are and how to get at them.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where the song objects are.
    pub songs: Location,
    /// Where the log objects are.
    pub logs: Location,
    /// How to talk to S3, for locations there.
    pub s3: S3Options,
    /// Globs over the key; if there are any, only objects that one of them matches are read. `name/` matches all that is in
    /// folders of that name.
    pub include: Vec<String>,
    /// Globs over the key; objects that one of them matches are not read.
    pub exclude: Vec<String>,
    /// Reads hidden objects too: those below a place whose names, or whose folders' names, start with `.` or `_`.
    pub include_hidden: bool,
    /// Leaves out objects in archives, which would have to be restored to be read; otherwise they fail the load.
    pub skip_archived: bool,
}

impl Source {
    /// The `song_data` and `log_data` under `base`: a directory, `file://…` or `s3://bucket[/prefix]`.
    ///
    /// # Errors
    ///
    /// `base` is none of these.
    pub fn at(base: &str) -> Result<Self> {
        let base: Location = base.parse()?;
        Ok(Self::new(base.join("song_data"), base.join("log_data")))
    }

    /// Songs and logs at places of their own.
    pub fn new(songs: Location, logs: Location) -> Self {
        let s3 = S3Options::default();
        let (include, exclude) = (Vec::new(), Vec::new());
        Self { songs, logs, s3, include, exclude, include_hidden: false, skip_archived: false }
    }
}

/// How to talk to S3; what is not given comes from the AWS SDK's own chain.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// The bucket's region.
    pub region: Option<String>,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Another S3 than Amazon's.
    pub endpoint_url: Option<String>,
    /// Puts the bucket's name into the path instead of the host name.
    pub path_style: bool,
    /// Sends requests unsigned, for public buckets.
    pub no_sign_request: bool,
    /// Agrees to pay for the requests.
    pub request_payer: bool,
    /// Credentials to use instead of the chain's.
    pub credentials: Option<S3Credentials>,
    /// How objects that are written are encrypted where they lie; otherwise as the bucket says.
    pub encryption: Option<Encryption>,
}

/// How S3 encrypts an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With keys of S3's own.
    Aes256,
    /// With a key of the Key Management Service: this one, or the account's own for S3.
    Kms(Option<String>),
}

/// A pair of AWS keys.
#[derive(Debug, Clone)]
pub struct S3Credentials {
    /// The key's public half.
    pub access_key_id: String,
    /// The key's secret half.
    pub secret_access_key: SecretString,
}

/// What the records of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Logs,
    Songs,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Songs => "songs",
        }
    }
}

/// An object to load, in one version.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Its number in the tables, whichever version of it is loaded.
    pub id: u32,
    /// Its place among the objects that are read: those of a kind in the order of their names.
    pub rank: u32,
    pub kind: Kind,
    /// `s3://bucket/key`, or the path of a file.
    pub name: Arc<str>,
    pub size: u64,
    /// S3's ETag, or a file's time of change.
    pub etag: Arc<str>,
}

/// Something that a location lists, whether it counts or not.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub name: String,
    /// Its key in the bucket, or what a file's would be there.
    #[cfg_attr(
        not(feature = "s3"),
        expect(dead_code, reason = "files are sorted out by their paths")
    )]
    pub key: String,
    pub size: u64,
    pub etag: String,
    /// Whether it is in an archive, and not known to be restored.
    pub archived: bool,
}

/// Why an object was not read to its end.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is not the version that was to be read, or the bytes that came are not its own: all of them are void. Says
    /// what shows it.
    Changed(String),
    /// It is there no more.
    Gone,
    /// It is in an archive.
    #[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "no directory has archives"))]
    Archived(Error),
    /// It can't be read, and trying again does not help.
    Failed(Error),
}

impl ReadError {
    /// The error of a load that can't get over it, after `attempts`.
    pub fn error(self, object: &Object, attempts: &Attempts) -> Error {
        let (what, why) = match self {
            Self::Changed(why) => ("changed", why),
            Self::Gone => ("was deleted", "nothing is there by this name".to_owned()),
            Self::Archived(error) | Self::Failed(error) => return error,
        };
        Error::source(format!("{} {what} while it was read", object.name))
            .because(attempts.explain(why))
            .with_help(
                "run the load again when nothing writes to it, or leave it out with --exclude",
            )
    }
}

/// How much is asked of a location at once.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "s3"), expect(dead_code, reason = "directories are not asked"))]
pub(crate) struct Reach {
    /// Requests that wait for an answer.
    pub fetches: usize,
    /// Memory for parts of large objects that come before their turn.
    pub ahead_bytes: usize,
}

impl Reach {
    /// One request after the other.
    pub const ONE: Self = Self::requests(1);

    pub const fn requests(fetches: usize) -> Self {
        Self { fetches, ahead_bytes: 0 }
    }
}

/// An opened location.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Directory(directory::Directory),
    #[cfg(feature = "s3")]
    S3(Arc<s3::Bucket>),
}

impl Store {
    /// Opens `location`, whose requests are tried again as `retry` says.
    pub async fn open(
        location: &Location,
        options: &S3Options,
        retry: Retry,
        reach: Reach,
    ) -> Result<Self> {
        match location {
            Location::Directory(path) => {
                Ok(Self::Directory(directory::Directory::new(path.clone())))
            }
            #[cfg(feature = "s3")]
            Location::S3 { bucket, prefix } => {
                let bucket =
                    s3::Bucket::open(s3::Purpose::Source, bucket, prefix, options, retry, reach)
                        .await?;
                Ok(Self::S3(Arc::new(bucket)))
            }
            #[cfg(not(feature = "s3"))]
            Location::S3 { .. } => {
                let _ = (options, retry, reach);
                Err(Error::config("this build of sparkload reads no S3")
                    .with_help("build it with the feature `s3`"))
            }
        }
    }

    /// Whether an object of this name would be listed, if it were there.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Directory(directory) => directory.covers(name),
            #[cfg(feature = "s3")]
            Self::S3(bucket) => bucket.covers(name),
        }
    }

    /// Everything that is there, sorted out by `choice`.
    pub async fn list(&self, choice: &Arc<Choice>) -> Result<Listing> {
        match self {
            Self::Directory(directory) => directory.list(choice).await,
            #[cfg(feature = "s3")]
            Self::S3(bucket) => bucket.list(choice).await,
        }
    }

    /// Whether `object` is listed still, in the version that it names.
    pub async fn lists(&self, object: &Object) -> Result<bool> {
        match self {
            Self::Directory(directory) => {
                let now = directory.stat(object).await?;
                Ok(now.is_some_and(|now| now.size == object.size && now.etag == object.etag))
            }
            #[cfg(feature = "s3")]
            Self::S3(bucket) => Box::pin(bucket.lists(object)).await,
        }
    }

    /// Whether an object that is listed as archived can't be read.
    #[cfg_attr(not(feature = "s3"), expect(unused_variables, reason = "no directory has archives"))]
    pub async fn is_archived(&self, object: &Object) -> Result<bool> {
        match self {
            Self::Directory(_) => Ok(false),
            #[cfg(feature = "s3")]
            Self::S3(bucket) => Box::pin(bucket.is_archived(object)).await,
        }
    }

    /// Begins to read `object`, in the version that it names.
    pub async fn read(&self, object: &Object) -> Result<Body, ReadError> {
        match self {
            Self::Directory(directory) => directory.read(object).await.map(Body::File),
            #[cfg(feature = "s3")]
            Self::S3(bucket) => bucket.read(object).await.map(Body::S3),
        }
    }

    /// The version of `object` that is there now, if any is.
    pub async fn stat(&self, object: &Object) -> Result<Option<Object>> {
        match self {
            Self::Directory(directory) => directory.stat(object).await,
            #[cfg(feature = "s3")]
            Self::S3(bucket) => Box::pin(bucket.stat(object)).await,
        }
    }
}

/// The bytes of one version of an object, on their way.
pub(crate) enum Body {
    File(directory::FileBody),
    #[cfg(feature = "s3")]
    S3(s3::ObjectBody),
}

impl Body {
    /// The next bytes; `None` at the end, when all were those of one version.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::File(body) => body.next().await,
            #[cfg(feature = "s3")]
            Self::S3(body) => body.next().await,
        }
    }
}

/// What a task has come to that read something; a panic in it goes on here.
pub(crate) fn joined<T>(task: Result<T, JoinError>) -> Result<T> {
    task.map_err(|cause| match cause.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Error::interrupted("the load was stopped"),
    })
}

/// Reads a JSONPaths file, which may lie in a bucket.
///
/// # Errors
///
/// The file can't be read, or is no JSONPaths file.
pub async fn read_jsonpaths(location: &Location, options: &S3Options) -> Result<JsonPaths> {
    let text = match location {
        Location::Directory(path) => tokio::fs::read_to_string(path).await.map_err(|cause| {
            Error::config(format!("can't read the JSONPaths file {location}"))
                .because(cause)
                .with_help("give --jsonpaths a file, or s3://bucket/key")
        })?,
        Location::S3 { .. } => {
            let store = Store::open(location, options, Retry::default(), Reach::ONE).await?;
            let (name, etag) = (location.to_string().into(), "".into());
            let named = Object { id: 0, rank: 0, kind: Kind::Logs, name, size: 0, etag };
            let Some(object) = store.stat(&named).await? else {
                return Err(Error::config(format!("there is no JSONPaths file {location}"))
                    .with_help("give --jsonpaths a file, or s3://bucket/key"));
            };
            let bytes = whole(&store, &object).await;
            let bytes =
                bytes.map_err(|cause| cause.error(&object, &Retry::default().attempts()))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    JsonPaths::parse(&text)
}

/// All bytes of a small object.
async fn whole(store: &Store, object: &Object) -> Result<Vec<u8>, ReadError> {
    let mut body = store.read(object).await?;
    let mut bytes = Vec::new();
    while let Some(more) = body.next().await? {
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}
