//! Under logical replication a subscriber's tables come to be those of the publisher, whatever the publication covers.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sparkload::{Config, Existing, Mode, Report, Source};

use crate::books;
use crate::directory::{Directory, play, song};
use crate::support::postgres::{Database, Postgres, Stop};
use crate::tables::{csv, tables, target};

/// A publisher, a subscriber, and what is loaded.
struct Scene {
    source: Directory,
    publisher: Database,
    subscriber: Database,
}

/// The server that these tests share.
fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(server_of_its_own)
}

/// A server that can publish.
fn server_of_its_own() -> Postgres {
    let server = Postgres::start();
    for setting in ["wal_level = logical", "wal_retrieve_retry_interval = '100ms'"] {
        server.database().query(&format!("ALTER SYSTEM SET {setting}"));
    }
    server.stop(Stop::Fast);
    server.restart();
    server
}

impl Scene {
    fn new(server: &Postgres) -> Self {
        let mut source = Directory::new();
        source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Elegy")]);
        source.put("log_data/2.json", &[play(3, 3, "Ode")]);
        source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
        source.put(
            "song_data/2.json",
            &[song("SO2", "AR2", "Hymn"), serde_json::json!({"song_id": "broken"})],
        );
        Self { source, publisher: server.database(), subscriber: server.database() }
    }

    fn config(&self) -> Config {
        let source = Source::at(self.source.path().to_str().unwrap()).unwrap();
        let mut config = Config::new(source, target(&self.publisher.socket_keywords()));
        config.max_errors = 5;
        config
    }

    async fn create(database: &Database) {
        let target = target(&database.socket_keywords());
        sparkload::create(&target, "public", Existing::Keep).await.unwrap();
    }

    /// Publishes what `covered` names, to a subscriber in another database of the same server.
    fn publish(&self, covered: &str) {
        let Self { publisher, subscriber, .. } = self;
        let (name, keywords) = (subscriber.name(), publisher.socket_keywords());
        publisher.query(&format!("CREATE PUBLICATION sparkify {covered}"));
        // A subscription in the server of its publisher can't wait for its own slot.
        publisher
            .query(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"));
        subscriber.query(&format!(
            "CREATE SUBSCRIPTION {name} CONNECTION '{keywords}' PUBLICATION sparkify WITH (create_slot = false)"
        ));
    }

    async fn load(&self, change: impl FnOnce(&mut Config)) -> Report {
        let mut config = self.config();
        change(&mut config);
        let report = sparkload::load(&config).await.unwrap();
        books::balance(&self.publisher).await;
        books::agree(&report, &self.publisher).await;
        report
    }

    /// Waits until the subscriber has all, and compares.
    async fn hold_equal(&self) {
        let Self { publisher, subscriber, .. } = self;
        let number = |database: &Database, query: &str| -> bool {
            database.query(query)[0][0].as_deref() == Some("t")
        };
        let end =
            publisher.query("SELECT pg_current_wal_insert_lsn()").remove(0).remove(0).unwrap();
        let ready = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel";
        let name = subscriber.name();
        let confirmed = format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{name}'"
        );
        let start = Instant::now();
        while !(number(subscriber, ready) && number(publisher, &confirmed)) {
            assert!(start.elapsed() < Duration::from_secs(60), "the subscriber does not follow");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        similar_asserts::assert_eq!(tables(subscriber).await, tables(publisher).await);
        for books in ["load_objects", "load_runs", "load_errors"] {
            let query = format!("SELECT * FROM {books} AS row ORDER BY row::TEXT COLLATE \"C\"");
            similar_asserts::assert_eq!(
                csv(subscriber, &query).await,
                csv(publisher, &query).await
            );
        }
    }

    /// Loads of every kind.
    async fn follow(&mut self) {
        self.load(|_| {}).await;
        self.hold_equal().await;
        self.change().await;
        self.source.put("song_data/2.json", &[song("SO2", "AR2", "Hymn")]);
        self.load(|config| config.full_refresh = true).await;
        self.hold_equal().await;
        Self::create(&self.publisher).await;
        self.source.put("log_data/3.json", &[play(7, 3, "Hymn")]);
        self.load(|_| {}).await;
        self.hold_equal().await;
        sparkload::load(&Config { staging: false, ..self.config() }).await.unwrap();
        self.hold_equal().await;
    }

    /// An incremental load, in which rows come, go and change.
    async fn change(&mut self) {
        self.source.put("log_data/2.json", &[play(4, 3, "Hymn"), play(5, 6, "Ode")]);
        self.source.put("song_data/1.json", &[song("SO1", "AR3", "Ode")]);
        self.source.remove("log_data/1.json");
        let report = self.load(|_| {}).await;
        assert_eq!((report.mode, report.objects.loaded), (Mode::Incremental, 2));
        self.hold_equal().await;
    }
}

impl Drop for Scene {
    /// A server has few workers for subscriptions.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let disable = "SELECT format('ALTER SUBSCRIPTION %s DISABLE', subname) FROM pg_subscription
                           JOIN pg_database ON pg_database.oid = subdbid WHERE datname = current_database()";
            for row in self.subscriber.query(disable) {
                self.subscriber.query(row[0].as_ref().unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscribers_tables_are_the_publishers() {
    let server = server();
    // Both are made beforehand.
    let mut scene = Scene::new(server);
    Scene::create(&scene.publisher).await;
    Scene::create(&scene.subscriber).await;
    scene.publish("FOR ALL TABLES");
    scene.follow().await;

    // Tables that were loaded before there was a publication.
    let mut scene = Scene::new(server);
    scene.load(|_| {}).await;
    Scene::create(&scene.subscriber).await;
    scene.publish("FOR ALL TABLES");
    scene.hold_equal().await;
    scene.change().await;

    // Tables that the first load makes: the subscription hears of them by REFRESH.
    let by_schema = "SELECT current_setting('server_version_num')::int >= 150000";
    let covered = match scene.publisher.query(by_schema)[0][0].as_deref() {
        Some("t") => "FOR TABLES IN SCHEMA public",
        _ => "FOR ALL TABLES",
    };
    let mut scene = Scene::new(server);
    Scene::create(&scene.subscriber).await;
    scene.publish(covered);
    scene.load(|_| {}).await;
    let logged =
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'i') AND relpersistence <> 'p'";
    assert_eq!(scene.publisher.query(logged), [[Some("0".to_owned())]]);
    let name = scene.subscriber.name();
    scene.subscriber.query(&format!("ALTER SUBSCRIPTION {name} REFRESH PUBLICATION"));
    scene.hold_equal().await;
    scene.change().await;
}

/// What was unlogged is empty when the server comes back, and no load takes that for its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_a_publication_loses_no_row() {
    let server = server_of_its_own();
    let scene = Scene::new(&server);
    Scene::create(&scene.publisher).await;
    scene.publisher.query(
        "CREATE PUBLICATION sparkify FOR ALL TABLES;
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON songs EXECUTE FUNCTION no()",
    );
    sparkload::load(&scene.config()).await.unwrap_err();
    let left = "SELECT string_agg(DISTINCT relpersistence::TEXT, '') FROM pg_class
                WHERE relkind = 'r' AND relnamespace::regnamespace::TEXT LIKE 'public_loading_%'";
    assert_eq!(scene.publisher.query(left), [[Some("u".to_owned())]]);
    scene.publisher.query("DROP TRIGGER no ON songs");
    scene.publisher.query("CHECKPOINT");
    server.stop(Stop::Immediate);
    server.restart();
    let report = scene.load(|_| {}).await;
    assert_eq!((report.objects.resumed, report.objects.loaded), (0, 4));
    assert_eq!(scene.publisher.query(left), [[None]]);
}

/// Tools for change data capture bring plugins of their own, which need no publication.
#[tokio::test(flavor = "multi_thread")]
async fn who_decodes_the_log_finds_every_row_in_its_table() {
    let server = server();
    let scene = Scene::new(server);
    let slot = "SELECT FROM pg_create_logical_replication_slot('capture', 'test_decoding')";
    let client = scene.publisher.connect().await;
    // The plugin is in a package of its own on some systems.
    if client.query_one(slot, &[]).await.is_err() {
        return;
    }
    scene.load(|_| {}).await;
    let tables = "SELECT translate(split_part(data, ':', 1), '\"', '') AS what, count(*)
                  FROM pg_logical_slot_get_changes('capture', NULL, NULL)
                  WHERE data LIKE 'table %' GROUP BY 1 ORDER BY 1";
    insta::assert_snapshot!(csv(&scene.publisher, tables).await, @r"
    what,count
    table public.artists,2
    table public.load_errors,1
    table public.load_objects,4
    table public.load_runs,1
    table public.songplays,3
    table public.songs,2
    table public.staging_events,3
    table public.staging_songs,2
    table public.time,3
    table public.users,3
    ");
}
