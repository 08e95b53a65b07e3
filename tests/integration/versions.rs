//! Two versions of some data, for faults: the tables are those of one or those of the other.

use std::error::Error as _;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sparkload::{Config, Error, Retry, Source};
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::tables::{load, target};

/// Patience for faults that pass at once.
pub const QUICK: Retry =
    Retry { attempts: 8, max_delay: Duration::from_millis(10), max_time: Duration::from_secs(20) };

/// Writes `songs` songs and `events` plays of them; `year` and `level` tell one version of the data from another.
pub fn write(directory: &Path, songs: u32, events: u32, version: u32) {
    let (song_data, log_data) = (directory.join("song_data"), directory.join("log_data"));
    fs::create_dir_all(&song_data).unwrap();
    fs::create_dir_all(&log_data).unwrap();
    let mut text = String::new();
    for song in 0..songs {
        writeln!(
            text,
            r#"{{"num_songs":1,"song_id":"S{song}","artist_id":"A{}","artist_name":"artist {}","title":"title {song}","duration":100.5,"year":{version}}}"#,
            song % 7,
            song % 7
        )
        .unwrap();
    }
    fs::write(song_data.join("songs.json"), &text).unwrap();
    // Several objects, so that there are several pieces.
    let objects = 4;
    for object in 0..objects {
        text.clear();
        for event in (object..events).step_by(objects as usize) {
            writeln!(
                text,
                r#"{{"artist":"artist {}","song":"title {}","length":100.5,"page":"NextSong","userId":"{}","sessionId":{event},"itemInSession":1,"ts":{},"level":"level {version}","firstName":"Ann","location":"Ghent","userAgent":"a browser of some length, as they are"}}"#,
                event % 7,
                event % songs,
                event % 50,
                1_541_106_106_796_u64 + u64::from(event) * 1000 + u64::from(version)
            )
            .unwrap();
        }
        fs::write(log_data.join(format!("{object}.json")), &text).unwrap();
    }
}

/// Two versions of some data, and one digest of all tables for each.
pub struct Versions {
    directory: TempDir,
    digests: [String; 2],
}

impl Versions {
    pub async fn new(songs: u32, events: u32) -> Versions {
        let directory = tempfile::tempdir().unwrap();
        let mut digests = Vec::new();
        for version in 0..2 {
            let place = directory.path().join(version.to_string());
            write(&place, songs, events, version);
            let (database, _) = load(&place, |_| {}).await;
            digests.push(digest(&database.connect().await).await);
        }
        Versions { directory, digests: digests.try_into().unwrap() }
    }

    /// The place of the objects, which are of `version` from now on.
    pub fn place(&self, version: usize) -> PathBuf {
        let place = self.directory.path().join("now");
        let _ = fs::remove_file(&place);
        symlink(version.to_string(), &place).unwrap();
        place
    }

    /// The settings of loading one version over `url`: the first by what has changed, the other one in full.
    pub fn config(&self, version: usize, url: &str) -> Config {
        let source = Source::at(self.place(version).to_str().unwrap()).unwrap();
        let mut config = Config::new(source, target(url));
        config.full_refresh = version == 1;
        config.retry = QUICK;
        config
    }

    /// Sees to it that the tables are still those of `version`, whatever a load that failed has kept for the next.
    pub async fn hold_still(&self, version: usize, client: &Client, case: &str) {
        assert_eq!(digest(client).await, self.digests[version], "{case}");
    }

    /// Sees to it that the tables are those of `version`, and that nothing else is left.
    pub async fn hold(&self, version: usize, client: &Client, case: &str) {
        assert_eq!(digest(client).await, self.digests[version], "{case}");
        assert_eq!(left_behind(client).await, "", "{case}");
    }
}

/// All tables in one text.
async fn digest(client: &Client) -> String {
    let tables =
        ["songplays", "users", "songs", "artists", "time", "staging_events", "staging_songs"];
    let digests = tables.map(|table| {
        format!(
            "(SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\")), '')
              FROM {table} AS t)"
        )
    });
    let query = format!("SELECT concat_ws(' ', {})", digests.join(", "));
    client.query_one(&query, &[]).await.unwrap().get(0)
}

/// The private schemas of loads.
pub async fn left_behind(client: &Client) -> String {
    let query = r"SELECT coalesce(string_agg(nspname, ' '), '') FROM pg_namespace WHERE nspname LIKE '%\_loading\_%'";
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// The error and its causes on one line.
pub fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").unwrap();
        cause = error.source();
    }
    text
}
