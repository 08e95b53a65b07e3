//! Tables that an earlier version of this program has made are brought up to date in place, and nothing is lost.

use std::fs;
use std::process::Command;

use sparkload::Config;

use crate::place::Place;
use crate::sources::bucket;
use crate::support::s3::S3;
use crate::tables::fixture;

/// The objects that earlier versions have loaded, as they were in the beginning. None has a reject but for its values:
/// those are the same in every version.
fn first_state() -> S3 {
    let lake = S3::start();
    lake.put_directory("lake", "", &fixture("sparkify"));
    let dirty = "dirty/log_data/2018/11/2018-11-01-values.json";
    lake.put("lake", "log_data/dirty.json", fs::read(fixture(dirty)).unwrap());
    lake
}

/// Makes of them what they were when they were loaded last: a log and a song have changed, others are gone.
fn last_state(lake: &S3) {
    let day = "log_data/2018/11/2018-11-05-events.json";
    let text = fs::read_to_string(fixture("sparkify").join(day)).unwrap();
    lake.put("lake", day, text.split_inclusive('\n').skip(1).collect::<String>());
    let song = "song_data/A/A/A/TRAAAAB00000000002.json";
    let text = fs::read_to_string(fixture("sparkify").join(song)).unwrap();
    lake.put("lake", song, text.replace("Salt", "The Salt"));
    lake.remove("lake", "log_data/2018/11-late/2018-11-30-events.json");
    lake.remove("lake", "song_data/A/C/A/TRACAAB00000000014.json");
}

fn config(place: &Place, lake: &S3) -> Config {
    let mut config = place.config(&fixture("sparkify"));
    config.source = bucket(lake, "s3://lake");
    config.max_errors = 100;
    config
}

/// Writes the tables of this version of the program, to be met by later ones: `fixtures/earlier/README.md` says when.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes a fixture"]
async fn write_the_tables_of_this_version() {
    let folder = fixture("earlier").join(std::env::var("VERSION").expect("the version's name"));
    fs::create_dir(&folder).unwrap();
    for (name, place) in [("postgres", Place::postgres()), ("redshift", Place::staged())] {
        let lake = first_state();
        sparkload::load(&config(&place, &lake)).await.unwrap();
        last_state(&lake);
        let report = sparkload::load(&config(&place, &lake)).await.unwrap();
        assert_eq!((report.objects.loaded, report.objects.gone), (2, 2));
        let dump = Command::new("pg_dump")
            .args(["--inserts", "--no-owner", "--no-acl", "--schema", "public", "--dbname"])
            .arg(place.database().socket_keywords())
            .output()
            .unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        fs::write(
            folder.join(format!("{name}.sql")),
            tidied(&String::from_utf8(dump.stdout).unwrap()),
        )
        .unwrap();
    }
}

/// A dump without what is about servers and programs, not about tables.
fn tidied(dump: &str) -> String {
    let foreign = |line: &str| {
        [
            "--",
            "\\",
            "SET ",
            "SELECT pg_catalog.",
            "CREATE SCHEMA",
            "ALTER SCHEMA",
            "COMMENT ON SCHEMA",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let mut tidied = String::new();
    let mut in_text = false;
    for line in dump.lines() {
        if in_text || !line.is_empty() && !foreign(line) {
            tidied += line;
            tidied.push('\n');
        }
        in_text ^= line.matches('\'').count() % 2 == 1;
    }
    tidied
}
