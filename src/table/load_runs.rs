//! `load_runs`: the loads that were published, and their books in sum.

use super::{Column, Kind, Layout};

pub(super) const LAYOUT: Layout = Layout {
    name: "load_runs",
    columns: &[
        Column::new("run", Kind::BigInt),
        Column::new("token", Kind::Word),
        Column::new("mode", Kind::Word),
        Column::new("started_at", Kind::Timestamp),
        Column::new("finished_at", Kind::Timestamp),
        Column::new("settings", Kind::Long),
        Column::new("listed", Kind::BigInt),
        Column::new("loaded", Kind::BigInt),
        Column::new("unchanged", Kind::BigInt),
        Column::new("skipped", Kind::BigInt),
        Column::new("gone", Kind::BigInt),
        Column::new("bytes", Kind::BigInt),
        Column::new("records", Kind::BigInt),
        Column::new("taken", Kind::BigInt),
        Column::new("filtered", Kind::BigInt),
        Column::new("rejected", Kind::BigInt),
        Column::new("songplays", Kind::BigInt),
        Column::new("users", Kind::BigInt),
        Column::new("songs", Kind::BigInt),
        Column::new("artists", Kind::BigInt),
        Column::new("time", Kind::BigInt),
        Column::new("staging_events", Kind::BigInt),
        Column::new("staging_songs", Kind::BigInt),
        Column::new("unknown_members", Kind::Long),
    ],
    key: &["run"],
};
