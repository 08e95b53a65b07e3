//! `Config::memory` bounds what a load holds while its target takes nothing.
//!
//! Alone in its program, because it counts all that the program holds.

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::process::Command;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use sparkload::{Compression, Config, Defaults, Generate, Location, Server, Source, Table, Target};

use crate::support::postgres::{self, Database};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// About 28 MB of logs.
const EVENTS: u64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_load_keeps_within_its_memory() {
    // One after the other: they count all that the program holds.
    for compression in [Compression::Plain, Compression::Gzip] {
        keeps_within_its_memory(compression).await;
    }
}

async fn keeps_within_its_memory(compression: Compression) {
    let folder = tempfile::tempdir().unwrap();
    let into = Location::Directory(folder.path().into());
    let data = Generate { songs: 200, events: EVENTS, compression, ..Generate::new(into) };
    let bytes = sparkload::generate(&data).await.unwrap().bytes;
    let database = postgres::server().database();
    let source = Source::at(folder.path().to_str().unwrap()).unwrap();

    // What it takes where all logs wait for one block.
    let least = held_up(&source, &database, 1 << 20).await;
    for memory in [4 << 20, 12 << 20] {
        let held = held_up(&source, &database, memory).await;
        assert!(held.read < bytes, "all was read with a memory of {memory} ({compression})");
        let above = held.peak.saturating_sub(least.peak) as f64;
        assert!(
            above <= 1.1 * memory as f64,
            "{above} bytes with a memory of {memory} ({compression})"
        );
        assert!(held.waits > least.waits, "a memory of {memory} is not used ({compression})");
    }
}

/// A load whose target took nothing for a while.
struct HeldUp {
    /// How many bytes it had read when it could go on.
    read: u64,
    /// How many of these were not in the tables then; how many get there before the target is stopped is chance.
    waits: u64,
    /// The most bytes that it has held.
    peak: usize,
}

async fn held_up(source: &Source, database: &Database, memory: usize) -> HeldUp {
    let server = Server::parse(&database.socket_keywords(), &Defaults::default()).unwrap();
    let mut config = Config::new(source.clone(), Target::Postgres(server));
    config.memory = memory;
    config.block_bytes = 256 << 10;
    config.full_refresh = true;
    config.connections = Some(1);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let hold_up = async {
        while config.progress.rows(Table::Songplays) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let sessions = database.query(SESSIONS).into_iter().filter_map(|mut row| row.remove(0));
        let sessions: Vec<String> = sessions.collect();
        signal("-STOP", &sessions);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (read, plays) = (config.progress.bytes.get(), config.progress.rows(Table::Songplays));
        signal("-CONT", &sessions);
        (read, plays)
    };
    let (report, (read, plays)) = tokio::join!(sparkload::load(&config), hold_up);
    let all = report.unwrap();
    let written = all.objects.bytes * plays / all.rows(Table::Songplays);
    HeldUp { read, waits: read.saturating_sub(written), peak: HEAP.peak_usage() - before }
}

/// The processes that serve a load.
const SESSIONS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

fn signal(signal: &str, pids: &[String]) {
    assert!(Command::new("kill").arg(signal).args(pids).status().unwrap().success());
}
