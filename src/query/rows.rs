//! The result of a query that was collected: columns and rows of text.

use std::io::{self, Write};

use tokio_postgres::types::Type;

use super::formats::{CsvWriter, JsonWriter};

/// What a query gave: its last result set, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The columns in order; none if the SQL gave no result set.
    pub columns: Vec<Column>,
    /// One value for each column as the server writes it; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows the last statement gave or changed.
    pub affected: u64,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, not necessarily unique.
    pub name: String,
    /// What its text stands for.
    pub kind: Kind,
}

/// What the text in a column stands for, as far as output formats care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Text, dates and all else.
    Text,
    /// An integer, a decimal or a floating-point number.
    Number,
    /// `t` or `f`.
    Boolean,
    /// A JSON document.
    Json,
}

impl Kind {
    pub(super) fn of(sql: &Type) -> Self {
        match *sql {
            Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::NUMERIC
            | Type::FLOAT4
            | Type::FLOAT8 => Self::Number,
            Type::BOOL => Self::Boolean,
            Type::JSON | Type::JSONB => Self::Json,
            _ => Self::Text,
        }
    }
}

impl Rows {
    /// Writes what [`JsonWriter`] does.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let mut json = JsonWriter::new(&self.columns);
        for row in &self.rows {
            json.row(&mut out, row.iter().map(Option::as_deref))?;
        }
        json.end(&mut out)
    }

    /// Gives what [`Rows::write_json`] writes.
    pub fn to_json(&self) -> String {
        text(|out| self.write_json(out))
    }

    /// Writes what [`CsvWriter`] does; nothing where there are no columns.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        CsvWriter.header(&mut out, &self.columns)?;
        for row in &self.rows {
            CsvWriter.row(&mut out, row.iter().map(Option::as_deref))?;
        }
        Ok(())
    }

    /// Gives what [`Rows::write_csv`] writes.
    pub fn to_csv(&self) -> String {
        text(|out| self.write_csv(out))
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    // Memory doesn't fail, and all that is written is text.
    let _ = write(&mut bytes);
    String::from_utf8(bytes).unwrap_or_default()
}
