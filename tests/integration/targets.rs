//! One contract for every target: all or nothing, readers undisturbed, and what hangs on the tables stays.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sparkload::{Config, Existing, Source, Table, Target};

use crate::books;
use crate::directory::{Directory, lines, play, song, with};
use crate::oracle::hold_against_oracle;
use crate::place::Place;
use crate::sequences::patiently;
use crate::support::postgres;
use crate::tables::{config, contents, fixture, load, table, tables, target};

crate::place::at_every_place! {
    views_grants_and_foreign_keys_survive_a_load,
    every_snapshot_is_of_one_load_and_none_waits,
    dropped_or_killed_loads_leave_the_old_state_and_the_next_one_cleans_up,
    a_dry_run_reports_everything_and_writes_nothing,
    without_staging_the_star_is_the_same,
    a_load_may_follow_at_once_on_what_creates_the_tables,
    songs_and_plays_may_all_be_missing,
    two_schemas_are_loaded_at_once,
}

async fn views_grants_and_foreign_keys_survive_a_load(place: Place) {
    let database = place.database();
    let target = place.target();
    database
        .query("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO pg_monitor");
    let made = sparkload::create(&target, "public", Existing::Keep).await.unwrap();
    assert_eq!(made, Table::ALL);
    assert_eq!(sparkload::create(&target, "public", Existing::Keep).await.unwrap(), []);
    let hung =
        "CREATE VIEW plays AS SELECT user_id, count(*) AS plays FROM songplays GROUP BY user_id;
                GRANT SELECT ON songplays TO PUBLIC;
                CREATE SCHEMA public_loading";
    place.connect().await.batch_execute(hung).await.unwrap();
    if let Place::Postgres(_) = place {
        database.query(
            "ALTER TABLE songplays ADD FOREIGN KEY (user_id) REFERENCES users;
             ALTER TABLE songplays ADD FOREIGN KEY (song_id) REFERENCES songs;
             ALTER TABLE songplays ADD FOREIGN KEY (start_time) REFERENCES time;
             CREATE INDEX ON songplays (user_id)",
        );
    }
    let oids = "SELECT string_agg(oid::text, ' ' ORDER BY relname) FROM pg_class
                WHERE relnamespace = 'public'::regnamespace";
    let before = database.query(oids);

    // First everything, then nearly everything else, then everything again.
    for directory in ["sparkify", "dirty", "sparkify"] {
        let mut config = place.config(&fixture(directory));
        config.max_errors = 1000;
        config.full_refresh = true;
        sparkload::load(&config).await.unwrap();
        let sum = "SELECT sum(plays) = (SELECT count(*) FROM songplays) FROM plays";
        assert_eq!(database.query(sum), [[Some("t".to_owned())]]);
    }
    assert_eq!(database.query(oids), before);
    let grants = "SELECT has_table_privilege('pg_monitor', 'users', 'SELECT'),
                         has_table_privilege('pg_signal_backend', 'songplays', 'SELECT'),
                         has_table_privilege('pg_signal_backend', 'users', 'SELECT')";
    let expected = ["t", "t", "f"].map(|text| Some(text.to_owned()));
    assert_eq!(database.query(grants), [expected]);

    let (fresh, _) = load(&fixture("sparkify"), |_| {}).await;
    let base = fixture("sparkify");
    similar_asserts::assert_eq!(contents(database, &base).await, contents(&fresh, &base).await);
    // Nothing is left of the loads, and what only looks like it is left alone.
    let left = "SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE '%loading%'";
    assert_eq!(database.query(left), [[Some("public_loading".to_owned())]]);
    place.hold_empty();

    let error = sparkload::create(&target, "public", Existing::Drop).await.unwrap_err();
    assert_eq!(error.to_string(), "can't drop songplays in the schema public");
    database.query("DROP VIEW plays");
    assert_eq!(sparkload::create(&target, "public", Existing::Drop).await.unwrap(), Table::ALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_stand_twice_are_found_and_nothing_is_published() {
    let (database, _) = load(&fixture("sparkify"), |_| {}).await;
    database.query(
        "DROP INDEX staging_events_place;
         INSERT INTO staging_events SELECT * FROM staging_events WHERE record_no = 1",
    );
    let before = tables(&database).await;
    let mut config = config(&fixture("sparkify"), &database);
    config.full_refresh = true;
    let error = sparkload::load(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "staging_events would hold 12 rows more than it should");
    similar_asserts::assert_eq!(tables(&database).await, before);
    sparkload::create(&target(&database.url()), "public", Existing::Drop).await.unwrap();
    sparkload::load(&config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_role_and_triggers_do_not_disturb_a_load() {
    let (database, _) = load(&fixture("dirty"), |config| config.max_errors = 1000).await;
    database.query(&format!(
        "ALTER DATABASE {} SET default_transaction_isolation = 'serializable';
         ALTER DATABASE {0} SET default_transaction_read_only = off;
         CREATE TABLE audit (what TEXT);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO audit VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
         CREATE TRIGGER note AFTER INSERT ON users EXECUTE FUNCTION note()",
        database.name()
    ));
    sparkload::load(&config(&fixture("sparkify"), &database)).await.unwrap();
    assert_eq!(database.query("TABLE audit"), [[Some("users".to_owned())]]);
}

async fn every_snapshot_is_of_one_load_and_none_waits(place: Place) {
    let mut sparkify = place.config(&fixture("sparkify"));
    let mut dirty = place.config(&fixture("dirty"));
    dirty.max_errors = 1000;
    (sparkify.full_refresh, dirty.full_refresh) = (true, true);
    sparkload::load(&sparkify).await.unwrap();
    let loading = Arc::new(AtomicBool::new(true));
    let reader = {
        let (client, begin, loading) = (place.reader().await, place.begin(), loading.clone());
        tokio::spawn(async move {
            let mut seen = [0, 0];
            while loading.load(Ordering::Relaxed) {
                client.batch_execute(begin).await.unwrap();
                let plays: i64 =
                    client.query_one("SELECT count(*) FROM songplays", &[]).await.unwrap().get(0);
                // Time for a load to publish between one table and the next.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let times: i64 =
                    client.query_one("SELECT count(*) FROM \"time\"", &[]).await.unwrap().get(0);
                client.batch_execute("COMMIT").await.unwrap();
                match (plays, times) {
                    (81, 78) => seen[0] += 1,
                    (20, 20) => seen[1] += 1,
                    mixture => panic!("a mixture of two loads: {mixture:?}"),
                }
            }
            seen
        })
    };
    for _ in 0..6 {
        sparkload::load(&dirty).await.unwrap();
        sparkload::load(&sparkify).await.unwrap();
    }
    loading.store(false, Ordering::Relaxed);
    let seen = reader.await.unwrap();
    assert!(seen[0] > 0 && seen[1] > 0, "the reader saw both states: {seen:?}");
    place.hold_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_load_of_the_same_schema_fails_at_once_and_names_the_first() {
    let database = postgres::server().database();
    let client = database.connect().await;
    client
        .batch_execute(
            "SET application_name = 'nightly load';
             SELECT pg_advisory_lock(hashtext('sparkload'), hashtext('public'))",
        )
        .await
        .unwrap();
    let config = config(&fixture("sparkify"), &database);
    let error = sparkload::load(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "another load works on the schema public");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("nightly load, process "), "{cause}");
    drop(client);
}

async fn dropped_or_killed_loads_leave_the_old_state_and_the_next_one_cleans_up(place: Place) {
    let database = place.database();
    let mut config = place.config(&fixture("sparkify"));
    config.full_refresh = true;
    sparkload::load(&config).await.unwrap();
    let before = tables(database).await;
    for milliseconds in [1, 5, 20, 40, 80] {
        let load = sparkload::load(&config);
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), load).await;
        similar_asserts::assert_eq!(tables(database).await, before);
    }
    patiently(&config).await.unwrap();
    similar_asserts::assert_eq!(tables(database).await, before);
    place.hold_empty();
}

async fn a_dry_run_reports_everything_and_writes_nothing(place: Place) {
    let config = Config { dry_run: true, ..place.config(&fixture("sparkify")) };
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(report.rows(Table::Songplays), 81);
    assert_eq!(report.rows(Table::Users), 16);
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(place.database().query(tables), [[Some("0".to_owned())]]);
    place.hold_empty();
}

async fn without_staging_the_star_is_the_same(place: Place) {
    let (expected, _) = load(&fixture("sparkify"), |_| {}).await;
    let config = Config { staging: false, ..place.config(&fixture("sparkify")) };
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(report.rows(Table::StagingEvents), 0);
    for name in ["songplays", "users", "songs", "artists", "time"] {
        similar_asserts::assert_eq!(
            table(place.database(), name).await,
            table(&expected, name).await
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_any_name_over_a_socket() {
    let database = postgres::server().database();
    let schema = "Music \"2018\" ünd mehr";
    let target = target(&database.socket_keywords());
    let mut config = config(&fixture("sparkify"), &database);
    config.target = target.clone();
    config.schema = schema.to_owned();
    let error = sparkload::load(&config).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no schema Music"), "{error}");
    sparkload::create(&target, schema, Existing::Keep).await.unwrap();
    sparkload::load(&config).await.unwrap();
    sparkload::create(&target, schema, Existing::Drop).await.unwrap();
    let count = "SELECT count(*) FROM \"Music \"\"2018\"\" ünd mehr\".songplays";
    assert_eq!(database.query(count), [[Some("0".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_gives_the_tables_of_a_server() {
    let (database, expected) = load(&fixture("sparkify"), |_| {}).await;
    let directory = tempfile::tempdir().unwrap();
    let target = Target::Embedded(directory.path().join("sparkload.db"));
    let source = Source::at(fixture("sparkify").to_str().unwrap()).unwrap();
    let config = Config::new(source, target.clone());
    for _ in 0..2 {
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!(
            Table::ALL.map(|table| report.rows(table)),
            Table::ALL.map(|table| expected.rows(table))
        );
    }
    let digest = "SELECT md5(string_agg(songplays::text, '|' ORDER BY songplay_id)) FROM songplays";
    let embedded = sparkload::query(&target, "public", digest).await.unwrap();
    assert_eq!(embedded.rows, database.query(digest));
}

async fn a_load_may_follow_at_once_on_what_creates_the_tables(place: Place) {
    let config = place.config(&fixture("dirty"));
    for _ in 0..15 {
        sparkload::create(&config.target, "public", Existing::Drop).await.unwrap();
        // Too many rejects, but not another load.
        let error = sparkload::load(&config).await.unwrap_err();
        assert_eq!(error.kind(), sparkload::ErrorKind::Data, "{error}");
    }
}

async fn songs_and_plays_may_all_be_missing(place: Place) {
    let database = place.database();
    let (songs, plays) = ([song("SO1", "AR1", "Ode")], [play(1, 1, "Ode"), play(2, 2, "Hymn")]);
    let no_play = with(play(3, 3, "Ode"), json!({"page": "Home"}));
    let nothing: [Value; 0] = [];
    let mut source = Directory::new();
    for full_refresh in [true, false] {
        for (songs, logs, expected) in [
            (&nothing[..], &plays[..], [2, 2, 0]),
            (&songs, slice::from_ref(&no_play), [0, 1, 1]),
            (&nothing, &nothing, [0, 0, 0]),
            (&songs, &plays, [2, 2, 1]),
        ] {
            // White space: an empty object would not be read.
            source.write("song_data/1.json", &[&lines(songs)[..], b"\n"].concat());
            source.write("log_data/1.json", &[&lines(logs)[..], b"\n"].concat());
            let config = Config { full_refresh, ..place.config(source.path()) };
            let report = sparkload::load(&config).await.unwrap();
            let rows = [Table::Songplays, Table::Users, Table::Songs].map(|it| report.rows(it));
            assert_eq!(rows, expected, "{songs:?} {logs:?}");
            books::balance(database).await;
            books::agree(&report, database).await;
            hold_against_oracle(database, "oracle_songplays").await;
            place.hold_empty();
        }
    }
}

async fn two_schemas_are_loaded_at_once(place: Place) {
    let (expected, _) = load(&fixture("sparkify"), |_| {}).await;
    let base = fixture("sparkify");
    for schema in ["one", "two"] {
        sparkload::create(&place.target(), schema, Existing::Keep).await.unwrap();
    }
    let into = |schema: &str, full_refresh| {
        let schema = schema.to_owned();
        Config { schema, full_refresh, ..place.config(&base) }
    };
    for full_refresh in [false, true] {
        let (one, two) = (into("one", full_refresh), into("two", full_refresh));
        let (one, two) = tokio::join!(sparkload::load(&one), sparkload::load(&two));
        assert_eq!((one.unwrap().objects.loaded, two.unwrap().objects.loaded), (39, 39));
    }
    let name = place.database().name();
    for schema in ["one", "two"] {
        place.database().query(&format!("ALTER DATABASE {name} SET search_path = {schema}"));
        let found = contents(place.database(), &base).await;
        similar_asserts::assert_eq!(found, contents(&expected, &base).await);
        books::balance(place.database()).await;
    }
    place.hold_empty();
}
