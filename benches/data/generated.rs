//! What the benchmarks of the pure stages work on: what `sparkload generate` makes.

use std::fs;
use std::path::Path;

use sparkload::{Compression, Generate, Location};

/// Songs and logs, each as one object.
pub struct Data {
    pub songs: Vec<u8>,
    pub logs: Vec<u8>,
}

const EVENTS: u64 = 20_000;
const SONGS: u64 = 2_000;

/// About 10 MB of logs of one day, in objects that are stored as `compression` says.
pub fn data(compression: Compression) -> Data {
    let folder = tempfile::tempdir().expect("a folder");
    let into = Location::Directory(folder.path().to_owned());
    let settings =
        Generate { songs: SONGS, events: EVENTS, days: 1, compression, ..Generate::new(into) };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(sparkload::generate(&settings)).expect("data");
    let read = |name: &str| all_files(&folder.path().join(name));
    Data { songs: read("song_data"), logs: read("log_data") }
}

/// The files below `folder`, one after the other: records need nothing between them.
fn all_files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.expect("an entry");
        if entry.file_type().is_file() {
            bytes.extend(fs::read(entry.path()).expect("a file"));
        }
    }
    bytes
}
