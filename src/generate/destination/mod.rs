//! Destinations: where generated objects are put.

#[cfg(feature = "s3")]
mod bucket;
mod directory;

use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::source::{Location, S3Options};

/// A place that takes objects.
#[derive(Debug)]
pub(super) enum Destination {
    Directory(directory::Directory),
    #[cfg(feature = "s3")]
    Bucket(bucket::Destination),
}

impl Destination {
    /// Opens a place that holds neither songs nor logs.
    pub async fn open(into: &Location, options: &S3Options, retry: Retry) -> Result<Self> {
        match into {
            Location::Directory(path) => {
                let directory = directory::Directory::new(path.clone());
                refuse(directory.taken().await?)?;
                Ok(Self::Directory(directory))
            }
            #[cfg(feature = "s3")]
            Location::S3 { bucket, prefix } => {
                let bucket = bucket::Destination::open(bucket, prefix, options, retry).await?;
                refuse(bucket.taken().await?)?;
                Ok(Self::Bucket(bucket))
            }
            #[cfg(not(feature = "s3"))]
            Location::S3 { .. } => {
                let _ = (options, retry);
                Err(Error::config("this build of sparkload writes to no S3")
                    .with_help("build it with the feature `s3`"))
            }
        }
    }

    /// Writes whole objects that lie in one folder.
    pub async fn write_all(&self, objects: Vec<(String, Vec<u8>)>) -> Result<()> {
        match self {
            Self::Directory(directory) => directory.write_all(objects).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.write_all(objects).await,
        }
    }

    /// Begins an object that comes piece by piece, and is seen when it is finished.
    pub async fn begin(&self, key: &str) -> Result<Object> {
        match self {
            Self::Directory(directory) => directory.begin(key).await.map(Object::File),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => Ok(Object::Upload(bucket.begin(key))),
        }
    }
}

/// An object on its way; dropping it leaves nothing that a load would read.
#[derive(Debug)]
pub(super) enum Object {
    File(directory::PartialFile),
    #[cfg(feature = "s3")]
    Upload(crate::source::ObjectWriter),
}

impl Object {
    /// Writes the next piece; gives its memory back where it is not needed any more.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<u8>>> {
        match self {
            Self::File(file) => file.write(bytes).await.map(Some),
            #[cfg(feature = "s3")]
            Self::Upload(upload) => upload.write(&bytes).await.map(|()| Some(bytes)),
        }
    }

    pub async fn finish(self) -> Result<()> {
        match self {
            Self::File(file) => file.finish().await,
            #[cfg(feature = "s3")]
            Self::Upload(upload) => upload.finish().await,
        }
    }
}

/// What is there already is neither mixed with nor removed.
fn refuse(taken: Option<String>) -> Result<()> {
    let Some(folder) = taken else { return Ok(()) };
    Err(Error::config(format!("{folder} is there already"))
        .with_help("generate into another place, or remove its song_data and log_data first"))
}

/// The two folders of a place.
const FOLDERS: [&str; 2] = ["song_data", "log_data"];
