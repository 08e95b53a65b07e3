//! The fixtures give their expected tables.

use std::fs;

use crate::tables::{STAR, csv, fixture, load, table};

#[tokio::test(flavor = "multi_thread")]
async fn every_trap_of_the_fixtures_comes_out_as_expected() {
    let (database, report) = load(&fixture("sparkify"), |_| {}).await;
    for name in STAR {
        let expected = fs::read_to_string(fixture(&format!("expected/{name}.csv"))).unwrap();
        similar_asserts::assert_eq!(table(&database, name).await, expected, "{name}");
    }
    assert_eq!(report.objects.listed, 49);
    assert_eq!(report.objects.loaded, 39);
    assert_eq!(report.objects.skipped.other_suffix, 7);
    assert_eq!(report.objects.skipped.hidden, 1);
    assert_eq!(report.objects.skipped.empty, 2);
    assert_eq!((report.events.records, report.events.plays), (121, 81));
    assert_eq!((report.songs.records, report.songs.rows), (34, 34));
    assert_eq!(report.rejected(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dirty_record_is_rejected_at_its_place_and_the_others_load() {
    let rejects = tempfile::NamedTempFile::new().unwrap();
    let (database, report) = load(&fixture("dirty"), |config| {
        config.max_errors = 64;
        config.rejects = Some(rejects.path().to_owned());
    })
    .await;
    for name in STAR {
        let expected = fs::read_to_string(fixture(&format!("expected/dirty/{name}.csv"))).unwrap();
        similar_asserts::assert_eq!(table(&database, name).await, expected, "{name}");
    }
    let expected = fs::read_to_string(fixture("expected/rejects.csv")).unwrap();
    let places: Vec<&str> =
        expected.lines().skip(1).map(|line| line.rsplitn(3, ',').last().unwrap()).collect();
    let query =
        "SELECT regexp_replace(object, '^.*/(song_data|log_data)/', '\\1/'), record_no, line,
                        byte_offset, column_name
                 FROM load_errors
                 ORDER BY object COLLATE \"C\", record_no";
    let found = csv(&database, query).await;
    let found: Vec<String> = found.lines().skip(1).map(|line| line.replace("\\N", "")).collect();
    similar_asserts::assert_eq!(found, places);
    assert_eq!(report.rejected(), 64);

    let file = fs::read_to_string(rejects.path()).unwrap();
    assert_eq!(file.lines().count(), 64);
}
