//! `sparkload bench`: every stage has its figures, the floor is what its definition says, all loads come to the same,
//! and nothing is left behind.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::cli::{Printed, run, signal, sparkload};
use crate::support::postgres::{self, Database};
use crate::warehouse::Warehouse;

const CLEAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/sparkify");
const DIRTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/dirty");

const STAGES: [&str; 11] = [
    "list",
    "fetch",
    "decode",
    "parse",
    "transform",
    "encode",
    "copy",
    "keys",
    "publish",
    "null",
    "load",
];

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn stage<'a>(report: &'a Value, name: &str) -> &'a Value {
    let stages = report["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["stage"] == name).unwrap_or_else(|| panic!("no {name}"))
}

/// The schemas that are there, but for the server's own.
fn schemas(database: &Database) -> Vec<String> {
    let query =
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1";
    database.query(query).into_iter().map(|mut row| row.remove(0).unwrap()).collect()
}

#[test]
fn every_stage_is_measured_and_nothing_is_left_behind() {
    let database = postgres::server().database();
    let directory = tempfile::tempdir().unwrap();
    let (here, url) = (directory.path(), database.url());
    let load = ["load", "--source", CLEAN, "--target", &url, "--quiet"];
    run(here, &load, 0);
    let before = database.query("SELECT * FROM load_runs");

    let args = ["bench", "--source", CLEAN, "--target", &url, "--runs", "2", "--output", "json"];
    let sweeps = ["--sweep", "connections=1..2", "--sweep", "threads=1,3", "--svg", "bench.svg"];
    let Printed { out, err } = run(here, &[&args[..], &sweeps].concat(), 0);
    assert!(err.contains("run 2 of 2"), "{err}");
    assert!(!(out.clone() + &err).contains(postgres::PASSWORD_IN_URL), "no secrets");
    let report: Value = serde_json::from_str(&out).unwrap();

    let names: Vec<_> =
        report["stages"].as_array().unwrap().iter().map(|it| &it["stage"]).collect();
    assert_eq!(names, STAGES);
    for name in STAGES {
        let stage = stage(&report, name);
        let runs = stage["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2, "{name}");
        let seconds = &stage["seconds"];
        let [median, min, max] = ["median", "min", "max"].map(|of| number(&seconds[of]));
        assert!(0.0 < min && min <= median && median <= max, "{name}: {seconds}");
        let mean = runs.iter().map(|run| number(&run["seconds"])).sum::<f64>() / 2.0;
        assert!((median - mean).abs() < 1e-9, "{name}: {seconds}");
        assert!(number(&stage["cpu_seconds"]["median"]) > 0.0, "{name}");
        assert_eq!(stage["share"], 1.0, "{name}: the fixtures fit into memory");
    }
    for (name, of, expected) in [
        ("list", "objects", 49),
        ("fetch", "objects", 39),
        ("decode", "records", 155),
        ("parse", "records", 155),
        ("transform", "records", 155),
        ("encode", "records", 155),
        // 81 plays, 16 users, 32 songs, 19 artists, 78 times, 121 + 34 staged.
        ("encode", "rows", 381),
        // Users and times come while keys are built.
        ("copy", "rows", 287),
        ("keys", "rows", 94),
        ("publish", "rows", 381),
        ("null", "records", 155),
        ("load", "rows", 381),
    ] {
        assert_eq!(stage(&report, name)[of], expected, "{name}: {of}");
    }
    let [decode, parse] = ["decode", "parse"].map(|name| stage(&report, name));
    let adds = number(&parse["seconds"]["median"]) - number(&decode["seconds"]["median"]);
    // Reading a number of JSON may cost it its last digit.
    assert!((number(&parse["adds_seconds"]) - adds).abs() < 1e-9, "{parse}");

    let result = report["result"].as_array().unwrap();
    let rows: Vec<_> =
        result.iter().map(|sum| (sum["table"].as_str(), sum["rows"].as_u64())).collect();
    let expected = [
        ("artists", 19),
        ("songplays", 81),
        ("songs", 32),
        ("time", 78),
        ("users", 16),
        ("star", 226),
    ];
    assert_eq!(rows, expected.map(|(table, rows)| (Some(table), Some(rows))));
    assert_eq!(stage(&report, "load")["runs"][1]["result"], report["result"]);

    floor_is_as_defined(&report);

    let sweeps = report["sweeps"].as_array().unwrap();
    for (sweep, (option, values)) in
        sweeps.iter().zip([("connections", [1, 2]), ("threads", [1, 3])])
    {
        assert_eq!(sweep["option"], option);
        for (found, value) in sweep["values"].as_array().unwrap().iter().zip(values) {
            assert_eq!(found["value"], value);
            assert_eq!(found["load"]["runs"][1]["result"], report["result"]);
            assert_eq!(found["null"].is_null(), option == "connections");
        }
    }
    assert_eq!(sweeps.len(), 2);

    let server = &report["server"];
    let version = server["server_version"].as_str().unwrap();
    assert!(version.as_bytes()[0].is_ascii_digit() && server["fsync"].is_string(), "{server}");
    assert_eq!(report["settings"]["connections"], 4, "as many as a load takes by itself");

    let svg = fs::read_to_string(here.join("bench.svg")).unwrap();
    for text in STAGES.iter().chain(&["floor", "by connections", "by threads"]) {
        assert!(svg.contains(text), "{text}");
    }
    let mut reader = Reader::from_str(&svg);
    while reader.read_event().expect("it is well-formed") != Event::Eof {}

    assert_eq!(schemas(&database), ["public"]);
    assert_eq!(database.query("SELECT * FROM load_runs"), before, "live tables are not touched");
}

/// Works the floor out of the figures, as docs/benchmarks.md defines it.
fn floor_is_as_defined(report: &Value) {
    let (floor, cores) = (&report["floor"], number(&report["machine"]["cores"]));
    let median = |name: &str, of: &str| number(&stage(report, name)[of]["median"]);
    let seconds = |name: &str| median(name, "seconds");
    let threads = number(&report["settings"]["threads"]).min(cores);
    let busiest = seconds("fetch").max(seconds("copy")).max(seconds("encode") / threads);
    let path = seconds("list") + busiest + seconds("keys") + seconds("publish");
    let work = |name: &str| match name {
        "encode" => median(name, "cpu_seconds"),
        _ if stage(report, name)["machine_cpu_seconds"].is_null() => median(name, "cpu_seconds"),
        _ => median(name, "cpu_seconds").max(median(name, "machine_cpu_seconds")),
    };
    let cpu = ["list", "fetch", "encode", "copy", "keys", "publish"].map(work).iter().sum::<f64>()
        / cores;
    let ratio = seconds("load") / path.max(cpu);
    for (of, expected) in
        [("path_seconds", path), ("cpu_seconds", cpu), ("seconds", path.max(cpu)), ("ratio", ratio)]
    {
        assert!((number(&floor[of]) - expected).abs() < 1e-9, "{of}: {floor}, {expected}");
    }
}

#[test]
fn one_stage_is_measured_in_this_process_and_the_last_option_counts() {
    let directory = tempfile::tempdir().unwrap();
    let base = ["bench", "--source", CLEAN, "--only", "list", "--output", "table"];
    let globs = ["--include", "*.gz", "--include", "*.json"];
    let more = [&base[..], &globs, &["--output", "json", "--only", "fetch"]].concat();
    let Printed { out, err } = run(directory.path(), &more, 0);
    let measured: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(measured["stage"], "fetch");
    assert_eq!(measured["objects"], 33, "both globs count");
    assert_eq!(err, "");
    let Printed { out, .. } = run(directory.path(), &base, 0);
    assert!(out.contains("\n list ") && out.contains(" objects/s "), "{out}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "no database is made");
}

#[test]
fn what_can_not_be_measured_is_told_at_once_and_an_old_chart_stays() {
    let database = postgres::server().database();
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("old.svg"), "an old one").unwrap();
    let url = database.url();
    let embedded = ["bench", "--source", CLEAN, "--svg", "old.svg"];
    let server = [&embedded[..], &["--target", &url]].concat();
    for (args, more, said) in [
        (&embedded[..], ["--sweep", "connections=1..8"], "takes one connection"),
        (&server, ["--threads", "0"], "fetches, connections and threads are at least 1"),
        (&server, ["--svg", "no/such/folder.svg"], "can't write no/such/folder.svg"),
    ] {
        let Printed { out, err } = run(here, &[args, &more].concat(), 2);
        assert_eq!(out, "");
        assert!(err.contains(said) && err.matches("error: ").count() == 1, "{err}");
    }
    for chart in ["old.svg", "new.svg"] {
        let args = ["--source", "nowhere", "--runs", "1", "--svg", chart];
        run(here, &[&server[..], &args].concat(), 1);
    }
    assert_eq!(fs::read_to_string(here.join("old.svg")).unwrap(), "an old one");
    assert_eq!(fs::read_dir(here).unwrap().count(), 1, "nothing else is made");
}

#[test]
fn what_measurements_have_to_say_is_told() {
    let database = postgres::server().database();
    let directory = tempfile::tempdir().unwrap();
    let nobody_first = database.url().replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:");
    let args = ["bench", "--source", CLEAN, "--target", &nobody_first, "--runs", "1", "--verbose"];
    let Printed { out, err } = run(directory.path(), &args, 0);
    assert!(out.contains(", PostgreSQL ") && out.contains(" rows/s "), "{out}");
    // The program itself connects twice.
    assert!(err.matches("DEBUG no connection").count() > 10, "{err}");
    let quiet = run(directory.path(), &[&args[..args.len() - 1], &["--quiet"]].concat(), 0);
    assert_eq!(quiet.err, "");
}

#[test]
fn a_schema_that_is_anothers_is_refused() {
    let database = postgres::server().database();
    database.query("CREATE SCHEMA sparkload_bench; CREATE TABLE sparkload_bench.mine AS SELECT 1");
    let directory = tempfile::tempdir().unwrap();
    let url = database.url();
    let args = ["bench", "--source", CLEAN, "--target", &url, "--quiet"];
    for more in [&["--runs", "1"][..], &["--only", "load"], &["--only", "copy"]] {
        let Printed { out, err } = run(directory.path(), &[&args[..], more].concat(), 2);
        assert_eq!(out, "");
        assert!(err.contains("the schema sparkload_bench is there, and was not made for"), "{err}");
    }
    let args = ["--only", "load", "--bench-schema", "other", "--no-staging", "--output", "json"];
    let base = ["bench", "--source", CLEAN, "--target", &url, "--quiet"];
    let out = run(directory.path(), &[&base[..], &args].concat(), 0).out;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["rows"], 226);
    assert_eq!(schemas(&database), ["public", "sparkload_bench"]);
}

#[test]
fn a_measurement_that_fails_says_why_and_leaves_nothing() {
    let database = postgres::server().database();
    let directory = tempfile::tempdir().unwrap();
    let args = ["bench", "--source", DIRTY, "--target", &database.url(), "--runs", "1", "--quiet"];
    let Printed { out, err } = run(directory.path(), &args, 1);
    assert_eq!(out, "");
    assert!(err.contains("--max-errors tolerates 0"), "{err}");
    assert!(err.contains("error: the measurement of null failed"), "{err}");
    assert_eq!(schemas(&database), ["public"]);
}

#[test]
fn without_a_target_a_database_is_made_and_gone_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["bench", "--source", CLEAN, "--only", "load", "--no-staging"];
    let mut command = sparkload(directory.path(), &args);
    let temporary = tempfile::tempdir().unwrap();
    let output = command.env("TMPDIR", temporary.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left = |folder: &Path| {
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert_eq!(left(directory.path()), [""; 0]);
    let ours: Vec<_> = left(temporary.path())
        .into_iter()
        .filter(|name| name.to_string_lossy().contains("bench"))
        .collect();
    assert_eq!(ours, [""; 0]);
}

#[test]
fn all_is_measured_without_a_target_too() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["bench", "--source", CLEAN, "--runs", "1", "--no-staging", "--output", "json"];
    let report: Value =
        serde_json::from_str(&run(directory.path(), &args, 0).out).expect("a report");
    assert_eq!(stage(&report, "load")["rows"], 226);
    assert_eq!(report["settings"]["connections"], 1);
    assert!(report["server"]["server_version"].is_string(), "{report}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn redshift_is_refused() {
    let warehouse = Warehouse::start();
    let directory = tempfile::tempdir().unwrap();
    let url = warehouse.redshift.url();
    let args = ["bench", "--source", CLEAN, "--target", &url, "--svg", "new.svg"];
    for more in [&["--runs", "1"][..], &["--only", "copy"]] {
        let Printed { out, err } = run(directory.path(), &[&args[..], more].concat(), 2);
        assert_eq!(out, "");
        assert!(err.contains("stages can't be measured with Redshift"), "{err}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn an_interrupted_bench_ends_and_what_it_may_leave_is_dropped_by_the_next_one() {
    let database = postgres::server().database();
    let directory = tempfile::tempdir().unwrap();
    let args =
        ["bench", "--source", CLEAN, "--target", &database.url(), "--runs", "1000", "--quiet"];
    let mut command = sparkload(directory.path(), &args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while schemas(&database).len() == 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is written");
        sleep(Duration::from_millis(2));
    }
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.starts_with("error: interrupted: "), "{err}");
    // Most often nothing is; a server that is busy may need longer than who interrupts a program waits.
    let next = ["bench", "--source", CLEAN, "--target", &database.url(), "--only", "load"];
    while schemas(&database) != ["public"] {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", schemas(&database));
        sparkload(directory.path(), &next).output().unwrap();
    }
}
