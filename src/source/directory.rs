//! Directories as sources.

mod walk;

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Choice, Listing, Object, ReadError};
use crate::buffer::Buffers;
use crate::error::{Error, Result};

use self::walk::walk;

/// A directory with all that is below it, or a single file.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
    /// The memory of what is read.
    buffers: Buffers,
}

/// Bytes asked of a file at once: large enough that the hop to a blocking thread does not count.
const READ_BYTES: u64 = 256 << 10;

impl Directory {
    pub fn new(path: PathBuf) -> Self {
        Self { path, buffers: Buffers::default() }
    }

    pub fn covers(&self, name: &str) -> bool {
        place(&self.path).is_ok_and(|path| Path::new(name).starts_with(path))
    }

    pub async fn list(&self, choice: &Arc<Choice>) -> Result<Listing> {
        let (path, choice) = (self.path.clone(), choice.clone());
        let walk = spawn_blocking(move || walk(&path, &choice));
        walk.await.expect("listing a directory does not panic")
    }

    pub async fn read(&self, object: &Object) -> Result<FileBody, ReadError> {
        FileBody::open(object, &self.buffers).await
    }

    /// The version of the file `object` that is there now, if any is.
    pub async fn stat(&self, object: &Object) -> Result<Option<Object>> {
        let name = object.name.clone();
        let stat = move || fs::metadata(&*name).and_then(|metadata| Version::of(&metadata));
        match spawn_blocking(stat).await.expect("looking at a file does not panic") {
            Ok(Version { size, etag }) => {
                Ok(Some(Object { size, etag: etag.into(), ..object.clone() }))
            }
            Err(cause) if is_gone(&cause) => Ok(None),
            Err(cause) => Err(failed(&object.name, cause)),
        }
    }
}

/// What differs when a file was written to.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    etag: String,
}

impl Version {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let etag = format!("mtime-{}.{:09}", modified.as_secs(), modified.subsec_nanos());
        Ok(Self { size: metadata.len(), etag })
    }
}

/// One name for a place wherever it is named from: objects are known by theirs. Links stay as they are, so that one may
/// be turned to the next version of a source.
fn place(path: &Path) -> io::Result<PathBuf> {
    if path.components().any(|component| component == Component::ParentDir) {
        return path.canonicalize();
    }
    std::path::absolute(path)
}

fn failed(name: &str, cause: io::Error) -> Error {
    Error::source(format!("can't read {name}"))
        .because(cause)
        .with_help("check the file and its permissions, or leave it out with --exclude")
}

fn is_gone(cause: &io::Error) -> bool {
    // A folder above it may be a file by now.
    matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The bytes of a file, as long as nobody writes to it.
pub(crate) struct FileBody {
    file: Arc<OpenFile>,
    /// What was read and not handed out yet.
    read: Option<Bytes>,
    /// How many bytes are still to be read.
    left: u64,
}

struct OpenFile {
    file: File,
    name: Arc<str>,
    /// The version that is read.
    version: Version,
    buffers: Buffers,
}

impl FileBody {
    /// Opens a file and reads its first bytes, in one go: most files have no more.
    async fn open(object: &Object, buffers: &Buffers) -> Result<Self, ReadError> {
        let (name, size) = (object.name.clone(), object.size);
        let version = Version { size, etag: object.etag.to_string() };
        let buffers = buffers.clone();
        let open = move || {
            let file = File::open(&*name).map_err(|cause| match is_gone(&cause) {
                true => ReadError::Gone,
                false => ReadError::Failed(failed(&name, cause)),
            })?;
            let file = OpenFile { file, name, version, buffers };
            file.check()?;
            let read = if size > 0 { Some(file.read(size)?) } else { None };
            let left = size - read.as_ref().map_or(0, |bytes| bytes.len() as u64);
            Ok(Self { file: Arc::new(file), read, left })
        };
        spawn_blocking(open).await.expect("opening a file does not panic")
    }

    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if let Some(bytes) = self.read.take() {
            return Ok(Some(bytes));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let (file, left) = (self.file.clone(), self.left);
        let read = spawn_blocking(move || file.read(left));
        let bytes = read.await.expect("reading a file does not panic")?;
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }
}

impl OpenFile {
    /// Reads some of the `left` bytes; with the last ones, all were those of one version.
    fn read(&self, left: u64) -> Result<Bytes, ReadError> {
        let mut bytes = self.buffers.take(left.min(READ_BYTES) as usize);
        (&self.file)
            .take(left.min(READ_BYTES))
            .read_to_end(&mut bytes)
            .map_err(|cause| ReadError::Failed(failed(&self.name, cause)))?;
        if bytes.is_empty() || bytes.len() as u64 == left {
            self.check()?;
        }
        match bytes.is_empty() {
            true => Err(ReadError::Changed("it ends early".to_owned())),
            false => Ok(Bytes::from_owner(bytes)),
        }
    }

    /// Checks that the file still is the version that is read.
    fn check(&self) -> Result<(), ReadError> {
        let now = self.file.metadata().and_then(|metadata| Version::of(&metadata));
        match now.map_err(|cause| ReadError::Failed(failed(&self.name, cause)))? {
            now if now == self.version => Ok(()),
            _ => Err(ReadError::Changed("its size or time of change is another".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Entry, Kind, Source};

    async fn listed(directory: &Directory) -> Object {
        let choice = Choice::of(&Source::at("unused").unwrap()).unwrap();
        let found = directory.list(&Arc::new(choice)).await.unwrap().found.remove(0);
        let Entry { name, size, etag, .. } = found;
        let (name, etag) = (name.into(), etag.into());
        Object { id: 1, rank: 0, kind: Kind::Logs, name, size, etag }
    }

    /// Reads a file and lets `change` happen to it after its first bytes.
    async fn read(object: &Object, change: impl FnOnce()) -> Result<usize, ReadError> {
        let mut body = FileBody::open(object, &Buffers::default()).await?;
        let mut read = body.next().await?.map_or(0, |bytes| bytes.len());
        change();
        while let Some(bytes) = body.next().await? {
            read += bytes.len();
        }
        Ok(read)
    }

    #[tokio::test]
    async fn a_file_is_read_in_one_version_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let directory = Directory::new(folder.path().to_owned());
        let size = 2 * READ_BYTES as usize + 5;
        let write = |byte: u8, size: usize| fs::write(&path, vec![byte; size]).unwrap();
        write(b'a', size);
        let first = listed(&directory).await;
        assert_eq!(read(&first, || {}).await.unwrap(), size);

        let longer = || File::options().append(true).open(&path).unwrap();
        let changes: [&dyn Fn(); 4] = [
            &|| io::Write::write_all(&mut longer(), b"more").unwrap(),
            &|| write(b'b', size),
            &|| write(b'c', READ_BYTES as usize + 1),
            &|| write(b'd', 0),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            write(b'a', size);
            let object = listed(&directory).await;
            // Times of change may be no finer than some milliseconds.
            let change = || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                change();
            };
            let error = read(&object, change).await.unwrap_err();
            assert!(matches!(error, ReadError::Changed(_)), "{number}: {error:?}");
            let error = FileBody::open(&object, &Buffers::default()).await.err().unwrap();
            assert!(matches!(error, ReadError::Changed(_)), "{number}: {error:?}");
            let now = directory.stat(&object).await.unwrap().unwrap();
            assert_eq!(read(&now, || {}).await.unwrap() as u64, now.size);
        }

        fs::remove_file(&path).unwrap();
        assert!(matches!(FileBody::open(&first, &Buffers::default()).await, Err(ReadError::Gone)));
        assert!(directory.stat(&first).await.unwrap().is_none());
    }
}
