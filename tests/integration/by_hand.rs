//! Rows that something else than a load has changed: loads count what is there, and `check` names what differs.

use serde_json::json;
use sparkload::{Check, Config, Mode, Table, Verdict, check};

use crate::books;
use crate::directory::{Directory, play, song, with};
use crate::place::Place;

crate::place::at_every_place! {
    an_incremental_load_counts_what_is_there_and_check_names_what_differs,
}

/// The rules that are broken, with the objects that each names.
async fn broken(place: &Place) -> Vec<String> {
    let found = check(&place.target(), "public").await.unwrap();
    let broken = found.into_iter().filter(|it| it.verdict == Verdict::Broken);
    let line = |Check { table, check, value, objects, .. }: Check| {
        let objects = objects.iter().map(|it| {
            let name = it.object.rsplit('/').next().unwrap();
            format!(" [{name}: {} of {}]", it.found, it.booked)
        });
        format!("{table}: {check}: {value}{}", objects.collect::<String>())
    };
    broken.map(line).collect()
}

async fn an_incremental_load_counts_what_is_there_and_check_names_what_differs(place: Place) {
    let mut source = Directory::new();
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode"), song("SO2", "AR2", "Hymn")]);
    source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Hymn"), play(3, 3, "Elegy")]);
    source.put("log_data/2.json", &[play(1, 4, "Ode"), json!({"page": "NextSong"})]);
    source.put("log_data/3.json", &[play(2, 5, "Ode")]);
    let mut config = place.config(source.path());
    config.max_errors = 1;
    sparkload::load(&config).await.unwrap();
    assert_eq!(broken(&place).await, [""; 0]);

    let object = |name: &str| {
        format!("(SELECT object_id FROM load_objects WHERE object LIKE '%/log_data/{name}.json')")
    };
    for change in [
        format!("DELETE FROM songplays WHERE songplay_id >> 32 = {} AND user_id > 1", object("1")),
        format!("INSERT INTO songplays VALUES ({} << 32 | 99, '2020-01-01', 1)", object("3")),
        "INSERT INTO songplays VALUES (999::BIGINT << 32 | 1, '2020-01-01', 1)".to_owned(),
        "INSERT INTO time VALUES ('2020-01-01', 0, 1, 1, 1, 2020, 3)".to_owned(),
        format!("DELETE FROM staging_events WHERE object_id = {}", object("2")),
        "INSERT INTO staging_songs (song_id, artist_id, object_id, record_no) VALUES ('SO9', 'AR1', 998, 1)".to_owned(),
        "DELETE FROM load_errors".to_owned(),
        "INSERT INTO users VALUES (77)".to_owned(),
        "DELETE FROM users WHERE user_id = 3".to_owned(),
    ] {
        place.database().query(&change);
    }
    let of_objects = [
        "staging_events: rows more or less than in load_objects: 1 [2.json: 0 of 1]",
        "staging_songs: rows more or less than in load_objects: 1 [object_id 998, which load_objects has not: 1 of 0]",
        "songplays: rows more or less than in load_objects: 4 [1.json: 1 of 3] [3.json: 2 of 1] \
         [object_id 999, which load_objects has not: 1 of 0]",
        "load_errors: rows more or less than in load_objects: 1 [2.json: 0 of 1]",
    ];
    let of_the_star = [
        "users: staged user_id without a row: 1",
        "users: rows without a staged record: 1",
        "songs: staged song_id without a row: 1",
    ];
    let found = broken(&place).await;
    for line in of_objects.iter().chain(&of_the_star) {
        assert!(found.iter().any(|it| it == line), "{line} is missing: {found:#?}");
    }
    for (table, rows) in [("staging_events", 1), ("staging_songs", 1), ("time", 1)] {
        let line = format!("{table}: rows more or less than in load_runs: {rows}");
        assert!(found.contains(&line), "{line} is missing: {found:#?}");
    }

    // What is reported and entered is what is there, and the objects are still named.
    source.put("log_data/4.json", &[play(4, 9, "Hymn")]);
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(report.mode, Mode::Incremental);
    assert!(report.tables.iter().all(|rows| rows.counted));
    books::agree(&report, place.database()).await;
    let found = broken(&place).await;
    assert!(!found.iter().any(|line| line.contains("load_runs")), "{found:#?}");
    for line in of_objects {
        assert!(found.iter().any(|it| it == line), "{line} is missing: {found:#?}");
    }

    config.full_refresh = true;
    let report = sparkload::load(&config).await.unwrap();
    books::agree(&report, place.database()).await;
    assert_eq!(broken(&place).await, [""; 0]);
}

/// To count them would take longer than all the rest of the load.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_large_table_are_by_the_books_and_the_summary_says_so() {
    const EVENTS: i64 = 25_000;
    let place = Place::postgres();
    let mut source = Directory::new();
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    // 11 MB of staged rows, of no plays.
    let event = json!({"page": "Home", "userAgent": "x".repeat(300)});
    let events: Vec<_> =
        (0..EVENTS).map(|minute| with(play(1, minute, "Ode"), event.clone())).collect();
    source.put("log_data/1.json", &events);
    sparkload::load(&place.config(source.path())).await.unwrap();
    place.database().query("DELETE FROM staging_events WHERE record_no <= 10");

    source.put("log_data/2.json", &[play(2, 1, "Ode")]);
    let output =
        place.program(source.path()).stdout(std::process::Stdio::piped()).output().unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    for shown in ["25,001 *", "* too large to be counted", "sparkload check"] {
        assert!(summary.contains(shown), "{shown} is not in\n{summary}");
    }
    assert_eq!(summary.matches('*').count(), 2, "only one table is large\n{summary}");
    let found = broken(&place).await;
    assert_eq!(
        found,
        [
            "staging_events: rows more or less than in load_objects: 10 [1.json: 24990 of 25000]",
            "staging_events: rows more or less than in load_runs: 10",
        ]
    );
    let config: Config = place.config(source.path());
    source.put("log_data/3.json", &[play(3, 1, "Ode")]);
    let report = sparkload::load(&config).await.unwrap();
    for rows in report.tables {
        assert_eq!(rows.counted, rows.table != Table::StagingEvents, "{rows:?}");
    }
}
