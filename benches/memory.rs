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
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, io};

use sparkload::{Config, Defaults, Location, Server, Source, Table, Target};

use self::postgres::Postgres;

/// The sizes that are loaded when none is given.
const EVENTS: [u64; 3] = [1_000_000, 2_000_000, 4_000_000];
const LOG_FILES: u64 = 30;
const SONG_FILES: u64 = 15_000;
const USERS: u64 = 1_000;
/// Peaks that differ by no more than this, the smallest to the largest load, count as the same.
const FLAT: f64 = 1.2;

/// The argument that makes this program the process of one load.
const CHILD: &str = "load-once";

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    if let [mode, songs, logs, target, staging] = &arguments[..]
        && mode == CHILD
    {
        return load_once(songs, logs, target, staging == "true");
    }
    let sizes: Vec<u64> = arguments.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    compare(if sizes.is_empty() { &EVENTS } else { &sizes })
}

/// Loads every size with and without staging, and prints what each load took.
fn compare(sizes: &[u64]) -> Result<(), Box<dyn Error>> {
    let server = Postgres::start();
    let songs = tempfile::tempdir()?;
    write_songs(songs.path())?;
    println!("   events     MB  tables         seconds  events/s  peak MB");
    let mut peaks = [Vec::new(), Vec::new()];
    for &events in sizes {
        let logs = tempfile::tempdir()?;
        let megabytes = write_logs(logs.path(), events)? / 1_000_000;
        for (staging, peaks) in [false, true].into_iter().zip(&mut peaks) {
            let Measured { seconds, peak } =
                load_in_process(&server, songs.path(), logs.path(), staging)?;
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
        let verdict = if ratio <= FLAT { "flat" } else { "NOT flat" };
        println!("{tables}: {verdict}; the largest peak is {ratio:.2} times the smallest");
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
    songs: &Path,
    logs: &Path,
    staging: bool,
) -> Result<Measured, Box<dyn Error>> {
    let database = server.database();
    let child = Command::new(env::current_exe()?)
        .arg(CHILD)
        .args([songs, logs])
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
fn load_once(songs: &str, logs: &str, target: &str, staging: bool) -> Result<(), Box<dyn Error>> {
    let target = Target::Postgres(Server::parse(target, &Defaults::default())?);
    let source = Source::new(Location::Directory(songs.into()), Location::Directory(logs.into()));
    let config = Config { staging, ..Config::new(source, target) };
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(sparkload::load(&config))?;
    assert_eq!(report.songs.rows, SONG_FILES);
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

/// Writes the songs, one a file, in folders as deep as the real ones.
fn write_songs(folder: &Path) -> io::Result<()> {
    for number in 0..SONG_FILES {
        let letter = |place: u64| char::from(b'A' + (number / place % 26) as u8);
        let folder = folder.join(format!("A/{}/{}", letter(26), letter(1)));
        fs::create_dir_all(&folder)?;
        let Song { title, artist, duration } = Song::new(number);
        let artist_id = number / 3;
        let json = format!(
            "{{\"num_songs\": 1, \"artist_id\": \"AR{artist_id:016}\", \"artist_latitude\": null, \
             \"artist_longitude\": null, \"artist_location\": \"Town {artist_id}, NY\", \
             \"artist_name\": \"{artist}\", \"song_id\": \"SO{number:016}\", \"title\": \"{title}\", \
             \"duration\": {duration}, \"year\": {}}}",
            1950 + number % 70,
        );
        fs::write(folder.join(format!("TR{number:016}.json")), json)?;
    }
    Ok(())
}

struct Song {
    title: String,
    artist: String,
    duration: String,
}

impl Song {
    fn new(number: u64) -> Self {
        Self {
            title: format!("A Song Of Some Length No. {number}"),
            artist: format!("The Band From Town {}", number / 3),
            duration: format!("{}.{:05}", 120 + number % 240, number * 7919 % 100_000),
        }
    }
}

/// Writes a month of `events`, one file a day; returns how many bytes they are.
fn write_logs(folder: &Path, events: u64) -> io::Result<u64> {
    const FIRST_MS: u64 = 1_541_030_400_000;
    const MONTH_MS: u64 = 30 * 86_400_000;
    const AGENTS: [&str; 3] = [
        r#"\"Mozilla\/5.0 (Windows NT 6.1; WOW64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/36.0.1985.125 Safari\/537.36\""#,
        r#"\"Mozilla\/5.0 (Macintosh; Intel Mac OS X 10_9_4) AppleWebKit\/537.78.2 (KHTML, like Gecko) Version\/7.0.6 Safari\/537.78.2\""#,
        r"Mozilla\/5.0 (X11; Ubuntu; Linux x86_64; rv:31.0) Gecko\/20100101 Firefox\/31.0",
    ];
    let mut bytes = 0;
    let mut random = Random(events);
    for file in 0..LOG_FILES {
        let path = folder.join(format!("2018-11-{:02}-events.json", file + 1));
        let mut out = BufWriter::new(File::create(&path)?);
        for event in events * file / LOG_FILES..events * (file + 1) / LOG_FILES {
            let ts = FIRST_MS + MONTH_MS / events * event + random.below(1000);
            let user = random.below(USERS);
            let level = if user.is_multiple_of(4) { "paid" } else { "free" };
            let (first_name, last_name) = (user % 83, user / 7);
            let (city, session) = (user % 97, user * 100 + event % 100);
            let agent = AGENTS[user as usize % AGENTS.len()];
            // One event in seven is something else than a play; every other song is in the catalog.
            let (page, method, song) = match random.below(7) {
                0 => ("Home", "GET", None),
                _ => ("NextSong", "PUT", Some(Song::new(random.below(2 * SONG_FILES)))),
            };
            let (artist, length, title) = match song {
                None => ("null".to_owned(), "null".to_owned(), "null".to_owned()),
                Some(Song { title, artist, duration }) => {
                    (format!("\"{artist}\""), duration, format!("\"{title}\""))
                }
            };
            writeln!(
                out,
                "{{\"artist\":{artist},\"auth\":\"Logged In\",\"firstName\":\"First{first_name}\",\
                 \"gender\":\"F\",\"itemInSession\":{},\"lastName\":\"Last{last_name}\",\"length\":{length},\
                 \"level\":\"{level}\",\"location\":\"City {city}-Somewhere-Elsewhere, NY-NJ-PA\",\
                 \"method\":\"{method}\",\"page\":\"{page}\",\"registration\":15403{user:05}4796.0,\
                 \"sessionId\":{session},\"song\":{title},\"status\":200,\"ts\":{ts},\
                 \"userAgent\":\"{agent}\",\"userId\":\"{user}\"}}",
                event % 120,
            )?;
        }
        out.into_inner()?;
        bytes += fs::metadata(&path)?.len();
    }
    Ok(bytes)
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
