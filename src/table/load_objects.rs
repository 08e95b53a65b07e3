//! `load_objects`: the objects that were loaded; an `object_id` leads here.

use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "load_objects",
    columns: &[
        Column::new("object_id", Kind::BigInt),
        Column::new("object", Kind::Text),
        Column::new("bytes", Kind::BigInt),
        Column::new("etag", Kind::Text),
        Column::new("records", Kind::BigInt),
        Column::new("rejects", Kind::BigInt),
        Column::new("run", Kind::BigInt),
    ],
    key: &["object_id"],
};

pub(crate) struct LoadObject<'a> {
    pub object_id: i64,
    pub object: &'a str,
    pub bytes: u64,
    pub etag: &'a str,
    pub records: u64,
    pub rejects: u64,
    pub run: i64,
}

impl Row for LoadObject<'_> {
    const TABLE: Table = Table::LoadObjects;

    fn write(&self, row: &mut RowWriter<'_>) {
        let Self { object_id, object, bytes, etag, records, rejects, run } = *self;
        row.bigint(Some(object_id));
        row.text(Some(object));
        row.bigint(Some(bytes as i64));
        row.text(Some(etag));
        row.bigint(Some(records as i64));
        row.bigint(Some(rejects as i64));
        row.bigint(Some(run));
    }
}
