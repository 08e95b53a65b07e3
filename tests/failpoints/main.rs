//! A load ends at each of its steps, by an error, a panic, or with the whole process: the tables are those of before or
//! those of after, and the next load makes them right.

#[path = "../integration/books.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod books;
#[path = "../integration/directory.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod directory;
#[path = "../support/mod.rs"]
mod support;
#[path = "../integration/tables.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod tables;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sparkload::{Config, Source};

use crate::directory::{Directory, play, song};
use crate::support::postgres::{self, Database};
use crate::tables::{contents, target};

/// The steps of every load, in their order.
const COMMON: [&str; 9] =
    ["locked", "prepared", "kept", "copied", "written", "completed", "begun", "entered", "cleared"];
/// Those of a load that reads everything.
const FULL: [&str; 4] = ["all locked", "all objects entered", "all applied", "all verified"];
/// Those of a load that reads what has changed.
const INCREMENTAL: [&str; 6] = [
    "changes locked",
    "changes found",
    "records applied",
    "star computed",
    "star applied",
    "changes verified",
];
/// The step after which all is done.
const COMMITTED: &str = "committed";

/// How a load ends at a step.
#[derive(Debug, Clone, Copy)]
enum End {
    Error,
    Panic,
    Exit,
}

const EXIT_CODE: i32 = 77;

fn config(source: &Path, url: &str, full_refresh: bool) -> Config {
    let mut config = Config::new(Source::at(source.to_str().unwrap()).unwrap(), target(url));
    (config.full_refresh, config.connections, config.threads) = (full_refresh, Some(2), Some(1));
    config
}

/// Loads, and sees it end at `step`.
async fn end_at(step: &str, end: End, source: &Path, url: &str, full_refresh: bool) {
    let config = config(source, url, full_refresh);
    match end {
        End::Error => {
            fail::cfg(step, "return").unwrap();
            match sparkload::load(&config).await {
                // Whatever goes wrong then, the ledger knows that it is published.
                Ok(_) => assert_eq!(step, COMMITTED),
                Err(error) => assert_eq!(error.to_string(), format!("failed at {step}")),
            }
        }
        End::Panic => {
            fail::cfg(step, "panic").unwrap();
            let load = tokio::spawn(async move { sparkload::load(&config).await });
            assert!(load.await.unwrap_err().is_panic(), "{step}");
        }
        End::Exit => {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["a_load_of_a_child", "--exact", "--ignored"]).stdout(Stdio::null());
            child.env("STEP", step).env("SOURCE", source).env("TARGET", url);
            child.env("FULL_REFRESH", full_refresh.to_string());
            assert_eq!(child.status().unwrap().code(), Some(EXIT_CODE), "{step}");
        }
    }
    fail::remove(step);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "other tests start it as a process of its own"]
async fn a_load_of_a_child() {
    let told = |name| std::env::var(name).unwrap();
    fail::cfg_callback(told("STEP"), || std::process::exit(EXIT_CODE)).unwrap();
    let full_refresh = told("FULL_REFRESH") == "true";
    let config = config(Path::new(&told("SOURCE")), &told("TARGET"), full_refresh);
    sparkload::load(&config).await.unwrap();
}

async fn patiently(config: &Config) {
    for _ in 0..1000 {
        match sparkload::load(config).await {
            Ok(_) => return,
            Err(error) => {
                assert!(error.to_string().starts_with("another load works"), "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    panic!("the lock is never given back");
}

/// A bucket that changes, and the tables that follow it.
struct Scene {
    source: Directory,
    database: Database,
    clean: Database,
    minute: i64,
}

impl Scene {
    async fn new() -> Self {
        let mut source = Directory::new();
        for (number, title) in ["Ode", "Hymn", "Elegy"].into_iter().enumerate() {
            let song = song(&format!("SO{number}"), &format!("AR{number}"), title);
            source.put(&format!("song_data/{number}.json"), &[song]);
            source.put(&format!("log_data/{number}.json"), &[play(1, number as i64, title)]);
        }
        let server = postgres::server();
        let (database, clean) = (server.database(), server.database());
        let scene = Self { source, database, clean, minute: 10 };
        scene.load().await;
        scene
    }

    /// Changes something about every table.
    fn change(&mut self) {
        self.minute += 1;
        let title = format!("title {}", self.minute % 3);
        let artist = format!("AR{}", self.minute % 4);
        self.source.put("song_data/1.json", &[song("SO1", &artist, &title)]);
        let plays =
            [play(self.minute % 5, self.minute, &title), play(9, self.minute + 1, "title 1")];
        self.source.put("log_data/1.json", &plays);
    }

    async fn contents(&self) -> Vec<(&'static str, String)> {
        contents(&self.database, self.source.path()).await
    }

    /// Loads, and holds the tables against those of a clean load.
    async fn load(&self) {
        let source = self.source.path();
        patiently(&config(source, &self.database.socket_keywords(), false)).await;
        patiently(&config(source, &self.clean.socket_keywords(), true)).await;
        similar_asserts::assert_eq!(self.contents().await, contents(&self.clean, source).await);
        books::balance(&self.database).await;
    }
}

/// One test, since steps fail for a whole process.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_may_end_at_any_step() {
    let mut scene = Scene::new().await;
    for (full_refresh, steps) in [(false, &INCREMENTAL[..]), (true, &FULL[..])] {
        for step in COMMON.iter().chain(steps).copied().chain([COMMITTED]) {
            for end in [End::Error, End::Panic, End::Exit] {
                scene.change();
                let before = scene.contents().await;
                let url = scene.database.socket_keywords();
                end_at(step, end, scene.source.path(), &url, full_refresh).await;
                let after = scene.contents().await;
                match step == COMMITTED {
                    true => assert_ne!(after, before, "{step}, {end:?}"),
                    false => similar_asserts::assert_eq!(after, before, "{step}, {end:?}"),
                }
                scene.load().await;
            }
        }
    }
}
