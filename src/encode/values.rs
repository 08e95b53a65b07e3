//! SQL's VALUES as Redshift reads them: in its literals a backslash begins an escape.
//!
//! A row is a line, whatever its texts hold, so that lines can be put into as many statements as it takes.

use super::RowWriter;
use super::csv::write;
use crate::table::Row;
use crate::table::time::Moment;

/// Adds a row.
pub(super) fn push<R: Row>(bytes: &mut Vec<u8>, row: &R) {
    bytes.push(b'(');
    let mut writer = Writer { bytes, columns: 0 };
    row.write(&mut writer);
    debug_assert_eq!(writer.columns, R::TABLE.columns().len(), "{}", R::TABLE);
    bytes.extend_from_slice(b")\n");
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    columns: usize,
}

impl RowWriter for Writer<'_> {
    fn int(&mut self, value: Option<i32>) {
        self.bigint(value.map(i64::from));
    }

    fn bigint(&mut self, value: Option<i64>) {
        self.value();
        match value {
            Some(value) => write(self.bytes, format_args!("{value}")),
            None => self.null(),
        }
    }

    fn double(&mut self, value: Option<f64>) {
        self.value();
        match value {
            // A literal without a cast would be a NUMERIC, which has not the range.
            Some(value) => write(self.bytes, format_args!("CAST('{value:?}' AS FLOAT8)")),
            None => self.null(),
        }
    }

    fn timestamp(&mut self, value: Moment) {
        self.value();
        write(self.bytes, format_args!("CAST('{value}' AS TIMESTAMP)"));
    }

    fn text(&mut self, value: Option<&str>) {
        self.value();
        match value {
            Some(value) => self.literal(value),
            None => self.null(),
        }
    }

    fn json(&mut self, value: Option<&str>) {
        self.value();
        let Some(value) = value else { return self.null() };
        self.bytes.extend_from_slice(b"JSON_PARSE(");
        self.literal(value);
        self.bytes.push(b')');
    }
}

impl Writer<'_> {
    fn literal(&mut self, value: &str) {
        self.bytes.push(b'\'');
        for &byte in value.as_bytes() {
            match byte {
                b'\'' => self.bytes.extend_from_slice(b"''"),
                b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                b'\n' => self.bytes.extend_from_slice(b"\\n"),
                byte => self.bytes.push(byte),
            }
        }
        self.bytes.push(b'\'');
    }

    /// Begins the next value.
    fn value(&mut self) {
        if self.columns > 0 {
            self.bytes.push(b',');
        }
        self.columns += 1;
    }

    fn null(&mut self) {
        self.bytes.extend_from_slice(b"NULL");
    }
}

#[cfg(test)]
mod tests {
    use crate::encode::{Encoding, Rows};
    use crate::table::Table;
    use crate::table::songs::Song;
    use crate::table::time::{self, Moment};

    #[test]
    fn a_row_is_a_line_and_its_texts_are_literals() {
        let mut rows = Rows::new(Table::Songs, Encoding::Values);
        rows.push(&Song {
            song_id: "S'1\\",
            title: "two\nlines",
            artist_id: "",
            year: None,
            duration: 1e300,
        });
        let mut times = Rows::new(Table::Time, Encoding::Values);
        let moments = [Moment::from_unix_ms(1_541_106_106_796).unwrap()];
        time::rows(moments.into_iter()).for_each(|row| times.push(&row));
        let text = |rows: Rows| String::from_utf8(rows.bytes.to_vec()).unwrap();
        assert_eq!(text(rows), "('S''1\\\\','two\\nlines','',NULL,CAST('1e300' AS FLOAT8))\n");
        assert_eq!(
            text(times),
            "(CAST('2018-11-01 21:01:46.796' AS TIMESTAMP),21,1,44,11,2018,4)\n"
        );
    }
}
