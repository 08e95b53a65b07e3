//! CSV as Redshift's COPY reads it, described in its guide under "Data format parameters" and "Data conversion
//! parameters".
//!
//! Every text stands in quotes. A number that is NULL is an empty field, which a column of numbers always takes for
//! NULL; in a column of text that would be `''`, so there NULL is a mark of its own.

use std::fmt;
use std::io::Write as _;

use super::RowWriter;
use crate::table::Row;
use crate::table::time::Moment;

/// What stands for NULL in columns of text: made by chance for each load, so that no text is equal to it. The usual `\N`
/// could be one, and Redshift does not say whether quotes make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NullMark([u8; 16]);

impl NullMark {
    pub fn by_chance() -> Self {
        Self::of(fastrand::u64(..))
    }

    fn of(number: u64) -> Self {
        let mut digits = [0; 16];
        write!(&mut digits[..], "{number:016x}").expect("so many digits have room");
        Self(digits)
    }
}

impl fmt::Display for NullMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&digit| write!(f, "{}", char::from(digit)))
    }
}

/// Adds a row.
pub(super) fn push<R: Row>(bytes: &mut Vec<u8>, row: &R, null: NullMark) {
    let mut writer = Writer { bytes, null, columns: 0 };
    row.write(&mut writer);
    debug_assert_eq!(writer.columns, R::TABLE.columns().len(), "{}", R::TABLE);
    bytes.push(b'\n');
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    null: NullMark,
    columns: usize,
}

impl RowWriter for Writer<'_> {
    fn int(&mut self, value: Option<i32>) {
        self.bigint(value.map(i64::from));
    }

    fn bigint(&mut self, value: Option<i64>) {
        self.field();
        if let Some(value) = value {
            write(self.bytes, format_args!("{value}"));
        }
    }

    fn double(&mut self, value: Option<f64>) {
        self.field();
        if let Some(value) = value {
            // The fewest digits that tell the number from all others, with an exponent where it is long.
            write(self.bytes, format_args!("{value:?}"));
        }
    }

    fn timestamp(&mut self, value: Moment) {
        self.field();
        // COPY's `epochmillisecs`: no format of dates has years before the first or after 9999.
        write(self.bytes, format_args!("{}", value.unix_ms()));
    }

    fn text(&mut self, value: Option<&str>) {
        self.field();
        let Some(value) = value else {
            return self.bytes.extend_from_slice(&self.null.0);
        };
        self.bytes.push(b'"');
        let mut rest = value.as_bytes();
        while let Some(quote) = memchr::memchr(b'"', rest) {
            self.bytes.extend_from_slice(&rest[..=quote]);
            self.bytes.push(b'"');
            rest = &rest[quote + 1..];
        }
        self.bytes.extend_from_slice(rest);
        self.bytes.push(b'"');
    }

    fn json(&mut self, value: Option<&str>) {
        // COPY parses what stands in a column of SUPER.
        self.text(value);
    }
}

impl Writer<'_> {
    /// Begins the next field.
    fn field(&mut self) {
        if self.columns > 0 {
            self.bytes.push(b',');
        }
        self.columns += 1;
    }
}

/// Adds a number or a moment.
pub(super) fn write(bytes: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    bytes.write_fmt(value).expect("a vector takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Buffer;
    use crate::encode::{Encoding, Rows};
    use crate::table::Table;
    use crate::table::artists::Artist;
    use crate::table::songs::Song;

    #[test]
    fn null_is_told_from_an_empty_text_and_quotes_are_doubled() {
        let mark = NullMark::of(0x5eed);
        let mut rows = Rows::within(Table::Artists, Encoding::Csv(mark), Buffer::default());
        let artist = |name, location, latitude| Artist {
            artist_id: "AR\\N",
            name,
            location,
            latitude,
            longitude: Some(-0.0),
        };
        rows.push(&artist("say \"hi\", twice\r\n", None, None));
        rows.push(&artist("", Some(""), Some(1e300)));
        rows.push(&artist("späte 🎵", Some("\""), Some(5e-324)));
        let text = String::from_utf8(rows.bytes.to_vec()).unwrap();
        let expected = "\"AR\\N\",\"say \"\"hi\"\", twice\r\n\",0000000000005eed,,-0.0\n\
                        \"AR\\N\",\"\",\"\",1e300,-0.0\n\
                        \"AR\\N\",\"späte 🎵\",\"\"\"\",5e-324,-0.0\n";
        assert_eq!(text, expected);
        assert_eq!(rows.count, 3);
    }

    #[test]
    fn numbers_keep_every_digit() {
        for number in
            [0.1, 218.93179, 1.0 / 3.0, f64::MAX, f64::MIN_POSITIVE, 9_007_199_254_740_993.0]
        {
            let mut rows = Rows::new(Table::Songs, Encoding::Csv(NullMark::by_chance()));
            let song =
                Song { song_id: "", title: "", artist_id: "", year: Some(-1), duration: number };
            rows.push(&song);
            let text = String::from_utf8(rows.bytes.to_vec()).unwrap();
            let duration = text.trim_end().rsplit_once(',').unwrap().1;
            assert_eq!(duration.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
    }
}
