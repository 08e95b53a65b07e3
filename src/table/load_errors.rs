//! `load_errors`: the records that could not be loaded, and why.

use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;
use crate::record::Reject;

pub(super) const LAYOUT: Layout = Layout {
    name: "load_errors",
    columns: &[
        Column::new("run", Kind::BigInt),
        Column::new("object_id", Kind::BigInt),
        Column::new("object", Kind::Long),
        Column::new("etag", Kind::Text),
        Column::new("record_no", Kind::BigInt),
        Column::new("line", Kind::BigInt),
        Column::new("byte_offset", Kind::BigInt),
        Column::new("column_name", Kind::Word),
        Column::new("column_type", Kind::Word),
        Column::new("raw_value", Kind::Long),
        Column::new("raw_record", Kind::Long),
        Column::new("reason", Kind::Long),
    ],
    key: &["object_id", "record_no"],
};

pub(crate) struct LoadError<'a> {
    pub run: i64,
    pub reject: &'a Reject,
}

impl Row for LoadError<'_> {
    const TABLE: Table = Table::LoadErrors;

    fn write(&self, row: &mut impl RowWriter) {
        let Reject {
            object_id,
            object,
            etag,
            record_no,
            line,
            byte_offset,
            column,
            value,
            reason,
            record,
        } = self.reject;
        row.bigint(Some(self.run));
        row.bigint(Some((*object_id).into()));
        row.text(Some(object));
        row.text(Some(etag));
        row.bigint(Some(*record_no as i64));
        row.bigint(Some(*line as i64));
        row.bigint(Some(*byte_offset as i64));
        row.text(column.as_ref().map(|column| column.name));
        row.text(column.as_ref().map(|column| column.kind));
        row.text(value.as_deref());
        row.text(Some(&Reject::excerpt(record)));
        row.text(Some(reason));
    }
}
