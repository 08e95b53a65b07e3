//! Values: a JSON value's source text becomes what its column holds, as a warehouse's COPY converts it.

use std::ops::Range;

use super::arena::{Arena, Slot};
use super::digits::{Decimal, value_of_digits};
use super::format::Format;
use super::text::truncate;
use crate::dialect::Dialect;
use crate::table::Column;
use crate::table::time::Moment;

/// Where a JSON value that a parser has accepted stands in its record, and what it is.
///
/// `slot` and `decimal` are no parts of `kind`: such an enum is not kept in registers, which makes reading four times slower.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    pub start: u32,
    pub end: u32,
    pub kind: RawKind,
    /// Where the arena has what it says, if it is known.
    pub slot: Slot,
    /// What it is worth, if it is a decimal.
    pub decimal: Decimal,
}

/// What a JSON value is, as far as conversions ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawKind {
    /// None at all, or a null.
    Null,
    /// A string that means what it says; its quotes belong to it.
    Plain,
    /// A string with escapes.
    Escaped,
    /// A string with escapes that the arena has undone before.
    Known,
    /// A number that is written plainly.
    Decimal,
    /// Any number.
    Number,
    /// A boolean, an object or an array.
    Other,
}

impl Raw {
    pub const NULL: Self = Self::new(0, 0, RawKind::Null);

    #[inline(always)]
    pub const fn new(start: usize, end: usize, kind: RawKind) -> Self {
        let (start, end) = (start as u32, end as u32);
        Self { start, end, kind, slot: Slot::NONE, decimal: Decimal::ZERO }
    }

    /// The `value` that stands in `record`, of which it is a part.
    pub fn of(record: &str, value: &str) -> Self {
        let start = value.as_ptr().addr() - record.as_ptr().addr();
        let kind = match value.as_bytes()[0] {
            b'"' if value.contains('\\') => RawKind::Escaped,
            b'"' => RawKind::Plain,
            b'-' | b'0'..=b'9' => RawKind::Number,
            _ => RawKind::Other,
        };
        Self::new(start, start + value.len(), kind)
    }

    #[inline(always)]
    pub fn place(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The value's source text, which stands in `record`.
    pub fn source(self, record: &str) -> Option<&str> {
        (self.kind != RawKind::Null).then(|| &record[self.place()])
    }

    /// What stands between the quotes of a string.
    #[inline(always)]
    fn inner(self, record: &str) -> &str {
        let Range { start, end } = self.place();
        &record[start + 1..end - 1]
    }
}

/// The values of one record, asked for in the order of their columns.
pub(super) trait Values<'a> {
    /// What a conversion makes of the value for a column.
    ///
    /// It is done where the value is found: what it needs not know of a value is then left out.
    fn next<C: Conversion>(&mut self, column: usize, rules: &Rules<'a>) -> Converted<C::Value<'a>>;

    /// Asked behind the last column.
    fn end(&self) -> Result<(), &'static str>;
}

/// How a column converts its values: a type, since functions that are handed over can't be told to be inlined.
pub(super) trait Conversion {
    type Value<'a>;

    fn convert<'a>(rules: &Rules<'a>, column: usize, raw: Raw) -> Converted<Self::Value<'a>>;
}

/// What a value is, `None` where there is none, or why it can't be.
pub(super) type Converted<T> = Result<Option<T>, &'static str>;

/// Those that have been picked.
impl<'a, const COLUMNS: usize> Values<'a> for &[Raw; COLUMNS] {
    #[inline(always)]
    fn next<C: Conversion>(&mut self, column: usize, rules: &Rules<'a>) -> Converted<C::Value<'a>> {
        C::convert(rules, column, self[column])
    }

    #[inline(always)]
    fn end(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// A column refuses its value.
#[derive(Debug)]
pub(super) struct Refusal {
    pub column: usize,
    pub reason: &'static str,
}

/// The values of one record, as its columns hold them.
pub(super) struct Cells<'a, V> {
    pub values: V,
    pub rules: Rules<'a>,
}

/// What the columns make of the values of one record.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub record: &'a str,
    pub columns: &'static [Column],
    /// What [`taken_below`] says of each.
    pub taken_below: &'a [usize],
    pub format: &'a Format,
    pub dialect: Dialect,
    /// Holds the texts that do not stand in the record as they are.
    pub arena: &'a Arena,
}

#[cfg(test)]
impl Rules<'_> {
    /// Does `work` by the rules of a table without columns.
    pub fn with<T>(record: &str, work: impl FnOnce(&Rules<'_>) -> T) -> T {
        let (arena, format) = (Arena::new(None), Format::default());
        let (columns, dialect) = (&[], Dialect::Postgres);
        work(&Rules { record, columns, taken_below: &[], format: &format, dialect, arena: &arena })
    }
}

/// A string without escapes goes into the column as it is where it has fewer bytes than this.
pub(super) fn taken_below(column: Column, format: &Format, dialect: Dialect) -> usize {
    if format.empty_as_null || format.blanks_as_null {
        return 0;
    }
    column.kind.max_bytes(dialect).map_or(usize::MAX, |limit| limit + 1)
}

pub(super) const TOO_LONG: &str = "too long for the column";
const NOT_WHOLE: &str = "not a whole number";
const NOT_A_NUMBER: &str = "not a number";
const OUT_OF_RANGE: &str = "out of range";

impl<'a, V: Values<'a>> Cells<'a, V> {
    #[inline(always)]
    pub fn next<C: Conversion>(&mut self, column: usize) -> Result<Option<C::Value<'a>>, Refusal> {
        let Self { values, rules } = self;
        values.next::<C>(column, rules).map_err(|reason| Refusal { column, reason })
    }

    /// A value that the record can't do without.
    #[inline(always)]
    pub fn required<C: Conversion>(&mut self, column: usize) -> Result<C::Value<'a>, Refusal> {
        self.next::<C>(column)?.ok_or(Refusal { column, reason: "missing" })
    }

    /// Asked behind the last column.
    #[inline(always)]
    pub fn end(&self) -> Result<(), Refusal> {
        self.values.end().map_err(|reason| Refusal { column: self.rules.columns.len(), reason })
    }
}

/// Text: a string's content, anything else as its source text without needless space.
pub(super) struct Text;

pub(super) struct Int;

pub(super) struct BigInt;

pub(super) struct Double;

/// Milliseconds since 1970 in UTC.
pub(super) struct Timestamp;

/// The value as it is.
pub(super) struct Unconverted;

impl Conversion for Text {
    type Value<'a> = &'a str;

    #[inline(always)]
    fn convert<'a>(rules: &Rules<'a>, column: usize, raw: Raw) -> Converted<&'a str> {
        match raw.kind {
            RawKind::Null => return Ok(None),
            RawKind::Plain => {
                let text = raw.inner(rules.record);
                if text.len() < rules.taken_below[column] {
                    return Ok(Some(text));
                }
            }
            _ => {}
        }
        rules.any_text(column, raw)
    }
}

impl Conversion for BigInt {
    type Value<'a> = i64;

    #[inline(always)]
    fn convert(rules: &Rules<'_>, _: usize, raw: Raw) -> Converted<i64> {
        let Range { start, end } = raw.place();
        let bytes = rules.record.as_bytes();
        let value = match raw.kind {
            RawKind::Null => return Ok(None),
            RawKind::Decimal => raw.decimal.whole(),
            RawKind::Plain => value_of_digits(&bytes[..end - 1], end - start - 2),
            RawKind::Number => value_of_digits(&bytes[..end], end - start),
            RawKind::Escaped | RawKind::Known | RawKind::Other => None,
        };
        match value {
            Some(value) => Ok(Some(value)),
            None => rules.any_bigint(raw),
        }
    }
}

impl Conversion for Int {
    type Value<'a> = i32;

    #[inline(always)]
    fn convert(rules: &Rules<'_>, column: usize, raw: Raw) -> Converted<i32> {
        let Some(value) = BigInt::convert(rules, column, raw)? else { return Ok(None) };
        i32::try_from(value).map(Some).map_err(|_| OUT_OF_RANGE)
    }
}

impl Conversion for Timestamp {
    type Value<'a> = Moment;

    #[inline(always)]
    fn convert(rules: &Rules<'_>, column: usize, raw: Raw) -> Converted<Moment> {
        let Some(ms) = BigInt::convert(rules, column, raw)? else { return Ok(None) };
        Moment::from_unix_ms(ms).map(Some).ok_or("out of the range of timestamps")
    }
}

impl Conversion for Double {
    type Value<'a> = f64;

    #[inline(always)]
    fn convert(rules: &Rules<'_>, _: usize, raw: Raw) -> Converted<f64> {
        match raw.kind {
            RawKind::Null => Ok(None),
            RawKind::Decimal => Ok(Some(raw.decimal.double())),
            _ => rules.any_double(raw),
        }
    }
}

impl Conversion for Unconverted {
    type Value<'a> = Raw;

    #[inline(always)]
    fn convert(_: &Rules<'_>, _: usize, raw: Raw) -> Converted<Raw> {
        Ok(Some(raw))
    }
}

impl<'a> Rules<'a> {
    #[inline(never)]
    fn any_text(&self, column: usize, raw: Raw) -> Converted<&'a str> {
        let Some(source) = raw.source(self.record) else { return Ok(None) };
        let text = match raw.kind {
            RawKind::Null | RawKind::Decimal | RawKind::Number => source,
            RawKind::Plain | RawKind::Escaped | RawKind::Known => self.string(raw)?,
            RawKind::Other => self.arena.compact(source),
        };
        let is_null = (self.format.empty_as_null && text.is_empty())
            || (self.format.blanks_as_null && !text.is_empty() && text.trim().is_empty());
        if is_null {
            return Ok(None);
        }
        match self.columns[column].kind.max_bytes(self.dialect) {
            Some(limit) if text.len() > limit && self.format.truncate_columns => {
                Ok(Some(truncate(text, limit)))
            }
            Some(limit) if text.len() > limit => Err(TOO_LONG),
            _ => Ok(Some(text)),
        }
    }

    #[inline(never)]
    fn any_bigint(&self, raw: Raw) -> Converted<i64> {
        self.number(raw)?.map(whole).transpose()
    }

    #[inline(never)]
    fn any_double(&self, raw: Raw) -> Converted<f64> {
        let Some(number) = self.number(raw)? else { return Ok(None) };
        let value = number.parse::<f64>().map_err(|_| NOT_A_NUMBER)?;
        if value.is_finite() { Ok(Some(value)) } else { Err(OUT_OF_RANGE) }
    }

    /// The text of a number, which may stand in a string; a blank string holds none.
    fn number(&self, raw: Raw) -> Converted<&'a str> {
        let number = match raw.kind {
            RawKind::Null | RawKind::Decimal | RawKind::Number => {
                return Ok(raw.source(self.record));
            }
            RawKind::Plain | RawKind::Escaped | RawKind::Known => self.string(raw)?.trim(),
            RawKind::Other => return Err(NOT_A_NUMBER),
        };
        if number.is_empty() {
            return Ok(None);
        }
        // Rust's parser knows "inf" and "nan" too; a warehouse's numbers have digits.
        let is_number = number.bytes().any(|byte| byte.is_ascii_digit())
            && number
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        if is_number { Ok(Some(number)) } else { Err(NOT_A_NUMBER) }
    }

    /// What a string says.
    fn string(&self, raw: Raw) -> Result<&'a str, &'static str> {
        match raw.kind {
            RawKind::Plain => Ok(raw.inner(self.record)),
            RawKind::Known => Ok(self.arena.text(raw.slot)),
            _ => self.arena.unescape(raw.inner(self.record)),
        }
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
        convert: impl Fn(&mut Cells<'_, &[Raw; 1]>) -> Result<T, Refusal>,
    ) -> Result<T, String> {
        let values = [if record == "null" { Raw::NULL } else { Raw::of(record, record) }];
        let (arena, dialect) = (Arena::new(format.replace_invalid_chars), Dialect::Postgres);
        let taken_below = &[taken_below(columns[0], format, dialect)];
        let rules = Rules { record, columns, taken_below, format, dialect, arena: &arena };
        convert(&mut Cells { values: &values, rules }).map_err(|refusal| refusal.reason.to_owned())
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
            let found = with(raw, &Format::default(), &COLUMNS, |cells| cells.next::<BigInt>(0));
            assert_eq!(found, expected.map_err(str::to_owned), "{raw}");
        }
        let int = |raw| with(raw, &Format::default(), &COLUMNS, |cells| cells.next::<Int>(0));
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
            let found = with(raw, &Format::default(), &COLUMNS, |cells| cells.next::<Double>(0));
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
            let found =
                with(raw, format, &COLUMNS, |cells| Ok(cells.next::<Text>(0)?.map(str::to_owned)));
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{raw}");
        }
    }

    #[test]
    fn text_too_long_for_its_column_is_refused_or_cut_between_characters() {
        let raw = format!("\"{}é\"", "x".repeat(256 - 1));
        let truncate = Format { truncate_columns: true, ..Format::default() };
        let length = |format: &Format| {
            with(&raw, format, &KEY, |cells| Ok(cells.next::<Text>(0)?.map(str::len)))
        };
        assert_eq!(length(&Format::default()), Err("too long for the column".to_owned()));
        assert_eq!(length(&truncate), Ok(Some(256 - 1)));
    }
}
