//! The pure stages of a load, from memory, on generated and on nasty data: `cargo bench --bench stages`.
//!
//! Each stage includes those before it: transforming parses, matches, folds and encodes.

#[path = "data/generated.rs"]
mod generated;
#[path = "data/nasty.rs"]
mod nasty;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use sparkload::Compression;
use sparkload::internals::{Blocks, Path, Work, parse_events, parse_songs};

/// The size of blocks where nothing else is asked for.
const BLOCK_BYTES: usize = 1 << 20;

fn generated(criterion: &mut Criterion) {
    let data = generated::data(Compression::Plain);
    let songs = Blocks::cut(&data.songs, BLOCK_BYTES);

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(data.logs.len() as u64));
    for (name, compression) in [
        ("logs.json", Compression::Plain),
        ("logs.json.gz", Compression::Gzip),
        ("logs.json.zst", Compression::Zstd),
        ("logs.json.bz2", Compression::Bzip2),
    ] {
        let bytes = generated::data(compression).logs;
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(Blocks::cut(&bytes, BLOCK_BYTES)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("songs");
    group.throughput(Throughput::Bytes(songs.bytes() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| black_box(parse_songs(&songs, Path::Fast)));
    });
    group.bench_function("transform", |bencher| {
        bencher.iter(|| black_box(Work::new(&songs, true, Path::Fast)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("events");
    events(&mut group, "", &songs, &data.logs);
    let logs = Blocks::cut(&data.logs, BLOCK_BYTES);
    let work = Work::new(&songs, true, Path::Fast).as_csv();
    group.bench_function("transform, with staging, as CSV", |bencher| {
        bencher.iter(|| black_box(work.transform(&logs)));
    });
    group.bench_function("parse, no scanner", |bencher| {
        bencher.iter(|| black_box(parse_events(&logs, Path::Plain)));
    });
    group.finish();
}

fn nasty(criterion: &mut Criterion) {
    let songs = Blocks::cut(b"", BLOCK_BYTES);
    let mut group = criterion.benchmark_group("nasty events");
    for (name, logs) in nasty::logs() {
        events(&mut group, name, &songs, &logs);
    }
    group.finish();
}

/// All that is done with the blocks of a log.
fn events(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, songs: &Blocks, logs: &[u8]) {
    let titled = |stage: &str| format!("{name}{}{stage}", if name.is_empty() { "" } else { ": " });
    let blocks = Blocks::cut(logs, BLOCK_BYTES);
    group.throughput(Throughput::Bytes(logs.len() as u64));
    group.bench_function(titled("parse"), |bencher| {
        bencher.iter(|| black_box(parse_events(&blocks, Path::Fast)));
    });
    for (stage, staging) in [("transform", false), ("transform, with staging", true)] {
        let work = Work::new(songs, staging, Path::Fast);
        group.bench_function(titled(stage), |bencher| {
            bencher.iter(|| black_box(work.transform(&blocks)));
        });
    }
}

criterion_group!(benches, generated, nasty);
criterion_main!(benches);
