//! Results as JSON and as CSV, row by row.

use std::collections::HashSet;
use std::io::{self, Write};

use serde_json::value::RawValue;

use super::rows::{Column, Kind};

/// Writes a result set as an array of objects, one a line, with the columns' names as keys in their order.
///
/// Numbers keep the digits the server gave; `NaN` and infinities, which JSON lacks, become strings. Of columns with the
/// same name the second has the key `name_2`, the third `name_3`, or the next that is free.
#[derive(Debug)]
pub struct JsonWriter {
    /// The keys as they are written, and what their values are.
    keys: Vec<(String, Kind)>,
    is_empty: bool,
}

impl JsonWriter {
    /// Begins with a set that has these columns.
    pub fn new(columns: &[Column]) -> Self {
        let names: HashSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let mut taken: HashSet<String> = HashSet::with_capacity(columns.len());
        let mut keys = Vec::with_capacity(columns.len());
        for Column { name, kind } in columns {
            let mut key = name.clone();
            let mut number = 1;
            // What another column is called by itself is not free either.
            while taken.contains(&key) || number > 1 && names.contains(key.as_str()) {
                number += 1;
                key = format!("{name}_{number}");
            }
            taken.insert(key.clone());
            keys.push((serde_json::Value::String(key).to_string(), *kind));
        }
        Self { keys, is_empty: true }
    }

    /// Writes a row, which has a value for each column.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn row<'a>(
        &mut self,
        mut out: impl Write,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) -> io::Result<()> {
        out.write_all(if self.is_empty { b"[\n  " } else { b",\n  " })?;
        self.is_empty = false;
        let mut before = b"{";
        for ((key, kind), value) in self.keys.iter().zip(values) {
            out.write_all(before)?;
            before = b",";
            out.write_all(key.as_bytes())?;
            out.write_all(b":")?;
            match (kind, value) {
                (_, None) => out.write_all(b"null")?,
                (Kind::Boolean, Some("t")) => out.write_all(b"true")?,
                (Kind::Boolean, Some("f")) => out.write_all(b"false")?,
                // What is not JSON after all goes out as text.
                (Kind::Number | Kind::Json, Some(text)) => {
                    match serde_json::from_str::<&RawValue>(text) {
                        Ok(raw) => out.write_all(raw.get().as_bytes())?,
                        Err(_) => serde_json::to_writer(&mut out, text)?,
                    }
                }
                (_, Some(text)) => serde_json::to_writer(&mut out, text)?,
            }
        }
        if before == b"{" {
            out.write_all(before)?;
        }
        out.write_all(b"}")
    }

    /// Ends the array.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn end(self, mut out: impl Write) -> io::Result<()> {
        out.write_all(if self.is_empty { b"[]\n" } else { b"\n]\n" })
    }
}

/// Writes a header and rows as RFC 4180 quotes them, each line ended by `\n` as in `psql --csv`.
///
/// NULL is an empty field, an empty text is `""`, so that PostgreSQL's CSV COPY reads both back.
#[derive(Debug, Clone, Copy)]
pub struct CsvWriter;

impl CsvWriter {
    /// Writes the columns' names.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn header(self, out: impl Write, columns: &[Column]) -> io::Result<()> {
        self.row(out, columns.iter().map(|column| Some(column.name.as_str())))
    }

    /// Writes a row.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn row<'a>(
        self,
        mut out: impl Write,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) -> io::Result<()> {
        for (index, field) in values.into_iter().enumerate() {
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
}

#[cfg(test)]
mod tests {
    use super::super::rows::Rows;
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

    #[test]
    fn names_that_are_repeated_survive_in_json() {
        let column = |name: &str| Column { name: name.to_owned(), kind: Kind::Number };
        let columns = ["id", "id", "id_2", "id", "?column?", "?column?"].map(column);
        let mut out = Vec::new();
        let mut json = JsonWriter::new(&columns);
        json.row(&mut out, ["1", "2", "3", "4", "5", "6"].map(Some)).unwrap();
        json.end(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "[\n  {\"id\":1,\"id_3\":2,\"id_2\":3,\"id_4\":4,\"?column?\":5,\"?column?_2\":6}\n]\n"
        );
    }
}
