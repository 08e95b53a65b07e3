//! The books of a schema, held against its tables.

use sparkload::{Report, Table};

use crate::support::postgres::Database;

/// Each query finds what contradicts the books.
const CONTRADICTIONS: [(&str, &str); 7] = [
    (
        "an object has one current version, and an id has one object",
        "SELECT object_id, min(object), count(*)
         FROM load_objects WHERE replaced_by IS NULL
         GROUP BY object_id HAVING count(*) > 1
         UNION ALL
         SELECT 0, object, count(*)
         FROM load_objects WHERE replaced_by IS NULL
         GROUP BY kind, object HAVING count(*) > 1
         UNION ALL
         SELECT object_id, min(object), count(*)
         FROM load_objects
         GROUP BY object_id HAVING count(DISTINCT (kind, object)) > 1",
    ),
    (
        "the records of an object are all accounted for",
        "SELECT * FROM load_objects WHERE records <> taken + filtered + rejected",
    ),
    (
        "an object's rows are those of its books",
        "SELECT place.object, records, taken, staged, rejected, counted.*
         FROM load_objects AS place
         CROSS JOIN LATERAL (
             SELECT (SELECT count(*) FROM staging_events WHERE object_id = place.object_id) AS events,
                    (SELECT count(*) FROM staging_songs WHERE object_id = place.object_id) AS songs,
                    (SELECT count(*) FROM songplays WHERE songplay_id >> 32 = place.object_id) AS plays,
                    (SELECT count(*) FROM load_errors WHERE object_id = place.object_id) AS errors
         ) AS counted
         WHERE replaced_by IS NULL
           AND (rejected <> errors
                OR staged <> CASE kind WHEN 'logs' THEN events ELSE songs END
                OR CASE kind WHEN 'logs' THEN songs ELSE events END <> 0
                OR CASE kind WHEN 'logs' THEN taken ELSE 0 END <> plays)",
    ),
    (
        "every row is of a current version",
        "SELECT object_id
         FROM (SELECT object_id FROM staging_events
               UNION ALL SELECT object_id FROM staging_songs
               UNION ALL SELECT object_id FROM load_errors
               UNION ALL SELECT songplay_id >> 32 FROM songplays) AS rows
         WHERE object_id NOT IN (SELECT object_id FROM load_objects WHERE replaced_by IS NULL)",
    ),
    (
        "a reject names the version and the run of its object",
        "SELECT * FROM load_errors
         WHERE NOT EXISTS (SELECT FROM load_objects AS place
                           WHERE (place.object_id, place.run, place.object, place.etag)
                               = (load_errors.object_id, load_errors.run, load_errors.object, load_errors.etag)
                             AND place.replaced_by IS NULL)",
    ),
    (
        "the books of every run balance",
        "SELECT * FROM load_runs
         WHERE listed <> loaded + unchanged + skipped OR records <> taken + filtered + rejected",
    ),
    (
        "the last run has counted the rows and the records",
        "SELECT * FROM load_runs
         CROSS JOIN LATERAL (
             SELECT count(*) AS objects,
                    coalesce(sum(place.records), 0) AS of_objects, coalesce(sum(place.taken), 0) AS taken_of_objects,
                    coalesce(sum(place.rejected), 0) AS rejected_of_objects
             FROM load_objects AS place WHERE place.run = load_runs.run
         ) AS summed
         WHERE run = (SELECT max(run) FROM load_runs)
           AND ((records, taken, rejected) <> (of_objects, taken_of_objects, rejected_of_objects)
                OR loaded <> objects
                OR songplays <> (SELECT count(*) FROM songplays)
                OR users <> (SELECT count(*) FROM users)
                OR songs <> (SELECT count(*) FROM songs)
                OR artists <> (SELECT count(*) FROM artists)
                OR time <> (SELECT count(*) FROM time)
                OR staging_events <> (SELECT count(*) FROM staging_events)
                OR staging_songs <> (SELECT count(*) FROM staging_songs))",
    ),
];

/// Holds the books against each other and the tables, after a load that was published.
pub async fn balance(database: &Database) {
    let client = database.connect().await;
    for (promise, query) in CONTRADICTIONS {
        let query = format!("SELECT to_json(wrong)::text FROM ({query}) AS wrong LIMIT 10");
        let rows = client.query(&query, &[]).await.unwrap();
        let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(rows.is_empty(), "{promise}, but: {rows:#?}");
    }
}

/// Holds a report against the tables that it tells of; the load has cleared away behind it.
pub async fn agree(report: &Report, database: &Database) {
    let client = database.connect().await;
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%\\_loading\\_%'";
    let left: i64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "nothing is left behind");
    for table in Table::ALL {
        if matches!(table, Table::LoadRuns | Table::LoadObjects) {
            continue;
        }
        let count = format!("SELECT count(*) FROM {table}");
        let count: i64 = client.query_one(&count, &[]).await.unwrap().get(0);
        assert_eq!(report.rows(table), count as u64, "{table}");
    }
    let run = "SELECT run, mode, listed, loaded, unchanged, skipped, gone, bytes,
                      records, taken, filtered, rejected
               FROM load_runs ORDER BY run DESC LIMIT 1";
    let run = client.query_one(run, &[]).await.unwrap();
    let mode = serde_json::to_value(report.mode).unwrap();
    assert_eq!((run.get(0), run.get(1)), (report.run, mode.as_str().unwrap()));
    let books: [i64; 10] = std::array::from_fn(|column| run.get(column + 2));
    let (objects, songs, events) = (report.objects, report.songs, report.events);
    let expected = [
        objects.listed,
        objects.loaded,
        objects.unchanged,
        objects.skipped.total(),
        objects.gone,
        objects.bytes,
        songs.records + events.records,
        songs.rows + events.plays,
        events.filtered,
        songs.rejected + events.rejected,
    ];
    assert_eq!(books.map(|count| count as u64), expected, "the run as it is entered");
}
