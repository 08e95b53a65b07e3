//! A load reads what is new or has changed, and the tables are those of a load that reads everything.

use serde_json::{Value, json};
use sparkload::{Config, ErrorKind, Matching, Mode, Report, Table};

use crate::books;
use crate::directory::{Directory, play, song, with};
use crate::oracle::hold_against_oracle;
use crate::place::Place;
use crate::sources::bucket;
use crate::support::postgres::Database;
use crate::support::s3::{Operation, S3};
use crate::tables::{contents, csv, target};

/// A source and the tables that follow it.
struct Scene {
    source: Directory,
    place: Place,
}

impl Scene {
    /// Two plays of songs of which one is there; both tables of records hold one object more.
    fn new(place: Place) -> Self {
        let mut source = Directory::new();
        source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Elegy")]);
        source.put("log_data/2.json", &[play(3, 3, "Ode")]);
        source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
        source.put("song_data/2.json", &[song("SO2", "AR2", "Hymn")]);
        Self { source, place }
    }

    fn database(&self) -> &Database {
        self.place.database()
    }

    async fn load_with(&self, change: impl FnOnce(&mut Config)) -> sparkload::Result<Report> {
        let mut config = self.place.config(self.source.path());
        change(&mut config);
        sparkload::load(&config).await
    }

    /// Loads what has changed, and holds the tables against the books and the oracle.
    async fn load(&self) -> Report {
        let report = self.load_with(|_| {}).await.unwrap();
        books::balance(self.database()).await;
        books::agree(&report, self.database()).await;
        hold_against_oracle(self.database(), "oracle_songplays").await;
        self.place.hold_empty();
        report
    }

    async fn rows(&self, query: &str) -> String {
        let csv = csv(self.database(), query).await;
        csv.split_once('\n').unwrap().1.trim_end().replace('\n', " ")
    }

    async fn contents(&self) -> Vec<(&'static str, String)> {
        contents(self.database(), self.source.path()).await
    }
}

crate::place::at_every_place! {
    a_song_that_arrives_after_its_plays_is_matched,
    plays_come_and_go_with_their_songs_where_only_matched_ones_are_kept,
    a_user_whose_latest_event_arrives_early_keeps_it,
    a_moment_that_no_play_holds_any_more_goes,
    an_artists_best_record_changes,
    a_zero_that_changes_its_sign_is_a_change,
    an_object_that_is_gone_is_reported_and_its_rows_stay_until_a_full_refresh,
    a_load_with_nothing_new_reads_nothing,
    a_changed_object_that_became_empty_loses_its_rows,
    other_settings_read_everything_again_or_are_refused_when_something_is_gone,
    a_full_refresh_keeps_the_ids_of_known_objects,
    views_grants_and_foreign_keys_survive_an_incremental_load,
    a_source_is_the_same_by_whatever_path_it_is_named,
    the_last_object_of_a_kind_may_go_but_a_full_load_of_nothing_is_refused,
    rejects_of_a_load_that_failed_are_named_by_the_next_one,
    a_role_that_does_not_own_the_tables_can_load_them,
}

const MATCHES: &str = "SELECT user_id, song_id, artist_id FROM songplays ORDER BY 1";

async fn a_song_that_arrives_after_its_plays_is_matched(place: Place) {
    let mut scene = Scene::new(place);
    scene.load().await;
    assert_eq!(scene.rows(MATCHES).await, "1,SO1,AR1 2,\\N,\\N 3,SO1,AR1");
    scene.source.put("song_data/3.json", &[song("SO3", "AR3", "Elegy")]);
    let report = scene.load().await;
    assert_eq!(report.mode, Mode::Incremental);
    assert_eq!((report.objects.loaded, report.objects.unchanged), (1, 4));
    assert_eq!(scene.rows(MATCHES).await, "1,SO1,AR1 2,SO3,AR3 3,SO1,AR1");

    // A song of a smaller id takes the plays over, and one that changes its title lets go of them.
    scene.source.append("song_data/2.json", &[song("SO0", "AR0", "Ode")]);
    scene.source.put("song_data/3.json", &[song("SO3", "AR3", "Another")]);
    scene.load().await;
    assert_eq!(scene.rows(MATCHES).await, "1,SO0,AR0 2,\\N,\\N 3,SO0,AR0");

    // Of two records of a song the one in the later object counts.
    scene
        .source
        .put("song_data/4.json", &[with(song("SO0", "AR0", "Ode"), json!({"duration": 1}))]);
    scene.load().await;
    assert_eq!(scene.rows(MATCHES).await, "1,SO1,AR1 2,\\N,\\N 3,SO1,AR1");
    scene.source.put("song_data/1.json", &[song("SO1", "AR1", "Ode"), song("SO0", "AR0", "Ode")]);
    scene.load().await;
    assert_eq!(scene.rows(MATCHES).await, "1,SO1,AR1 2,\\N,\\N 3,SO1,AR1");
}

async fn plays_come_and_go_with_their_songs_where_only_matched_ones_are_kept(place: Place) {
    let mut scene = Scene::new(place);
    let matched_only = |config: &mut Config| config.matched_only = true;
    let report = scene.load_with(matched_only).await.unwrap();
    assert_eq!((report.events.plays, report.events.filtered), (2, 1));
    assert_eq!(scene.rows(MATCHES).await, "1,SO1,AR1 3,SO1,AR1");
    scene.source.put("song_data/1.json", &[song("SO3", "AR3", "Elegy")]);
    scene.source.append("log_data/2.json", &[play(4, 4, "Elegy"), play(5, 5, "Ode")]);
    let report = scene.load_with(matched_only).await.unwrap();
    assert_eq!((report.events.plays, report.events.filtered), (1, 2));
    assert_eq!(scene.rows(MATCHES).await, "2,SO3,AR3 4,SO3,AR3");
    books::balance(scene.database()).await;
    books::agree(&report, scene.database()).await;
}

async fn a_user_whose_latest_event_arrives_early_keeps_it(place: Place) {
    let mut scene = Scene::new(place);
    let level = |user, minute, level| with(play(user, minute, "Ode"), json!({"level": level}));
    scene.source.put("log_data/1.json", &[level(1, 9, "paid"), level(2, 9, "paid")]);
    scene.load().await;
    scene.source.put("log_data/0.json", &[level(1, 8, "free"), level(2, 10, "free")]);
    scene.source.put("log_data/3.json", &[level(1, 1, "free"), level(2, 9, "paid")]);
    scene.load().await;
    const LEVELS: &str = "SELECT user_id, level FROM users WHERE user_id < 3 ORDER BY 1";
    assert_eq!(scene.rows(LEVELS).await, "1,paid 2,free");

    // Of events at the same place of the same session the last one counts, by the names of their objects.
    scene.source.append("log_data/0.json", &[level(1, 9, "early")]);
    scene.load().await;
    assert_eq!(scene.rows(LEVELS).await, "1,paid 2,free");
    scene.source.append("log_data/1.json", &[level(1, 9, "late")]);
    scene.load().await;
    assert_eq!(scene.rows(LEVELS).await, "1,late 2,free");
    // And when that is taken back, those that were there before.
    scene.source.put("log_data/1.json", &[level(2, 9, "paid")]);
    scene.load().await;
    assert_eq!(scene.rows(LEVELS).await, "1,early 2,free");
}

async fn a_moment_that_no_play_holds_any_more_goes(place: Place) {
    let mut scene = Scene::new(place);
    scene.source.put("log_data/3.json", &[play(4, 2, "Ode"), play(4, 7, "Ode")]);
    scene.load().await;
    const MINUTES: &str =
        "SELECT minute FROM (SELECT extract(minute FROM start_time)::INT AS minute
                           FROM time) AS minutes ORDER BY 1";
    assert_eq!(scene.rows(MINUTES).await, "2 3 4 8");
    scene.source.put("log_data/3.json", &[play(4, 8, "Ode")]);
    scene.load().await;
    assert_eq!(
        scene.rows(MINUTES).await,
        "2 3 4 9",
        "the third is that of a play in another object"
    );
    scene.source.put("log_data/1.json", &[play(1, 1, "Ode")]);
    scene.load().await;
    assert_eq!(scene.rows(MINUTES).await, "2 4 9");
}

async fn an_artists_best_record_changes(place: Place) {
    let mut scene = Scene::new(place);
    let of = |song_id, place: Value| with(song(song_id, "AR1", "Ode"), place);
    scene.source.put("song_data/1.json", &[of("SO1", json!({"artist_location": "Ghent"}))]);
    scene.load().await;
    const PLACE: &str = "SELECT location, latitude, longitude FROM artists WHERE artist_id = 'AR1'";
    assert_eq!(scene.rows(PLACE).await, "Ghent,\\N,\\N");
    let better = json!({"artist_location": "Bruges", "artist_latitude": 51.2});
    scene.source.put("song_data/3.json", &[of("SO9", better)]);
    scene.load().await;
    assert_eq!(scene.rows(PLACE).await, "Bruges,51.2,\\N");
    // As good, but of a smaller song_id.
    let other = json!({"artist_longitude": 3.7, "artist_latitude": 51.1});
    scene.source.append("song_data/2.json", &[of("SO3", other)]);
    scene.load().await;
    assert_eq!(scene.rows(PLACE).await, "\\N,51.1,3.7");
    scene.source.put("song_data/2.json", &[song("SO2", "AR2", "Hymn")]);
    scene.source.put("song_data/3.json", &[song("SO9", "AR9", "Hymn")]);
    scene.load().await;
    assert_eq!(scene.rows(PLACE).await, "Ghent,\\N,\\N");
}

/// Zero has a sign, and though both are equal, they are not the same.
async fn a_zero_that_changes_its_sign_is_a_change(place: Place) {
    let mut scene = Scene::new(place);
    let of = |latitude| with(song("SO1", "AR1", "Ode"), json!({"artist_latitude": latitude}));
    const SIGN: &str = "SELECT latitude FROM artists WHERE artist_id = 'AR1'";
    for (latitude, expected) in [(0.0, "0"), (-0.0, "-0"), (0.0, "0")] {
        scene.source.put("song_data/1.json", &[of(latitude)]);
        scene.load().await;
        assert_eq!(scene.rows(SIGN).await, expected);
    }
    scene.source.put("song_data/1.json", &[of(-0.0)]);
    scene.load_with(|config| config.full_refresh = true).await.unwrap();
    assert_eq!(scene.rows(SIGN).await, "-0");
}

async fn an_object_that_is_gone_is_reported_and_its_rows_stay_until_a_full_refresh(place: Place) {
    let mut scene = Scene::new(place);
    scene.load().await;
    let before = scene.contents().await;
    scene.source.remove("log_data/2.json");
    scene.source.remove("song_data/2.json");
    for _ in 0..2 {
        let report = scene.load().await;
        assert_eq!((report.objects.gone, report.objects.unchanged), (2, 2));
        similar_asserts::assert_eq!(scene.contents().await, before);
    }
    // A song that is gone is still found. What comes back in another version is read, and has no second row.
    scene.source.put("log_data/2.json", &[play(3, 3, "Hymn")]);
    let report = scene.load().await;
    assert_eq!((report.objects.gone, report.objects.loaded), (1, 1));
    assert_eq!(scene.rows(MATCHES).await, "1,SO1,AR1 2,\\N,\\N 3,SO2,AR2");

    let report = scene.load_with(|config| config.full_refresh = true).await.unwrap();
    assert_eq!((report.mode, report.objects.gone), (Mode::Full, 1));
    assert_eq!(scene.rows("SELECT song_id FROM songs").await, "SO1");
    let report = scene.load().await;
    assert_eq!((report.objects.gone, report.objects.unchanged), (0, 3));
}

async fn a_load_with_nothing_new_reads_nothing(place: Place) {
    let scene = Scene::new(place);
    let server = S3::start();
    server.put_directory("music", "", scene.source.path());
    server.put("music", "song_data/empty.json", "");
    let source = bucket(&server, "s3://music");
    let from_s3 = |config: &mut Config| config.source = source.clone();
    scene.load_with(from_s3).await.unwrap();
    let before = scene.contents().await;
    assert_eq!(server.requests(Operation::GetObject), 4);
    for run in 2..4 {
        let report = scene.load_with(from_s3).await.unwrap();
        assert_eq!((report.run, report.mode), (run, Mode::Incremental));
        let objects = report.objects;
        assert_eq!((objects.listed, objects.loaded, objects.unchanged), (5, 0, 4));
        assert_eq!((objects.skipped.empty, objects.bytes), (1, 0));
        assert_eq!(report.rows(Table::Songplays), 3);
        let changed = |rows: &sparkload::TableRows| rows.inserted + rows.updated + rows.deleted;
        assert_eq!(report.tables.iter().map(changed).sum::<u64>(), 0);
        similar_asserts::assert_eq!(scene.contents().await, before);
        books::balance(scene.database()).await;
        books::agree(&report, scene.database()).await;
    }
    assert_eq!(server.requests(Operation::GetObject), 4);

    // One that is put again as it was has the same ETag, whenever that was.
    server.put_directory("music", "", scene.source.path());
    server.put("music", "log_data/3.json", "{}");
    let report = scene.load_with(from_s3).await.unwrap();
    assert_eq!((report.objects.loaded, report.objects.unchanged), (1, 4));
    assert_eq!(server.requests(Operation::GetObject), 5);
}

async fn a_changed_object_that_became_empty_loses_its_rows(place: Place) {
    let mut scene = Scene::new(place);
    scene.load().await;
    scene.source.put("log_data/1.json", &[]);
    scene.source.write("song_data/1.json", b" \n");
    let report = scene.load().await;
    assert_eq!((report.objects.loaded, report.objects.unchanged), (2, 2));
    assert_eq!(scene.rows(MATCHES).await, "3,\\N,\\N");
    assert_eq!(scene.rows("SELECT user_id FROM users").await, "3");
    assert_eq!(scene.rows("SELECT song_id FROM songs").await, "SO2");
    assert_eq!(scene.rows("SELECT count(*) FROM time").await, "1");
    let report = scene.load().await;
    assert_eq!((report.objects.loaded, report.objects.unchanged), (0, 4));
    scene.source.put("log_data/1.json", &[play(1, 1, "Hymn")]);
    scene.load().await;
    assert_eq!(scene.rows(MATCHES).await, "1,SO2,AR2 3,\\N,\\N");
}

async fn other_settings_read_everything_again_or_are_refused_when_something_is_gone(place: Place) {
    let scene = Scene::new(place);
    scene.load().await;
    let title_artist = |config: &mut Config| config.matching = Matching::TitleArtist;
    let report = scene.load_with(title_artist).await.unwrap();
    assert_eq!((report.mode, report.objects.loaded), (Mode::Full, 4));
    let report = scene.load_with(title_artist).await.unwrap();
    assert_eq!((report.mode, report.objects.loaded), (Mode::Incremental, 0));

    scene.source.remove("log_data/1.json");
    let before = scene.contents().await;
    let error = scene.load_with(|_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let expected =
        "the tables were loaded with other settings, and an object of theirs can't be read again: ";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(error.to_string().ends_with("log_data/1.json"), "{error}");
    similar_asserts::assert_eq!(scene.contents().await, before);
    let report = scene.load_with(title_artist).await.unwrap();
    assert_eq!(report.objects.gone, 1);
    let report = scene.load_with(|config| config.full_refresh = true).await.unwrap();
    assert_eq!(report.rows(Table::Songplays), 1);
}

async fn a_full_refresh_keeps_the_ids_of_known_objects(place: Place) {
    let mut scene = Scene::new(place);
    scene.load().await;
    const IDS: &str =
        "SELECT substring(object FROM '[^/]*/[^/]*$') AS object, object_id FROM load_objects
                       WHERE replaced_by IS NULL ORDER BY 1";
    let ids = "log_data/1.json,1 log_data/2.json,2 song_data/1.json,3 song_data/2.json,4";
    assert_eq!(scene.rows(IDS).await, ids);
    let plays = scene.rows("SELECT songplay_id FROM songplays ORDER BY 1").await;
    scene.source.put("log_data/0.json", &[play(7, 7, "Ode")]);
    scene.load().await;
    scene.source.remove("song_data/2.json");
    for _ in 0..2 {
        scene.load_with(|config| config.full_refresh = true).await.unwrap();
        books::balance(scene.database()).await;
        assert_eq!(
            scene.rows(IDS).await,
            "log_data/0.json,5 log_data/1.json,1 log_data/2.json,2 song_data/1.json,3"
        );
        let kept =
            "SELECT songplay_id FROM songplays WHERE songplay_id < 5::BIGINT << 32 ORDER BY 1";
        assert_eq!(scene.rows(kept).await, plays);
    }
    // The id of an object that went is given to no other.
    scene.source.put("song_data/3.json", &[song("SO3", "AR3", "Elegy")]);
    scene.load().await;
    let id = "SELECT max(object_id) FROM load_objects";
    assert_eq!(scene.rows(id).await, "6");
}

async fn views_grants_and_foreign_keys_survive_an_incremental_load(place: Place) {
    let mut scene = Scene::new(place);
    scene.load().await;
    let view =
        "CREATE VIEW plays AS SELECT user_id, count(*) AS plays FROM songplays GROUP BY user_id";
    let client = scene.place.connect().await;
    client.batch_execute(view).await.unwrap();
    client.batch_execute("GRANT SELECT ON users TO PUBLIC").await.unwrap();
    if let Place::Postgres(database) = &scene.place {
        database.query(
            "ALTER TABLE songplays ADD FOREIGN KEY (user_id) REFERENCES users;
             ALTER TABLE songplays ADD FOREIGN KEY (song_id) REFERENCES songs;
             ALTER TABLE songplays ADD FOREIGN KEY (artist_id) REFERENCES artists;
             ALTER TABLE songplays ADD FOREIGN KEY (start_time) REFERENCES time;
             ALTER TABLE songs ADD FOREIGN KEY (artist_id) REFERENCES artists",
        );
    }
    let state = "SELECT (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_class
                         WHERE relnamespace = 'public'::regnamespace),
                        (SELECT count(*) FROM pg_constraint WHERE contype = 'f'),
                        has_table_privilege('pg_monitor', 'users', 'SELECT'),
                        has_table_privilege('pg_monitor', 'songs', 'SELECT')";
    let before = scene.rows(state).await;
    assert!(before.ends_with(",t,f"), "{before}");
    scene.source.put("log_data/1.json", &[play(8, 8, "Elegy")]);
    scene.source.put("song_data/1.json", &[song("SO7", "AR7", "Elegy")]);
    scene.load().await;
    scene.source.put("log_data/2.json", &[]);
    scene.source.put("song_data/2.json", &[song("SO2", "AR7", "Ode")]);
    scene.load().await;
    assert_eq!(scene.rows(state).await, before);
    assert_eq!(scene.rows("SELECT * FROM plays").await, "8,1");
    assert_eq!(scene.rows(MATCHES).await, "8,SO7,AR7");
    assert_eq!(scene.rows("SELECT artist_id FROM artists").await, "AR7");
}

async fn a_source_is_the_same_by_whatever_path_it_is_named(place: Place) {
    let scene = Scene::new(place);
    scene.load().await;
    let by_a_detour = scene.source.path().join("log_data/../song_data/..");
    let report = sparkload::load(&scene.place.config(&by_a_detour)).await.unwrap();
    assert_eq!((report.objects.unchanged, report.objects.loaded), (4, 0));
}

async fn the_last_object_of_a_kind_may_go_but_a_full_load_of_nothing_is_refused(place: Place) {
    let scene = Scene::new(place);
    scene.load().await;
    scene.source.remove("log_data/1.json");
    scene.source.remove("log_data/2.json");
    let report = scene.load().await;
    assert_eq!((report.objects.gone, report.rows(Table::Songplays)), (2, 3));
    let error = scene.load_with(|config| config.full_refresh = true).await.unwrap_err();
    assert!(error.to_string().starts_with("no log objects to load in "), "{error}");
    assert_eq!(scene.rows("SELECT count(*) FROM songplays").await, "3");
    scene.place.hold_empty();
}

/// Who has to mend rejects must see them: what a load that died has finished is read again for that.
async fn rejects_of_a_load_that_failed_are_named_by_the_next_one(place: Place) {
    let mut source = Directory::new();
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode"), json!({"song_id": "broken"})]);
    source.put("log_data/1.json", &[play(1, 1, "Ode")]);
    let database = place.database();
    let mut config = place.config(source.path());
    config.max_errors = 1;
    // Nothing stops this load but the target, when all is read.
    sparkload::create(&config.target, "public", sparkload::Existing::Keep).await.unwrap();
    database.query(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON songs EXECUTE FUNCTION no()",
    );
    sparkload::load(&config).await.unwrap_err();
    if let Some(warehouse) = place.warehouse() {
        warehouse.hold_empty();
    }
    database.query("DROP TRIGGER no ON songs");
    config.max_errors = 0;
    let error = sparkload::load(&config).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("1.json, record 2"));
    let rejects = tempfile::NamedTempFile::new().unwrap();
    (config.max_errors, config.rejects) = (1, Some(rejects.path().to_owned()));
    let report = sparkload::load(&config).await.unwrap();
    let resumed = u64::from(matches!(place, Place::Postgres(_)));
    assert_eq!((report.rejected(), report.objects.resumed), (1, resumed));
    let text = std::fs::read_to_string(rejects.path()).unwrap();
    assert!(text.contains("broken"), "{text}");
}

/// The owner makes the tables; who loads them needs no more than the rights that the help names.
async fn a_role_that_does_not_own_the_tables_can_load_them(place: Place) {
    let mut source = Directory::new();
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    source.put("log_data/1.json", &[play(1, 1, "Ode")]);
    let mut config = place.config(source.path());
    sparkload::create(&config.target, "public", sparkload::Existing::Keep).await.unwrap();
    let database = place.database();
    let role = format!("loader_{}", database.name());
    config.target = target(&place.user(&role));
    let may_create = format!(
        "GRANT CREATE, TEMPORARY ON DATABASE {} TO {role}; GRANT CREATE, USAGE ON SCHEMA public TO {role}",
        database.name()
    );
    let may_change =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
    let client = place.connect().await;
    client.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
    client.batch_execute(&may_change).await.unwrap();
    // A load into Redshift makes nothing that stays.
    if let Place::Postgres(_) = place {
        client.batch_execute(&may_create).await.unwrap();
    }
    for _ in 0..2 {
        source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Ode")]);
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!(report.rows(Table::Songplays), 2);
    }
    client.batch_execute(&may_create).await.unwrap();
    let again = sparkload::create(&config.target, "public", sparkload::Existing::Keep).await;
    assert_eq!(again.unwrap(), []);
    database.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
