//! Bad input gets one clear error that says what to do, and changes nothing.

use std::error::Error as _;
use std::fs;
use std::io::Write;
use std::path::Path;

use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use sparkload::{Config, Error, S3Credentials, Source};

use crate::sources::bucket;
use crate::support::postgres::{self, Database};
use crate::support::s3::{ACCESS_KEY, S3};
use crate::tables::{config, fixture, tables, target};

/// The error as a user reads it, with what differs from run to run left out.
fn told(error: &Error, secrets: &[(&str, &str)]) -> String {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!("\nbecause: {error}");
        cause = error.source();
    }
    if let Some(help) = error.help() {
        text += &format!("\nhelp: {help}");
    }
    for (from, to) in secrets {
        text = text.replace(from, to);
    }
    if let Some((before, after)) = text.split_once("_loading_") {
        let after = after.trim_start_matches(|character: char| character.is_ascii_hexdigit());
        text = format!("{before}_loading_RANDOM{after}");
    }
    text
}

/// A good song and a good event, and beside them one event object as given.
fn directory_with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("song_data")).unwrap();
    fs::create_dir(directory.path().join("log_data")).unwrap();
    let song = r#"{"song_id":"S","title":"t","artist_id":"A","artist_name":"n","duration":1.5}"#;
    fs::write(directory.path().join("song_data/s.json"), song).unwrap();
    fs::write(directory.path().join("log_data/good.json"), r#"{"userId":"1","ts":1}"#).unwrap();
    fs::write(directory.path().join("log_data").join(name), bytes).unwrap();
    directory
}

/// Loads `change`d settings over a good load and returns the error; the good load must still be there.
async fn fail(database: &Database, change: impl FnOnce(&mut Config)) -> Error {
    let mut config = config(&fixture("sparkify"), database);
    sparkload::load(&config).await.unwrap();
    let before = tables(database).await;
    change(&mut config);
    let error = sparkload::load(&config).await.unwrap_err();
    similar_asserts::assert_eq!(tables(database).await, before, "after {error}");
    let left = "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname LIKE '%loading%'";
    for schema in database.query(left).into_iter().flatten().flatten() {
        // Only what the next load can go on with: an object that was read and copied before the bad record came.
        let is_useful = format!(
            "SELECT EXISTS (SELECT FROM {schema}.unfinished)
                AND EXISTS (SELECT FROM {schema}.load_objects)"
        );
        let is_useful = database.query(&is_useful);
        assert_eq!(is_useful, [[Some("t".to_owned())]], "{schema} left after {error}");
    }
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_fails_the_load_and_is_named() {
    let deep = format!("{{\"song\":{}", "[".repeat(200_000));
    let deep_and_closed = format!("{{\"song\":{}{}}}", "[".repeat(9), "]".repeat(9));
    let cases: &[(&str, &[u8], &str)] = &[
        ("broken JSON", b"{\"a\":1,}", "broken JSON: trailing comma at line 1 column 8"),
        (
            "a cut record",
            b"{\"a\":1",
            "broken JSON: EOF while parsing an object at line 1 column 6",
        ),
        ("no object", b"17", "not a JSON object"),
        (
            "no string end",
            b"{\"a\":\"\n",
            "broken JSON: EOF while parsing a string at line 1 column 6",
        ),
        (
            "deep nesting",
            deep.as_bytes(),
            "broken JSON: EOF while parsing a list at line 1 column 200008",
        ),
        ("invalid UTF-8", b"{\"song\":\"\xff\"}", "song: not valid UTF-8: \"\u{fffd}\""),
        ("invalid UTF-8 elsewhere", b"{\"so\xffng\":\"\"}", "not valid UTF-8"),
        ("half a pair", b"{\"song\":\"\\ud800\"}", "song: unpaired surrogate: \"\\ud800\""),
        ("U+0000", b"{\"song\":\"\\u0000\"}", "song: U+0000 can't be stored: \"\\u0000\""),
        ("64 bits", b"{\"ts\":9223372036854775808}", "ts: out of range: 9223372036854775808"),
        ("32 bits", b"{\"status\":\"2147483648\"}", "status: out of range: \"2147483648\""),
        ("no timestamp", b"{\"ts\":1e18}", "ts: out of the range of timestamps: 1e18"),
        ("no user", b"{\"page\":\"NextSong\",\"ts\":1}", "user_id: missing in a NextSong event"),
    ];
    let database = postgres::server().database();
    for (name, bytes, expected) in cases {
        let directory = directory_with("bad.json", &[b"{}\n", *bytes].concat());
        let error = fail(&database, |config| {
            config.source = Source::at(directory.path().to_str().unwrap()).unwrap();
        })
        .await;
        let place = format!("{}/log_data/bad.json", directory.path().display());
        assert_eq!(
            told(&error, &[(&place, "bad.json")]),
            format!(
                "error: a record was rejected, --max-errors tolerates 0; nothing was loaded\n\
                 because: bad.json, record 2 (line 2, byte 3): {expected}\n\
                 help: mend the records, or raise --max-errors; --rejects FILE writes them all to a file"
            ),
            "{name}"
        );
    }
    let directory = directory_with("deep.json", deep_and_closed.as_bytes());
    let mut config = config(directory.path(), &database);
    config.dry_run = true;
    sparkload::load(&config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_where_a_record_should_stand_is_one_reject_and_costs_no_play() {
    let play = r#"{"page":"NextSong","userId":"1","ts":1,"song":"}{"}"#;
    let database = postgres::server().database();
    let junk = [
        "null",
        "[]",
        "\"s\"",
        "7",
        "[[{\"page\":\"NextSong\"}],[1,\n2]]",
        "nul",
        "\"{\\\"\"",
        ":",
    ];
    let in_array = |what: &str| format!("[{play},{what},{}]", vec![play; 99].join(","));
    let on_a_line = |what: &str| format!("{play} {what} {}", vec![play; 99].join(" "));
    let between = junk.iter().flat_map(|what| [(in_array(what), *what), (on_a_line(what), *what)]);
    let commas = [
        (in_array(""), ","),
        (on_a_line(","), ","),
        (format!("[,{}]", vec![play; 100].join(",")), ","),
    ];
    for (text, junk) in between.chain(commas) {
        let directory = directory_with("junk.json", text.as_bytes());
        let mut config = config(directory.path(), &database);
        (config.dry_run, config.max_errors, config.block_bytes) = (true, 1, 1000);
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!((report.events.plays, report.rejected()), (100, 1), "{text}");
        let reject = &report.rejects[0];
        assert_eq!(reject.record, junk.as_bytes());
        assert_eq!(reject.reason, "not a JSON object");
        assert_eq!(&text[reject.byte_offset as usize..][..junk.len()], junk);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_characters_can_be_replaced_and_reject_limits_are_exact() {
    let bytes = b"{\"page\":\"NextSong\",\"userId\":1,\"ts\":1,\"location\":\"a\xe2\x82\\u0000\\ud800b\"}\n{\n";
    let directory = directory_with("bad.json", bytes);
    let database = postgres::server().database();
    let mut config = config(directory.path(), &database);
    config.max_errors = 1;
    assert!(sparkload::load(&config).await.is_err());
    config.format.replace_invalid_chars = Some(b'^');
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!((report.rejected(), report.rejects.len()), (1, 1));
    let location = database.query("SELECT location FROM songplays");
    assert_eq!(location, [[Some("a^^^^^^b".to_owned())]]);
    let errors = "SELECT run, record_no, line, raw_record, reason FROM load_errors";
    let expected =
        ["1", "2", "2", "{", "broken JSON: EOF while parsing an object at line 1 column 1"];
    assert_eq!(database.query(errors), [expected.map(|text| Some(text.to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_record_is_rejected_without_being_held() {
    let directory = directory_with("huge.json", b"");
    let mut huge = b"{\"song\":\"".to_vec();
    huge.resize(100 << 20, b'x');
    huge.extend_from_slice(b"\"}\n{\"userId\":\"2\"}\n");
    fs::write(directory.path().join("log_data/huge.json"), huge).unwrap();
    let database = postgres::server().database();
    let mut config = config(directory.path(), &database);
    config.max_errors = 1;
    let rejects = directory.path().join("rejects.ndjson");
    config.rejects = Some(rejects.clone());
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(report.rejects[0].reason, "longer than a record may be (--max-record-bytes)");
    // What is kept of it is what records may have.
    assert_eq!(report.rejects[0].record.len(), 4 << 20);
    assert!(fs::metadata(rejects).unwrap().len() < 5 << 20);
    let users = database.query("SELECT string_agg(user_id::text, ' ' ORDER BY user_id) FROM users");
    assert_eq!(users, [[Some("1 2".to_owned())]]);
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_object_is_called_does_not_say_how_it_is_compressed() {
    let text = fs::read(fixture("sparkify/log_data/2018/11/2018-11-05-events.json")).unwrap();
    let zstd = zstd::bulk::compress(&text, 1).unwrap();
    let skippable = [&b"\x5a\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd].concat();
    let mut bzip2 = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&text).unwrap();
    let cases: &[(&str, &[u8])] = &[
        ("x.json", &text),
        ("x.json.gz", &text),
        ("x.json.bz2", &text),
        ("x.json", &gzip_of(&text)),
        ("x.json.zst", &gzip_of(&text)),
        ("x.jsonl", &zstd),
        ("x.json.gz", &skippable),
        ("x.ndjson", &bzip2.finish().unwrap()),
    ];
    let database = postgres::server().database();
    let mut all = Vec::new();
    for (name, bytes) in cases {
        let directory = directory_with(name, bytes);
        let mut config = config(directory.path(), &database);
        (config.dry_run, config.block_bytes) = (true, 1000);
        all.push(sparkload::load(&config).await.unwrap().events);
    }
    assert!(all[0].plays > 0);
    assert!(all.iter().all(|events| *events == all[0]), "{all:?}");

    // What is hardly there is plain text, and none is nothing.
    for (bytes, records) in [(&b""[..], 1), (b"7", 2), (b"{", 2), (b"\x1f", 2), (b"P", 2)] {
        let directory = directory_with("x.json.gz", bytes);
        let mut config = config(directory.path(), &database);
        (config.dry_run, config.max_errors) = (true, 1);
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!(
            (report.events.records, report.rejected()),
            (records, records - 1),
            "{bytes:x?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_archive_fails_the_load() {
    let gzip = fs::read(fixture("sparkify/log_data/2018/11/2018-11-06-events.json.gz")).unwrap();
    let zstd = fs::read(fixture("sparkify/log_data/2018/11/2018-11-11-events.json.zst")).unwrap();
    let bzip2 = fs::read(fixture("sparkify/log_data/2018/11/2018-11-12-events.json.bz2")).unwrap();
    let mut flipped = gzip.clone();
    flipped[40] ^= 0x55;
    let cases: &[(&str, &[u8])] = &[
        ("cut.json.gz", &gzip[..gzip.len() - 9]),
        ("cut.json.zst", &zstd[..zstd.len() - 9]),
        ("cut.json.bz2", &bzip2[..bzip2.len() - 9]),
        ("flipped.json.gz", &flipped),
        ("double.json.gz", &gzip_of(&gzip)),
        ("x.json", b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46"),
        ("x.json", b"PK\x03\x04\x14\0\0\0"),
        ("x.json", b"PAR1\x15\x04\x15"),
        ("x.json.gz", &gzip_of(b"PAR1\x15\x04\x15")),
        ("x.json", b"\xff\xfe{\0\"\0"),
        ("x.json", b"{\0\"\0a\0"),
    ];
    let database = postgres::server().database();
    let mut all = Vec::new();
    for (name, bytes) in cases {
        let directory = directory_with(name, bytes);
        let error = fail(&database, |config| {
            config.source = Source::at(directory.path().to_str().unwrap()).unwrap();
            config.max_errors = 1000;
        })
        .await;
        let place = format!("{}/log_data/", directory.path().display());
        all.push(told(&error, &[(&place, "")]));
    }
    insta::assert_snapshot!(all.join("\n\n"), @r"
    error: can't decode cut.json.gz
    because: the gzip data ends early
    help: upload the object again, or leave it out with --exclude

    error: can't decode cut.json.zst
    because: the zstd data ends early
    help: upload the object again, or leave it out with --exclude

    error: can't decode cut.json.bz2
    because: the bzip2 data ends early
    help: upload the object again, or leave it out with --exclude

    error: can't decode flipped.json.gz
    because: the gzip data is broken: deflate decompression error
    help: upload the object again, or leave it out with --exclude

    error: can't decode double.json.gz
    because: it is packed twice, not JSON in UTF-8
    help: unpack it once, or leave it out with --exclude

    error: can't decode x.json
    because: it is packed by xz, not JSON in UTF-8
    help: pack it by gzip, zstd or bzip2 instead, or not at all, or leave it out with --exclude

    error: can't decode x.json
    because: it is a zip archive, not JSON in UTF-8
    help: pack it by gzip, zstd or bzip2 instead, or not at all, or leave it out with --exclude

    error: can't decode x.json
    because: it is a Parquet file, not JSON in UTF-8
    help: export it as JSON, an object on each line, or leave it out with --exclude

    error: can't decode x.json.gz
    because: it is a Parquet file, not JSON in UTF-8
    help: export it as JSON, an object on each line, or leave it out with --exclude

    error: can't decode x.json
    because: it is UTF-16 text, not JSON in UTF-8
    help: write it as UTF-8 (iconv -t UTF-8 -f and this encoding), or leave it out with --exclude

    error: can't decode x.json
    because: it is UTF-16 text, not JSON in UTF-8
    help: write it as UTF-8 (iconv -t UTF-8 -f and this encoding), or leave it out with --exclude
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_read_is_named() {
    let server = S3::start_private();
    server.put_directory("music", "", &fixture("sparkify"));
    let public = S3::start();
    public.put_directory("music", "", &fixture("sparkify"));
    let database = postgres::server().database();
    let mut wrong_secret = bucket(&server, "s3://music");
    wrong_secret.s3.no_sign_request = false;
    wrong_secret.s3.credentials = Some(S3Credentials {
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: "not the secret".to_owned().into(),
    });
    let mut nowhere = bucket(&public, "s3://music");
    nowhere.s3.endpoint_url = Some("http://127.0.0.1:1".to_owned());
    let empty = tempfile::tempdir().unwrap();
    fs::create_dir_all(empty.path().join("song_data")).unwrap();
    fs::create_dir_all(empty.path().join("log_data")).unwrap();
    fs::write(empty.path().join("song_data/empty.json"), "").unwrap();
    let cases = [
        ("no directory", Source::at("/nowhere/at/all").unwrap()),
        ("an empty directory", Source::at(empty.path().to_str().unwrap()).unwrap()),
        ("an empty prefix", bucket(&public, "s3://music/nothing")),
        ("no such bucket", bucket(&public, "s3://musik")),
        ("unsigned", bucket(&server, "s3://music")),
        ("a wrong secret", wrong_secret),
        ("nobody there", nowhere),
    ];
    let mut all = Vec::new();
    for (name, source) in cases {
        let error = fail(&database, |config| {
            (config.source, config.retry.attempts) = (source, 1);
        })
        .await;
        // Songs and logs are listed at the same time: either may fail first.
        let hidden = [(empty.path().to_str().unwrap(), "EMPTY"), ("log_data", "song_data")];
        all.push(format!("{name}\n{}", told(&error, &hidden)));
    }
    insta::assert_snapshot!(all.join("\n\n"), @r"
    no directory
    error: can't list /nowhere/at/all/song_data
    because: No such file or directory (os error 2)
    help: give a directory that exists and that you may read, or leave out folders in it with --exclude 'NAME/'

    an empty directory
    error: no song objects to load in EMPTY/song_data (1 skipped)
    help: name a folder or one object; objects must end in .json, .jsonl or .ndjson

    an empty prefix
    error: no song objects to load in s3://music/nothing/song_data/ (0 skipped)
    help: name a folder or one object; objects must end in .json, .jsonl or .ndjson

    no such bucket
    error: can't list s3://musik/song_data/
    because: NoSuchBucket: The specified bucket does not exist
    help: check the bucket's name

    unsigned
    error: can't list s3://music/song_data/
    because: AccessDenied: Access Denied
    help: these credentials need s3:ListBucket and s3:GetObject here; for a public bucket pass --no-sign-request, for one whose readers pay --request-payer

    a wrong secret
    error: can't list s3://music/song_data/
    because: SignatureDoesNotMatch
    help: check or renew the credentials

    nobody there
    error: can't list s3://music/song_data/
    because: Connection refused (os error 111)
    help: check the network and --endpoint-url
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_is_named_and_told_without_secrets() {
    let database = postgres::server().database();
    let role = format!("reader_{}", database.name());
    database.query(&format!("CREATE ROLE {role} LOGIN PASSWORD 'sesame'"));
    let port = database.server().port();
    let at = |user: &str, password: &str, name: &str, port: u16| {
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{name}")
    };
    let name = database.name();
    let cases = [
        ("nobody there", at(&role, "sesame", name, 1)),
        ("a wrong password", at(&role, "open", name, port)),
        ("no such database", at(&role, "sesame", "nowhere", port)),
        ("no right to create", at(&role, "sesame", name, port)),
    ];
    let mut all = Vec::new();
    for (case, url) in cases {
        let error = fail(&database, |config| config.target = target(&url)).await;
        let hidden = [(role.as_str(), "ROLE"), (name, "DB"), (&port.to_string(), "PORT")];
        let text = told(&error, &hidden);
        assert!(!text.contains("sesame") && !text.contains("open"), "{text}");
        all.push(format!("{case}\n{text}"));
    }
    let fresh = postgres::server().database();
    let url = at(&role, "sesame", fresh.name(), port);
    let source = Source::at(fixture("sparkify").to_str().unwrap()).unwrap();
    let error = sparkload::load(&Config::new(source, target(&url))).await.unwrap_err();
    let hidden = [(role.as_str(), "ROLE"), (fresh.name(), "DB"), (&port.to_string(), "PORT")];
    all.push(format!("no right to create a schema\n{}", told(&error, &hidden)));
    let error = fail(&database, |config| config.schema = "nowhere".to_owned()).await;
    let hidden = [(name, "DB"), (&port.to_string(), "PORT")];
    all.push(format!("no such schema\n{}", told(&error, &hidden)));
    let error = fail(&database, |config| {
        config.rejects = Some(Path::new("/nowhere/rejects.ndjson").to_owned());
    })
    .await;
    all.push(format!("no place for rejects\n{}", told(&error, &[])));
    insta::assert_snapshot!(all.join("\n\n"), @r#"
    nobody there
    error: can't connect to postgres://ROLE@127.0.0.1:1/DB
    because: error connecting to server
    because: Connection refused (os error 111)
    help: check that PostgreSQL runs there and listens on this host and port

    a wrong password
    error: can't connect to postgres://ROLE@127.0.0.1:PORT/DB
    because: FATAL: password authentication failed for user "ROLE"
    help: check the password of ROLE: in the URL, PGPASSWORD or the password file

    no such database
    error: can't connect to postgres://ROLE@127.0.0.1:PORT/nowhere
    because: FATAL: database "nowhere" does not exist
    help: create it (createdb nowhere), or name another database

    no right to create
    error: can't make a schema for a load into public
    because: ERROR: permission denied for database DB (SQLSTATE 42501)
    help: the role needs CREATE and TEMPORARY on the database, USAGE and CREATE on the schema, and SELECT, INSERT, UPDATE and DELETE on tables that are there

    no right to create a schema
    error: can't make a schema for a load into public
    because: ERROR: permission denied for database DB (SQLSTATE 42501)
    help: the role needs CREATE and TEMPORARY on the database, USAGE and CREATE on the schema, and SELECT, INSERT, UPDATE and DELETE on tables that are there

    no such schema
    error: there is no schema nowhere in postgres://sparkload@127.0.0.1:PORT/DB
    help: run `sparkload create --schema nowhere` to make it

    no place for rejects
    error: can't write the rejects to /nowhere/rejects.ndjson
    because: No such file or directory (os error 2)
    help: give --rejects a file that can be written
    "#);
}
