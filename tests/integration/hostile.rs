//! Whoever runs the demo or the tests has settings of their own, and these must not matter.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::demo::demo;
use crate::support::postgres::Postgres;

/// Says to the process that it is the one in a hostile place.
const CHILD: &str = "SPARKLOAD_TEST_IN_A_HOSTILE_PLACE";

/// Nobody listens there, so that what is reached by mistake fails.
const NOBODY: &str = "postgres://nobody:wrong@127.0.0.1:1/nothing";

const PG: [&str; 32] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGREALM",
    "PGOPTIONS",
    "PGSSLMODE",
    "PGREQUIRESSL",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGSSLROOTCERT",
    "PGSSLCRL",
    "PGSSLNEGOTIATION",
    "PGREQUIREPEER",
    "PGREQUIREAUTH",
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGSSLMINPROTOCOLVERSION",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGTZ",
    "PGDATESTYLE",
    "PGDATA",
    "PGAPPNAME",
];

const AWS: [&str; 22] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_CA_BUNDLE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SIGV4A_SIGNING_REGION_SET",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
];

const SPARKLOAD: [&str; 16] = [
    "SOURCE",
    "SONGS",
    "LOGS",
    "INCLUDE",
    "EXCLUDE",
    "ENDPOINT_URL",
    "REGION",
    "SCHEMA",
    "DIALECT",
    "STAGE",
    "MAX_ERRORS",
    "OUTPUT",
    "QUIET",
    "CONFIG",
    "MEMORY",
    "WAIT",
];

/// Runs a test of this program's again, in an environment and a folder that lead astray.
fn in_a_hostile_place(test: &str) {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for (name, text) in [
        (
            "sparkload.toml",
            format!("target = '{NOBODY}'\nsource = 's3://nowhere'\nmatched-only = true\n"),
        ),
        (
            "dwh.cfg",
            "[CLUSTER]\nHOST=127.0.0.1\nDB_PORT=1\n[S3]\nLOG_DATA=s3://nowhere\n".to_owned(),
        ),
        (".pgpass", "*:*:*:*:wrong\n".to_owned()),
        (".pg_service.conf", "[hostile]\nhost=127.0.0.1\nport=1\n".to_owned()),
        (".postgresql/root.crt", "no certificate".to_owned()),
        (".postgresql/postgresql.crt", "no certificate".to_owned()),
        (
            ".aws/config",
            "[default]\nregion = nowhere-1\nendpoint_url = http://127.0.0.1:1\n".to_owned(),
        ),
        (".aws/credentials", "[default]\naws_access_key_id = wrong\n".to_owned()),
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), text).unwrap();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).current_dir(place.path()).env(CHILD, "1");
    for name in PG.into_iter().chain(AWS) {
        child.env(name, "hostile");
    }
    child.envs(SPARKLOAD.map(|name| (format!("SPARKLOAD_{name}"), "hostile")));
    child.env("SPARKLOAD_TARGET", NOBODY);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    {
        child.env(name, "http://127.0.0.1:1");
    }
    // What the embedded PostgreSQL is unpacked from is nobody's settings.
    let cache = env::var_os("XDG_CACHE_HOME").map(Into::into);
    let cache = cache.unwrap_or_else(|| env::home_dir().unwrap().join(".cache"));
    child.env("XDG_CACHE_HOME", cache).env("HOME", place.path());
    let output = child.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

fn is_in_a_hostile_place() -> bool {
    env::var_os(CHILD).is_some()
}

#[test]
fn the_demo_asks_nobody() {
    if !is_in_a_hostile_place() {
        return in_a_hostile_place("hostile::the_demo_asks_nobody");
    }
    demo(Path::new(env!("CARGO_BIN_EXE_sparkload"))).unwrap();
}

#[test]
fn the_tests_ask_nobody() {
    if !is_in_a_hostile_place() {
        return in_a_hostile_place("hostile::the_tests_ask_nobody");
    }
    // A server of their own, and the program in an environment of its own.
    let server = Postgres::start();
    let database = server.database();
    let directory = tempfile::tempdir().unwrap();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/sparkify");
    let load = ["load", "--source", fixtures, "--target", &database.url()];
    crate::cli::run(directory.path(), &load, 0);
    assert_eq!(database.query("SELECT count(*) FROM songplays"), [[Some("81".to_owned())]]);
    crate::cli::run(directory.path(), &["create"], 0);
    assert!(directory.path().join("sparkload.db").exists());
}

/// How Cargo runs tests, benchmarks and examples.
#[cfg(unix)]
#[test]
fn cargo_runs_all_but_the_program_without_what_its_user_says() {
    let runner = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clean.sh");
    let said = |place: &str| {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(place);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/usr/bin/env", &program).unwrap();
        let output = Command::new(runner)
            .arg(&program)
            .env("PGHOST", "hostile")
            .env("AWS_PROFILE", "two\nlines")
            .env("SPARKLOAD_TARGET", NOBODY)
            .env("https_proxy", "http://127.0.0.1:1")
            .env("SPARKLOAD_TEST_PG_BIN", "/kept")
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for place in ["deps/integration-1f", "examples/demo"] {
        let said = said(place);
        for name in ["PGHOST", "AWS_PROFILE", "SPARKLOAD_TARGET", "https_proxy"] {
            assert!(!said.contains(name), "{place}: {said}");
        }
        assert!(
            said.contains("AWS_CONFIG_FILE=/dev/null")
                && said.contains("SPARKLOAD_TEST_PG_BIN=/kept")
        );
    }
    assert!(said("debug/sparkload").contains("PGHOST=hostile"));
    let config = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/.cargo/config.toml"));
    assert!(config.contains("tests/clean.sh"));
}
