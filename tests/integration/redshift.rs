//! Redshift is loaded as PostgreSQL is: the same tables, all or nothing, whatever breaks.

use std::error::Error as _;
use std::time::Duration;

use sqlparser::dialect::RedshiftSqlDialect;
use sqlparser::parser::Parser;

use sparkload::{Config, CopyAccess, ErrorKind, Existing, Mode, Retry, Table, Verdict};

use crate::books;
use crate::directory::{Directory, play, song};
use crate::support::postgres;
use crate::support::redshift::Fault;
use crate::support::s3::SECRET_KEY;
use crate::tables::{contents, csv, fixture, load, tables, target};
use crate::warehouse::{STAGE, Warehouse};

/// A source of a few records.
pub fn source() -> Directory {
    let mut source = Directory::new();
    source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Elegy")]);
    source.put("log_data/2.json", &[play(3, 3, "Ode")]);
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    source.put("song_data/2.json", &[song("SO2", "AR2", "Hymn")]);
    source
}

/// The error and its causes on one line.
pub fn told(error: &sparkload::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Tries again soon.
pub fn hasty(mut config: Config) -> Config {
    config.retry = Retry { attempts: 5, max_delay: Duration::from_millis(50), ..Retry::default() };
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_and_inserted_rows_are_those_that_postgresql_has() {
    for directory in ["sparkify", "dirty"] {
        let base = fixture(directory);
        let tolerant = |config: &mut Config| config.max_errors = 1000;
        let (expected, report) = load(&base, tolerant).await;
        let warehouse = Warehouse::start();
        let inserts = warehouse.config_of_inserts(&base);
        for mut config in [warehouse.config(&base), Config { full_refresh: true, ..inserts }] {
            tolerant(&mut config);
            let found = sparkload::load(&config).await.unwrap();
            let database = warehouse.database();
            similar_asserts::assert_eq!(
                contents(database, &base).await,
                contents(&expected, &base).await
            );
            let rejects = "SELECT object, etag, record_no, line, byte_offset, column_name, raw_value, raw_record, reason
                           FROM load_errors ORDER BY object COLLATE \"C\", record_no";
            similar_asserts::assert_eq!(
                csv(database, rejects).await,
                csv(&expected, rejects).await
            );
            books::balance(database).await;
            books::agree(&found, database).await;
            for table in Table::ALL {
                assert_eq!(found.rows(table), report.rows(table), "{table}");
            }
        }
        warehouse.hold_empty();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_the_tables() {
    let warehouse = Warehouse::start();
    let target = target(&warehouse.redshift.url());
    assert_eq!(sparkload::create(&target, "plays", Existing::Keep).await.unwrap(), Table::ALL);
    assert_eq!(sparkload::create(&target, "plays", Existing::Keep).await.unwrap(), []);
    let mut config = warehouse.config(&fixture("sparkify"));
    config.schema = "plays".to_owned();
    sparkload::load(&config).await.unwrap();
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(
        (report.mode, report.objects.loaded, report.objects.unchanged),
        (Mode::Incremental, 0, 39)
    );

    let (postgres, _) = load(&fixture("sparkify"), |_| {}).await;
    let same = crate::tables::target(&postgres.url());
    for named in sparkload::named_queries() {
        let found = sparkload::query(&target, "plays", named.sql).await.unwrap();
        let expected = sparkload::query(&same, "public", named.sql).await.unwrap();
        assert_eq!(found.to_csv(), expected.to_csv(), "{}", named.name);
    }
    let rename = "UPDATE songs SET title = CASE WHEN year = 0 THEN 'Ã©tÃ©' ELSE 'CORAÇÃO' END";
    warehouse.database().query(&format!("SET search_path = plays; {rename}"));
    postgres.query(rename);
    let checks = sparkload::check(&target, "plays").await.unwrap();
    let expected = sparkload::check(&same, "public").await.unwrap();
    assert_eq!(checks, expected);
    assert!(checks.iter().all(|check| check.verdict != Verdict::Broken));
    let unknown = "SELECT count(*) AS unknown FROM songs WHERE year = 0";
    let mojibake = checks.iter().find(|it| it.table == "songs" && it.check == "mojibake").unwrap();
    assert_eq!(csv(&postgres, unknown).await, format!("unknown\n{}\n", mojibake.value));

    let history = sparkload::history(&target, "plays").await.unwrap();
    assert_eq!(
        history.iter().map(|past| (past.run, &*past.mode)).collect::<Vec<_>>(),
        [(2, "incremental"), (1, "full")]
    );
    assert_eq!(history[1].rows["songplays"], 81);
    let objects = sparkload::history_of(&target, "plays", 1).await.unwrap();
    assert_eq!(objects.len(), 39);
    assert_eq!(sparkload::create(&target, "plays", Existing::Drop).await.unwrap(), Table::ALL);
    assert_eq!(sparkload::history(&target, "plays").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_one_of_redshifts_sql() {
    let warehouse = Warehouse::start();
    let target = target(&warehouse.redshift.url());
    let mut source = source();
    for inserts in [false, true] {
        sparkload::create(&target, "public", Existing::Drop).await.unwrap();
        let mut config = match inserts {
            true => warehouse.config_of_inserts(source.path()),
            false => warehouse.config(source.path()),
        };
        config.matched_only = true;
        config.max_errors = 1;
        sparkload::load(&config).await.unwrap();
        source.append("log_data/2.json", &[play(3, 4, "Ode"), serde_json::json!({"ts": "never"})]);
        assert_eq!(sparkload::load(&config).await.unwrap().mode, Mode::Incremental);
        source.remove("log_data/2.json");
    }
    sparkload::check(&target, "public").await.unwrap();
    sparkload::history(&target, "public").await.unwrap();
    sparkload::history_of(&target, "public", 1).await.unwrap();
    let statements = warehouse.redshift.statements();
    assert!(statements.len() > 100, "{}", statements.len());
    for statement in statements {
        // The one thing that the parser does not know.
        let mut words = statement.split(' ').peekable();
        let mut known = String::new();
        while let Some(word) = words.next() {
            if word == "ENCODE" {
                let encoding = words.next().unwrap();
                known.push_str(encoding.trim_start_matches(|it: char| it.is_ascii_alphanumeric()));
            } else {
                known.push_str(word);
            }
            known.push(' ');
        }
        let parsed = Parser::parse_sql(&RedshiftSqlDialect {}, &known);
        assert!(parsed.is_ok(), "{statement}: {parsed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_missing_or_holds_other_tables_is_refused() {
    let warehouse = Warehouse::start();
    let mut config = warehouse.config(source().path());
    config.schema = "nowhere".to_owned();
    let error = sparkload::load(&config).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no schema nowhere in "), "{error}");
    assert_eq!(error.help(), Some("run `sparkload create --schema nowhere` to make it"));
    warehouse.database().query("CREATE TABLE users (user_id BIGINT, name TEXT)");
    let error = sparkload::load(&warehouse.config(source().path())).await.unwrap_err();
    assert_eq!(error.to_string(), "tables in the schema public are not those of sparkload");
    let cause = error.source().unwrap().to_string();
    assert!(
        cause.contains("users.user_id is BIGINT instead of INT\nusers lacks first_name"),
        "{cause}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_measured_in_bytes_and_rejected_or_cut() {
    let mut source = source();
    let (long, wide) = ("x".repeat(1024), "é".repeat(513));
    let mut records = [play(4, 4, &long), play(5, 5, &wide)];
    records.iter_mut().for_each(|record| record["artist"] = "someone".into());
    records[0]["level"] = "l".repeat(65).into();
    source.put("log_data/3.json", &records);
    let warehouse = Warehouse::start();
    let mut config = warehouse.config(source.path());
    let error = sparkload::load(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    warehouse.hold_empty();
    config.max_errors = 2;
    sparkload::load(&config).await.unwrap();
    let rejects =
        "SELECT record_no, column_name, column_type, reason FROM load_errors ORDER BY record_no";
    assert_eq!(
        csv(warehouse.database(), rejects).await,
        "record_no,column_name,column_type,reason\n\
         1,level,VARCHAR(64),too long for the column\n\
         2,song,VARCHAR(1024),too long for the column\n"
    );
    config.format.truncate_columns = true;
    config.full_refresh = true;
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(report.rejected(), 0);
    let lengths = "SELECT octet_length(song) AS song, length(level) AS level FROM staging_events
                   WHERE user_id > 3 ORDER BY user_id";
    assert_eq!(csv(warehouse.database(), lengths).await, "song,level\n1024,64\n1024,4\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_as_many_as_slices_and_each_is_named_once() {
    let directory = tempfile::tempdir().unwrap();
    let settings = sparkload::Generate {
        events: 60_000,
        songs: 500,
        ..sparkload::Generate::new(directory.path().to_str().unwrap().parse().unwrap())
    };
    sparkload::generate(&settings).await.unwrap();
    let warehouse = Warehouse::start();
    let mut config = warehouse.config(directory.path());
    config.stage.as_mut().unwrap().keep = true;
    let report = sparkload::load(&config).await.unwrap();
    let staged = warehouse.s3.objects(STAGE);
    let files = |table: &str| -> Vec<(String, usize)> {
        let of_table = staged.iter().filter(|(key, _)| key.contains(&format!("/{table}/")));
        of_table.map(|(key, bytes)| (key.clone(), bytes.len())).collect()
    };
    let kept = staged.iter().find(|(key, _)| key.ends_with("/_kept")).unwrap().1;
    let kept = String::from_utf8(kept.to_vec()).unwrap();
    assert!(kept.starts_with("MANIFEST CSV NULL AS '") && kept.contains(" ZSTD"), "{kept}");
    // Another file is begun when all have 1 MiB: that is after one of 2 MB of events, and never with 0.7 MB of plays.
    let events = files("staging_events");
    let large = events.iter().filter(|(_, bytes)| *bytes >= 1 << 20);
    assert_eq!((events.len(), large.count()), (2, 1), "{events:?}");
    assert_eq!(["songplays", "users"].map(|table| files(table).len()), [1, 1]);
    let manifest = "/staging_events.manifest";
    let manifest = staged.iter().find(|(key, _)| key.ends_with(manifest)).unwrap().1;
    let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    let entries = manifest["entries"].as_array().unwrap();
    let named: Vec<String> =
        entries.iter().map(|entry| entry["url"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> =
        events.iter().map(|(key, _)| format!("s3://{STAGE}/{key}")).collect();
    assert_eq!(named, expected);
    assert!(entries.iter().all(|entry| entry["mandatory"] == true));
    let (direct, expected) = load(directory.path(), |_| {}).await;
    assert_eq!(report.rows(Table::Songplays), expected.rows(Table::Songplays));
    similar_asserts::assert_eq!(tables(warehouse.database()).await, tables(&direct).await);

    // Files that were kept are nobody's to remove, those of a dead load are.
    let place = events[0]
        .0
        .split("/staging_events/")
        .next()
        .unwrap()
        .rsplit_once('/')
        .unwrap()
        .0
        .to_owned();
    warehouse.s3.put(STAGE, format!("{place}/0123456789abcdef/users/0001.csv.zst"), "left");
    config.stage.as_mut().unwrap().keep = false;
    sparkload::load(&config).await.unwrap();
    assert_eq!(
        warehouse.s3.objects(STAGE).keys().collect::<Vec<_>>(),
        staged.keys().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_keys_open_the_stage_and_no_secret_is_told() {
    let source = source();
    let warehouse = Warehouse::start();
    let arn = "arn:aws:iam::123456789012:role/reader";
    warehouse.redshift.default_role(arn);
    let mut config = warehouse.config(source.path());
    config.full_refresh = true;
    for access in [CopyAccess::Role(arn.to_owned()), CopyAccess::DefaultRole] {
        config.stage.as_mut().unwrap().access = access;
        sparkload::load(&config).await.unwrap();
    }
    // Keys would be sent, and this address could be anywhere.
    let keys = Config { stage: Some(warehouse.stage()), ..config.clone() };
    let url = warehouse.redshift.url().replace("127.0.0.1", "0.0.0.0");
    for mode in ["disable", "prefer"] {
        let target = target(&url.replace("sslmode=disable", &format!("sslmode={mode}")));
        let error = sparkload::load(&Config { target, ..keys.clone() }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.help().unwrap().contains("--iam-role"), "{error}: {:?}", error.help());
    }
    sparkload::load(&Config { target: target(&url), ..config.clone() }).await.unwrap();
    assert!(
        warehouse.redshift.statements().iter().all(|statement| !statement.contains(SECRET_KEY))
    );
    config.stage.as_mut().unwrap().access =
        CopyAccess::Role("arn:aws:iam::1:role/other".to_owned());
    let error = sparkload::load(&config).await.unwrap_err();
    assert!(error.to_string().starts_with("can't copy the staged rows of "), "{error}");
    warehouse.hold_empty();

    config.stage.as_mut().unwrap().access = CopyAccess::Keys;
    for _ in 0..5 {
        warehouse.redshift.fail_next(Fault::CopyFails { table: Some("songplays".to_owned()) });
    }
    let error = sparkload::load(&hasty(config)).await.unwrap_err();
    assert_eq!(error.to_string(), "can't copy the staged rows of songplays");
    let told = format!("{} {:?}", told(&error), error);
    assert!(!told.contains(SECRET_KEY), "{told}");
    warehouse.hold_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_the_tables_are_those_before_or_those_after() {
    let mut source = source();
    let warehouse = Warehouse::start();
    let config = hasty(warehouse.config(source.path()));
    let mut runs = 1;
    sparkload::load(&config).await.unwrap();

    // What passes is tried again, and nothing stands there twice.
    let closed = |text: &str| Fault::ClosedBefore(text.to_owned());
    let unnoticed = |text: &str| Fault::ClosedUnnoticed(text.to_owned(), Duration::from_secs(600));
    let refused = |text: &str, code, message| Fault::RefusedAt(text.to_owned(), code, message);
    for (number, faults) in [
        vec![Fault::ConflictAtCommit { times: 3 }],
        vec![Fault::CommitAnswerLost],
        vec![closed("COMMIT")],
        vec![closed("COPY")],
        vec![closed("LOCK TABLE"), closed("pg_last_copy_count")],
        // Sessions that the server would keep for longer than a test may take.
        vec![unnoticed("LOCK TABLE"), unnoticed("COPY")],
        vec![unnoticed("COMMIT"), closed("LOCK TABLE")],
        vec![Fault::ConflictAt("INSERT INTO load_runs".to_owned()), Fault::CommitAnswerLost],
        vec![refused("COMMIT", "XX000", CONFLICT), refused("LOCK TABLE", "XX000", CONFLICT)],
        vec![refused("COPY", "XX000", "could not open relation with OID 108448")],
        vec![closed("SELECT object_id"), closed("stv_slices")],
        vec![Fault::CopyFails { table: Some("delta_events".to_owned()) }],
    ]
    .into_iter()
    .enumerate()
    {
        source.put(&format!("log_data/new {number}.json"), &[play(1, 10 + number as i64, "Ode")]);
        let case = format!("{faults:?}");
        faults.into_iter().for_each(|fault| warehouse.redshift.fail_next(fault));
        let report = sparkload::load(&config).await;
        let report = report.unwrap_or_else(|error| panic!("{case}: {}", told(&error)));
        runs += 1;
        assert_eq!((report.run, report.objects.loaded), (runs, 1), "{case}");
        assert_eq!(warehouse.redshift.pending_faults(), 0, "{case}");
        books::balance(warehouse.database()).await;
        books::agree(&report, warehouse.database()).await;
        warehouse.hold_empty();
    }
    let (expected, _) = load(source.path(), |_| {}).await;
    let found = contents(warehouse.database(), source.path()).await;
    similar_asserts::assert_eq!(found, contents(&expected, source.path()).await);

    // What does not pass ends the load, and leaves the old state.
    let before = tables(warehouse.database()).await;
    source.put("log_data/last.json", &[play(7, 99, "Ode")]);
    warehouse.redshift.fail_next(Fault::ConflictAtCommit { times: 5 });
    let error = sparkload::load(&config).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "can't publish the load in the schema public",
        "{}",
        told(&error)
    );
    assert_eq!(warehouse.redshift.pending_faults(), 0);
    similar_asserts::assert_eq!(tables(warehouse.database()).await, before);
    warehouse.hold_empty();
    sparkload::load(&config).await.unwrap();
}

/// What Redshift says of a conflict where it does not say 1023.
const CONFLICT: &str = "could not complete because of conflict with concurrent transaction";

/// `CREATE TABLE IF NOT EXISTS` by two sessions at once violates the catalog's own key.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_something_else_makes_at_once_are_made_again() {
    let source = source();
    let warehouse = Warehouse::start();
    const KEY: &str = "duplicate key violates unique constraint \"pg_class_relname_nsp_index\" \
                       (possibly caused by concurrent transaction conflict)";
    let refused = |text: &str, message| Fault::RefusedAt(text.to_owned(), "23505", message);
    for text in ["load_lock", "CREATE TABLE IF NOT EXISTS songplays"] {
        warehouse.redshift.fail_next(refused(text, KEY));
    }
    let target = warehouse.config(source.path()).target;
    assert_eq!(sparkload::create(&target, "public", Existing::Keep).await.unwrap(), Table::ALL);
    assert_eq!(warehouse.redshift.pending_faults(), 0);

    let empty = Warehouse::start();
    for text in ["load_lock", "CREATE TABLE IF NOT EXISTS songplays"] {
        empty.redshift.fail_next(refused(text, KEY));
    }
    sparkload::load(&hasty(empty.config(source.path()))).await.unwrap();
    assert_eq!(empty.redshift.pending_faults(), 0);
    books::balance(empty.database()).await;
}

/// Its planner takes declared keys for unique.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_stand_there_twice_are_found_though_a_key_is_declared() {
    let source = source();
    let warehouse = Warehouse::start();
    let config = warehouse.config(source.path());
    sparkload::load(&config).await.unwrap();
    let trusted = "SELECT count(DISTINCT user_id) FROM users";
    let rows = sparkload::query(&config.target, "public", trusted).await.unwrap();
    for (table, key) in [
        ("songplays", "songplay_id"),
        ("users", "user_id"),
        ("songs", "song_id"),
        ("artists", "artist_id"),
        ("\"time\"", "start_time"),
    ] {
        warehouse.database().query(&format!("INSERT INTO {table} SELECT * FROM {table} LIMIT 1"));
        let checks = sparkload::check(&config.target, "public").await.unwrap();
        let name = format!("repeated or missing {key}");
        let check = checks.iter().find(|check| check.check == name).unwrap();
        assert_eq!((check.value.as_u64(), check.verdict), (Some(1), Verdict::Broken), "{table}");
    }
    let twice = sparkload::query(&config.target, "public", trusted).await.unwrap();
    assert_ne!(rows.rows, twice.rows, "the stand-in counts what is distinct of a declared key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_lost_its_lock_to_another_one_starts_over() {
    let mut source = source();
    let warehouse = Warehouse::start();
    let config = hasty(warehouse.config(source.path()));
    sparkload::load(&config).await.unwrap();
    let publishes = "INSERT INTO load_runs
                     SELECT (run).*
                     FROM (SELECT jsonb_populate_record(load_runs, '{\"run\": 2, \"token\": \"other\"}') AS run
                           FROM load_runs) AS other";
    // The other one has removed the files and failed, or was published besides.
    for (number, does, run) in [(0, "SELECT 1", 2), (1, publishes, 3)] {
        source.put(&format!("log_data/new {number}.json"), &[play(1, 10 + number, "Ode")]);
        let close = Fault::ClosedBefore("COPY delta_events".to_owned());
        let wait = Fault::Wait("COPY delta_objects".to_owned(), Duration::from_secs(2));
        warehouse.redshift.fail_next(close);
        warehouse.redshift.fail_next(wait);
        let other = async {
            while !warehouse.staged().iter().any(|key| key.ends_with(".manifest")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Its turn comes when the first one's session is gone.
            let client = warehouse.database().connect().await;
            client.batch_execute("BEGIN; LOCK TABLE load_lock").await.unwrap();
            warehouse.staged().iter().for_each(|key| warehouse.s3.remove(STAGE, key));
            client.batch_execute(&format!("{does}; COMMIT")).await.unwrap();
        };
        let (report, ()) = tokio::join!(sparkload::load(&config), other);
        let report = report.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!((report.run, report.objects.loaded), (run, 1), "{does}");
        assert_eq!(warehouse.redshift.pending_faults(), 0, "{does}");
        books::agree(&report, warehouse.database()).await;
        warehouse.hold_empty();
        if run == 3 {
            warehouse.database().query("DELETE FROM load_runs WHERE token = 'other'");
        }
    }
    books::balance(warehouse.database()).await;

    // What waits in a session goes with it.
    let inserts = hasty(warehouse.config_of_inserts(source.path()));
    let inserts = Config { full_refresh: true, ..inserts };
    warehouse.redshift.fail_next(Fault::ClosedBefore("INSERT INTO waiting_songs".to_owned()));
    assert_eq!(sparkload::load(&inserts).await.unwrap().run, 4);
    assert_eq!(warehouse.redshift.pending_faults(), 0);
}

/// Changes the first staged file of `table` as soon as all are there and before Redshift reads it.
async fn meddle(warehouse: &Warehouse, table: &str, change: impl Fn(&str)) {
    warehouse.redshift.fail_next(Fault::Wait(format!("COPY {table} "), Duration::from_secs(2)));
    let file = format!("/{table}/0001.csv.zst");
    loop {
        let staged = warehouse.staged();
        if staged.iter().any(|key| key.ends_with(".manifest")) {
            return change(staged.iter().find(|key| key.ends_with(&file)).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_names_file_line_and_reason() {
    let source = source();
    for serverless in [false, true] {
        let warehouse = Warehouse::start();
        if serverless {
            warehouse.redshift.serverless();
        }
        let config = warehouse.config(source.path());
        let (loaded, ()) = tokio::join!(
            sparkload::load(&config),
            meddle(&warehouse, "songs", |file| {
                let bytes = zstd::encode_all(&b"\"SO1\",\"Ode\",\"AR1\",,never\n"[..], 1).unwrap();
                warehouse.s3.put(STAGE, file, bytes);
            })
        );
        let told = told(&loaded.unwrap_err());
        assert!(
            told.starts_with("can't copy the staged rows of songs: s3://stage/loads/"),
            "{told}"
        );
        let rest = told.split_once("/songs/0001.csv.zst, ").unwrap().1;
        assert_eq!(rest, "line 1, column duration: Invalid character in float");
        warehouse.hold_empty();
        assert_eq!(sparkload::load(&config).await.unwrap().run, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_file_that_is_gone_or_holds_other_rows_ends_the_load() {
    let source = source();
    let warehouse = Warehouse::start();
    let config = warehouse.config(source.path());
    let (loaded, ()) = tokio::join!(
        sparkload::load(&config),
        meddle(&warehouse, "songplays", |file| warehouse.s3.remove(STAGE, file))
    );
    let error = loaded.unwrap_err();
    assert_eq!(error.to_string(), "can't copy the staged rows of songplays", "{}", told(&error));
    warehouse.hold_empty();
    let (loaded, ()) = tokio::join!(
        sparkload::load(&config),
        meddle(&warehouse, "songs", |file| {
            let bytes = zstd::encode_all(&b"\"SO1\",\"Ode\",\"AR1\",,1.5\n"[..], 1).unwrap();
            warehouse.s3.put(STAGE, file, bytes);
        })
    );
    assert_eq!(loaded.unwrap_err().to_string(), "songs took 1 of the 2 rows that were staged");
    warehouse.hold_empty();
    assert_eq!(sparkload::load(&config).await.unwrap().run, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_loads_one_fails_at_once_or_waits() {
    let source = source();
    let warehouse = Warehouse::start();
    let first = warehouse.config(source.path());
    sparkload::load(&first).await.unwrap();
    let again = Config { full_refresh: true, ..first.clone() };
    warehouse.redshift.fail_next(Fault::Wait("COPY".to_owned(), Duration::from_secs(3)));
    let (one, other) = tokio::join!(sparkload::load(&again), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let refused = sparkload::load(&first).await.unwrap_err();
        let waiting = Config { wait: Some(Duration::from_secs(30)), ..first.clone() };
        (refused, sparkload::load(&waiting).await)
    });
    assert_eq!(one.unwrap().run, 2);
    let (refused, waited) = other;
    assert_eq!(refused.to_string(), "another load works on the schema public");
    let waited = waited.unwrap();
    assert_eq!((waited.run, waited.objects.unchanged), (3, 4));
    books::balance(warehouse.database()).await;
    warehouse.hold_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_stopped_leaves_nothing_behind() {
    let source = source();
    let warehouse = Warehouse::start();
    let config = warehouse.config(source.path());
    sparkload::load(&config).await.unwrap();
    let before = tables(warehouse.database()).await;
    let again = Config { full_refresh: true, ..config.clone() };
    warehouse.redshift.fail_next(Fault::Wait("COPY".to_owned(), Duration::from_secs(600)));
    let stop = async {
        while warehouse.redshift.pending_faults() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let error = sparkload::load_until(&again, stop).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    warehouse.hold_empty();
    similar_asserts::assert_eq!(tables(warehouse.database()).await, before);
    // Nor does what the server was at keep the next load out.
    assert_eq!(sparkload::load(&config).await.unwrap().run, 2);
    // A load whose process dies can't clear away; the next one does.
    warehouse.redshift.fail_next(Fault::Wait("COPY".to_owned(), Duration::from_secs(2)));
    let patient = Config { wait: Some(Duration::from_secs(30)), ..again };
    let staged = async {
        while !warehouse.staged().iter().any(|key| key.ends_with(".manifest")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = sparkload::load(&patient) => panic!("it did not wait: {done:?}"),
        () = staged => {}
    }
    assert!(!warehouse.staged().is_empty(), "a load that dies leaves its files");
    sparkload::load(&patient).await.unwrap();
    warehouse.hold_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dialect_is_asked_for_or_told() {
    let source = source();
    let warehouse = Warehouse::start();
    let server =
        |url: &str| sparkload::Server::parse(url, &sparkload::Defaults::default()).unwrap();
    let mut config = warehouse.config(source.path());
    let told_wrong = server(&warehouse.redshift.url()).with_dialect(sparkload::Dialect::Postgres);
    config.target = sparkload::Target::Postgres(told_wrong);
    assert!(sparkload::load(&config).await.is_err());
    let told = server(&warehouse.redshift.url()).with_dialect(sparkload::Dialect::Redshift);
    config.target = sparkload::Target::Postgres(told);
    sparkload::load(&config).await.unwrap();
    let asked = warehouse.redshift.statements();
    assert!(!asked.iter().any(|statement| statement.contains("version()")), "{asked:?}");

    // The lengths of a dry run are those of the dialect that is told, or of the one that is staged for.
    let database = postgres::server().database();
    let mut dry = Config { dry_run: true, max_errors: 10, ..config.clone() };
    let mut source = Directory::new();
    source.put("log_data/1.json", &[play(1, 1, &"x".repeat(2000))]);
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    dry.source = sparkload::Source::at(source.path().to_str().unwrap()).unwrap();
    assert_eq!(sparkload::load(&dry).await.unwrap().rejected(), 1);
    dry.target = target(&database.url());
    assert_eq!(sparkload::load(&dry).await.unwrap().rejected(), 1);
    dry.stage = None;
    assert_eq!(sparkload::load(&dry).await.unwrap().rejected(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_schemas_are_folded_and_long_ones_taken() {
    let source = source();
    let warehouse = Warehouse::start();
    let target = target(&warehouse.redshift.url());
    for schema in ["Plays".to_owned(), "p".repeat(63)] {
        let made = sparkload::create(&target, &schema, Existing::Keep).await.unwrap();
        assert_eq!(made, Table::ALL);
        let config = Config { schema: schema.clone(), ..warehouse.config(source.path()) };
        sparkload::load(&config).await.unwrap();
        let plays = format!("SELECT count(*) AS plays FROM {}.songplays", schema.to_lowercase());
        assert_eq!(csv(warehouse.database(), &plays).await, "plays\n3\n");
    }
    let error = sparkload::create(&target, &"p".repeat(128), Existing::Keep).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_notice_of_capitals_is_refused() {
    let source = source();
    let warehouse = Warehouse::start();
    warehouse.redshift.case_insensitive();
    let refused = "the database takes capitals and small letters for the same";
    let error = sparkload::load(&warehouse.config(source.path())).await.unwrap_err();
    assert_eq!(error.to_string(), refused);
    let target = target(&warehouse.redshift.url());
    let error = sparkload::create(&target, "public", Existing::Keep).await.unwrap_err();
    assert_eq!(error.to_string(), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_only_redshift_knows_is_explained() {
    let warehouse = Warehouse::start();
    warehouse.redshift.fail_next(Fault::DigestDemanded);
    let error = sparkload::query(&target(&warehouse.redshift.url()), "public", "SELECT 1").await;
    let error = error.unwrap_err();
    assert!(error.help().unwrap().contains("SHA-256"), "{error}: {:?}", error.help());
}
