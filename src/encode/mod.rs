//! Encoding: rows become the bytes that a database reads.

mod binary;
#[cfg_attr(
    not(feature = "s3"),
    allow(dead_code, reason = "only rows that are staged in S3 are CSV")
)]
mod csv;
mod values;

use crate::buffer::{Buffer, Buffers};
use crate::dialect::Dialect;
use crate::table::time::Moment;
use crate::table::{Row, Table};

pub(crate) use binary::{HEADER, TRAILER};
pub(crate) use csv::NullMark;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// PostgreSQL's binary COPY.
    Binary,
    #[cfg_attr(
        not(feature = "s3"),
        allow(dead_code, reason = "only rows that are staged in S3 are CSV")
    )]
    /// Redshift's CSV, for files that its COPY reads; text that is NULL is this mark.
    Csv(NullMark),
    /// SQL's VALUES, one row a line.
    Values,
}

impl Encoding {
    /// Whose rows are written so.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Binary => Dialect::Postgres,
            Self::Csv(_) | Self::Values => Dialect::Redshift,
        }
    }
}

/// Encoded rows of one table, without header and trailer, so that they can be strung together.
#[derive(Debug)]
pub(crate) struct Rows {
    pub table: Table,
    encoding: Encoding,
    pub bytes: Buffer,
    pub count: u64,
}

impl Rows {
    pub fn new(table: Table, encoding: Encoding) -> Self {
        Self::within(table, encoding, Buffer::default())
    }

    /// Rows that are put into the memory of `bytes`, which is empty.
    pub fn within(table: Table, encoding: Encoding, bytes: Buffer) -> Self {
        Self { table, encoding, bytes, count: 0 }
    }

    /// Adds `row`, which must be of this table.
    pub fn push<R: Row>(&mut self, row: &R) {
        debug_assert_eq!(R::TABLE, self.table);
        match self.encoding {
            Encoding::Binary => binary::push(&mut self.bytes, row),
            Encoding::Csv(null) => csv::push(&mut self.bytes, row, null),
            Encoding::Values => values::push(&mut self.bytes, row),
        }
        self.count += 1;
    }
}

/// A part of many rows has this size; it is small because no memory is reserved for it.
const PART_BYTES: usize = 256 << 10;
/// A part is full where less is left of it.
const ROOM_FOR_A_ROW: usize = 4 << 10;

/// Encodes many rows of one table, in parts.
pub(crate) fn in_parts<R: Row>(
    encoding: Encoding,
    mut all: impl Iterator<Item = R>,
) -> impl Iterator<Item = Rows> {
    let buffers = Buffers::default();
    std::iter::from_fn(move || {
        let first = all.next()?;
        let mut part = Rows::within(R::TABLE, encoding, buffers.take(PART_BYTES));
        part.push(&first);
        while part.bytes.len() < PART_BYTES - ROOM_FOR_A_ROW
            && let Some(row) = all.next()
        {
            part.push(&row);
        }
        Some(part)
    })
}

/// Writes the columns of one row, in order.
pub(crate) trait RowWriter {
    fn int(&mut self, value: Option<i32>);

    fn bigint(&mut self, value: Option<i64>);

    fn double(&mut self, value: Option<f64>);

    fn timestamp(&mut self, value: Moment);

    fn text(&mut self, value: Option<&str>);

    /// A JSON value, as its text.
    fn json(&mut self, value: Option<&str>);
}
