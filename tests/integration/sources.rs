//! One contract for every source: the same objects give the same tables.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sparkload::{Config, S3Credentials, S3Options, Source, Target};

use crate::support::postgres;
use crate::support::s3::{ACCESS_KEY, Operation, S3, SECRET_KEY};
use crate::tables::{fixture, load, tables, target};

fn options(server: &S3) -> S3Options {
    S3Options {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(server.endpoint()),
        path_style: true,
        no_sign_request: true,
        ..S3Options::default()
    }
}

/// The songs and logs under `base` on `server`, read without credentials.
pub fn bucket(server: &S3, base: &str) -> Source {
    Source { s3: options(server), ..Source::at(base).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gives_the_tables_of_its_directory() {
    let (database, expected_report) = load(&fixture("sparkify"), |_| {}).await;
    let expected = tables(&database).await;
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    server.put_directory("music", "a b/c+d%/", &fixture("sparkify"));
    server.put("music", "song_data/", "");
    server.put("music", "song_data_old/x.json", "not asked for");
    server.set_page_size(7);
    for base in ["s3://music", "s3://music/a b/c+d%/"] {
        let (database, report) = load(Path::new("unused"), |config| {
            config.source = bucket(&server, base);
        })
        .await;
        similar_asserts::assert_eq!(tables(&database).await, expected, "{base}");
        assert_eq!(report.objects.loaded, expected_report.objects.loaded);
        assert_eq!(report.objects.bytes, expected_report.objects.bytes);
        let folders = u64::from(base == "s3://music");
        assert_eq!(report.objects.skipped.folders, folders);
        assert_eq!(report.objects.listed, expected_report.objects.listed + folders);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_a_page_holds_are_all_loaded() {
    let server = S3::start();
    for number in 0..2_345 {
        let song = format!(
            "{{\"song_id\":\"SO{number}\",\"title\":\"t\",\"artist_id\":\"AR\",\"artist_name\":\"n\",\
             \"duration\":1.5}}"
        );
        server.put("music", format!("song_data/{number}.json"), song);
    }
    for number in 0..1_234 {
        let event = format!("{{\"page\":\"NextSong\",\"userId\":{number},\"ts\":{number}}}");
        server.put("music", format!("log_data/{number}.json"), event);
    }
    let (database, report) = load(Path::new("unused"), |config| {
        config.source = bucket(&server, "s3://music");
    })
    .await;
    assert_eq!(server.requests(Operation::ListObjects), 3 + 2);
    assert_eq!(report.objects.loaded, 2_345 + 1_234);
    let counts = "SELECT count(DISTINCT song_id), (SELECT count(*) FROM users) FROM songs";
    assert_eq!(database.query(counts), [[Some("2345".to_owned()), Some("1234".to_owned())]]);
    let ids = "SELECT max(object_id), count(DISTINCT object_id) FROM load_objects";
    assert_eq!(database.query(ids), [[Some("3579".to_owned()), Some("3579".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_hold_any_legal_character() {
    let server = S3::start();
    let keys =
        ["a b", "a+b", "a%20b", "a&b=c?d#e", "日本語🎵", "control\u{1}", "//a/../b", "(x)*'!~"];
    for (number, key) in keys.iter().enumerate() {
        let song = format!(
            "{{\"song_id\":\"SO{number}\",\"title\":\"t\",\"artist_id\":\"AR\",\"artist_name\":\"n\",\
             \"duration\":1.5}}"
        );
        server.put("music", format!("song_data/{key}.json"), song);
    }
    server.put("music", "log_data/x.json", "{}");
    let (database, _) = load(Path::new("unused"), |config| {
        config.source = bucket(&server, "s3://music");
    })
    .await;
    let found = database.query(
        "SELECT object FROM load_objects WHERE object LIKE '%song_data%' ORDER BY object COLLATE \"C\"",
    );
    let mut expected = keys.map(|key| format!("s3://music/song_data/{key}.json"));
    expected.sort();
    assert_eq!(found, expected.map(|name| [Some(name)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_bucket_takes_credentials_and_a_paid_one_its_payer() {
    let server = S3::start_private();
    server.put_directory("music", "", &fixture("sparkify"));
    server.set_requester_pays("music");
    let database = postgres::server().database();
    let mut source = bucket(&server, "s3://music");
    source.s3.no_sign_request = false;
    source.s3.request_payer = true;
    source.s3.credentials = Some(S3Credentials {
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.to_owned().into(),
    });
    let report = sparkload::load(&Config::new(source, target(&database.url()))).await.unwrap();
    assert_eq!(report.objects.loaded, 39);
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_choose_objects_by_key() {
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    let directory = Source::at(fixture("sparkify").to_str().unwrap()).unwrap();
    for source in [bucket(&server, "s3://music"), directory] {
        let (_, report) = load(Path::new("unused"), |config| {
            config.source = source;
            config.source.include = vec!["song_data/A/*".to_owned(), "log_data/2018/*".to_owned()];
            config.source.exclude = vec!["*.gz".to_owned()];
        })
        .await;
        let skipped = report.objects.skipped;
        assert_eq!(report.objects.listed, report.objects.loaded + skipped.total());
        assert_eq!((report.objects.loaded, skipped.excluded), (26, 17));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_names_are_skipped_and_counted_unless_the_place_itself_is_hidden() {
    let base = tempfile::tempdir().unwrap();
    let base = base.path().join("_sparkify");
    let server = S3::start();
    let song = "{\"song_id\":\"S\",\"title\":\"t\",\"artist_id\":\"A\",\"artist_name\":\"n\",\"duration\":1}";
    let play = "{\"page\":\"NextSong\",\"userId\":1,\"ts\":1}";
    for (key, text) in [
        ("song_data/a.json", song),
        ("log_data/.ipynb_checkpoints/a-checkpoint.json", play),
        ("log_data/_temporary/0/a.json", play),
        ("log_data/2018/._a.json", play),
        ("log_data/2018/a.json", play),
        ("log_data/2018/old/a.json", play),
    ] {
        let path = base.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        server.put("music", format!("_sparkify/{key}"), text);
    }
    let directory = Source::at(base.to_str().unwrap()).unwrap();
    for source in [bucket(&server, "s3://music/_sparkify"), directory] {
        for (include_hidden, exclude, plays, hidden, excluded) in
            [(false, vec![], 2, 3, 0), (true, vec![], 5, 0, 0), (false, vec!["old/"], 1, 3, 1)]
        {
            let (_, report) = load(Path::new("unused"), |config| {
                let exclude = exclude.iter().map(|&glob| glob.to_owned()).collect();
                config.source = Source { include_hidden, exclude, ..source.clone() };
            })
            .await;
            let skipped = report.objects.skipped;
            assert_eq!(
                (report.events.plays, skipped.hidden, skipped.excluded),
                (plays, hidden, excluded)
            );
            assert_eq!(report.objects.listed, report.objects.loaded + skipped.total());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_a_bucket_is_a_folder_or_one_object() {
    let server = S3::start();
    server.put_directory("music", "song_data/", &fixture("sparkify/song_data"));
    let play = "{\"page\":\"NextSong\",\"userId\":1,\"ts\":1}\n";
    for (key, plays) in [
        ("log_data/a.json", 1),
        ("log_data/_b.json", 2),
        ("log_data_old/a.json", 4),
        ("log_data.json", 8),
        ("log_data.json/a.json", 16),
    ] {
        server.put("music", key, play.repeat(plays));
    }
    for (place, plays) in [
        ("log_data", 1),
        ("log_data/", 1),
        ("log_data/a.json", 1),
        // Named, it is not hidden.
        ("log_data/_b.json", 2),
        ("log_data.json", 8 + 16),
        ("log_data.json/", 16),
    ] {
        let (_, report) = load(Path::new("unused"), |config| {
            config.source = bucket(&server, "s3://music");
            config.source.logs = format!("s3://music/{place}").parse().unwrap();
        })
        .await;
        assert_eq!(report.events.plays, plays, "{place}");
    }
    let database = postgres::server().database();
    let mut config = Config::new(bucket(&server, "s3://music"), target(&database.url()));
    config.source.logs = "s3://music/log_dat".parse().unwrap();
    let error = sparkload::load(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "no log objects to load in s3://music/log_dat (0 skipped)");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_what_is_loaded_doubles_nothing() {
    let base = tempfile::tempdir().unwrap();
    let logs = base.path().join("log_data/2018");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("a.json"), "{\"page\":\"NextSong\",\"userId\":1,\"ts\":1}").unwrap();
    let songs = fixture("sparkify/song_data/A/C/A");
    let database = postgres::server().database();
    let source = Source::new(
        songs.to_str().unwrap().parse().unwrap(),
        base.path().join("log_data").to_str().unwrap().parse().unwrap(),
    );
    let config = Config::new(source, target(&database.url()));
    assert_eq!(sparkload::load(&config).await.unwrap().events.plays, 1);
    std::os::unix::fs::symlink("2018", base.path().join("log_data/1-latest")).unwrap();
    fs::hard_link(logs.join("a.json"), logs.join("b.json")).unwrap();
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!((report.objects.loaded, report.objects.skipped.repeated), (0, 3));
    assert_eq!(database.query("SELECT count(*) FROM songplays"), [[Some("1".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn songs_and_logs_may_lie_apart_and_be_single_files() {
    let directory = tempfile::tempdir().unwrap();
    let songs = fixture("sparkify/song_data/A/C/A");
    let log = directory.path().join("one log.ndjson");
    fs::write(&log, "{\"page\":\"Home\",\"userId\":\"7\"}").unwrap();
    let (database, report) = load(Path::new("unused"), |config| {
        config.source = Source::new(
            songs.to_str().unwrap().parse().unwrap(),
            format!("file://{}", log.display()).parse().unwrap(),
        );
    })
    .await;
    assert_eq!(report.events.filtered, 1);
    assert_eq!(database.query("SELECT user_id FROM users"), [[Some("7".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jsonpaths_file_says_where_values_are_wherever_it_lies() {
    let columns = [
        "who",
        "auth",
        "firstName",
        "gender",
        "itemInSession",
        "lastName",
        "length",
        "level",
        "location",
        "method",
        "what['page'][1]",
        "registration",
        "sessionId",
        "song",
        "status",
        "ts",
        "userAgent",
        "user.id",
    ];
    let paths = columns.map(|path| format!("\"$.{path}\"")).join(",");
    let server = S3::start();
    server.put("music", "etc/paths.json", format!("{{\"jsonpaths\":[{paths}]}}"));
    let log = "{\"who\":\"a\",\"what\":{\"page\":[0,\"NextSong\"]},\"TS\":5,\"user\":{\"ID\":7}}";
    server.put("music", "log_data/x.json", log);
    let song = "{\"song_id\":\"S\",\"title\":\"t\",\"artist_id\":\"A\",\"artist_name\":\"n\",\"duration\":1}";
    server.put("music", "song_data/x.json", song);

    let location = "s3://music/etc/paths.json".parse().unwrap();
    let jsonpaths = sparkload::read_jsonpaths(&location, &options(&server)).await.unwrap();
    let (database, _) = load(Path::new("unused"), |config| {
        config.source = bucket(&server, "s3://music");
        config.format.jsonpaths = Some(jsonpaths);
        config.format.ignore_case = true;
    })
    .await;
    let play = database
        .query("SELECT songplays.user_id, start_time, artist FROM songplays, staging_events");
    let expected = ["7", "1970-01-01 00:00:00.005", "a"];
    assert_eq!(play, [expected.map(|text| Some(text.to_owned()))]);

    let missing = "s3://music/etc/paths".parse().unwrap();
    let error = sparkload::read_jsonpaths(&missing, &options(&server)).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no JSONPaths file s3://music/etc/paths");
}

/// Whoever writes a file under another name and renames it, as most tools do, fails no load that lists meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_renamed_and_removed_while_they_are_listed_fail_no_load() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("log_data");
    fs::create_dir_all(&logs).unwrap();
    let song = r#"{"song_id":"S","title":"t","artist_id":"A","artist_name":"a","duration":1.5}"#;
    fs::create_dir_all(folder.path().join("song_data")).unwrap();
    fs::write(folder.path().join("song_data/a.json"), song).unwrap();
    fs::write(logs.join("stays.json"), r#"{"page":"Home","userId":"1","ts":1}"#).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, logs) = (stop.clone(), logs.clone());
        move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let name = logs.join(format!("{number}.json"));
                let partial = logs.join(format!("{number}.json.tmp"));
                fs::write(&partial, "{}").unwrap();
                fs::rename(&partial, &name).unwrap();
                fs::remove_file(&name).unwrap();
                number += 1;
            }
            number
        }
    });
    let source = Source::at(folder.path().to_str().unwrap()).unwrap();
    for _ in 0..25 {
        let nowhere = Target::Embedded(folder.path().join("unused.db"));
        let config = Config { dry_run: true, ..Config::new(source.clone(), nowhere) };
        let report = sparkload::load(&config).await.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(report.objects.loaded >= 2);
        let objects = &report.objects;
        assert_eq!(objects.listed, objects.loaded + objects.skipped.total());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
}
