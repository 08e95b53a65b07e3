//! A load goes on with what one that was killed has left.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sparkload::{Config, Matching, Mode, Source};
use tokio_postgres::Client;

use crate::books;
use crate::directory::{Directory, play, song};
use crate::oracle::hold_against_oracle;
use crate::sequences::{last_run, patiently, quiet};
use crate::sources::bucket;
use crate::support::postgres::{self, Database};
use crate::support::s3::{Fault, Operation, S3, When};
use crate::tables::{contents, load, target};

/// Makes the server wait with each event of a user named `hold`, for as long as somebody has the advisory lock 1.
const HOLD: &str = "
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.first_name = 'hold' THEN
        PERFORM pg_advisory_xact_lock(1);
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION put_hold() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    made TEXT;
BEGIN
    FOR made IN SELECT object_identity FROM pg_event_trigger_ddl_commands()
                WHERE object_identity LIKE '%\\_loading\\_%.staging\\_events' LOOP
        EXECUTE format('CREATE TRIGGER hold BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION public.hold()', made);
    END LOOP;
END $$;
CREATE EVENT TRIGGER put_hold ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION put_hold()";

/// A bucket of two songs and four logs; whoever loads it can be killed in the third log.
struct Scene {
    source: Directory,
    server: S3,
    database: Database,
    /// Has the lock when a load is to be held.
    holder: Client,
}

/// So much later than the object before it comes one that is held: that one is written by then.
const LATER: Duration = Duration::from_millis(100);

impl Scene {
    async fn new() -> Self {
        let database = postgres::server().database();
        database.query(HOLD);
        let holder = database.connect().await;
        let mut scene = Self { source: Directory::new(), server: S3::start(), database, holder };
        scene.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
        scene.put("song_data/2.json", &[song("SO2", "AR2", "Hymn"), json!({"song_id": "broken"})]);
        scene.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Elegy")]);
        scene.put("log_data/2.json", &[play(1, 3, "Hymn"), json!({"page": "NextSong"})]);
        scene.put("log_data/3.json", &[play(4, 4, "Hymn"), hold(5), play(1, 6, "Ode")]);
        scene.put("log_data/4.json", &[play(3, 7, "Ode"), play(3, 1, "Hymn")]);
        scene
    }

    /// The object is large enough to be worked on by itself.
    fn put(&mut self, name: &str, records: &[Value]) {
        let mut records = records.to_vec();
        if let Some(last) = records.last_mut() {
            last["padding"] = "x".repeat(300_000).into();
        }
        let records = &records;
        if records.iter().any(|record| record["firstName"] == "hold") {
            self.server.inject(When::all(Operation::GetObject, name), Fault::Delay(LATER));
        }
        self.source.put(name, records);
        self.server.put("music", name, std::fs::read(self.source.path().join(name)).unwrap());
    }

    fn remove(&self, name: &str) {
        self.source.remove(name);
        self.server.remove("music", name);
    }

    /// One thing after the other, so that it is known what is done when.
    fn config(&self) -> Config {
        let source = bucket(&self.server, "s3://music");
        let mut config = Config::new(source, target(&self.database.socket_keywords()));
        config.max_errors = 10;
        (config.fetches, config.threads, config.connections) = (1, Some(1), Some(1));
        config.block_bytes = 100;
        config
    }

    /// Kills a load when it is about to write the first event that is held.
    async fn kill(&self, config: &Config) {
        self.holder.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
        let load = sparkload::load(config);
        tokio::select! {
            result = load => panic!("the load was not held: {result:?}"),
            () = self.held() => {}
        }
        self.holder.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
        quiet(&self.database).await;
    }

    /// Waits until a load has to wait for something in the database.
    async fn held(&self) {
        let client = self.database.connect().await;
        let held =
                "SELECT EXISTS (SELECT FROM pg_locks 
                        WHERE NOT granted
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        while !client.query_one(held, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The schema that a killed load has left.
    fn left(&self) -> Option<String> {
        let left = "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%\\_loading\\_%'";
        self.database.query(left).pop().map(|row| row[0].clone().unwrap())
    }

    /// Loads what is there, and holds the tables against those of a clean load; returns how many objects were kept
    /// and how many were read.
    async fn load(&self, config: &Config) -> (u64, u64) {
        let gets = self.server.requests(Operation::GetObject);
        let report = patiently(config).await.unwrap();
        let read = self.server.requests(Operation::GetObject) - gets;
        assert_eq!(report.objects.loaded, report.objects.resumed + read);
        books::balance(&self.database).await;
        books::agree(&report, &self.database).await;
        if config.matching == Matching::default() {
            hold_against_oracle(&self.database, "oracle_songplays").await;
        }
        let (clean, _) = load(self.source.path(), |clean| {
            clean.max_errors = 10;
            clean.matching = config.matching;
        })
        .await;
        let mut expected = contents(&clean, self.source.path()).await;
        for (_, text) in &mut expected {
            *text = text.replace(self.source.path().to_str().unwrap(), "s3://music");
        }
        let found = contents(&self.database, Path::new("s3://music")).await;
        similar_asserts::assert_eq!(found, expected);
        (report.objects.resumed, read)
    }
}

fn hold(minute: i64) -> Value {
    let mut event = play(9, minute, "Ode");
    event["firstName"] = "hold".into();
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_load_is_gone_on_with() {
    let mut scene = Scene::new().await;
    let config = scene.config();
    scene.kill(&config).await;
    assert!(scene.left().is_some());
    assert_eq!(last_run(&scene.database).await, 0);
    assert_eq!(scene.load(&config).await, (4, 2), "songs and two logs are kept");

    // An incremental load just as well.
    scene.put("log_data/2.json", &[play(1, 9, "Ode")]);
    scene.put("log_data/25.json", &[hold(10), play(2, 9, "New")]);
    scene.put("song_data/3.json", &[song("SO3", "AR3", "Elegy"), song("SO4", "AR4", "New")]);
    scene.kill(&config).await;
    assert_eq!(last_run(&scene.database).await, 1);
    assert_eq!(scene.load(&config).await, (2, 1));
    assert_eq!(scene.load(&config).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_twice_is_gone_on_with() {
    let mut scene = Scene::new().await;
    let config = scene.config();
    scene.kill(&config).await;
    // What has changed since is read again.
    scene.put("log_data/1.json", &[play(1, 1, "Ode"), play(7, 7, "Hymn")]);
    scene.put("log_data/5.json", &[play(1, 1, "New")]);
    scene.kill(&config).await;
    scene.put("song_data/2.json", &[song("SO2", "AR2", "Elegy")]);
    scene.remove("log_data/2.json");
    assert_eq!(scene.load(&config).await, (2, 4), "a song and the first log are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_which_a_row_is_missing_is_read_again() {
    let scene = Scene::new().await;
    let config = scene.config();
    for (damage, kept) in [
        ("DELETE FROM staging_events WHERE user_id = 2", 3),
        ("DELETE FROM staging_songs", 2),
        ("DELETE FROM load_errors WHERE object LIKE '%/log_data/2.json'", 3),
        ("UPDATE load_objects SET etag = 'other' WHERE kind = 'songs'", 2),
        ("INSERT INTO staging_events SELECT * FROM staging_events", 2),
        ("DELETE FROM load_objects", 0),
        ("INSERT INTO songplays VALUES (1, now(), 1); INSERT INTO users VALUES (77)", 4),
    ] {
        scene.database.query(
            "DROP TABLE IF EXISTS songplays, users, songs, artists, time, load_runs, load_objects,
                              load_errors, staging_events, staging_songs",
        );
        scene.kill(&config).await;
        scene.database.query(&format!("SET search_path = {}; {damage}", scene.left().unwrap()));
        assert_eq!(scene.load(&config).await, (kept, 6 - kept), "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_or_other_settings_have_left_is_cleared_away() {
    let scene = Scene::new().await;
    let config = scene.config();
    scene.kill(&config).await;
    let unfinished = format!("{}.unfinished", scene.left().unwrap());
    scene.database.query(&format!("UPDATE {unfinished} SET program = '0.0.1'"));
    assert_eq!(scene.load(&config).await, (0, 6));

    let mut other = scene.config();
    other.matching = Matching::TitleArtist;
    scene.kill(&other).await;
    assert_eq!(scene.load(&config).await, (0, 0));
    scene.kill(&other).await;
    assert_eq!(scene.load(&other).await, (4, 2));

    // Without staging there is nothing to go on with.
    let mut star = scene.config();
    star.staging = false;
    let held = scene.holder.batch_execute("SELECT pg_advisory_lock(1)");
    held.await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(100), sparkload::load(&star)).await;
    scene.holder.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    quiet(&scene.database).await;
    assert_eq!(scene.load(&other).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_takes_nothing_from_a_killed_load() {
    let mut scene = Scene::new().await;
    let mut refresh = scene.config();
    refresh.full_refresh = true;
    let config = scene.config();
    scene.load(&config).await;
    scene.remove("log_data/1.json");
    scene.put("log_data/0.json", &[play(8, 8, "Ode")]);
    scene.kill(&refresh).await;
    let left = scene.left().unwrap();
    // Whatever it is that was left.
    scene.database.query(&format!("DROP TABLE {left}.staging_events, {left}.load_objects"));
    assert_eq!(scene.load(&refresh).await, (0, 6));

    // A usual load after one that was killed keeps what it would have read, and only that.
    scene.put("log_data/0.json", &[play(8, 9, "Ode")]);
    scene.put("log_data/3.json", &[hold(1)]);
    scene.kill(&refresh).await;
    assert_eq!(scene.load(&config).await, (1, 1));
    // And the other way round.
    scene.put("log_data/0.json", &[play(8, 9, "Hymn")]);
    scene.put("log_data/3.json", &[hold(2)]);
    scene.kill(&config).await;
    let report = patiently(&refresh).await.unwrap();
    assert_eq!((report.mode, report.objects.resumed, report.objects.loaded), (Mode::Full, 0, 6));
    assert_eq!(scene.load(&config).await, (0, 0));
}

/// What a killed load has left is never why a later one fails.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_gone_on_with_is_read_again() {
    let scene = Scene::new().await;
    let config = scene.config();
    for damage in [
        // No star can be made of such a moment.
        "UPDATE staging_events SET ts = 9000000000000000000 WHERE page = 'NextSong'",
        // It can't be kept.
        "DROP TABLE users",
        // It can't even be looked at.
        "ALTER TABLE load_objects DROP COLUMN staged",
    ] {
        scene.database.query(
            "DROP TABLE IF EXISTS songplays, users, songs, artists, time, load_runs, load_objects,
                              load_errors, staging_events, staging_songs",
        );
        scene.kill(&config).await;
        scene.database.query(&format!("SET search_path = {}; {damage}", scene.left().unwrap()));
        let report = patiently(&config).await.unwrap();
        assert_eq!((report.objects.resumed, report.objects.loaded), (0, 6), "{damage}");
        books::balance(&scene.database).await;
        assert_eq!(scene.load(&config).await, (0, 0));
    }
}

/// All that it needs is there, and the star is made once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_while_it_publishes_has_nothing_left_to_read() {
    let mut scene = Scene::new().await;
    let config = scene.config();
    scene.load(&config).await;
    for (matching, kept) in [(Matching::TitleArtist, 6), (Matching::TitleArtist, 2)] {
        scene.put("log_data/2.json", &[play(1, kept, "Ode")]);
        scene.put(
            "song_data/1.json",
            &[song("SO1", "AR1", "Ode"), song("SO2", &format!("AR{kept}"), "Hymn")],
        );
        let mut config = scene.config();
        config.matching = matching;
        scene.holder.batch_execute("BEGIN; LOCK TABLE songplays IN SHARE MODE").await.unwrap();
        tokio::select! {
            result = sparkload::load(&config) => panic!("the load was not held: {result:?}"),
            () = scene.held() => {}
        }
        scene.holder.batch_execute("COMMIT").await.unwrap();
        quiet(&scene.database).await;
        assert_eq!(scene.load(&config).await, (kept as u64, 0));
    }
}

/// A server may go on with what it was told by a load that is dead already: until it has ended, so has not that load.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_dead_load_commits_late_do_not_get_in() {
    let mut scene = Scene::new().await;
    let mut config = scene.config();
    scene.load(&config).await;
    scene.put("log_data/2.json", &[play(1, 9, "Ode")]);
    scene.put("log_data/3.json", &[play(1, 9, "Ode"), hold(10)]);
    scene.kill(&config).await;
    let late = scene.database.connect().await;
    let left = scene.left().unwrap();
    let insert = format!(
        "SELECT pg_advisory_lock_shared(hashtext('sparkload loading'), hashtext('{left}'));
         BEGIN;
         SET search_path = {left};
         INSERT INTO staging_events (page, user_id, ts, object_id, record_no)
         SELECT 'NextSong', 66, 0, object_id, 99 FROM public.load_objects WHERE object LIKE '%/log_data/3.json'",
    );
    late.batch_execute(&insert).await.unwrap();
    let error = sparkload::load(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "another load works on the schema public");
    config.wait = Some(Duration::from_secs(60));
    let end = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        late.batch_execute("COMMIT").await.unwrap();
        drop(late);
    };
    let (kept_and_read, ()) = tokio::join!(scene.load(&config), end);
    assert_eq!(kept_and_read, (1, 1));
}

/// Many connections and threads, so that objects end in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_with_many_connections_is_gone_on_with() {
    let mut source = Directory::new();
    let database = postgres::server().database();
    for number in 0..60 {
        let title = format!("title {number}");
        source.put(
            &format!("song_data/{number}.json"),
            &[song(&format!("SO{number}"), "AR1", &title)],
        );
        let plays: Vec<_> = (0..40).map(|turn| play(turn, number * 40 + turn, &title)).collect();
        source.put(&format!("log_data/{number}.json"), &plays);
    }
    let mut config = Config::new(
        Source::at(source.path().to_str().unwrap()).unwrap(),
        target(&database.socket_keywords()),
    );
    config.block_bytes = 500;
    for objects in [20, 40, 60, 10, 10] {
        let progress = config.progress.clone();
        let enough = async move {
            while progress.objects.get() < objects {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            result = patiently(&config) => result.map(drop).unwrap(),
            () = enough => {}
        }
        // Not always with the server's knowing, so that what is committed late is there too.
        if objects > 10 {
            quiet(&database).await;
        }
        config.progress = std::sync::Arc::default();
    }
    patiently(&config).await.unwrap();
    books::balance(&database).await;
    hold_against_oracle(&database, "oracle_songplays").await;
    let (clean, _) = load(source.path(), |_| {}).await;
    similar_asserts::assert_eq!(
        contents(&database, source.path()).await,
        contents(&clean, source.path()).await
    );
}
