//! Evidence for a scanner of our own: events out of JSON lines, on one thread, by the parsers that one would take
//! instead. `cargo bench --features internals --bench parsers`.
//!
//! Each of the others fills the same 18 fields, borrowed where its library can, without any of COPY's conversions;
//! sparkload's own includes those, and the rejects.

#[path = "data/generated.rs"]
mod generated;

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use sparkload::Compression;
use sparkload::internals::{Blocks, Path, Work, parse_events};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only filled")]
struct Event<'a> {
    #[serde(borrow)]
    artist: Option<Cow<'a, str>>,
    #[serde(borrow)]
    auth: Option<Cow<'a, str>>,
    #[serde(borrow)]
    first_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    gender: Option<Cow<'a, str>>,
    item_in_session: Option<i32>,
    #[serde(borrow)]
    last_name: Option<Cow<'a, str>>,
    length: Option<f64>,
    #[serde(borrow)]
    level: Option<Cow<'a, str>>,
    #[serde(borrow)]
    location: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    page: Option<Cow<'a, str>>,
    registration: Option<f64>,
    session_id: Option<i32>,
    #[serde(borrow)]
    song: Option<Cow<'a, str>>,
    status: Option<i32>,
    ts: Option<i64>,
    #[serde(borrow)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
}

fn parsers(criterion: &mut Criterion) {
    let generated::Data { songs, logs } = generated::data(Compression::Plain);
    let lines = || logs.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let mut group = criterion.benchmark_group("parsers");
    group.throughput(Throughput::Bytes(logs.len() as u64));
    group.bench_function("lines alone", |bencher| {
        bencher.iter(|| black_box(memchr::memchr_iter(b'\n', &logs).map(black_box).count()));
    });
    group.bench_function("serde_json", |bencher| {
        bencher.iter(|| {
            for line in lines() {
                black_box(serde_json::from_slice::<Event<'_>>(line).expect("an event"));
            }
        });
    });
    group.bench_function("sonic-rs", |bencher| {
        bencher.iter(|| {
            for line in lines() {
                black_box(sonic_rs::from_slice::<Event<'_>>(line).expect("an event"));
            }
        });
    });
    group.bench_function("simd-json", |bencher| {
        let mut buffers = simd_json::Buffers::new(4096);
        let mut copy = Vec::new();
        bencher.iter(|| {
            for line in lines() {
                // It parses in place, and so needs bytes of its own.
                copy.clear();
                copy.extend_from_slice(line);
                let event: Event<'_> =
                    simd_json::serde::from_slice_with_buffers(&mut copy, &mut buffers)
                        .expect("an event");
                black_box(event);
            }
        });
    });
    let blocks = Blocks::cut(&logs, 1 << 20);
    for (name, path) in [("sparkload", Path::Fast), ("sparkload without scanner", Path::Plain)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(parse_events(&blocks, path)));
        });
    }
    // All that a load does with them, for comparison.
    let work = Work::new(&Blocks::cut(&songs, 1 << 20), false, Path::Fast);
    group.bench_function("sparkload, parse, transform and encode", |bencher| {
        bencher.iter(|| black_box(work.transform(&blocks)));
    });
    group.finish();
}

criterion_group!(benches, parsers);
criterion_main!(benches);
