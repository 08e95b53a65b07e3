//! A directory to load that changes between loads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory whose files' times of change say when they were written, however fast that was.
pub struct Directory {
    folder: TempDir,
    clock: SystemTime,
}

impl Directory {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: SystemTime::UNIX_EPOCH }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&mut self, name: &str, bytes: &[u8]) {
        let path: PathBuf = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        self.clock += Duration::from_millis(1);
        File::options().append(true).open(path).unwrap().set_modified(self.clock).unwrap();
    }

    pub fn put(&mut self, name: &str, records: &[Value]) {
        self.write(name, &lines(records));
    }

    pub fn append(&mut self, name: &str, records: &[Value]) {
        let old = fs::read(self.path().join(name)).unwrap_or_default();
        self.write(name, &[old, lines(records)].concat());
    }

    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.path().join(name));
    }
}

/// Records as an object holds them.
pub fn lines(records: &[Value]) -> Vec<u8> {
    records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes()
}

/// A play of the song `title` by its own artist, `minute` minutes after the beginning of it all.
pub fn play(user: i64, minute: i64, title: &str) -> Value {
    json!({
        "page": "NextSong",
        "userId": user.to_string(),
        "firstName": format!("user {user}"),
        "level": "free",
        "ts": 1_541_106_106_796 + minute * 60_000,
        "sessionId": 1,
        "itemInSession": minute,
        "song": title,
        "artist": format!("artist of {title}"),
        "length": 200.5,
    })
}

/// The song `title` by its own artist.
pub fn song(song_id: &str, artist_id: &str, title: &str) -> Value {
    json!({
        "num_songs": 1,
        "song_id": song_id,
        "title": title,
        "artist_id": artist_id,
        "artist_name": format!("artist of {title}"),
        "duration": 200.5,
        "year": 1999,
    })
}

/// A record with some of its members changed.
pub fn with(mut record: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}
