//! What `sparkload generate` writes is what it says, for a load and for a reader of bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt;
use serde_json::Value;
use sparkload::{
    Compression, Config, Generate, Generating, Location, S3Options, Source, Target, generate,
};
use tempfile::TempDir;

use crate::cli::{signal, sparkload};
use crate::support::clean::clean;
use crate::support::s3::{Fault, Operation, S3, When};

/// Runs the program in `directory`, which has no settings, and expects an exit code; its stdout and stderr.
fn run(directory: &Path, line: &str, code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparkload"));
    clean(command.current_dir(directory).args(line.split_whitespace()), directory);
    let assert = command.assert().code(code);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&assert.get_output().stdout), text(&assert.get_output().stderr))
}

fn json(directory: &Path, line: &str) -> Value {
    serde_json::from_str(&run(directory, line, 0).0).unwrap()
}

/// All files below a directory, by their relative paths.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(directory).unwrap();
            files.insert(path.display().to_string(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn small(into: &Path) -> Generate {
    let usual = Generate::new(Location::Directory(into.to_owned()));
    Generate { songs: 150, days: 3, events: 10_000, users: 200, ..usual }
}

#[test]
fn a_load_finds_what_was_generated() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let cases = [
        "--songs 230 --events 7000 --days 9 --users 80 --match 0.25",
        "--songs 90 --events 7000 --days 3 --users 800 --dirty 0.05 --seed 9 --compression gzip",
        "--songs 230 --events 2000 --days 9 --users 80 --dirty 1 --match 1 --skew 0 --compression zstd",
        "--songs 1 --events 3000 --days 9 --users 80 --skew 4 --dirty 0.01 --compression bzip2",
        "--songs 30 --events 7000 --days 1 --users 1 --match 1",
        "--songs 30 --events 3",
    ];
    for (number, options) in cases.into_iter().enumerate() {
        let line = format!("generate --into data{number} --output json {options}");
        let generated = json(here, &line);
        let load = format!("load --source data{number} --dry-run --max-errors 7000 --output json");
        let report = json(here, &load);
        let expected = [&generated["songs"], &generated["events"], &generated["plays"]];
        let books = &report["events"];
        let songs = &report["songs"]["rows"];
        assert_eq!([songs, &books["records"], &books["plays"]], expected, "{options}");
        assert_eq!(books["rejected"], generated["dirty"], "{options}");
        assert_eq!(report["objects"]["loaded"], generated["objects"], "{options}");
        let dirty = generated["dirty"].as_u64().unwrap();
        assert_eq!(dirty > 0, options.contains("--dirty"), "{options}");

        let matched = json(here, &format!("{load} --matched-only"));
        assert_eq!(matched["events"]["plays"], generated["matching"], "{options}");
        let by_title = json(here, &format!("{load} --matched-only --match title-artist"));
        assert_eq!(by_title["events"]["plays"], generated["matching"], "{options}");
    }
}

#[test]
fn the_summary_says_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let line =
        "generate --into data --songs 10 --events 2000 --users 50 --compression gzip --dirty 0.01";
    let (out, err) = run(directory.path(), line, 0);
    assert!(err.ends_with("INFO generating into data\n"), "{err}");
    assert!(out.starts_with("Generated "), "{out}");
    insta::assert_snapshot!(out[out.find(" objects").unwrap()..], @r"
    objects 40 written, 82.4 KiB as gzip
    songs   10 records
    events  2,000 records = 1,692 plays (902 in the catalog) + 286 others + 22 dirty
    ");
}

#[test]
fn a_place_that_holds_data_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let line = "generate --into data --songs 1 --events 0";
    run(directory.path(), line, 0);
    let (out, err) = run(directory.path(), line, 2);
    assert_eq!(out, "");
    assert!(err.contains("data/song_data is there already"), "{err}");
    for (options, said) in [
        ("", "nothing says where the data is to be put"),
        ("--into x --skew 5", "the skew lies between 0 and 4"),
        ("--into x --dirty 1.5", "lie between 0 and 1"),
        ("--into x --days 0", "events need at least one day and one user"),
        ("--into x --compression lz4", "possible values: none, gzip, zstd, bzip2"),
        ("--into x --events 1e6", "write a whole number, such as 2000000 or 2_000_000"),
    ] {
        let (_, err) = run(directory.path(), &format!("generate {options}"), 2);
        assert!(err.contains(said), "{options}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_no_place_for_data() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let (_, err) = run(directory.path(), "generate --into file --events 1_000", 1);
    assert!(err.contains("error: can't write file/song_data\n  because: Not a directory"), "{err}");
}

#[cfg(unix)]
#[test]
fn what_is_interrupted_leaves_whole_objects() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["generate", "--into", "data", "--songs", "2000000", "--events", "0"];
    let child = sparkload(directory.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    // What is seen is whole at every moment.
    let mut seen = 0;
    while seen < 5_000 {
        assert!(start.elapsed() < Duration::from_secs(60), "{seen} songs are written");
        seen = songs(directory.path());
    }
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("generating into data"), "{err}");
    assert!(err.contains("error: interrupted: the objects that are complete stay"), "{err}");
    assert!(songs(directory.path()) >= seen);
}

/// How many objects there are below `directory`, each of them a whole song.
fn songs(directory: &Path) -> usize {
    let files = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    let objects = files.filter(|file| file.path().extension() == Some("json".as_ref()));
    let is_song = |object: walkdir::DirEntry| {
        let bytes = fs::read(object.path()).unwrap();
        let song: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{object:?}"));
        assert!(song["song_id"].is_string(), "{object:?}");
    };
    objects.map(is_song).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_move_to_what_was_generated() {
    let directory = tempfile::tempdir().unwrap();
    let settings = small(directory.path());
    let generated = generate(&settings).await.unwrap();
    let Generating { songs, events, plain_bytes, .. } = &*settings.progress;
    let counted = (songs.get(), events.get(), plain_bytes.get());
    assert_eq!(counted, (150, 10_000, generated.plain_bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_files_on_any_number_of_threads() {
    let generated = async |threads, seed, compression| -> (TempDir, BTreeMap<_, _>) {
        let directory = tempfile::tempdir().unwrap();
        let usual = small(directory.path());
        generate(&Generate { threads: Some(threads), seed, compression, ..usual }).await.unwrap();
        let files = files(directory.path());
        (directory, files)
    };
    for compression in [Compression::Plain, Compression::Zstd] {
        let (_, one) = generated(1, 1, compression).await;
        let (_, four) = generated(4, 1, compression).await;
        assert_eq!(one.len(), 153);
        assert!(one == four, "{compression}");
        let (_, other) = generated(4, 2, compression).await;
        assert!(one.values().ne(other.values()), "{compression}");
    }
}

fn bucket(server: &S3, base: &str, settings: Generate) -> Generate {
    let s3 = S3Options {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(server.endpoint()),
        path_style: true,
        no_sign_request: true,
        ..S3Options::default()
    };
    Generate { into: base.parse().unwrap(), s3, ..settings }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_the_files_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    // One log is larger than a part.
    let settings = Generate { days: 2, events: 90_000, ..small(directory.path()) };
    let written = generate(&settings).await.unwrap();
    let expected = files(directory.path());

    let server = S3::start();
    server.create_bucket("music");
    let slow = server.inject(
        When::each(Operation::PutObject, "song_data").times(1),
        Fault::Refuse(503, "SlowDown"),
    );
    server.inject(When::all(Operation::PutObject, "partNumber=1").times(1), Fault::Reset);
    let into = bucket(&server, "s3://music/made up", settings);
    let put = generate(&into).await.unwrap();
    drop(slow);
    assert_eq!((put.objects, put.bytes), (written.objects, written.bytes));
    let objects = server.objects("music");
    assert_eq!(objects.len(), expected.len());
    for (key, bytes) in objects {
        let key = key.strip_prefix("made up/").unwrap();
        assert!(expected[key] == bytes, "{key}");
    }
    assert_eq!(server.open_uploads("music"), 0);

    let refused = generate(&into).await.unwrap_err();
    assert_eq!(refused.to_string(), "s3://music/made up/song_data/ is there already");

    let target = Target::Embedded(directory.path().join("unused.db"));
    let source = Source { s3: into.s3.clone(), ..Source::at("s3://music/made up").unwrap() };
    let report = sparkload::load(&Config { dry_run: true, ..Config::new(source, target) }).await;
    assert_eq!(report.unwrap().events.plays, put.plays);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_leaves_no_parts() {
    let server = S3::start();
    server.create_bucket("music");
    let denied = Fault::Refuse(403, "AccessDenied");
    server.inject(When::all(Operation::PutObject, "partNumber=2"), denied);
    let settings = Generate { days: 1, events: 90_000, ..small(Path::new("unused")) };
    let error = generate(&bucket(&server, "s3://music", settings)).await.unwrap_err();
    let log = "s3://music/log_data/2018/11/2018-11-01-events.json";
    assert_eq!(error.to_string(), format!("can't write {log}"));
    assert_eq!(error.help(), Some("these credentials need s3:ListBucket and s3:PutObject here"));
    assert_eq!(server.open_uploads("music"), 0);
    assert!(server.objects("music").keys().all(|key| key.starts_with("song_data/")));
}
