//! Many loads of a bucket that grows: what one costs stays the same.

use sparkload::{Mode, Table};

use crate::books;
use crate::cost::{MANY, config, fill, rows_read};
use crate::directory::{Directory, play, song};
use crate::oracle::hold_against_oracle;
use crate::support::postgres;
use crate::tables::{contents, csv, load};

const LOADS: usize = 200;

/// What is measured of each load.
const MEASURES: [&str; 6] =
    ["rows read", "of the ledger", "rows written", "ledger entries", "publish (ms)", "load (ms)"];

/// Those that must not grow: the ledger is read as a whole, since it is compared with a whole listing.
const FLAT: [usize; 3] = [0, 2, 3];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make soak` runs it"]
async fn two_hundred_loads_cost_what_they_change() {
    let database = postgres::server().database();
    let mut source = Directory::new();
    // Enough that a table is not read as a whole because it is small.
    fill(&mut source, MANY);
    let config = config(&source, &database);
    sparkload::load(&config).await.unwrap();
    let mut loads: Vec<[f64; MEASURES.len()]> = Vec::new();
    for number in 0..LOADS as i64 {
        // A new log and a new song each time, more plays in the log before, and a song that changes.
        let title = |back: i64| format!("new title {}", (number - back).max(0));
        let plays = |user: i64| {
            (0..20).map(move |turn| play(user, 30_000 + number * 20 + turn, &title(turn % 3)))
        };
        source.put(
            &format!("log_data/new/{number:03}.json"),
            &plays(number % 50).collect::<Vec<_>>(),
        );
        source.append(
            &format!("log_data/new/{:03}.json", (number - 1).max(0)),
            &plays(7).collect::<Vec<_>>(),
        );
        let new = song(&format!("SN{number}"), &format!("AN{}", number / 3), &title(0));
        source.put(&format!("song_data/new/{number:03}.json"), &[new]);
        source.put("song_data/new.json", &[song("SOX", "AR1", &format!("title {number}"))]);

        let read = rows_read(&database).await;
        let entries = csv(&database, "SELECT count(*) FROM load_objects").await;
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!(
            (report.mode, report.objects.loaded),
            (Mode::Incremental, if number == 0 { 3 } else { 4 })
        );
        let after = rows_read(&database).await;
        let count = |text: &str| text.lines().nth(1).unwrap().parse::<f64>().unwrap();
        let grown = csv(&database, "SELECT count(*) FROM load_objects").await;
        let sum = |of: &dyn Fn(&str) -> bool| -> f64 {
            let pairs = read.iter().zip(&after).filter(|((table, _), _)| of(table));
            pairs.map(|((_, before), (_, after))| (after - before) as f64).sum()
        };
        let is_ledger = |table: &str| table.starts_with("load_");
        let written = report.tables.iter().map(|rows| rows.inserted + rows.updated + rows.deleted);
        let publish = report.stages.iter().find(|stage| stage.name == "publish").unwrap().seconds;
        loads.push([
            sum(&|table| !is_ledger(table)),
            sum(&is_ledger),
            written.sum::<u64>() as f64,
            count(&grown) - count(&entries),
            publish * 1000.0,
            report.seconds * 1000.0,
        ]);
    }
    books::balance(&database).await;
    hold_against_oracle(&database, "oracle_songplays").await;
    let (clean, report) = load(source.path(), |_| {}).await;
    similar_asserts::assert_eq!(
        contents(&database, source.path()).await,
        contents(&clean, source.path()).await
    );

    let quarter = |measure: usize, number: usize| {
        let size = LOADS / 4;
        let mut values: Vec<f64> =
            loads[number * size..][..size].iter().map(|load| load[measure]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[size / 2]
    };
    println!(
        "{LOADS} loads, {} events in the end; medians of each quarter",
        report.rows(Table::StagingEvents)
    );
    for (measure, name) in MEASURES.iter().enumerate() {
        let [first, second, third, last] = [0, 1, 2, 3].map(|number| quarter(measure, number));
        println!("{name:>16} {first:>9.0} {second:>9.0} {third:>9.0} {last:>9.0}");
        let flat = last <= first * 1.5 + 100.0;
        assert!(flat || !FLAT.contains(&measure), "{name} has grown from {first} to {last}");
    }
}
