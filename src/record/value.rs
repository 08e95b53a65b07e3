//! Values: a JSON value's source text becomes what its column holds, as a warehouse's COPY converts it.

use super::arena::Arena;
use super::digits::{double_of_digits, value_of_digits};
use super::format::Format;
use super::reject::Fault;
use super::text::truncate;
use crate::dialect::Dialect;
use crate::table::Column;
use crate::table::time::Moment;

/// Where a JSON value that a parser has accepted stands in its record, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw {
    pub start: u32,
    pub end: u32,
    pub kind: RawKind,
}

/// What a JSON value is, as far as conversions ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawKind {
    /// A string that means what it says; its quotes belong to it.
    Plain,
    /// A string with escapes.
    Escaped,
    Number,
    /// A boolean, an object or an array.
    Other,
}

impl Raw {
    /// The `value` that stands in `record`, of which it is a part.
    pub fn of(record: &str, value: &str) -> Self {
        let start = value.as_ptr().addr() - record.as_ptr().addr();
        let kind = match value.as_bytes()[0] {
            b'"' if value.contains('\\') => RawKind::Escaped,
            b'"' => RawKind::Plain,
            b'-' | b'0'..=b'9' => RawKind::Number,
            _ => RawKind::Other,
        };
        Self { start: start as u32, end: (start + value.len()) as u32, kind }
    }

    /// The value's source text, which stands in `record`.
    #[inline(always)]
    pub fn source(self, record: &str) -> &str {
        &record[self.start as usize..self.end as usize]
    }

    /// What stands between the quotes of a string.
    #[inline(always)]
    fn inner(self, record: &str) -> &str {
        &record[self.start as usize + 1..self.end as usize - 1]
    }
}

/// The values of one record in column order, `None` where there is none or it is null.
pub(super) struct Cells<'a, 'r> {
    pub record: &'a str,
    pub raw: &'r [Option<Raw>],
    pub columns: &'static [Column],
    /// What [`taken_below`] says of each.
    pub taken_below: &'r [usize],
    pub format: &'r Format,
    pub dialect: Dialect,
    /// Holds the texts that do not stand in the record as they are.
    pub arena: &'a Arena,
}

/// A string without escapes goes into the column as it is where it has fewer bytes than this.
pub(super) fn taken_below(column: Column, format: &Format, dialect: Dialect) -> usize {
    if format.empty_as_null || format.blanks_as_null {
        return 0;
    }
    column.kind.max_bytes(dialect).map_or(usize::MAX, |limit| limit + 1)
}

const NOT_WHOLE: &str = "not a whole number";
const NOT_A_NUMBER: &str = "not a number";
const OUT_OF_RANGE: &str = "out of range";

/// What most values need is inlined where it is asked for: the result, which may be a fault, is too large for registers.
impl<'a> Cells<'a, '_> {
    /// Text: a string's content, anything else as its source text without needless space.
    #[inline(always)]
    pub fn text(&self, index: usize) -> Result<Option<&'a str>, Fault> {
        let Some(raw) = self.raw[index] else { return Ok(None) };
        if raw.kind == RawKind::Plain {
            let text = raw.inner(self.record);
            if text.len() < self.taken_below[index] {
                return Ok(Some(text));
            }
        }
        self.any_text(index, raw)
    }

    #[inline(never)]
    fn any_text(&self, index: usize, raw: Raw) -> Result<Option<&'a str>, Fault> {
        let text = match raw.kind {
            RawKind::Plain => raw.inner(self.record),
            RawKind::Escaped => self.unescape(index, raw)?,
            RawKind::Number => raw.source(self.record),
            RawKind::Other => self.arena.compact(raw.source(self.record)),
        };
        let is_null = (self.format.empty_as_null && text.is_empty())
            || (self.format.blanks_as_null && !text.is_empty() && text.trim().is_empty());
        if is_null {
            return Ok(None);
        }
        match self.columns[index].kind.max_bytes(self.dialect) {
            Some(limit) if text.len() > limit => {
                if !self.format.truncate_columns {
                    return Err(self.fault(index, "too long for the column"));
                }
                Ok(Some(truncate(text, limit)))
            }
            _ => Ok(Some(text)),
        }
    }

    /// Text that the record can't do without.
    #[inline(always)]
    pub fn required_text(&self, index: usize) -> Result<&'a str, Fault> {
        self.text(index)?.ok_or_else(|| self.missing(index))
    }

    #[inline(always)]
    pub fn int(&self, index: usize) -> Result<Option<i32>, Fault> {
        let Some(value) = self.bigint(index)? else { return Ok(None) };
        i32::try_from(value).map(Some).map_err(|_| self.fault(index, OUT_OF_RANGE))
    }

    #[inline(always)]
    pub fn bigint(&self, index: usize) -> Result<Option<i64>, Fault> {
        let Some(raw) = self.raw[index] else { return Ok(None) };
        let (start, end) = (raw.start as usize, raw.end as usize);
        let (start, end) = match raw.kind {
            RawKind::Number => (start, end),
            RawKind::Plain => (start + 1, end - 1),
            RawKind::Escaped | RawKind::Other => return self.any_bigint(index),
        };
        if let Some(value) = value_of_digits(&self.record.as_bytes()[..end], end - start) {
            return Ok(Some(value));
        }
        self.any_bigint(index)
    }

    #[inline(never)]
    fn any_bigint(&self, index: usize) -> Result<Option<i64>, Fault> {
        let Some(number) = self.number(index)? else { return Ok(None) };
        whole(number).map(Some).map_err(|reason| self.fault(index, reason))
    }

    #[inline(always)]
    pub fn double(&self, index: usize) -> Result<Option<f64>, Fault> {
        let Some(raw) = self.raw[index] else { return Ok(None) };
        let (start, end) = (raw.start as usize, raw.end as usize);
        if raw.kind == RawKind::Number
            && let Some(value) = double_of_digits(&self.record.as_bytes()[..end], end - start)
        {
            return Ok(Some(value));
        }
        self.any_double(index)
    }

    #[inline(never)]
    fn any_double(&self, index: usize) -> Result<Option<f64>, Fault> {
        let Some(number) = self.number(index)? else { return Ok(None) };
        let value = number.parse::<f64>().map_err(|_| self.fault(index, NOT_A_NUMBER))?;
        if !value.is_finite() {
            return Err(self.fault(index, OUT_OF_RANGE));
        }
        Ok(Some(value))
    }

    pub fn required_double(&self, index: usize) -> Result<f64, Fault> {
        self.double(index)?.ok_or_else(|| self.missing(index))
    }

    #[inline(always)]
    pub fn moment(&self, index: usize) -> Result<Option<Moment>, Fault> {
        let Some(ms) = self.bigint(index)? else { return Ok(None) };
        Moment::from_unix_ms(ms)
            .map(Some)
            .ok_or_else(|| self.fault(index, "out of the range of timestamps"))
    }

    pub fn missing(&self, index: usize) -> Fault {
        self.fault(index, "missing")
    }

    /// The text of a number, which may stand in a string; a blank string holds none.
    fn number(&self, index: usize) -> Result<Option<&'a str>, Fault> {
        let Some(raw) = self.raw[index] else { return Ok(None) };
        let number = match raw.kind {
            RawKind::Number => return Ok(Some(raw.source(self.record))),
            RawKind::Plain => raw.inner(self.record).trim(),
            RawKind::Escaped => self.unescape(index, raw)?.trim(),
            RawKind::Other => return Err(self.fault(index, NOT_A_NUMBER)),
        };
        if number.is_empty() {
            return Ok(None);
        }
        // Rust's parser knows "inf" and "nan" too; a warehouse's numbers have digits.
        let is_number = number.bytes().any(|byte| byte.is_ascii_digit())
            && number
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        if !is_number {
            return Err(self.fault(index, NOT_A_NUMBER));
        }
        Ok(Some(number))
    }

    fn unescape(&self, index: usize, raw: Raw) -> Result<&'a str, Fault> {
        self.arena.unescape(raw.inner(self.record)).map_err(|reason| self.fault(index, reason))
    }

    #[cold]
    #[inline(never)]
    pub fn fault(&self, index: usize, reason: &'static str) -> Fault {
        let value = self.raw[index].map(|raw| raw.source(self.record).as_bytes());
        Fault::value(self.columns[index], self.dialect, value, reason)
    }
}

/// The exact value of a number that is whole, however it is written (`5`, `5.0`, `0.5e1`).
fn whole(number: &str) -> Result<i64, &'static str> {
    if let Ok(value) = number.parse::<i64>() {
        return Ok(value);
    }
    let (negative, magnitude) = match number.as_bytes()[0] {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (magnitude, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = integer.bytes().chain(fraction.bytes());
    if integer.len() + fraction.len() == 0 || !digits.clone().all(|digit| digit.is_ascii_digit()) {
        return Err(NOT_A_NUMBER);
    }
    // The decimal point stands behind this many digits.
    let point = (integer.len() as i64).saturating_add(exponent);
    let mut value = 0i64;
    let mut position = 0i64;
    for digit in &mut digits {
        let digit = i64::from(digit - b'0');
        if position < point {
            value = append_digit(value, digit).ok_or(OUT_OF_RANGE)?;
        } else if digit != 0 {
            return Err(NOT_WHOLE);
        }
        position += 1;
    }
    while position < point && value != 0 {
        value = append_digit(value, 0).ok_or(OUT_OF_RANGE)?;
        position += 1;
    }
    // Counted downwards, so that the smallest number fits.
    if negative { Ok(value) } else { value.checked_neg().ok_or(OUT_OF_RANGE) }
}

fn append_digit(value: i64, digit: i64) -> Option<i64> {
    value.checked_mul(10)?.checked_sub(digit)
}

fn exponent_of(text: &str) -> Result<i64, &'static str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NOT_A_NUMBER);
    }
    // An exponent too long for 64 bits moves the point beyond every digit just the same.
    let size = digits.parse().unwrap_or(i64::MAX / 2);
    Ok(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Kind;

    static COLUMNS: [Column; 1] = [Column::new("column", Kind::BigInt)];
    static KEY: [Column; 1] = [Column::new("column", Kind::Key)];

    fn with<T>(
        record: &str,
        format: &Format,
        columns: &'static [Column],
        convert: impl Fn(&Cells<'_, '_>) -> Result<T, Fault>,
    ) -> Result<T, String> {
        let raw = [(record != "null").then(|| Raw::of(record, record))];
        let (arena, dialect) = (Arena::new(format.replace_invalid_chars), Dialect::Postgres);
        let taken_below = &[taken_below(columns[0], format, dialect)];
        convert(&Cells { record, raw: &raw, columns, taken_below, format, dialect, arena: &arena })
            .map_err(|fault| fault.reason.into_owned())
    }

    #[test]
    fn integers_are_exact_however_they_are_written() {
        let cases: &[(&str, Result<Option<i64>, &str>)] = &[
            ("null", Ok(None)),
            ("\"\"", Ok(None)),
            ("\"  \"", Ok(None)),
            ("7", Ok(Some(7))),
            ("\"7\"", Ok(Some(7))),
            ("\" +7 \"", Ok(Some(7))),
            ("1540919166796.0", Ok(Some(1_540_919_166_796))),
            ("\"15.0\"", Ok(Some(15))),
            ("1e3", Ok(Some(1000))),
            ("120e-1", Ok(Some(12))),
            ("0.5E+1", Ok(Some(5))),
            ("-0.0", Ok(Some(0))),
            ("0e999999999999999999999", Ok(Some(0))),
            ("9007199254740993.0", Ok(Some(9_007_199_254_740_993))),
            ("9223372036854775807", Ok(Some(i64::MAX))),
            ("-9223372036854775808.0", Ok(Some(i64::MIN))),
            ("9223372036854775808", Err(OUT_OF_RANGE)),
            ("1e19", Err(OUT_OF_RANGE)),
            ("1e999999999999999999999", Err(OUT_OF_RANGE)),
            ("1.5", Err(NOT_WHOLE)),
            ("1e-1", Err(NOT_WHOLE)),
            ("1e-999999999999999999999", Err(NOT_WHOLE)),
            ("\"1.\"", Ok(Some(1))),
            ("\".\"", Err(NOT_A_NUMBER)),
            ("\"1e\"", Err(NOT_A_NUMBER)),
            ("\"--1\"", Err(NOT_A_NUMBER)),
            ("\"1 2\"", Err(NOT_A_NUMBER)),
            ("\"seven\"", Err(NOT_A_NUMBER)),
            ("true", Err(NOT_A_NUMBER)),
            ("[1]", Err(NOT_A_NUMBER)),
        ];
        for (raw, expected) in cases {
            let found = with(raw, &Format::default(), &COLUMNS, |cells| cells.bigint(0));
            assert_eq!(found, expected.map_err(str::to_owned), "{raw}");
        }
        let int = |raw| with(raw, &Format::default(), &COLUMNS, |cells| cells.int(0));
        assert_eq!(int("2147483647"), Ok(Some(i32::MAX)));
        assert_eq!(int("2147483648"), Err(OUT_OF_RANGE.to_owned()));
    }

    #[test]
    fn floats_are_finite_numbers() {
        let cases: &[(&str, Result<Option<f64>, &str>)] = &[
            ("null", Ok(None)),
            ("\" \"", Ok(None)),
            ("182.85669", Ok(Some(182.85669))),
            ("\"182.85669\"", Ok(Some(182.85669))),
            ("-1e-400", Ok(Some(-0.0))),
            ("1e400", Err(OUT_OF_RANGE)),
            ("\"inf\"", Err(NOT_A_NUMBER)),
            ("\"NaN\"", Err(NOT_A_NUMBER)),
            ("\"1e5e5\"", Err(NOT_A_NUMBER)),
            ("false", Err(NOT_A_NUMBER)),
        ];
        for (raw, expected) in cases {
            let found = with(raw, &Format::default(), &COLUMNS, |cells| cells.double(0));
            assert_eq!(found, expected.map_err(str::to_owned), "{raw}");
        }
    }

    #[test]
    fn text_takes_everything_as_it_comes() {
        let plain = Format::default();
        let empty = Format { empty_as_null: true, ..plain.clone() };
        let blanks = Format { blanks_as_null: true, ..plain.clone() };
        let cases = [
            ("null", &plain, None),
            ("\"\"", &plain, Some("")),
            ("\" a \"", &plain, Some(" a ")),
            ("1999", &plain, Some("1999")),
            ("4.60", &plain, Some("4.60")),
            ("true", &plain, Some("true")),
            ("{\"a\" : [1, 2.0]}", &plain, Some("{\"a\":[1,2.0]}")),
            ("\"\"", &empty, None),
            ("\" \"", &empty, Some(" ")),
            ("\"\"", &blanks, Some("")),
            ("\" \\t\"", &blanks, None),
        ];
        for (raw, format, expected) in cases {
            let found = with(raw, format, &COLUMNS, |cells| Ok(cells.text(0)?.map(str::to_owned)));
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{raw}");
        }
    }

    #[test]
    fn text_too_long_for_its_column_is_refused_or_cut_between_characters() {
        let raw = format!("\"{}é\"", "x".repeat(256 - 1));
        let truncate = Format { truncate_columns: true, ..Format::default() };
        let length =
            |format: &Format| with(&raw, format, &KEY, |cells| Ok(cells.text(0)?.map(str::len)));
        assert_eq!(length(&Format::default()), Err("too long for the column".to_owned()));
        assert_eq!(length(&truncate), Ok(Some(256 - 1)));
    }
}
