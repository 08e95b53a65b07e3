//! Merging: what the star becomes when some objects have changed, computed by the server from the staging tables.
//!
//! The rules are those of `star`, in SQL; a test holds both against each other. A load that has read every object
//! computes the star itself, which is faster; one that goes on with what another one has staged makes all of it anew, by
//! [`rebuild`](super::rebuild).

use tokio_postgres::GenericClient;

use super::{failed, in_schema, quoted};
use crate::error::Result;
use crate::star::Matching;
use crate::table::Table;

/// What plays are matched by, and whether those without a song are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub matching: Matching,
    pub matched_only: bool,
}

/// What a load brings, by the names that the statements have for it.
pub(super) const DELTAS: [(&str, Table); 4] = [
    ("delta_objects", Table::LoadObjects),
    ("delta_songs", Table::StagingSongs),
    ("delta_events", Table::StagingEvents),
    ("delta_errors", Table::LoadErrors),
];

/// The keys of what the load may change, read off the tables as they were before it.
const TOUCHED: &str = include_str!("../sql/merge/touched.sql");

/// Each part of the star for these keys, read off the staging tables as they are then.
const FRESH: [(Table, &str); 5] = [
    (Table::Songs, include_str!("../sql/merge/songs.sql")),
    (Table::Artists, include_str!("../sql/merge/artists.sql")),
    (Table::Users, include_str!("../sql/merge/users.sql")),
    (Table::Songplays, include_str!("../sql/merge/songplays.sql")),
    (Table::Time, include_str!("../sql/merge/time.sql")),
];

/// Takes note of what the records in `loading` touch in `schema`.
pub(super) async fn begin(
    client: &impl GenericClient,
    schema: &str,
    loading: &str,
    rules: Rules,
) -> Result<()> {
    let what = |cause| failed("can't find out what the load changes", cause);
    client.batch_execute(&delta(loading, rules)).await.map_err(what)?;
    client.batch_execute(&in_schema(schema, TOUCHED)).await.map_err(what)
}

/// The statements that give names to what a load brings.
fn delta(loading: &str, rules: Rules) -> String {
    let mut prepare = String::new();
    for (view, table) in DELTAS {
        let columns: Vec<_> = table.columns().iter().map(|column| quoted(column.name)).collect();
        let (columns, loading) = (columns.join(", "), quoted(loading));
        prepare +=
            &format!("CREATE TEMP VIEW {view} AS SELECT {columns} FROM {loading}.{table};\n");
    }
    let Rules { matching, matched_only } = rules;
    let match_duration = match matching {
        Matching::TitleArtistDuration => true,
        Matching::TitleArtist => false,
    };
    prepare += &format!(
        "CREATE TEMP TABLE merge_rules ON COMMIT DROP AS\n\
         SELECT {match_duration} AS match_duration, {matched_only} AS matched_only;\n\
         ANALYZE merge_rules;\n"
    );
    prepare
}

/// Computes the new versions of what is touched in `schema`.
pub(super) async fn compute(client: &impl GenericClient, schema: &str) -> Result<()> {
    for (table, statements) in FRESH {
        let what = |cause| failed(format!("can't compute {table}"), cause);
        client.batch_execute(&in_schema(schema, statements)).await.map_err(what)?;
    }
    Ok(())
}

/// Brings the ledger of `schema` up to date with plays that came or went with a song of another object.
pub(super) async fn recount(client: &impl GenericClient, schema: &str, rules: Rules) -> Result<()> {
    if !rules.matched_only {
        return Ok(());
    }
    let what = |cause| failed("can't count the plays of each object", cause);
    let recount = in_schema(schema, include_str!("../sql/merge/recount.sql"));
    client.batch_execute(&recount).await.map_err(what)
}
