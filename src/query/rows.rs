//! The result of a query: columns and rows of text, as JSON or CSV.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use tokio_postgres::types::Type;

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

impl Column {
    pub(super) fn text(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Text }
    }
}

impl Rows {
    /// Writes an array of objects, one a line, with the columns' names as keys in their order.
    ///
    /// Numbers keep the digits the server gave; `NaN` and infinities, which JSON lacks, become strings.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let Self { columns, rows, affected: _ } = self;
        for (number, values) in rows.iter().enumerate() {
            out.write_all(if number == 0 { b"[\n  " } else { b",\n  " })?;
            serde_json::to_writer(&mut out, &Object { columns, values })?;
        }
        out.write_all(if rows.is_empty() { b"[]\n" } else { b"\n]\n" })
    }

    /// Gives what [`Rows::write_json`] writes.
    pub fn to_json(&self) -> String {
        text(|out| self.write_json(out))
    }

    /// Writes a header and the rows as RFC 4180 quotes them, each line ended by `\n` as in `psql --csv`.
    ///
    /// NULL is an empty field, an empty text is `""`, so that PostgreSQL's CSV COPY reads both back.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_csv(&self, mut out: impl Write) -> io::Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let header = self.columns.iter().map(|column| Some(column.name.as_str()));
        write_csv_line(&mut out, header)?;
        for row in &self.rows {
            write_csv_line(&mut out, row.iter().map(Option::as_deref))?;
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

fn write_csv_line<'a>(
    out: &mut impl Write,
    fields: impl Iterator<Item = Option<&'a str>>,
) -> io::Result<()> {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        match field {
            None => {}
            Some(field) if field.is_empty() || field.contains(['"', ',', '\n', '\r']) => {
                write!(out, "\"{}\"", field.replace('"', "\"\""))?;
            }
            Some(field) => out.write_all(field.as_bytes())?,
        }
    }
    out.write_all(b"\n")
}

struct Object<'a> {
    columns: &'a [Column],
    values: &'a [Option<String>],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, value) in self.columns.iter().zip(self.values) {
            match (column.kind, value.as_deref()) {
                (Kind::Boolean, Some("t")) => object.serialize_entry(&column.name, &true)?,
                (Kind::Boolean, Some("f")) => object.serialize_entry(&column.name, &false)?,
                // What is not JSON after all goes out as text.
                (Kind::Number | Kind::Json, Some(text)) => {
                    match serde_json::from_str::<&RawValue>(text) {
                        Ok(raw) => object.serialize_entry(&column.name, raw)?,
                        Err(_) => object.serialize_entry(&column.name, text)?,
                    }
                }
                (_, value) => object.serialize_entry(&column.name, &value)?,
            }
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[(&str, Kind)], rows: &[&[Option<&str>]]) -> Rows {
        let column = |&(name, kind): &(&str, Kind)| Column { name: name.to_owned(), kind };
        let row = |row: &&[Option<&str>]| row.iter().map(|it| it.map(str::to_owned)).collect();
        Rows {
            columns: columns.iter().map(column).collect(),
            rows: rows.iter().map(row).collect(),
            affected: rows.len() as u64,
        }
    }

    #[test]
    fn json_keeps_types_digits_and_order() {
        let rows = rows(
            &[
                ("n", Kind::Number),
                ("t", Kind::Text),
                ("b", Kind::Boolean),
                ("j", Kind::Json),
                ("a \"q\"", Kind::Text),
            ],
            &[
                &[
                    Some("12345678901234567890.10"),
                    Some("7"),
                    Some("t"),
                    Some("{\"x\": [1]}"),
                    None,
                ],
                &[Some("NaN"), Some("é\n"), Some("f"), Some("null"), Some("")],
                &[Some("-1e+20"), None, None, None, Some("\\")],
            ],
        );
        insta::assert_snapshot!(rows.to_json(), @r#"
        [
          {"n":12345678901234567890.10,"t":"7","b":true,"j":{"x": [1]},"a \"q\"":null},
          {"n":"NaN","t":"é\n","b":false,"j":null,"a \"q\"":""},
          {"n":-1e+20,"t":null,"b":null,"j":null,"a \"q\"":"\\"}
        ]
        "#);
        assert_eq!(Rows::default().to_json(), "[]\n");
    }

    #[test]
    fn csv_tells_null_from_empty() {
        let rows = rows(
            &[("a", Kind::Text), ("b,c", Kind::Text)],
            &[
                &[Some("plain"), Some("with, comma")],
                &[None, Some("")],
                &[Some("say \"hi\""), Some("two\nlines")],
                &[Some(" blank "), Some("naïve")],
            ],
        );
        insta::assert_snapshot!(rows.to_csv(), @r#"
        a,"b,c"
        plain,"with, comma"
        ,""
        "say ""hi""","two
        lines"
         blank ,naïve
        "#);
    }
}
