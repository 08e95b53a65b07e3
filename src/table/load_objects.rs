//! `load_objects`: the ledger, every version of an object that was loaded; an `object_id` leads here.

use super::time::Moment;
use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "load_objects",
    columns: &[
        Column::new("object_id", Kind::BigInt),
        Column::new("run", Kind::BigInt),
        Column::new("kind", Kind::Word),
        Column::new("object", Kind::Long),
        Column::new("bytes", Kind::BigInt),
        Column::new("etag", Kind::Text),
        Column::new("records", Kind::BigInt),
        Column::new("taken", Kind::BigInt),
        Column::new("filtered", Kind::BigInt),
        Column::new("rejected", Kind::BigInt),
        Column::new("staged", Kind::BigInt),
        Column::new("loaded_at", Kind::Timestamp),
        Column::new("replaced_by", Kind::BigInt),
    ],
    key: &["object_id", "run"],
};

/// A version of an object whose rows are new.
pub(crate) struct LoadObject<'a> {
    pub object_id: i64,
    pub run: i64,
    pub kind: &'a str,
    pub object: &'a str,
    pub bytes: u64,
    pub etag: &'a str,
    pub records: u64,
    pub taken: u64,
    pub filtered: u64,
    pub rejected: u64,
    pub staged: u64,
    pub loaded_at: Moment,
}

impl Row for LoadObject<'_> {
    const TABLE: Table = Table::LoadObjects;

    fn write(&self, row: &mut impl RowWriter) {
        let Self {
            object_id,
            run,
            kind,
            object,
            bytes,
            etag,
            records,
            taken,
            filtered,
            rejected,
            staged,
            loaded_at,
        } = *self;
        row.bigint(Some(object_id));
        row.bigint(Some(run));
        row.text(Some(kind));
        row.text(Some(object));
        row.bigint(Some(bytes as i64));
        row.text(Some(etag));
        row.bigint(Some(records as i64));
        row.bigint(Some(taken as i64));
        row.bigint(Some(filtered as i64));
        row.bigint(Some(rejected as i64));
        row.bigint(Some(staged as i64));
        row.timestamp(loaded_at);
        row.bigint(None);
    }
}
