//! `sparkload query`: what it prints, what it may change, and what an interruption does.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sparkload::{Access, Piece, Query, Target};
use tempfile::TempDir;

use crate::cli::{Printed, printed, signal, sparkload};
use crate::support::postgres::{self, Database};
use crate::support::redshift::Redshift;
use crate::support::s3::S3;
use crate::tables;

struct Place {
    directory: TempDir,
    database: Database,
}

impl Place {
    fn new() -> Self {
        Self::of(postgres::server().database())
    }

    fn of(database: Database) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), database }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = sparkload(self.directory.path(), args);
        command.env("SPARKLOAD_TARGET", self.database.url());
        command
    }

    fn query(&self, args: &[&str], code: i32) -> Printed {
        printed(&mut self.command(&[&["query"], args].concat()), code)
    }

    fn one(&self, sql: &str) -> String {
        self.database.query(sql)[0][0].clone().unwrap()
    }
}

#[test]
fn every_statement_shows_its_result() {
    let place = Place::new();
    let sql = "SELECT 1 AS a, 2 AS a, 'x;y' AS b; SELECT $$;$$ AS c; -- done";
    let out = place.query(&[sql], 0).out;
    insta::assert_snapshot!(out, @r"
     a   a   b
    ─────────────
     1   2   x;y

    1 row

     c
    ───
     ;

    1 row
    ");
    let out = place.query(&[sql, "--output", "json"], 0).out;
    insta::assert_snapshot!(out, @r#"
    [
      {"a":1,"a_2":2,"b":"x;y"}
    ]
    [
      {"c":";"}
    ]
    "#);
    let out = place.query(&[sql, "--output", "csv"], 0).out;
    assert_eq!(out, "a,a,b\n1,2,x;y\n\nc\n;\n");
}

#[test]
fn what_was_changed_is_said_and_results_stay_clean() {
    let place = Place::new();
    let sql = "CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2), (3); DELETE FROM t WHERE i > 2 RETURNING i; \
               WITH d AS (DELETE FROM t WHERE i = 2 RETURNING 1) UPDATE t SET i = 7 WHERE i = 1; COPY t TO STDOUT";
    let out = place.query(&[sql, "--write"], 0).out;
    insta::assert_snapshot!(out, @r"
    CREATE: done
    INSERT: 3 rows

     i
    ───
     3

    1 row
    DELETE: 1 row
    WITH: 1 row
    7
    ");
    let sql = "INSERT INTO t VALUES (8); SELECT i FROM t ORDER BY i";
    let Printed { out, err } = place.query(&[sql, "--write", "--output", "csv"], 0);
    assert_eq!(out, "i\n7\n8\n");
    assert!(err.contains("INSERT: 1 row"), "{err}");
    let Printed { out, err } = place.query(&["TRUNCATE t", "--write", "--output", "json"], 0);
    assert_eq!((out.as_str(), err.as_str()), ("[]\n", ""));
}

#[test]
fn a_query_that_may_write_adds_no_transaction() {
    let place = Place::new();
    let sql = "CREATE TABLE t (i int); VACUUM t; CREATE INDEX CONCURRENTLY ON t (i); INSERT INTO t VALUES (1); SELECT 1/0";
    let err = place.query(&[sql, "--write"], 1).err;
    let at = sql.len() - "SELECT 1/0".len();
    assert!(err.contains("division by zero"), "{at}: {err}");
    assert_eq!(place.one("SELECT count(*) FROM t"), "1", "each statement is committed by itself");
    place.query(&["BEGIN; INSERT INTO t VALUES (2); SELECT 1/0; COMMIT", "--write"], 1);
    assert_eq!(place.one("SELECT count(*) FROM t"), "1", "a transaction is one");
    place.query(&["BEGIN; INSERT INTO t VALUES (2); COMMIT", "--write"], 0);
    assert_eq!(place.one("SELECT count(*) FROM t"), "2");
    let err = place.query(&["SELECT 1; SELEKT 2", "--write"], 1).err;
    assert!(err.contains("look at character 11 of the SQL"), "{err}");
}

#[test]
fn copies_go_out_as_they_are_and_none_comes_in() {
    let place = Place::new();
    let copy =
        "COPY (SELECT i, 'a;b' FROM generate_series(1, 3) AS i) TO STDOUT (FORMAT csv, HEADER)";
    for output in ["table", "csv", "json"] {
        let out = place.query(&[copy, "--output", output], 0).out;
        assert_eq!(out, "i,?column?\n1,a;b\n2,a;b\n3,a;b\n");
    }
    for sql in ["COPY pg_class FROM STDIN", "SELECT 1; COPY pg_class FROM STDIN"] {
        let Printed { out, err } = place.query(&[sql, "--write"], 1);
        assert_eq!(out, "", "nothing was run");
        assert!(err.contains("COPY … FROM STDIN is not run: there are no rows to send"), "{err}");
    }
}

#[test]
fn libpqs_variables_for_what_values_look_like_count() {
    let place = Place::new();
    let sql = "SELECT '2018-11-21 21:56:47+00'::timestamptz AS at";
    let mut command = place.command(&["query", sql, "--output", "csv"]);
    command.env("PGTZ", "UTC");
    assert_eq!(printed(&mut command, 0).out, "at\n2018-11-21 21:56:47+00\n");
    command.arg("--write").env("PGDATESTYLE", "German");
    assert_eq!(printed(&mut command, 0).out, "at\n21.11.2018 21:56:47 UTC\n");
    let err = printed(command.env("PGTZ", "Nowhere/City"), 1).err;
    assert!(err.contains("invalid value for parameter \"TimeZone\""), "{err}");
}

/// What must change nothing; `t` is a table with three rows.
const ESCAPES: &[&str] = &[
    "DELETE FROM t",
    "COMMIT; DELETE FROM t",
    "ROLLBACK; DELETE FROM t",
    "END; TRUNCATE t",
    "ABORT; DROP TABLE t",
    "SELECT 1; COMMIT; DELETE FROM t",
    "/* SELECT */ COMMIT; DELETE FROM t",
    "BEGIN READ WRITE; DELETE FROM t; COMMIT",
    "START TRANSACTION READ WRITE; DELETE FROM t; COMMIT",
    "WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "EXPLAIN ANALYZE DELETE FROM t",
    "SET transaction_read_only = off; WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "SET \"transaction_read_only\" = off; WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "RESET transaction_read_only; WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "SET default_transaction_read_only = off; DELETE FROM t",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM t",
    "SET TRANSACTION READ WRITE; WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "SELECT set_config('transaction_read_only', 'off', false); WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "SELECT set_config('default_transaction_read_only', 'off', false); WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
    "DO $$ BEGIN COMMIT; DELETE FROM t; END $$",
    "DO $$ BEGIN EXECUTE 'RESET transaction_read_only'; DELETE FROM t; END $$",
    "CALL wipe()",
    "SELECT wiped()",
    "SELECT wiped_by_reset()",
    "SELECT 1 INTO u",
    "SELECT * INTO TEMP u FROM t",
    "CREATE TEMP TABLE u (i int)",
    "CREATE TABLE u AS SELECT 1",
    "PREPARE wipe AS DELETE FROM t; EXECUTE wipe",
    "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE; FETCH c; DELETE FROM t WHERE CURRENT OF c",
    "SELECT nextval('s')",
    "SELECT lo_create(0)",
    "COPY t FROM '/dev/null'",
    "COPY t FROM PROGRAM 'echo 1'",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/sparkload-was-here'",
    "COPY (SELECT 1) TO '/tmp/sparkload-was-here'",
    "COPY t FROM STDIN",
    "SET standard_conforming_strings = off; SELECT '\\'; COMMIT; DELETE FROM t; --'",
    "SET standard_conforming_strings = on; SELECT E'\\'; COMMIT; DELETE FROM t; --'",
    "VACUUM t",
    "ANALYZE t",
    "LOCK t",
    "GRANT ALL ON t TO public",
    "NOTIFY wipe",
];

/// What some servers let a transaction do that is READ ONLY, or what is a text in the end.
const UNDONE: &[&str] = &[
    "SELECT wiped_by_reset()",
    "SELECT lo_create(0)",
    "SET standard_conforming_strings = on; SELECT E'\\'; COMMIT; DELETE FROM t; --'",
];

/// Asks to the end.
async fn ask(target: &Target, sql: &str, access: Access) -> sparkload::Result<()> {
    let query = Query { access, ..Query::new("public", sql) };
    let mut answer = query.ask(target).await?;
    while answer.next().await?.is_some() {}
    Ok(())
}

const MADE: &str = "CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2), (3); CREATE SEQUENCE s; \
     CREATE PROCEDURE wipe() LANGUAGE plpgsql AS $$ BEGIN COMMIT; DELETE FROM t; END $$; \
     CREATE FUNCTION wiped() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t; RETURN 1; END $$; \
     CREATE FUNCTION wiped_by_reset() RETURNS int LANGUAGE plpgsql AS \
     $$ BEGIN EXECUTE 'RESET transaction_read_only'; DELETE FROM t; RETURN 1; END $$";

/// All that there is to be changed.
const STATE: &str = "SELECT (SELECT string_agg(i::text, ',' ORDER BY i) FROM t), (SELECT is_called FROM s), \
     (SELECT count(*) FROM pg_class WHERE relname IN ('t', 'u', 's')), \
     (SELECT relacl IS NULL FROM pg_class WHERE relname = 't'), (SELECT count(*) FROM pg_largeobject_metadata)";

#[tokio::test]
async fn a_query_that_only_reads_changes_nothing() {
    let database = postgres::server().database();
    let target = &tables::target(&database.url());
    ask(target, MADE, Access::ReadWrite).await.unwrap();
    let before = sparkload::query(target, "public", STATE).await.unwrap();
    for sql in ESCAPES {
        let asked = ask(target, sql, Access::ReadOnly).await;
        let after = sparkload::query(target, "public", STATE).await.unwrap();
        assert_eq!(after, before, "{sql}: {asked:?}");
        assert!(asked.is_err() || UNDONE.contains(sql), "{sql}");
    }
    assert!(!Path::new("/tmp/sparkload-was-here").exists());
}

#[tokio::test]
async fn nor_does_it_in_the_embedded_database() {
    let directory = tempfile::tempdir().unwrap();
    let target = &Target::Embedded(directory.path().join("sparkload.db"));
    ask(target, MADE, Access::ReadWrite).await.unwrap();
    let before = sparkload::query(target, "public", STATE).await.unwrap();
    // Each opens the database anew, which takes its time.
    for sql in [
        "COMMIT; DELETE FROM t",
        "WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
        "RESET transaction_read_only; WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
        "SELECT set_config('transaction_read_only', 'off', false); WITH d AS (DELETE FROM t RETURNING i) SELECT * FROM d",
        "SELECT wiped()",
        "SELECT * INTO TEMP u FROM t",
        "COPY (SELECT 1) TO '/tmp/sparkload-was-here'",
        "SET standard_conforming_strings = off; SELECT '\\'; COMMIT; DELETE FROM t; --'",
    ] {
        ask(target, sql, Access::ReadOnly).await.expect_err(sql);
    }
    assert_eq!(sparkload::query(target, "public", STATE).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_in_redshift() {
    let s3 = S3::start();
    let warehouse = Redshift::start(postgres::server().database(), &s3);
    let target = tables::target(&warehouse.url());
    ask(&target, "CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2), (3)", Access::ReadWrite)
        .await
        .unwrap();
    for sql in [
        "DELETE FROM t",
        "COMMIT; DELETE FROM t",
        "BEGIN READ WRITE; DELETE FROM t; COMMIT",
        "SELECT 1; COMMIT; DELETE FROM t",
        "SELECT '\\'; COMMIT; DELETE FROM t; --'; COMMIT; DELETE FROM t",
        "TRUNCATE t",
        "SELECT i INTO u FROM t",
        "CREATE TEMP TABLE u (i int)",
        "UNLOAD ('SELECT 1') TO 's3://b/u' IAM_ROLE default",
        "CALL wipe()",
    ] {
        ask(&target, sql, Access::ReadOnly).await.expect_err(sql);
        let rows = warehouse.database().query("SELECT count(*) FROM t");
        assert_eq!(rows, [[Some("3".to_owned())]], "{sql}");
    }
    let mut answer =
        Query::new("public", "SELECT i FROM t; SELECT 'x' AS t").ask(&target).await.unwrap();
    let mut rows = 0;
    while let Some(piece) = answer.next().await.unwrap() {
        rows += usize::from(matches!(piece, Piece::Row(_)));
    }
    assert_eq!(rows, 4);
    let sent = warehouse.statements();
    assert!(
        sent.iter().any(|sql| sql == "BEGIN READ ONLY") && sent.last().unwrap() == "ROLLBACK",
        "{sent:?}"
    );
}

#[test]
fn refused_writes_name_the_option() {
    let place = Place::new();
    for sql in ["DROP TABLE IF EXISTS t", "WITH d AS (DELETE FROM pg_class RETURNING 1) TABLE d"] {
        let Printed { out, err } = place.query(&[sql], 1);
        assert_eq!(out, "");
        assert!(err.contains("add --write"), "{err}");
    }
    // A slip of the pen is told as one.
    let err = place.query(&["SELEC 1"], 1).err;
    assert!(err.contains("look at character 1 of the SQL"), "{err}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_result_takes_no_more_memory_than_a_small_one() {
    let place = Place::new();
    // 36 MB, of which a table has a little more.
    let sql = "SELECT i, repeat('x', 290) AS text FROM generate_series(1, 120000) AS i";
    for output in ["csv", "json", "table"] {
        let mut command = place.command(&["query", sql, "--output", output]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut read = 0;
        let mut block = vec![0; 1 << 16];
        while read < 35_000_000 {
            read += out.read(&mut block).unwrap();
        }
        // It waits until the rest is read.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(peak < 56 << 10, "{output}: {peak} kB");
    }
}

/// Starts a query, and waits until the server is at work on what `at_work` finds.
fn started(place: &Place, args: &[&str], at_work: &str) -> Child {
    let mut command = place.command(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND {at_work}"
    );
    while place.one(&sql) == "0" {
        thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Waits for it to end with 130, and for nobody to be at work on the server.
fn interrupted(place: &Place, child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
    while place.one(others) != "0" {
        thread::sleep(Duration::from_millis(10));
    }
    err
}

#[cfg(unix)]
#[test]
fn an_interrupted_query_is_cancelled_at_the_server() {
    let tls = postgres::Postgres::start_tls();
    for (place, how) in
        [(Place::new(), "-INT"), (Place::new(), "-TERM"), (Place::of(tls.database()), "-INT")]
    {
        place.database.query("CREATE TABLE t (i int)");
        let sleeping = "query LIKE '%pg_sleep%' AND state = 'active'";
        let child = started(&place, &["query", "SELECT pg_sleep(600)"], sleeping);
        signal(&child, how);
        let err = interrupted(&place, child);
        assert!(
            err.contains(
                "interrupted: the query was cancelled at the server; it has changed nothing"
            ),
            "{err}"
        );

        let insert = "INSERT INTO t SELECT 1 FROM pg_sleep(600)";
        let child = started(&place, &["query", insert, "--write"], sleeping);
        signal(&child, how);
        let err = interrupted(&place, child);
        assert!(
            err.contains("the statement was cancelled at the server; it has changed nothing"),
            "{err}"
        );

        let two = format!("INSERT INTO t VALUES (1); {insert}; INSERT INTO t VALUES (2)");
        let child = started(&place, &["query", &two, "--write"], sleeping);
        signal(&child, how);
        let err = interrupted(&place, child);
        assert!(err.contains("those before it were done"), "{err}");
        assert_eq!(place.one("SELECT string_agg(i::text, ',') FROM t"), "1");

        let block = format!("BEGIN; INSERT INTO t VALUES (3); {insert}; COMMIT");
        let child = started(&place, &["query", &block, "--write"], sleeping);
        signal(&child, how);
        let err = interrupted(&place, child);
        assert!(err.contains("the transaction that it is in is rolled back"), "{err}");
        assert_eq!(place.one("SELECT string_agg(i::text, ',') FROM t"), "1");
    }

    // A commit that waits for a standby is one already when it is cancelled.
    let place = Place::of(tls.database());
    place.database.query("CREATE TABLE t (i int)");
    tls.database().query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    tls.database().query("SELECT pg_reload_conf()");
    let sql = "SET synchronous_commit = on; INSERT INTO t VALUES (1)";
    let child = started(&place, &["query", sql, "--write"], "wait_event = 'SyncRep'");
    signal(&child, "-INT");
    let err = interrupted(&place, child);
    assert!(
        err.contains("done before it could be cancelled: what it changed is committed"),
        "{err}"
    );
    assert_eq!(place.one("SELECT count(*) FROM t"), "1");
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_wait_for_a_server_that_does_not_answer() {
    let place = Place::new();
    let sleeping = "query LIKE '%pg_sleep%' AND state = 'active'";
    let mut child = started(&place, &["query", "SELECT pg_sleep(600)", "--write"], sleeping);
    let process = place.one("SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid() AND datname = current_database()");
    let stop =
        |how: &str| assert!(Command::new("kill").args([how, &process]).status().unwrap().success());
    stop("-STOP");
    signal(&child, "-INT");
    // It goes on waiting for a while.
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    stop("-CONT");
    assert_eq!(output.status.code(), Some(130));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("the server has not said what was done"), "{err}");
}

#[cfg(unix)]
#[test]
fn the_other_questions_are_cancelled_as_well() {
    let place = Place::new();
    printed(&mut place.command(&["create"]), 0);
    let holder = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(place.database.connect());
    runtime
        .block_on(client.batch_execute(
            "BEGIN; LOCK songplays, load_runs, load_objects IN ACCESS EXCLUSIVE MODE",
        ))
        .unwrap();
    for (args, said) in [
        (&["check"][..], "interrupted: there are no results"),
        (&["history"], "interrupted: there are no results"),
        (&["create", "--drop"], "interrupted: no table was made or changed"),
    ] {
        let child = started(&place, args, "wait_event_type = 'Lock'");
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{args:?}: {err}");
        assert!(err.contains(said), "{args:?}: {err}");
        while place.one(holder) != "0" {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_query_to_the_embedded_database_ends() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    crate::cli::run(here, &["create"], 0);
    let reads = "SELECT 'begun'; SELECT count(*) FROM generate_series(1, 100000000000)";
    let writes =
        "SELECT 'begun'; INSERT INTO users SELECT i FROM generate_series(1, 1000000000) AS i";
    for (args, said) in [
        (&[reads][..], "the query has changed nothing"),
        (&[writes, "--write"], "the embedded database is cut off"),
    ] {
        let mut command = sparkload(here, &[&["query", "--output", "csv"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A result is there once its statement is done.
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        out.find(|line| line.as_ref().unwrap() == "begun").unwrap().unwrap();
        thread::sleep(Duration::from_millis(100));
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{err}");
        assert!(err.contains(said), "{err}");
        let rows =
            crate::cli::run(here, &["query", "SELECT count(*) FROM users", "--output", "csv"], 0);
        assert_eq!(rows.out, "count\n0\n");
    }
}
