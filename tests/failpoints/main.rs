//! A load ends at each of its steps, by an error, a panic, or with the whole process: the tables are those of before or
//! those of after, and the next load makes them right.

#[path = "../integration/books.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod books;
#[path = "../integration/directory.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod directory;
#[path = "../integration/place.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "shared with other tests")]
mod place;
#[path = "../support/mod.rs"]
mod support;
#[path = "../integration/tables.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod tables;
#[path = "../integration/warehouse.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod warehouse;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sparkload::{Config, Source};

use crate::directory::{Directory, play, song};
use crate::place::Place;
use crate::tables::{contents, target};
use crate::warehouse::stage_at;

/// The steps of loads into one kind of place, in their order.
struct Steps {
    /// Those of every load.
    common: &'static [&'static str],
    /// Those of a load that reads everything.
    full: &'static [&'static str],
    /// Those of a load that reads what has changed.
    incremental: &'static [&'static str],
}

const POSTGRES: Steps = Steps {
    common: &[
        "locked",
        "prepared",
        "kept",
        "copied",
        "written",
        "completed",
        "begun",
        "entered",
        "cleared",
    ],
    full: &["all locked", "all objects entered", "all applied", "all verified"],
    incremental: &[
        "changes locked",
        "changes found",
        "records applied",
        "star computed",
        "star applied",
        "changes verified",
    ],
};
const REDSHIFT: Steps = Steps {
    common: &["locked", "prepared", "written", "sealed", "begun", "entered"],
    full: &["one applied", "all applied"],
    incremental: &["changes found", "records applied", "star computed", "star applied"],
};
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

fn endpoint(place: &Place) -> Option<String> {
    place.warehouse().map(|warehouse| warehouse.s3.endpoint())
}

/// The settings of a load into `url`, by the stage in the S3 at `endpoint`.
fn config(source: &Path, url: &str, endpoint: Option<String>, full_refresh: bool) -> Config {
    let mut config = Config::new(Source::at(source.to_str().unwrap()).unwrap(), target(url));
    config.stage = endpoint.map(stage_at);
    (config.full_refresh, config.connections, config.threads) = (full_refresh, Some(2), Some(1));
    config
}

/// Loads, and sees it end at `step`.
async fn end_at(step: &str, end: End, source: &Path, place: &Place, full_refresh: bool) {
    let (url, endpoint) = (place.url(), endpoint(place));
    let config = config(source, &url, endpoint.clone(), full_refresh);
    match end {
        End::Error => {
            fail::cfg(step, "return").unwrap();
            match sparkload::load(&config).await {
                // Whatever goes wrong then, the ledger knows that it is published.
                Ok(_) => assert_eq!(step, COMMITTED),
                Err(error) => {
                    assert_eq!(error.to_string(), format!("failed at {step}"));
                    let published = error.help() == Some("the load was published before that");
                    assert_eq!(published, step == COMMITTED, "{step}");
                }
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
            child.envs(endpoint.map(|endpoint| ("ENDPOINT", endpoint)));
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
    let endpoint = std::env::var("ENDPOINT").ok();
    let config = config(Path::new(&told("SOURCE")), &told("TARGET"), endpoint, full_refresh);
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
    place: Place,
    clean: Place,
    minute: i64,
}

impl Scene {
    async fn new(place: Place) -> Self {
        let mut source = Directory::new();
        for (number, title) in ["Ode", "Hymn", "Elegy"].into_iter().enumerate() {
            let song = song(&format!("SO{number}"), &format!("AR{number}"), title);
            source.put(&format!("song_data/{number}.json"), &[song]);
            source.put(&format!("log_data/{number}.json"), &[play(1, number as i64, title)]);
        }
        let scene = Self { source, place, clean: Place::postgres(), minute: 10 };
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
        contents(self.place.database(), self.source.path()).await
    }

    /// Loads, and holds the tables against those of a clean load.
    async fn load(&self) {
        let source = self.source.path();
        patiently(&config(source, &self.place.url(), endpoint(&self.place), false)).await;
        patiently(&config(source, &self.clean.url(), None, true)).await;
        let expected = contents(self.clean.database(), source).await;
        similar_asserts::assert_eq!(self.contents().await, expected);
        books::balance(self.place.database()).await;
        self.place.hold_empty();
    }
}

/// One test, since steps fail for a whole process.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_may_end_at_any_step() {
    end_at_every_step(Place::postgres(), POSTGRES).await;
    end_at_every_step(Place::staged(), REDSHIFT).await;
}

async fn end_at_every_step(place: Place, steps: Steps) {
    let Steps { common, full, incremental } = steps;
    let mut scene = Scene::new(place).await;
    for (full_refresh, steps) in [(false, incremental), (true, full)] {
        for step in common.iter().chain(steps).copied().chain([COMMITTED]) {
            for end in [End::Error, End::Panic, End::Exit] {
                scene.change();
                let before = scene.contents().await;
                end_at(step, end, scene.source.path(), &scene.place, full_refresh).await;
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
