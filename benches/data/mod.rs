//! What the benchmarks of the pure stages work on: generated songs and logs, and logs that are hard to read.

use std::fs;
use std::io::Write;
use std::path::Path;

use sparkload::{Compression, Generate, Location};

/// Songs and logs, each as one object.
pub struct Data {
    pub songs: Vec<u8>,
    pub logs: Vec<u8>,
}

const EVENTS: u64 = 20_000;
const SONGS: u64 = 2_000;

/// What `sparkload generate` makes: about 10 MB of logs of one day, in objects that are stored as `compression` says.
pub fn generated(compression: Compression) -> Data {
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

/// Logs that take more work than usual, each of about a megabyte.
pub fn nasty() -> [(&'static str, Vec<u8>); 5] {
    const BYTES: usize = 1 << 20;
    let text = "\\\"\\/\\\\\\u00e9\\n\\ud83c\\udfb5".repeat(8);
    let escapes = format!(
        "{{\"artist\":\"{text}\",\"auth\":\"{text}\",\"song\":\"{text}\",\"userAgent\":\"{text}\",\"page\":\"Home\"}}\n"
    );
    let fallback = format!("{{\"unknown\":{{\"a\":[1,2]}},{}\n", &data_line(40)[1..]);
    let reversed =
        "{\"userId\":\"7\",\"ts\":1541377992796,\"page\":\"NextSong\",\"level\":\"free\"}\n";
    [
        ("all escapes", escapes.repeat(BYTES / escapes.len())),
        ("all fall back", fallback.repeat(BYTES / fallback.len())),
        ("tiny records", "{\"userId\":7}\n".repeat(BYTES / 13)),
        ("few keys in another order", reversed.repeat(BYTES / reversed.len())),
        ("huge records", format!("{}\n", data_line(400_000)).repeat(3)),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
}

/// A play whose song has a title of so many bytes.
fn data_line(title: usize) -> String {
    let mut line = Vec::new();
    write!(
        line,
        "{{\"artist\":\"Somebody\",\"auth\":\"Logged In\",\"firstName\":\"Ann\",\"gender\":\"F\",\"itemInSession\":3,\
         \"lastName\":\"Doe\",\"length\":182.85669,\"level\":\"free\",\"location\":\"Ghent\",\"method\":\"PUT\",\
         \"page\":\"NextSong\",\"registration\":1540344794796.0,\"sessionId\":139,\"song\":\"{}\",\"status\":200,\
         \"ts\":1541377992796,\"userAgent\":\"curl\",\"userId\":\"8\"}}",
        "x".repeat(title)
    )
    .expect("memory takes it");
    String::from_utf8(line).expect("text")
}
