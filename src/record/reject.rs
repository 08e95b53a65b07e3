//! A reject: a record that could not be loaded, where it stands, and why.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::dialect::Dialect;
use crate::table::Column;

/// A record that could not be loaded.
///
/// Serialized, `record` holds the whole raw record, or for one that is not UTF-8 its `record_hex` does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reject {
    /// The number of the object that holds it, as the tables have it.
    pub object_id: u32,
    /// The object that holds it.
    pub object: Arc<str>,
    /// The version of that object.
    pub etag: Arc<str>,
    /// Its number in the object, counted from 1.
    pub record_no: u64,
    /// The line on which it starts, counted from 1.
    pub line: u64,
    /// The offset of its first byte in the decompressed object.
    pub byte_offset: u64,
    /// The column that refuses its value, unless the whole record is at fault.
    pub column: Option<RejectColumn>,
    /// The value that the column refuses, as it stands in the record.
    pub value: Option<String>,
    /// Why it can't be loaded.
    pub reason: String,
    /// The raw record; of one that is too long, the beginning.
    pub record: Vec<u8>,
}

/// The column that refuses a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectColumn {
    /// Its name.
    pub name: &'static str,
    /// Its SQL type.
    pub kind: &'static str,
}

impl Reject {
    const EXCERPT_BYTES: usize = 1024;

    /// The first 1,024 bytes as text that a database can hold.
    pub(crate) fn excerpt(raw: &[u8]) -> String {
        let raw = &raw[..raw.len().min(Self::EXCERPT_BYTES)];
        String::from_utf8_lossy(raw).replace('\0', "\u{fffd}")
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { object, record_no, line, byte_offset, column, value, reason, .. } = self;
        write!(f, "{object}, record {record_no} (line {line}, byte {byte_offset}): ")?;
        if let Some(column) = column {
            write!(f, "{}: ", column.name)?;
        }
        f.write_str(reason)?;
        if let Some(value) = value {
            let shown: String = value.chars().take(80).collect();
            write!(f, ": {shown}{}", if shown.len() < value.len() { "…" } else { "" })?;
        }
        Ok(())
    }
}

impl Serialize for Reject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Reject", 10)?;
        map.serialize_field("object", &*self.object)?;
        map.serialize_field("etag", &*self.etag)?;
        map.serialize_field("record_no", &self.record_no)?;
        map.serialize_field("line", &self.line)?;
        map.serialize_field("byte_offset", &self.byte_offset)?;
        map.serialize_field("column", &self.column.map(|column| column.name))?;
        map.serialize_field("type", &self.column.map(|column| column.kind))?;
        map.serialize_field("value", &self.value)?;
        map.serialize_field("reason", &self.reason)?;
        match std::str::from_utf8(&self.record) {
            Ok(record) => map.serialize_field("record", record)?,
            Err(_) => {
                let hex: String = self.record.iter().map(|byte| format!("{byte:02x}")).collect();
                map.serialize_field("record_hex", &hex)?;
            }
        }
        map.end()
    }
}

/// What is wrong with a record, without its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub column: Option<RejectColumn>,
    pub value: Option<String>,
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// The whole record is at fault.
    pub fn record(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { column: None, value: None, reason: reason.into() }
    }

    /// `column` refuses `value`.
    pub fn value(
        column: Column,
        dialect: Dialect,
        value: Option<&[u8]>,
        reason: &'static str,
    ) -> Self {
        Self {
            column: Some(RejectColumn { name: column.name, kind: column.kind.sql(dialect) }),
            value: value.map(Reject::excerpt),
            reason: reason.into(),
        }
    }
}
