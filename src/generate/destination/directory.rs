//! A directory to generate into.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::FOLDERS;
use crate::error::{Error, Result};

#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder that holds something already, if one does.
    pub async fn taken(&self) -> Result<Option<String>> {
        for folder in FOLDERS.map(|name| self.0.join(name)) {
            let shown = folder.display().to_string();
            let found = blocking(&folder, |folder| match fs::read_dir(folder) {
                Ok(mut entries) => Ok(entries.next().is_some()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(_) if folder.is_file() => Ok(true),
                Err(error) => Err(error),
            });
            if found.await? {
                return Ok(Some(shown));
            }
        }
        Ok(None)
    }

    /// Writes files that lie in one folder.
    pub async fn write_all(&self, objects: Vec<(String, Vec<u8>)>) -> Result<()> {
        let Some((first, _)) = objects.first() else { return Ok(()) };
        let (base, folder) = (self.0.clone(), parent(&self.0.join(first)));
        blocking(&folder, move |folder| {
            fs::create_dir_all(folder)?;
            objects.iter().try_for_each(|(key, bytes)| write_whole(&base.join(key), bytes))
        })
        .await
    }

    pub async fn begin(&self, key: &str) -> Result<PartialFile> {
        let path = self.0.join(key);
        blocking(&path, |path| {
            let partial = partial(path);
            fs::create_dir_all(parent(path))?;
            let file = File::create(&partial)?;
            Ok(PartialFile { path: path.to_owned(), partial, file: Some(file) })
        })
        .await
    }
}

/// Writes a file under another name first, so that it is whole when it is seen.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// A file under another name until it is finished; dropping it removes it.
#[derive(Debug)]
pub(crate) struct PartialFile {
    path: PathBuf,
    partial: PathBuf,
    /// Not there while it is being written to.
    file: Option<File>,
}

impl PartialFile {
    /// Writes the next piece, and gives its memory back.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut file = self.file.take().expect("one piece is written after the other");
        let (file, bytes) = blocking(&self.path, move |_| {
            file.write_all(&bytes)?;
            Ok((file, bytes))
        })
        .await?;
        self.file = Some(file);
        Ok(bytes)
    }

    pub async fn finish(self) -> Result<()> {
        let partial = self.partial.clone();
        blocking(&self.path, move |path| fs::rename(partial, path)).await
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // After it was finished there is none.
        let _ = fs::remove_file(&self.partial);
    }
}

/// The name of a file that is not finished, which no load reads.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".partial");
    name.into()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// Does `work` at `path` where it may wait for the disk.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let here = path.to_owned();
    let done = spawn_blocking(move || work(&here)).await.expect("the work does not panic");
    done.map_err(|cause| Error::source(format!("can't write {}", path.display())).because(cause))
}
