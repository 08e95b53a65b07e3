//! Directories as sources.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use walkdir::WalkDir;

use super::{Entry, Object, changed};
use crate::error::{Error, Result};

/// A directory with all that is below it, or a single file.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
}

/// Bytes asked of a file at once: large enough that the hop to a blocking thread does not count.
const READ_BYTES: usize = 256 << 10;

impl Directory {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn covers(&self, name: &str) -> bool {
        std::path::absolute(&self.path).is_ok_and(|path| Path::new(name).starts_with(path))
    }

    pub async fn list(&self) -> Result<Vec<Entry>> {
        let path = self.path.clone();
        let walk = tokio::task::spawn_blocking(move || walk(&path));
        walk.await.expect("listing a directory does not panic")
    }

    pub async fn read(&self, object: &Object) -> Result<FileBody> {
        let name = object.name.to_string();
        let file =
            tokio::fs::File::open(&*object.name).await.map_err(|cause| failed(&name, cause))?;
        Ok(FileBody { file, name, left: object.size })
    }
}

fn walk(root: &Path) -> Result<Vec<Entry>> {
    let list_error = |cause: walkdir::Error| {
        let place = cause.path().unwrap_or(root).display().to_string();
        let error = Error::source(format!("can't list {place}"))
            .with_help("give a directory that exists and that you may read");
        match cause.into_io_error() {
            Some(cause) => error.because(cause),
            None => error.because("a link leads back to a directory above it"),
        }
    };
    // Absolute names stay the same wherever the next load is started from.
    let absolute =
        std::path::absolute(root).map_err(|cause| failed(&root.to_string_lossy(), cause))?;
    // Like a bucket's keys, a file's key begins with the name of the place that was asked for.
    let above = absolute.parent().unwrap_or(&absolute);
    let mut entries = Vec::new();
    for found in WalkDir::new(&absolute).follow_links(true) {
        let found = found.map_err(list_error)?;
        let metadata = found.metadata().map_err(list_error)?;
        if !metadata.is_file() {
            continue;
        }
        let Some(name) = found.path().to_str() else {
            let what = format!("the name of {} is not UTF-8", found.path().display());
            return Err(Error::source(what).with_help("rename the file"));
        };
        let modified = metadata.modified().map_err(|cause| failed(name, cause))?;
        let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let key = found.path().strip_prefix(above).unwrap_or(found.path());
        entries.push(Entry {
            name: name.to_owned(),
            key: key.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/"),
            size: metadata.len(),
            etag: format!("mtime-{}.{:09}", modified.as_secs(), modified.subsec_nanos()),
        });
    }
    Ok(entries)
}

fn failed(name: &str, cause: std::io::Error) -> Error {
    Error::source(format!("can't read {name}")).because(cause)
}

/// The bytes of a file.
pub(crate) struct FileBody {
    file: tokio::fs::File,
    name: String,
    /// How many of the bytes that were listed are still to come.
    left: u64,
}

impl FileBody {
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut buffer = BytesMut::with_capacity(READ_BYTES.min(self.left as usize + 1));
        let read =
            self.file.read_buf(&mut buffer).await.map_err(|cause| failed(&self.name, cause))?;
        match (read as u64, self.left) {
            (0, 0) => Ok(None),
            (1.., left) if read as u64 <= left => {
                self.left -= read as u64;
                Ok(Some(buffer.freeze()))
            }
            _ => Err(changed(&self.name)),
        }
    }
}
