//! Tables that an earlier version of this program has made are brought up to date in place, and nothing is lost.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use sparkload::{Config, Existing, Report, Table};

use crate::books;
use crate::place::Place;
use crate::sources::bucket;
use crate::support::postgres::Database;
use crate::support::s3::{Operation, S3};
use crate::tables::{contents, csv, fixture};

crate::place::at_every_place! {
    tables_of_earlier_versions_lose_nothing,
}

/// A target and what it is loaded with.
struct Scene {
    place: Place,
    lake: S3,
}

/// What has gone from the lake.
const GONE_LOG: &str = "log_data/2018/11-late/2018-11-30-events.json";
const GONE_SONG: &str = "song_data/A/C/A/TRACAAB00000000014.json";

impl Scene {
    /// The objects that earlier versions have loaded, as they were in the beginning. None has a reject but for its
    /// values: those are the same in every version.
    fn new(place: Place) -> Self {
        let lake = S3::start();
        lake.put_directory("lake", "", &fixture("sparkify"));
        let dirty = "dirty/log_data/2018/11/2018-11-01-values.json";
        lake.put("lake", "log_data/dirty.json", fs::read(fixture(dirty)).unwrap());
        Self { place, lake }
    }

    /// Makes of them what they were when they were loaded last: a log and a song have changed, others are gone.
    fn change(&self) {
        let day = "log_data/2018/11/2018-11-05-events.json";
        let text = fs::read_to_string(fixture("sparkify").join(day)).unwrap();
        let rest = text.split_inclusive('\n').skip(1).collect::<String>();
        self.lake.put("lake", day, rest);
        let song = "song_data/A/A/A/TRAAAAB00000000002.json";
        let text = fs::read_to_string(fixture("sparkify").join(song)).unwrap();
        self.lake.put("lake", song, text.replace("Salt", "The Salt"));
        self.lake.remove("lake", GONE_LOG);
        self.lake.remove("lake", GONE_SONG);
    }

    fn config(&self) -> Config {
        let mut config = self.place.config(&fixture("sparkify"));
        config.source = bucket(&self.lake, "s3://lake");
        config.max_errors = 100;
        config
    }

    async fn load(&self) -> Report {
        let report = sparkload::load(&self.config()).await.unwrap();
        books::balance(self.place.database()).await;
        report
    }

    async fn create(&self) -> Vec<Table> {
        sparkload::create(&self.place.target(), "public", Existing::Keep).await.unwrap()
    }

    async fn contents(&self) -> Vec<(&'static str, String)> {
        contents(self.place.database(), Path::new("s3://lake")).await
    }

    /// The versions of objects that are loaded, and the rejects.
    async fn books(&self) -> String {
        let objects = "SELECT object_id, kind, object, bytes, etag, records, taken, filtered, rejected, staged
                       FROM load_objects WHERE replaced_by IS NULL ORDER BY object_id";
        let rejects =
            "SELECT object_id, object, etag, record_no, line, byte_offset, column_name, reason
                       FROM load_errors ORDER BY object_id, record_no";
        csv(self.place.database(), objects).await + &csv(self.place.database(), rejects).await
    }

    /// Columns, keys and indexes of the tables, whatever the order of columns.
    async fn shape(&self) -> String {
        let query = format!(
            "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, atthasdef, indexdef
             FROM pg_class
             JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
             CROSS JOIN LATERAL (
                 SELECT string_agg(pg_get_indexdef(indexrelid), '; ' ORDER BY pg_get_indexdef(indexrelid)) AS indexdef
                 FROM pg_index WHERE indrelid = pg_class.oid
             ) AS indexes
             WHERE relnamespace = 'public'::regnamespace AND relname IN ({})
             ORDER BY relname, attname",
            Table::ALL.map(|table| format!("'{table}'")).join(", ")
        );
        csv(self.place.database(), &query).await
    }
}

/// Every value of the tables in `columns`, which are theirs as they are now.
async fn values(database: &Database, columns: &[Vec<Option<String>>]) -> Vec<String> {
    let mut values = Vec::new();
    for row in columns {
        let (table, columns) = (row[0].as_ref().unwrap(), row[1].as_ref().unwrap());
        values.push(
            csv(
                database,
                &format!("SELECT {columns} FROM {table} AS row ORDER BY row::TEXT COLLATE \"C\""),
            )
            .await,
        );
    }
    values
}

/// Through whatever has changed since, a database of each earlier version comes to be like one that this program has
/// made all by itself.
async fn tables_of_earlier_versions_lose_nothing(place: Place) {
    let (folder, another): (_, fn() -> Place) = match place {
        Place::Postgres(_) => ("postgres.sql", Place::postgres),
        Place::Staged(_) | Place::Inserted(_) => ("redshift.sql", Place::staged),
    };
    let fresh = Scene::new(place);
    fresh.load().await;
    fresh.change();
    fresh.load().await;
    let versions = fs::read_dir(fixture("earlier")).unwrap().map(|entry| entry.unwrap().path());
    let versions: Vec<_> = versions.filter(|path| path.is_dir()).collect();
    let mut earlier = Vec::new();
    for version in &versions {
        let scene = Scene::new(another());
        scene.change();
        let database = scene.place.database();
        database.query(&fs::read_to_string(version.join(folder)).unwrap());
        earlier.push(scene);
    }
    for scene in &earlier {
        upgrade(scene).await;
        assert_eq!(scene.shape().await, fresh.shape().await);
        similar_asserts::assert_eq!(scene.contents().await, fresh.contents().await);

        let report = scene.load().await;
        assert_eq!((report.objects.loaded, report.objects.unchanged), (0, 38));
        assert_eq!(scene.lake.requests(Operation::GetObject), 0);
    }
    // More of the same: the rows of what is gone stay, until everything is read.
    let day = fs::read(fixture("sparkify/log_data/2018/11/2018-11-06-events.json.gz")).unwrap();
    for scene in [&fresh].into_iter().chain(&earlier) {
        scene.lake.put("lake", "log_data/2018/11/2018-11-05-events.json.gz", day.clone());
        scene.lake.remove("lake", "log_data/2018/11/2018-11-05-events.json");
        scene.lake.remove("lake", "song_data/A/A/A/TRAAAAB00000000002.json");
        let report = scene.load().await;
        assert_eq!((report.objects.loaded, report.objects.gone), (1, 4));
        let left = format!(
            "SELECT (SELECT count(*) FROM staging_events JOIN load_objects USING (object_id) WHERE object LIKE '%{GONE_LOG}'),
                    (SELECT count(*) FROM staging_songs JOIN load_objects USING (object_id) WHERE object LIKE '%{GONE_SONG}')"
        );
        assert_eq!(csv(scene.place.database(), &left).await, "count,count\n6,1\n");
    }
    let expected = fresh.contents().await;
    for scene in &earlier {
        similar_asserts::assert_eq!(scene.contents().await, expected);
    }
    for scene in [&fresh].into_iter().chain(&earlier) {
        let report = sparkload::load(&Config { full_refresh: true, ..scene.config() }).await;
        assert_eq!(report.unwrap().objects.gone, 4);
    }
    let expected = fresh.contents().await;
    for scene in &earlier {
        similar_asserts::assert_eq!(scene.contents().await, expected);
    }
}

/// Has `create` bring the tables of an earlier version up to date, with what depends on them.
async fn upgrade(scene: &Scene) {
    let database = scene.place.database();
    let client = scene.place.connect().await;
    let depend = "CREATE VIEW runs AS SELECT run, songplays FROM load_runs;
                  CREATE VIEW events AS SELECT * FROM staging_events;
                  GRANT SELECT ON staging_songs TO PUBLIC";
    for statement in depend.split(';') {
        client.batch_execute(statement).await.unwrap();
    }
    if let Place::Postgres(_) = scene.place {
        database.query("ALTER TABLE songplays ADD FOREIGN KEY (user_id) REFERENCES users");
    }
    let state = "SELECT (SELECT count(*) FROM runs WHERE run <= 2), (SELECT count(*) FROM events),
                        (SELECT count(*) FROM pg_constraint WHERE contype = 'f'),
                        has_table_privilege('pg_monitor', 'staging_songs', 'SELECT'),
                        (SELECT string_agg(pg_class.oid::TEXT, ' ' ORDER BY relname) FROM pg_class
                         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')";
    let before = csv(database, state).await;
    let columns = "SELECT relname, string_agg(quote_ident(attname), ', ' ORDER BY attnum)
                   FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
                   WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
                   GROUP BY relname ORDER BY relname";
    let columns = database.query(columns);
    let rows = values(database, &columns).await;

    // A load says so, unless the tables are still the same.
    if let Err(error) = sparkload::load(&scene.config()).await {
        assert!(error.to_string().ends_with("are those of an earlier sparkload"), "{error}");
        assert!(error.help().unwrap().starts_with("run `sparkload create --schema public`"));
        scene.create().await;
        similar_asserts::assert_eq!(values(database, &columns).await, rows);
        scene.place.hold_empty();
    }
    assert_eq!(scene.create().await, []);
    assert_eq!(csv(database, state).await, before);
}

/// The first loads of all kept no runs, and less of each object.
#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_the_first_loads_are_brought_up_to_date() {
    let scene = Scene::new(Place::postgres());
    scene.load().await;
    let (contents, books, shape) =
        (scene.contents().await, scene.books().await, scene.shape().await);
    let database = scene.place.database();
    database.query(
        "ALTER TABLE load_objects RENAME TO later_objects;
         ALTER TABLE load_errors RENAME TO later_errors;
         ALTER INDEX load_objects_pkey RENAME TO later_pkey;
         ALTER INDEX load_objects_current RENAME TO later_current;
         CREATE TABLE load_objects (
             object_id BIGINT NOT NULL PRIMARY KEY, object TEXT NOT NULL, bytes BIGINT NOT NULL,
             etag TEXT NOT NULL, records BIGINT NOT NULL, rejects BIGINT NOT NULL, run BIGINT NOT NULL
         );
         INSERT INTO load_objects
         SELECT object_id, object, bytes, etag, records, rejected, 7 FROM later_objects;
         CREATE TABLE load_errors (
             run BIGINT NOT NULL, object TEXT NOT NULL, etag TEXT NOT NULL, record_no BIGINT NOT NULL,
             line BIGINT NOT NULL, byte_offset BIGINT NOT NULL, column_name TEXT, column_type TEXT,
             raw_value TEXT, raw_record TEXT NOT NULL, reason TEXT NOT NULL
         );
         INSERT INTO load_errors
         SELECT 7, object, etag, record_no, line, byte_offset, column_name, column_type, raw_value, raw_record, reason
         FROM later_errors;
         DROP TABLE later_objects, later_errors, load_runs;
         DROP INDEX staging_events_place, staging_songs_title, songplays_start_time;
         CREATE VIEW read AS SELECT object, records - rejects AS records FROM load_objects",
    );
    let error = sparkload::load(&scene.config()).await.unwrap_err();
    let told = format!("{error}\n{}\n{}", error.source().unwrap(), error.help().unwrap());
    insta::assert_snapshot!(told, @r"
    the tables in the schema public are those of an earlier sparkload
    load_errors lacks object_id bigint NOT NULL
    load_objects lacks kind text NOT NULL
    load_objects lacks taken bigint NOT NULL
    load_objects lacks filtered bigint NOT NULL
    load_objects lacks rejected bigint NOT NULL
    load_objects lacks staged bigint NOT NULL
    load_objects lacks loaded_at timestamp without time zone NOT NULL
    load_objects lacks replaced_by bigint
    load_objects has rejects bigint NOT NULL besides
    load_objects has not the primary key (object_id, run)
    run `sparkload create --schema public`: it brings them up to date in place, loses no row and reads nothing again
    ");
    assert_eq!(scene.create().await, [Table::LoadRuns]);
    assert_eq!(scene.shape().await, shape);
    assert_eq!(scene.books().await, books);

    scene.lake.remove("lake", GONE_LOG);
    let before = scene.lake.requests(Operation::GetObject);
    let report = scene.load().await;
    assert_eq!((report.run, report.objects.gone, report.objects.unchanged), (8, 1, 39));
    assert_eq!(scene.lake.requests(Operation::GetObject), before);
    similar_asserts::assert_eq!(scene.contents().await, contents);
    let records = "SELECT sum(records) FROM read";
    assert_eq!(database.query(records), [[Some("161".to_owned())]]);
}

/// Writes the tables of this version of the program, to be met by later ones: `fixtures/earlier/README.md` says when.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes a fixture"]
async fn write_the_tables_of_this_version() {
    let folder = fixture("earlier").join(std::env::var("VERSION").expect("the version's name"));
    fs::create_dir(&folder).unwrap();
    for (name, place) in [("postgres", Place::postgres()), ("redshift", Place::staged())] {
        let scene = Scene::new(place);
        scene.load().await;
        scene.change();
        let report = scene.load().await;
        assert_eq!((report.objects.loaded, report.objects.gone), (2, 2));
        let dump = Command::new("pg_dump")
            .args(["--inserts", "--no-owner", "--no-acl", "--schema", "public", "--dbname"])
            .arg(scene.place.database().socket_keywords())
            .output()
            .unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        fs::write(
            folder.join(format!("{name}.sql")),
            tidied(&String::from_utf8(dump.stdout).unwrap()),
        )
        .unwrap();
    }
}

/// A dump without what is about servers and programs, not about tables.
fn tidied(dump: &str) -> String {
    let foreign = |line: &str| {
        [
            "--",
            "\\",
            "SET ",
            "SELECT pg_catalog.",
            "CREATE SCHEMA",
            "ALTER SCHEMA",
            "COMMENT ON SCHEMA",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let mut tidied = String::new();
    let mut in_text = false;
    for line in dump.lines() {
        if in_text || !line.is_empty() && !foreign(line) {
            // Without quotes it would be an integer, which has no sign.
            tidied += &line.replace(" -0,", " '-0',").replace(" -0)", " '-0')");
            tidied.push('\n');
        }
        in_text ^= line.matches('\'').count() % 2 == 1;
    }
    tidied
}
