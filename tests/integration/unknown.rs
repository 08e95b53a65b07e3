//! Members that feed no column are counted by their names and, if that is asked for, kept.

use std::fs;
use std::path::Path;

use sparkload::{Config, JsonPaths, Mode, UnknownMember, UnknownMembers};

use crate::cli::run;
use crate::directory::{Directory, song};
use crate::place::Place;
use crate::tables::{csv, fixture};

crate::place::at_every_place! {
    unknown_members_are_counted_whatever_the_order,
    rescued_members_are_kept_as_they_are,
}
crate::place::at! { by_inserts, inserted, rescued_members_are_kept_as_they_are }

fn members(members: &[UnknownMember]) -> Vec<(&str, u64)> {
    members.iter().map(|member| (&*member.name, member.count)).collect()
}

fn put(source: &mut Directory, name: &str, records: &[String]) {
    source.write(name, records.join("\n").as_bytes());
}

/// Two objects of events that hold a few unknown members, and songs that hold none but one.
fn source() -> Directory {
    let mut source = Directory::new();
    put(
        &mut source,
        "log_data/1.json",
        &[
            r#"{"page":"Home","ts":1,"extra":{"page":1},"Page":2}"#.to_owned(),
            r#"{"page":"Home","ts":2,"extra":[1],"\u0065xtra":null}"#.to_owned(),
            // Rejected, and counted all the same.
            r#"{"page":"NextSong","ts":3,"extra":1}"#.to_owned(),
            // Broken, and not.
            r#"{"page":"Home","other":1"#.to_owned(),
        ],
    );
    put(
        &mut source,
        "log_data/2.json",
        &[r#"{"page":"Home","\ud800":1,"extra":2}"#.to_owned(), "{}".to_owned()],
    );
    put(
        &mut source,
        "song_data/1.json",
        &[song("SO1", "AR1", "Ode").to_string().replacen('{', r#"{"genre":"x","#, 1)],
    );
    source
}

async fn unknown_members_are_counted_whatever_the_order(place: Place) {
    let source = source();
    for (fetches, block_bytes, threads) in [(1, 1, 1), (8, 1 << 20, 4), (8, 7, 8)] {
        let mut config = place.config(source.path());
        (config.fetches, config.block_bytes, config.threads) =
            (fetches, block_bytes, Some(threads));
        (config.max_errors, config.full_refresh) = (2, true);
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!(members(&report.unknown.events), [("extra", 5), ("Page", 1), ("\\ud800", 1)]);
        assert_eq!(members(&report.unknown.songs), [("genre", 1)]);
        assert_eq!(report.unknown.others, 0);
        let history = sparkload::history(&config.target, "public").await.unwrap();
        assert_eq!(history[0].unknown, report.unknown);
    }
    let mut config = place.config(source.path());
    (config.max_errors, config.full_refresh, config.format.ignore_case) = (2, true, true);
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(members(&report.unknown.events), [("extra", 5), ("\\ud800", 1)]);

    // What is read by a path is known, with all that is below its first member.
    let mut paths = vec!["$.nothing"; 18];
    (paths[10], paths[15]) = ("$.page", "$.extra.deep[0]");
    let paths = serde_json::json!({ "jsonpaths": paths }).to_string();
    config.format.jsonpaths = Some(JsonPaths::parse(&paths).unwrap());
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(members(&report.unknown.events), [("ts", 3), ("\\ud800", 1)]);
    // Nothing is read, and so nothing is counted.
    config.full_refresh = false;
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!((report.mode, report.unknown), (Mode::Incremental, UnknownMembers::default()));
}

async fn rescued_members_are_kept_as_they_are(place: Place) {
    let mut source = Directory::new();
    let deep = format!("{}1{}", "[".repeat(600), "]".repeat(600));
    put(
        &mut source,
        "log_data/1.json",
        &[
            r#"{"page":"Home","a":1,"b":{"c":[true,null,"\u00e9\"\n"]},"a":2.50}"#.to_owned(),
            r#"{"page":"Home"}"#.to_owned(),
            r#"{"page":"Home","nul":"x\u0000y","half":["\ud800"],"huge":1e999999,"na\u0000me":1}"#
                .to_owned(),
            format!(r#"{{"page":"Home","deep":{deep}}}"#),
        ],
    );
    put(
        &mut source,
        "song_data/1.json",
        &[song("SO1", "AR1", "Ode").to_string().replacen('{', r#"{"genre":"x","#, 1)],
    );
    let query =
        "SELECT record_no, left(rescued::text, 100) AS rescued FROM staging_events ORDER BY 1";
    let songs = "SELECT rescued FROM staging_songs";
    let folder = source.path().to_owned();
    let load = async |change: &dyn Fn(&mut Config)| {
        let mut config = place.config(&folder);
        change(&mut config);
        sparkload::load(&config).await.unwrap()
    };
    load(&|_| {}).await;
    let none = "record_no,rescued\n1,\\N\n2,\\N\n3,\\N\n4,\\N\n";
    assert_eq!(csv(place.database(), query).await, none);

    // Rows are others then, so all are read again.
    let rescue: &dyn Fn(&mut Config) = &|config| config.format.rescue = true;
    assert_eq!(load(rescue).await.mode, Mode::Full);
    let expected = [
        "record_no,rescued",
        r#"1,"{""a"": 2.50, ""b"": {""c"": [true, null, ""é\""\n""]}}""#,
        r"2,\N",
        r#"3,"{""nul"": ""x\\u0000y"", ""half"": ""[\""\\ud800\""]"", ""huge"": ""1e999999"", ""na\\u0000me"": 1}""#,
        &format!(r#"4,"{{""deep"": ""{}""#, "[".repeat(90)),
        "",
    ];
    let found = csv(place.database(), query).await;
    similar_asserts::assert_eq!(found, expected.join("\n"));
    assert_eq!(csv(place.database(), songs).await, "rescued\n\"{\"\"genre\"\": \"\"x\"\"}\"\n");

    // What changes is written anew, by a load that reads no more.
    put(&mut source, "log_data/1.json", &[r#"{"page":"Home","a":1.0}"#.to_owned()]);
    assert_eq!(load(rescue).await.mode, Mode::Incremental);
    let rescued = "record_no,rescued\n1,\"{\"\"a\"\": 1.0}\"\n";
    assert_eq!(csv(place.database(), query).await, rescued);
    put(&mut source, "log_data/1.json", &[r#"{"page":"Home","a":1}"#.to_owned()]);
    load(rescue).await;
    assert_eq!(csv(place.database(), query).await, rescued.replace("1.0", "1"));
}

/// What a dry run of one object of events says.
fn dry_run(folder: &Path, events: &str, options: &[&str], code: i32) -> crate::cli::Printed {
    fs::create_dir_all(folder.join("log_data")).unwrap();
    fs::create_dir_all(folder.join("song_data")).unwrap();
    fs::write(folder.join("log_data/1.json"), events).unwrap();
    fs::write(folder.join("song_data/1.json"), song("SO1", "AR1", "Ode").to_string()).unwrap();
    let args = [&["load", "--source", ".", "--dry-run"], options].concat();
    run(folder, &args, code)
}

#[test]
fn a_load_of_strangers_says_so_and_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let strange = "have no member that is known, they have";
    let cases = [
        (r#"{"Records":[{"page":"NextSong"}]}"#, "1 of 1 events", "Records instead"),
        (
            "{\"Page\":\"NextSong\",\"userid\":1}\n{\"Page\":\"Home\"}",
            "2 of 2 events",
            "Page, userid instead",
        ),
        ("{}", "1 of 1 events", "they have no members at all"),
    ];
    for (events, many, instead) in cases {
        let err = dry_run(folder.path(), events, &[], 0).err;
        for part in [many, "have no member that is known", instead, "--ignore-case", "--jsonpaths"]
        {
            assert!(err.contains(part), "{part} is not in {err}");
        }
    }
    // With one record of ten that is known, something else is going on.
    let mixed = [r#"{"ts":1}"#, &[r#"{"x":1}"#; 9].join("\n")].join("\n");
    let cases = [(&*mixed, &[][..]), (r#"{"Ts":1}"#, &["--ignore-case"][..])];
    for (events, options) in cases {
        let err = dry_run(folder.path(), events, options, 0).err;
        assert!(!err.contains(strange), "{err}");
    }
    // Where they are rejected for it, the error says so.
    fs::write(folder.path().join("song_data/1.json"), r#"{"Song_ID":"S"}"#).unwrap();
    let args = ["load", "--source", ".", "--dry-run"];
    let err = run(folder.path(), &args, 1).err;
    assert!(
        err.contains("1 of 1 song records have no member that is known, they have Song_ID"),
        "{err}"
    );
}

#[test]
fn the_summary_shows_the_most_frequent_members() {
    let folder = tempfile::tempdir().unwrap();
    let event = |number: usize| {
        let members: Vec<_> = (0..=number).map(|name| format!(r#""m{name:02}":1"#)).collect();
        format!("{{\"ts\":{number},{}}}\n", members.join(","))
    };
    let events: String = (0..12).map(event).collect();
    let out = dry_run(folder.path(), &events, &[], 0).out;
    let shown = "unknown members of events: m00 12, m01 11, m02 10, m03 9, m04 8, m05 7, m06 6, m07 5, m08 4, m09 3\n";
    assert!(out.lines().skip(1).all(|line| line.chars().count() <= 80), "{out}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(out.contains(shown.trim_end()), "{out}");
    assert!(out.contains("and 3 more of 78 unknown members"), "{out}");
    let out = dry_run(folder.path(), &events, &["--output", "json"], 0).out;
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["unknown"]["events"].as_array().unwrap().len(), 12);
    assert_eq!(report["unknown"]["events"][0], serde_json::json!({"name": "m00", "count": 12}));

    let clean = fixture("sparkify");
    let args = ["load", "--source", clean.to_str().unwrap(), "--dry-run"];
    let out = run(folder.path(), &args, 0).out;
    assert!(out.contains("unknown members of songs: "), "{out}");
}
