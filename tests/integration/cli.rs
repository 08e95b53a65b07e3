//! The program as its users meet it: what it prints where, and how it exits.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt;
use tempfile::TempDir;

use crate::support::clean::clean;
use crate::support::{postgres, s3};

const CLEAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/sparkify");
const DIRTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/dirty");

/// The program in `directory`, in an environment that says nothing.
pub fn sparkload(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparkload"));
    clean(command.current_dir(directory).args(args), directory);
    command
}

/// What the program printed: stdout and stderr.
pub struct Printed {
    pub out: String,
    pub err: String,
}

/// Runs the program and expects an exit code.
pub fn run(directory: &Path, args: &[&str], code: i32) -> Printed {
    printed(&mut sparkload(directory, args), code)
}

pub fn printed(command: &mut Command, code: i32) -> Printed {
    let assert = command.assert().code(code);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Printed { out: text(&assert.get_output().stdout), err: text(&assert.get_output().stderr) }
}

/// Sends a signal, as `-INT`, to a program that runs.
#[cfg(unix)]
pub fn signal(child: &Child, signal: &str) {
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The lines from the one that starts with `first` on, as many as there are up to a blank one.
fn paragraph<'a>(text: &'a str, first: &str) -> &'a str {
    let start = text.find(first).unwrap_or_else(|| panic!("no {first:?} in:\n{text}"));
    text[start..].split("\n\n").next().unwrap()
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_right() {
    let directory = directory();
    fs::write(directory.path().join("bad.toml"), "sorce = 's3://bucket'").unwrap();
    let cases: [(&[&str], &str); 13] = [
        (&[], "Usage: sparkload"),
        (&["lod"], "a similar subcommand exists: 'load'"),
        (&["load"], "--source: s3://bucket[/prefix] or a directory"),
        (&["load", "--source", "d", "--memory", "lots"], "write a size as 128MiB, 4MB or 1048576"),
        (&["load", "--source", "d", "--fetches", "0"], "at least 1"),
        (&["load", "--source", "gs://bucket"], "s3://bucket[/prefix]"),
        (&["load", "--source", "d", "--target", "mysql://h"], "start it with postgres://"),
        (
            &["load", "--source", "d", "--stage", "s3://b"],
            "./sparkload.db is PostgreSQL\n  help: leave --stage out",
        ),
        (&["load", "--source", "d", "--keep-staged"], "--keep-staged is given, and no stage"),
        (
            &["load", "--source", "d", "--iam-role", "arn:aws:iam::1:role/r"],
            "name a place for staged files",
        ),
        (&["query"], "<NAME|SQL>"),
        (&["query", "top-song"], "did you mean top-songs"),
        (&["check", "--config", "bad.toml"], "unknown key `sorce`\n  help: did you mean source?"),
    ];
    for (args, expected) in cases {
        let Printed { out, err } = run(directory.path(), args, 2);
        assert!(err.contains(expected), "{args:?}: {err}");
        assert_eq!(out, "", "{args:?}: stdout is for results");
    }
}

#[test]
fn help_and_version_are_results() {
    let directory = directory();
    let help = run(directory.path(), &["--help"], 0).out;
    let common = "  sparkload load --source s3://bucket --target postgres://user@host/db\n";
    assert_eq!(help.lines().nth(2).map(|line| format!("{line}\n")).as_deref(), Some(common));
    assert_eq!(run(directory.path(), &["-V"], 0).out, "sparkload 0.1.0\n");
}

#[test]
fn a_load_into_the_embedded_database_can_be_queried_and_checked() {
    let directory = directory();
    let here = directory.path();
    let source = Path::new(CLEAN);
    fs::write(here.join("sparkload.toml"), format!("source = {source:?}")).unwrap();

    let Printed { out, err } = run(here, &["load"], 0);
    assert!(err.contains("loading "), "{err}");
    assert!(!err.contains("rows"), "{err}");
    assert!(out.starts_with("Loaded "), "{out}");
    assert!(out.contains(" into ./sparkload.db (embedded PostgreSQL).\n"), "{out}");
    insta::assert_snapshot!(paragraph(&out, " table "), @r"
     table       rows      table            rows
    ──────────────────    ───────────────────────
     songplays     81      staging_events    121
     users         16      staging_songs      34
     songs         32      load_errors         0
     artists       19
     time          78
    ");
    insta::assert_snapshot!(out[out.find(" objects 49").unwrap()..], @r#"
    objects 49 listed = 39 loaded + 10 skipped
    skipped 1 hidden, 7 of another suffix, 2 empty
    songs   34 records = 34 rows
    events  121 records = 81 plays + 40 filtered
    unknown members of songs: credits 1, label 1
    unknown members of events: context 10, "" 1, Page 1, USERID 1, deep 1,
            userIdx 1, user_id 1
    "#);
    for line in out.lines().skip(1) {
        assert!(line.chars().count() <= 80, "{line}");
    }

    let top = run(here, &["query", "plays_by_level"], 0).out;
    insta::assert_snapshot!(top, @r"
    Plays by level
    Plays by the level (free or paid) that the user had at the time, with each
    level's share in percent.

     level    plays   users   percent
    ──────────────────────────────────
     free        66      10      81.5
     paid        12       6      14.8
                  1       1       1.2
     false        1       1       1.2
     <null>       1       1       1.2

    5 rows
    ");
    let values = "SELECT 1.50 AS n, NULL AS nothing, 'x, y' AS text, true AS yes";
    let table = run(here, &["query", values], 0).out;
    insta::assert_snapshot!(table, @r"
        n   nothing   text   yes
    ─────────────────────────────
     1.50   <null>    x, y   t

    1 row
    ");
    let json = run(here, &["query", values, "--output", "json"], 0).out;
    insta::assert_snapshot!(json, @r#"
    [
      {"n":1.50,"nothing":null,"text":"x, y","yes":true}
    ]
    "#);
    let csv = run(here, &["query", values, "--output", "csv"], 0).out;
    insta::assert_snapshot!(csv, @r#"
    n,nothing,text,yes
    1.50,,"x, y",t
    "#);

    let check = run(here, &["check"], 0).out;
    assert!(check.contains(" songplays        rows "), "{check}");
    insta::assert_snapshot!(check.lines().last().unwrap(), @"No rule is broken in schema public: 44 ok, 10 notes.");

    // A broken rule is a failure, and the table is printed all the same.
    let delete = "DELETE FROM users WHERE user_id IN (SELECT user_id FROM songplays)";
    assert_eq!(run(here, &["query", "--write", delete], 0).out, "DELETE: 11 rows\n");
    let Printed { out, err } = run(here, &["check"], 1);
    assert!(out.contains("user_id not in users") && out.contains("broken"), "{out}");
    assert!(out.contains("\n3 rules are broken in schema public: 42 ok, 9 notes.\n"), "{out}");
    assert!(out.contains("`sparkload load --full-refresh`"), "{out}");
    assert_eq!(err, "");
    let json = run(here, &["check", "--output", "json"], 1).out;
    let checks: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(checks[0]["table"], "staging_events");
}

#[test]
fn a_load_reports_as_json() {
    let directory = directory();
    let args = ["load", "--source", CLEAN, "--output", "json", "--quiet"];
    let Printed { out, err } = run(directory.path(), &args, 0);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["events"]["records"], 121);
    let songplays = serde_json::json!({ "table": "songplays", "rows": 81, "counted": true, "inserted": 81, "updated": 0, "deleted": 0 });
    assert_eq!(report["tables"][4], songplays);
    assert_eq!(err, "", "quiet");
}

#[test]
fn rejects_beyond_those_tolerated_fail_the_load_and_the_others_are_shown() {
    let directory = directory();
    let here = directory.path();
    let Printed { out, err } = run(here, &["load", "--source", DIRTY], 1);
    assert_eq!(out, "");
    assert!(err.contains("--max-errors tolerates 0; nothing was loaded\n  because: "), "{err}");
    assert!(err.contains("\n  help: mend the records, or raise --max-errors"), "{err}");

    let args = ["load", "--source", DIRTY, "--max-errors", "64", "--dry-run"];
    let out = run(here, &args, 0).out;
    assert!(out.starts_with("Dry run: read "), "{out}");
    insta::assert_snapshot!(paragraph(&out, " songs   19"), @r"
    songs   19 records = 4 rows + 15 rejected
    events  72 records = 20 plays + 3 filtered + 49 rejected
    ");
    assert!(out.contains("\n 64 records rejected\n"), "{out}");
    assert!(out.ends_with("\n   … and 59 more\n"), "{out}");
}

#[test]
fn the_tables_are_made_once() {
    let directory = directory();
    let create = ["create", "--target", "./own", "--schema", "sparkify"];
    let made = run(directory.path(), &create, 0).out;
    assert!(made.starts_with("Made 10 tables in schema sparkify of ./own:\n  artists\n"), "{made}");
    let again = run(directory.path(), &create, 0).out;
    assert_eq!(again, "All tables are there already in schema sparkify of ./own.\n");
}

#[test]
fn what_is_new_is_loaded_and_what_was_loaded_when_is_shown() {
    let directory = directory();
    let here = directory.path();
    for (name, text) in [
        (
            "song_data/a.json",
            r#"{"song_id":"S1","title":"Ode","artist_id":"A1","artist_name":"Ann","duration":1.5}"#,
        ),
        (
            "log_data/1.json",
            r#"{"page":"NextSong","userId":"1","ts":1541106106796,"song":"Ode","artist":"Ann","length":1.5}"#,
        ),
        ("log_data/2.json", r#"{"page":"Home","userId":"2","ts":1541106106797}"#),
    ] {
        fs::create_dir_all(here.join("data").join(name).parent().unwrap()).unwrap();
        fs::write(here.join("data").join(name), text).unwrap();
    }
    let load = ["load", "--source", "data", "--quiet"];
    run(here, &load, 0);
    let more = r#"{"page":"NextSong","userId":"2","ts":1541106106798}"#;
    fs::write(here.join("data/log_data/2.json"), more).unwrap();
    fs::remove_file(here.join("data/log_data/1.json")).unwrap();
    let out = run(here, &load, 0).out;
    assert!(out.starts_with("Loaded what is new in data into ./sparkload.db "), "{out}");
    insta::assert_snapshot!(paragraph(&out, " table "), @r"
     table       rows   change      table            rows   change
    ───────────────────────────    ────────────────────────────────
     songplays      2   +1          staging_events      2   ~1
     users          2               staging_songs       1
     songs          1               load_errors         0
     artists        1
     time           2   +1
    ");
    insta::assert_snapshot!(paragraph(&out, " objects 2"), @r"
    objects 2 listed = 1 loaded + 1 unchanged
    songs   0 records = 0 rows
    events  1 record = 1 play + 0 filtered
    gone    1 loaded object is not there any more; the rows are kept until --full-refresh
    ");
    let out = run(here, &load, 0).out;
    assert!(out.starts_with("Nothing is new in data for ./sparkload.db "), "{out}");

    let out = run(here, &["history"], 0).out;
    let runs: Vec<_> = out.lines().skip(2).take(3).map(|line| &line[..4]).collect();
    assert_eq!(runs, [" 3  ", " 2  ", " 1  "], "{out}");
    assert!(out.ends_with("\n3 loads into schema public\n"), "{out}");
    let loads: serde_json::Value =
        serde_json::from_str(&run(here, &["history", "--output", "json"], 0).out).unwrap();
    assert_eq!(loads[1]["mode"], "incremental");
    assert_eq!(loads[1]["rows"]["songplays"], 2);
    assert_eq!(loads[1]["settings"]["match"], "title-artist-duration");
    let objects: serde_json::Value =
        serde_json::from_str(&run(here, &["history", "1", "--output", "json"], 0).out).unwrap();
    let replaced: Vec<_> =
        objects.as_array().unwrap().iter().map(|it| &it["replaced_by"]).collect();
    assert_eq!(replaced, [&serde_json::json!(null), &2.into(), &serde_json::json!(null)]);
    let err = run(here, &["history", "9"], 2).err;
    assert_eq!(
        err,
        "error: schema public has no run 9\n  help: see `sparkload history` for those that it has\n"
    );

    let out = run(here, &["load", "--source", "data", "--quiet", "--full-refresh"], 0).out;
    insta::assert_snapshot!(paragraph(&out, " objects 2"), @r"
    objects 2 listed = 2 loaded
    songs   1 record = 1 row
    events  1 record = 1 play + 0 filtered
    gone    1 loaded object is not there any more; the rows are dropped
    ");
}

#[test]
fn a_bucket_is_loaded_into_a_server() {
    let s3 = s3::S3::start();
    s3.put_directory("sparkify", "some/", Path::new(CLEAN));
    let database = postgres::server().database();
    let directory = directory();
    let endpoint = s3.endpoint();
    let args = ["load", "--source", "s3://sparkify/some", "--no-sign-request", "--no-staging"];
    let mut command = sparkload(directory.path(), &args);
    command.env("SPARKLOAD_ENDPOINT_URL", &endpoint).env("SPARKLOAD_TARGET", database.url());
    let Printed { out, err } = printed(&mut command, 0);
    assert!(
        out.starts_with("Loaded s3://sparkify/some into postgres://sparkload@127.0.0.1:"),
        "{out}"
    );
    assert!(!(out + &err).contains(postgres::PASSWORD_IN_URL));
    assert_eq!(database.query("SELECT count(*) FROM songplays"), [[Some("81".to_owned())]]);
    assert_eq!(database.query("SELECT count(*) FROM staging_events"), [[Some("0".to_owned())]]);

    // libpq's own variables name the same server.
    let mut command = sparkload(directory.path(), &["query", "SELECT count(*) FROM songplays"]);
    let socket = postgres::server().socket_folder();
    command.args(["--output", "csv"]).env("PGHOST", socket).env("PGUSER", postgres::USER);
    command.env("PGPORT", postgres::server().port().to_string()).env("PGDATABASE", database.name());
    assert_eq!(printed(&mut command, 0).out, "count\n81\n");
}

#[test]
fn a_bucket_is_reached_through_the_environments_proxy() {
    let s3 = s3::S3::start();
    s3.put_directory("sparkify", "", Path::new(CLEAN));
    let database = postgres::server().database();
    let directory = directory();
    // Nobody listens here, but the proxy knows the bucket.
    let nobody = "http://127.0.0.1:1";
    let args = ["load", "--source", "s3://sparkify", "--no-sign-request", "--attempts", "1"];
    let mut command = sparkload(directory.path(), &args);
    command.args(["--endpoint-url", nobody]).env("SPARKLOAD_TARGET", database.url());
    printed(command.env("HTTP_PROXY", s3.endpoint()), 0);
    assert_eq!(database.query("SELECT count(*) FROM songplays"), [[Some("81".to_owned())]]);
    // Where the proxy is not for this host, it is asked itself.
    let reached = s3.requests(s3::Operation::ListObjects);
    printed(command.env("NO_PROXY", "127.0.0.1"), 1);
    assert_eq!(s3.requests(s3::Operation::ListObjects), reached);
}

#[test]
fn the_old_systems_settings_file_is_enough() {
    let s3 = s3::S3::start_private();
    s3.put_directory("sparkify", "", Path::new(CLEAN));
    let database = postgres::server().database();
    let directory = directory();
    let cfg = format!(
        "[CLUSTER]\nHOST=127.0.0.1\nDB_NAME='{}'\nDB_USER={}\nDB_PASSWORD={}\nDB_PORT={}\n\n\
         [IAM_ROLE]\nARN='arn:aws:iam::123456789012:role/dwhRole'\n\n\
         [S3]\nLOG_DATA='s3://sparkify/log_data'\nSONG_DATA='s3://sparkify/song_data'\n\n\
         [AWS]\nKEY={}\nSECRET={}\nREGION=us-east-1\n",
        database.name(),
        postgres::USER,
        postgres::PASSWORD,
        postgres::server().port(),
        s3::ACCESS_KEY,
        s3::SECRET_KEY,
    );
    fs::write(directory.path().join("dwh.cfg"), &cfg).unwrap();
    // Another S3 than Amazon's is the only thing that it can't say.
    let load = || {
        let mut command = sparkload(directory.path(), &["load"]);
        command.env("AWS_ENDPOINT_URL", s3.endpoint());
        command
    };
    let Printed { out, err } = printed(&mut load(), 0);
    assert!(out.starts_with("Loaded s3://sparkify into postgres://"), "{out}");
    assert!(
        ![postgres::PASSWORD, s3::SECRET_KEY].iter().any(|it| (out.clone() + &err).contains(it))
    );
    assert_eq!(database.query("SELECT count(*) FROM songplays"), [[Some("81".to_owned())]]);

    // Its keys are the last ones that are thought of.
    let mut command = load();
    command.env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "wrong");
    let err = printed(&mut command, 1).err;
    assert!(err.contains("SignatureDoesNotMatch"), "{err}");
}

#[test]
fn a_target_that_only_the_environment_names_is_told_first() {
    let database = postgres::server().database();
    let directory = directory();
    let server = [
        ("PGHOST", postgres::server().socket_folder().to_str().unwrap().to_owned()),
        ("PGUSER", postgres::USER.to_owned()),
        ("PGPORT", postgres::server().port().to_string()),
        ("PGDATABASE", database.name().to_owned()),
    ];
    for (args, tells) in [
        (&["load", "--source", CLEAN][..], true),
        (&["create"], true),
        (&["check"], false),
        (&["load", "--source", CLEAN, "--target", "./own"], false),
    ] {
        let mut command = sparkload(directory.path(), args);
        let err = printed(command.envs(server.clone()), 0).err;
        let first = err.lines().next().unwrap_or_default();
        assert_eq!(
            first.contains("is named by PGHOST, PGDATABASE alone"),
            tells,
            "{args:?}: {err}"
        );
        assert_eq!(err.contains("is named by"), tells, "{args:?}: {err}");
    }
    let mut command = sparkload(directory.path(), &["load", "--source", CLEAN]);
    let err = printed(command.env("SPARKLOAD_TARGET", database.url()), 0).err;
    assert!(err.lines().next().unwrap().contains("is named by SPARKLOAD_TARGET alone"), "{err}");
    assert!(!err.contains(postgres::PASSWORD_IN_URL), "{err}");
}

#[test]
fn a_settings_file_that_means_a_server_never_means_the_embedded_database() {
    let directory = directory();
    let here = directory.path();
    let load = ["load", "--source", CLEAN];
    let nameless = "[CLUSTER]\r\nHOST=\r\nDB_NAME=dwh\r\n";
    let utf16 = |text: &str| {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
    };
    for file in
        [nameless.as_bytes().to_vec(), format!("\u{feff}{nameless}").into_bytes(), utf16(nameless)]
    {
        fs::write(here.join("dwh.cfg"), file).unwrap();
        for args in [
            &load[..],
            &["create"],
            &["query", "SELECT 1"],
            &["check"],
            &["bench", "--source", CLEAN],
        ] {
            let err = run(here, args, 2).err;
            assert!(
                err.contains("dwh.cfg means a server and names none: [CLUSTER] HOST is not set"),
                "{err}"
            );
        }
        assert!(!here.join("sparkload.db").exists());
    }
    run(here, &["query", "--list"], 0);
    run(here, &[&load[..], &["--target", "./sparkload.db", "--dry-run"]].concat(), 0);

    // Where it names one, that is the one, whatever wrote the file.
    let marked = "[CLUSTER]\r\nHOST=127.0.0.1:1/dwh # ours\r\nDB_USER=u\r\nCORES=3\r\n[SPARK]\r\nX=s3cret\r\n";
    for file in [format!("\u{feff}{marked}").into_bytes(), utf16(marked)] {
        fs::write(here.join("dwh.cfg"), file).unwrap();
        let err = run(here, &load, 1).err;
        assert!(err.contains("can't connect to postgres://u@127.0.0.1:1/dwh"), "{err}");
        assert!(err.contains("dwh.cfg: nothing is made of [CLUSTER] CORES, [SPARK] X"), "{err}");
        assert!(!err.contains("s3cret"), "{err}");
    }

    fs::write(here.join("sparkload.toml"), "cluster-identifier = 'dwh'\nnodes = 2").unwrap();
    let err = run(here, &load, 2).err;
    assert!(
        err.contains("sparkload.toml means a server and names none: target is not set"),
        "{err}"
    );
    assert!(!here.join("sparkload.db/PG_VERSION").exists());
}

#[test]
fn a_failed_load_exits_with_1_and_shows_no_secret() {
    let directory = directory();
    let down = "postgres://ann:s3cret@127.0.0.1:1/sparkify";
    let wrong = postgres::server().database().url().replace(postgres::PASSWORD_IN_URL, "s3cret");
    for target in [down, &wrong] {
        for format in ["text", "json"] {
            let args =
                ["load", "--source", CLEAN, "--target", target, "--log-format", format, "-v"];
            let Printed { out, err } = run(directory.path(), &args, 1);
            assert_eq!(out, "", "{target}");
            assert!(err.contains("can't connect to postgres://"), "{err}");
            assert!(err.contains("help"), "{err}");
            assert!(!err.contains("s3cret"), "{err}");
        }
    }
    let misplaced = run(directory.path(), &["load", down], 2).err;
    assert!(misplaced.contains("unexpected argument 'postgres://ann:***@127.0.0.1:1/sparkify'"));
    assert!(!misplaced.contains("s3cret"), "{misplaced}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_load_says_that_nothing_was_published_and_exits_with_130() {
    let directory = directory();
    for signal in ["-INT", "-TERM"] {
        // A server that takes connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("postgres://ann@{}/sparkify", silent.local_addr().unwrap());
        let mut command = sparkload(directory.path(), &["load", "--source", CLEAN]);
        let child = command.args(["--target", &target]).stderr(Stdio::piped()).spawn().unwrap();
        silent.accept().unwrap();
        self::signal(&child, signal);
        let start = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert_eq!(output.status.code(), Some(130), "{signal}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains("interrupted; nothing was published"), "{err}");
    }
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let database = postgres::server().database();
    let directory = directory();
    let query = ["query", "SELECT generate_series(1, 100000)", "--output", "csv", "--target"];
    let mut command = sparkload(directory.path(), &query);
    command.arg(database.url()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
