//! Any sequence of loads gives the tables of one full load of the objects as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sparkload::{Config, ErrorKind, Matching, Mode, Report};

use crate::books;
use crate::directory::{Directory, lines};
use crate::oracle::hold_against_oracle;
use crate::place::Place;
use crate::support::postgres::Database;
use crate::tables::contents;

/// The objects, in two folders that each keep one that is never empty: a source without songs or logs is an error.
/// Their order by bytes is not that of any language.
const OBJECTS: [&str; 10] = [
    "log_data/keep.json",
    "log_data/2018/11/b.json",
    "log_data/2018/11/B.json",
    "log_data/2018-11.json",
    "log_data/ä.json",
    "song_data/keep.json",
    "song_data/A/b.json",
    "song_data/A/B.json",
    "song_data/A-B.json",
    "song_data/ö.json",
];

/// How the source changes.
#[derive(Debug, Clone)]
enum Change {
    Replace(usize, Vec<Value>),
    Append(usize, Vec<Value>),
    Empty(usize),
    Remove(usize),
    /// The same bytes at another time.
    Touch(usize),
}

/// How what has changed is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Usual,
    FullRefresh,
    WithoutStaging,
    /// With no tolerance for rejects, of which there may be none.
    Strict,
    /// Dropped after so many milliseconds, if it takes that long.
    Killed(u64),
}

/// What became of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Published,
    Unchanged,
}

/// What decides what the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    matching: Matching,
    matched_only: bool,
}

/// One load, and what has happened since the one before.
#[derive(Debug, Clone)]
struct Step {
    changes: Vec<Change>,
    load: Load,
    /// Loads with other rules than the step before.
    other_rules: Option<Rules>,
}

/// A few titles, of which two only differ behind what an index may hold, and two in a trailing blank.
fn title(number: u8) -> String {
    match number {
        0..=1 => format!("title {number}"),
        2 => "title 1 ".to_owned(),
        3 => "l'été \\ \"Ünder\"".to_owned(),
        _ => format!("{}{number}", "long ".repeat(30)),
    }
}

/// A few names, of which the third is the first one with a trailing blank.
fn blank_behind(prefix: &str, number: u8) -> String {
    match number {
        2 => format!("{prefix}0 "),
        _ => format!("{prefix}{number}"),
    }
}

/// A small world: few ids, names and moments, so that everything collides with everything.
fn song() -> impl Strategy<Value = Value> {
    let place =
        prop_oneof![Just(json!(null)), Just(json!("")), Just(json!(" ")), Just(json!("Ghent"))];
    let degrees =
        prop_oneof![Just(json!(null)), Just(json!(0.0)), Just(json!(-0.0)), Just(json!(51.05))];
    let duration = prop_oneof![3 => Just(100.5), 1 => Just(0.0), 1 => Just(-0.0)];
    let broken = prop_oneof![9 => Just(false), 1 => Just(true)];
    let names = (0..5u8, 0..4u8, 0..6u8, 0..3u8);
    (names, duration, place, degrees.clone(), degrees, 0..3u16, broken).prop_map(
        |((song, artist, number, name), duration, place, latitude, longitude, year, broken)| {
            json!({
                "num_songs": 1,
                "song_id": blank_behind("SO", song),
                "artist_id": blank_behind("AR", artist),
                "title": if broken { json!(null) } else { json!(title(number)) },
                "artist_name": blank_behind("name ", name),
                "duration": duration,
                "year": 1990 + year,
                "artist_location": place,
                "artist_latitude": latitude,
                "artist_longitude": longitude,
            })
        },
    )
}

fn event() -> impl Strategy<Value = Value> {
    let page = prop_oneof![5 => Just("NextSong"), 1 => Just("NextSong "), 1 => Just("Home"), 1 => Just("Logout")];
    let user =
        prop_oneof![8 => (1..5i32).prop_map(|id| json!(id.to_string())), 1 => Just(json!(""))];
    let number =
        prop_oneof![3 => (0..2i32).prop_map(|number| json!(number)), 1 => Just(json!(null))];
    let ts = prop_oneof![
        8 => (0..4i64).prop_map(|step| json!(1_541_106_106_796 + step * 86_399_999)),
        1 => prop_oneof![
            Just(json!(-1)),
            Just(json!(-62_135_596_800_001_i64)),
            Just(json!(-210_866_803_200_000_i64)),
            Just(json!(9_224_318_015_999_999_i64)),
        ],
        1 => Just(json!(null)),
    ];
    let levels = prop_oneof![Just("free"), Just("paid")];
    let length = prop_oneof![
        6 => Just(json!(100.5)),
        2 => Just(json!(0.0)),
        1 => Just(json!(-0.0)),
        1 => Just(json!(null)),
    ];
    let song =
        prop_oneof![9 => (0..6u8).prop_map(|number| json!(title(number))), 1 => Just(json!(null))];
    (page, user, number.clone(), number, ts, levels, (song, 0..3u8, length, 0..9u8)).prop_map(
        |(page, user, session, item, ts, level, (song, name, length, first))| {
            json!({
                "artist": blank_behind("name ", name),
                "song": song,
                "length": length,
                "page": page,
                "userId": user,
                "sessionId": session,
                "itemInSession": item,
                "ts": ts,
                "level": level,
                "firstName": format!("first {first}"),
                "location": null,
            })
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    (0..OBJECTS.len(), 0..10u8).prop_flat_map(|(object, what)| {
        let records = match is_log(object) {
            true => prop::collection::vec(event().boxed(), 1..8).boxed(),
            false => prop::collection::vec(song().boxed(), 1..5).boxed(),
        };
        match what {
            0..=4 => records.prop_map(move |records| Change::Replace(object, records)).boxed(),
            5..=6 => records.prop_map(move |records| Change::Append(object, records)).boxed(),
            7 => Just(Change::Empty(object)).boxed(),
            8 => Just(Change::Remove(object)).boxed(),
            _ => Just(Change::Touch(object)).boxed(),
        }
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let matching = prop_oneof![Just(Matching::TitleArtistDuration), Just(Matching::TitleArtist)];
    (matching, any::<bool>()).prop_map(|(matching, matched_only)| Rules { matching, matched_only })
}

fn step() -> impl Strategy<Value = Step> {
    let load = prop_oneof![
        10 => Just(Load::Usual),
        1 => Just(Load::FullRefresh),
        1 => Just(Load::WithoutStaging),
        1 => Just(Load::Strict),
        4 => (0..250u64).prop_map(Load::Killed),
    ];
    let other_rules = prop_oneof![12 => Just(None), 1 => rules().prop_map(Some)];
    (prop::collection::vec(change(), 0..4), load, other_rules)
        .prop_map(|(changes, load, other_rules)| Step { changes, load, other_rules })
}

fn is_log(object: usize) -> bool {
    OBJECTS[object].starts_with("log_data")
}

type Objects = BTreeMap<&'static str, Vec<u8>>;

/// Makes `directory` hold `objects` and nothing else.
fn set(directory: &mut Directory, objects: &Objects) {
    for name in OBJECTS {
        match objects.get(name) {
            Some(bytes) => directory.write(name, bytes),
            None => directory.remove(name),
        }
    }
}

/// What is at the source, what of it the tables hold, and the database that is to hold it.
struct World {
    source: Directory,
    now: Objects,
    /// The versions whose rows the tables hold, also those of objects that are gone.
    loaded: Objects,
    /// What the tables were made with.
    made_with: Option<(Rules, bool)>,
    rules: Rules,
    place: Place,
    /// What a full load makes of the same.
    reference: (Directory, Place),
}

impl World {
    fn new(rules: Rules, place: Place) -> Self {
        Self {
            source: Directory::new(),
            now: Objects::new(),
            loaded: Objects::new(),
            made_with: None,
            rules,
            place,
            reference: (Directory::new(), Place::postgres()),
        }
    }

    fn change(&mut self, change: &Change) {
        let (Change::Replace(object, _)
        | Change::Append(object, _)
        | Change::Empty(object)
        | Change::Remove(object)
        | Change::Touch(object)) = change;
        let name = OBJECTS[*object];
        let old = self.now.get(name).cloned();
        let kept = name.ends_with("keep.json");
        let new = match change {
            Change::Replace(_, records) => Some(lines(records)),
            Change::Append(_, records) => Some([old.unwrap_or_default(), lines(records)].concat()),
            Change::Empty(_) | Change::Remove(_) if kept => old,
            Change::Empty(_) => Some(Vec::new()),
            Change::Remove(_) => None,
            Change::Touch(_) => old,
        };
        match new {
            Some(bytes) => {
                self.source.write(name, &bytes);
                self.now.insert(name, bytes);
            }
            None => {
                self.source.remove(name);
                self.now.remove(name);
            }
        }
    }

    fn config(&self, mut config: Config, load: Load) -> Config {
        config.connections = Some(2);
        config.threads = Some(2);
        config.max_errors = if load == Load::Strict { 0 } else { 1000 };
        config.matching = self.rules.matching;
        config.matched_only = self.rules.matched_only;
        config.staging = load != Load::WithoutStaging;
        config.full_refresh = load == Load::FullRefresh;
        config
    }

    async fn tables(&self) -> Option<Vec<(&'static str, String)>> {
        self.made_with?;
        Some(contents(self.place.database(), self.source.path()).await)
    }

    /// Loads and compares.
    async fn load(&mut self, load: Load) -> Outcome {
        let before = self.tables().await;
        let config = self.config(self.place.config(self.source.path()), load);
        let made_with = (self.rules, config.staging);
        let full = config.full_refresh || !config.staging || self.made_with != Some(made_with);
        let gone: BTreeSet<_> =
            self.loaded.keys().filter(|name| !self.now.contains_key(*name)).copied().collect();
        let refused = full
            && config.staging
            && !config.full_refresh
            && self.made_with.is_some()
            && !gone.is_empty();
        let mut expected = Objects::new();
        if !full {
            expected.extend(self.loaded.clone());
        }
        for (name, bytes) in &self.now {
            if !bytes.is_empty() || expected.contains_key(name) {
                expected.insert(*name, bytes.clone());
            }
        }

        let runs = last_run(self.place.database()).await;
        let report = match load {
            Load::Killed(milliseconds) => {
                let load = patiently(&config);
                let _ = tokio::time::timeout(Duration::from_millis(milliseconds), load).await;
                quiet(self.place.database()).await;
                if runs == last_run(self.place.database()).await {
                    similar_asserts::assert_eq!(before, self.tables().await);
                    return Outcome::Unchanged;
                }
                None
            }
            _ => match patiently(&config).await {
                Ok(report) => Some(report),
                Err(error) => {
                    let strict = load == Load::Strict && error.kind() == ErrorKind::Data;
                    let refused = refused && error.kind() == ErrorKind::Config;
                    assert!(strict || refused, "{error}: {:?}", std::error::Error::source(&error));
                    similar_asserts::assert_eq!(before, self.tables().await);
                    return Outcome::Unchanged;
                }
            },
        };
        assert!(!refused, "rows of {gone:?} are lost");
        if let Some(report) = &report {
            assert_eq!(report.mode, if full { Mode::Full } else { Mode::Incremental });
            assert_eq!(report.objects.gone, gone.len() as u64, "{gone:?}");
            books::agree(report, self.place.database()).await;
        }
        self.loaded = expected;
        self.made_with = Some(made_with);
        self.compare(load).await;
        Outcome::Published
    }

    async fn compare(&mut self, load: Load) {
        books::balance(self.place.database()).await;
        let staged = load != Load::WithoutStaging;
        if staged {
            let mut plays = match self.rules.matching {
                Matching::TitleArtistDuration => "oracle_songplays".to_owned(),
                Matching::TitleArtist => "oracle_songplays_title_artist".to_owned(),
            };
            if self.rules.matched_only {
                plays = format!("(SELECT * FROM {plays} WHERE song_id IS NOT NULL)");
            }
            hold_against_oracle(self.place.database(), &plays).await;
        }
        set(&mut self.reference.0, &self.loaded);
        let (directory, reference) = &self.reference;
        let full = if staged { Load::FullRefresh } else { load };
        let config = self.config(reference.config(directory.path()), full);
        sparkload::load(&config).await.unwrap();
        similar_asserts::assert_eq!(
            contents(self.place.database(), self.source.path()).await,
            contents(reference.database(), directory.path()).await
        );
    }
}

/// The number of the last run that was published.
pub async fn last_run(database: &Database) -> i64 {
    let client = database.connect().await;
    let there = "SELECT to_regclass('load_runs') IS NOT NULL";
    if !client.query_one(there, &[]).await.unwrap().get::<_, bool>(0) {
        return 0;
    }
    let last = "SELECT coalesce(max(run), 0) FROM load_runs";
    client.query_one(last, &[]).await.unwrap().get(0)
}

/// Waits until the server has noticed that a load is gone.
pub async fn quiet(database: &Database) {
    let client = database.connect().await;
    let busy = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'sparkload'";
    for _ in 0..2000 {
        if client.query_one(busy, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a load is still at work");
}

/// Loads as soon as the server has noticed that the load before is gone.
pub async fn patiently(config: &Config) -> sparkload::Result<Report> {
    for _ in 0..1000 {
        match sparkload::load(config).await {
            Err(error) if error.to_string().starts_with("another load works") => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return result,
        }
    }
    panic!("the lock is never given back");
}

/// How many sequences are tried where nothing else is said.
const CASES: u32 = 5;
/// A stand-in is slower than a server.
const WAREHOUSE_CASES: u32 = 2;

#[test]
fn any_sequence_of_loads_gives_the_tables_of_one_full_load() {
    hold(CASES, Place::postgres);
}

#[test]
fn any_sequence_of_loads_into_redshift_gives_the_tables_of_one_full_load() {
    hold(WAREHOUSE_CASES, Place::staged);
}

#[test]
fn any_sequence_of_loads_by_statements_gives_the_tables_of_one_full_load() {
    hold(WAREHOUSE_CASES, Place::inserted);
}

fn hold(cases: u32, place: impl Fn() -> Place) {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |cases| cases.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = (
        prop::collection::vec(song().boxed(), 1..5),
        prop::collection::vec(event().boxed(), 1..8),
        rules(),
    );
    let data = (start, prop::collection::vec(step(), 4..12));
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        max_shrink_time: 120_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&data, |((songs, events, rules), steps)| {
        runtime.block_on(async {
            let mut world = World::new(rules, place());
            world.change(&Change::Replace(0, events));
            world.change(&Change::Replace(5, songs));
            for Step { changes, load, other_rules } in steps {
                changes.iter().for_each(|change| world.change(change));
                let rules = world.rules;
                world.rules = other_rules.unwrap_or(rules);
                if world.load(load).await == Outcome::Unchanged {
                    world.rules = rules;
                }
            }
            world.load(Load::FullRefresh).await;
        });
        Ok(())
    });
    result.unwrap();
}
