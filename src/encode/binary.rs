//! PostgreSQL's binary COPY format.

use crate::table::time::Moment;
use crate::table::{Row, Table};

/// What a binary COPY starts with: signature, flags, length of the header's extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What a binary COPY ends with.
pub(crate) const TRAILER: &[u8; 2] = b"\xff\xff";

/// Encoded rows of one table, without header and trailer, so that they can be strung together.
#[derive(Debug)]
pub(crate) struct Rows {
    pub table: Table,
    pub bytes: Vec<u8>,
    pub count: u64,
}

impl Rows {
    pub fn new(table: Table) -> Self {
        Self { table, bytes: Vec::new(), count: 0 }
    }

    /// Adds `row`, which must be of this table.
    pub fn push<R: Row>(&mut self, row: &R) {
        debug_assert_eq!(R::TABLE, self.table);
        let columns = R::TABLE.columns().len();
        self.bytes.extend_from_slice(&(columns as i16).to_be_bytes());
        let mut writer = RowWriter { bytes: &mut self.bytes, columns: 0 };
        row.write(&mut writer);
        debug_assert_eq!(writer.columns, columns, "{} writes other columns than it has", R::TABLE);
        self.count += 1;
    }
}

/// Writes the columns of one row, in order.
pub(crate) struct RowWriter<'a> {
    bytes: &'a mut Vec<u8>,
    columns: usize,
}

impl RowWriter<'_> {
    pub fn int(&mut self, value: Option<i32>) {
        self.field(value.map(i32::to_be_bytes));
    }

    pub fn bigint(&mut self, value: Option<i64>) {
        self.field(value.map(i64::to_be_bytes));
    }

    pub fn double(&mut self, value: Option<f64>) {
        self.field(value.map(f64::to_be_bytes));
    }

    pub fn timestamp(&mut self, value: Moment) {
        self.field(Some(value.postgres_us().to_be_bytes()));
    }

    pub fn text(&mut self, value: Option<&str>) {
        self.field(value);
    }

    fn field(&mut self, value: Option<impl AsRef<[u8]>>) {
        const NULL: i32 = -1;
        let value = value.as_ref().map(AsRef::as_ref);
        let length = value.map_or(NULL, |value| value.len() as i32);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.columns += 1;
    }
}
