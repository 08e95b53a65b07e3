//! Peak memory: loads more and more events and shows that the memory they take stays the same.
//!
//! ```text
//! cargo bench --bench memory                         # 1, 2 and 4 million events
//! cargo bench --bench memory -- 250000 8000000       # other sizes
//! ```
//!
//! Each load runs in a process of its own, so that its peak is its own; what it reads and the PostgreSQL server
//! that it fills are private and gone afterwards. The disk needs about 3 GB for a million events.

#[path = "../tests/support/postgres.rs"]
mod postgres;

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use sparkload::{Config, Defaults, Generate, Location, Server, Source, Table, Target};

use self::postgres::Postgres;

/// The sizes that are loaded when none is given.
const EVENTS: [u64; 3] = [1_000_000, 2_000_000, 4_000_000];
const SONGS: u64 = 15_000;
const USERS: u64 = 1_000;
/// Peaks that differ by no more than this, the smallest to the largest load, count as the same.
const FLAT: f64 = 1.2;

/// The argument that makes this program the process of one load.
const CHILD: &str = "load-once";

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let [mode, source, target, staging] = &arguments[..]
        && mode == CHILD
    {
        return load_once(source, target, staging == "true");
    }
    let sizes: Vec<u64> = arguments.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    compare(if sizes.is_empty() { &EVENTS } else { &sizes })
}

/// Loads every size with and without staging, and prints what each load took.
fn compare(sizes: &[u64]) -> Result<(), Box<dyn Error>> {
    let server = Postgres::start();
    println!("   events     MB  tables         seconds  events/s  peak MB");
    let mut peaks = [Vec::new(), Vec::new()];
    for &events in sizes {
        let source = tempfile::tempdir()?;
        let megabytes = write_data(source.path(), events)? / 1_000_000;
        for (staging, peaks) in [false, true].into_iter().zip(&mut peaks) {
            let Measured { seconds, peak } = load_in_process(&server, source.path(), staging)?;
            let tables = if staging { "star, staging" } else { "star" };
            let rate = events as f64 / seconds;
            let shown = peak as f64 / 1e6;
            println!("{events:9} {megabytes:6}  {tables:13} {seconds:8.1} {rate:9.0} {shown:8.1}");
            peaks.push(peak);
        }
    }
    for (tables, peaks) in ["star", "star, staging"].iter().zip(&peaks) {
        let least = peaks.iter().min().copied().unwrap_or_default();
        let most = peaks.iter().max().copied().unwrap_or_default();
        let ratio = most as f64 / least.max(1) as f64;
        println!("{tables}: the largest peak is {ratio:.2} times the smallest");
        if ratio > FLAT {
            return Err(
                format!("that is more than {FLAT} times: memory grows with the data").into()
            );
        }
    }
    Ok(())
}

/// What one load took.
struct Measured {
    seconds: f64,
    /// In bytes.
    peak: u64,
}

/// Loads into a new database, in a new process.
fn load_in_process(
    server: &Postgres,
    source: &Path,
    staging: bool,
) -> Result<Measured, Box<dyn Error>> {
    let database = server.database();
    let child = Command::new(env::current_exe()?)
        .arg(CHILD)
        .arg(source)
        .args([&database.socket_keywords(), &staging.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !child.status.success() {
        return Err("the load failed".into());
    }
    let output = String::from_utf8(child.stdout)?;
    let (seconds, peak) = output.trim().split_once(' ').ok_or("the load prints two numbers")?;
    Ok(Measured { seconds: seconds.parse()?, peak: peak.parse()? })
}

/// The process of one load: prints its seconds and its peak in bytes.
fn load_once(source: &str, target: &str, staging: bool) -> Result<(), Box<dyn Error>> {
    let target = Target::Postgres(Server::parse(target, &Defaults::default())?);
    let source = Source::at(source)?;
    let config = Config { staging, ..Config::new(source, target) };
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(sparkload::load(&config))?;
    assert_eq!(report.songs.rows, SONGS);
    assert!(report.rows(Table::Songplays) > 0);
    println!("{} {}", report.seconds, peak_memory()?);
    Ok(())
}

/// The most memory that this process has held at once, in bytes; proc(5) calls it VmHWM.
fn peak_memory() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("there is no VmHWM")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

/// Generates a month of `events` and the songs they are plays of; returns how many bytes they are.
fn write_data(folder: &Path, events: u64) -> Result<u64, Box<dyn Error>> {
    let usual = Generate::new(Location::Directory(folder.to_owned()));
    let settings = Generate { songs: SONGS, users: USERS, events, ..usual };
    let generated = tokio::runtime::Runtime::new()?.block_on(sparkload::generate(&settings))?;
    Ok(generated.plain_bytes)
}
