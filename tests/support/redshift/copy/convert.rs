//! A field becomes a column's value, or an error of AWS's list of load errors.

use super::super::columns::Kind;
use super::csv::Field;
use super::{Options, TimeFormat};

/// A column that is loaded.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// The most bytes, for characters.
    pub bytes: Option<usize>,
    pub not_null: bool,
}

impl Column {
    /// The type as the tables of load errors name it.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::SmallInt => "int2",
            Kind::Integer => "int4",
            Kind::BigInt => "int8",
            Kind::Real => "float4",
            Kind::Double => "float8",
            Kind::Numeric => "numeric",
            Kind::Boolean => "bool",
            Kind::Char => "char",
            Kind::Varchar => "varchar",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::TimestampTz => "timestamptz",
            Kind::Super => "super",
        }
    }
}

/// Why a field cannot be loaded: a code and a text of AWS's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub code: i32,
    pub reason: String,
}

pub fn wrong(code: i32, reason: impl Into<String>) -> Wrong {
    Wrong { code, reason: reason.into() }
}

/// The value as PostgreSQL reads it in text; `None` is NULL.
pub fn convert(
    field: &Field<'_>,
    column: &Column,
    options: &Options,
) -> Result<Option<String>, Wrong> {
    let value = value(field, column, options)?;
    if value.is_none() && column.not_null {
        return Err(wrong(1213, "Missing data for not-null field"));
    }
    Ok(value)
}

fn value(field: &Field<'_>, column: &Column, options: &Options) -> Result<Option<String>, Wrong> {
    let bytes = &*field.bytes;
    if !field.quoted && bytes == options.null.as_bytes() {
        return Ok(None);
    }
    if matches!(column.kind, Kind::Char | Kind::Varchar) {
        return characters(bytes, column, options);
    }
    // An empty field is NULL for whatever isn't text.
    if bytes.is_empty() || options.blanks_as_null && bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| bad_utf8(bytes))?;
    if column.kind == Kind::Timestamp && options.times == TimeFormat::EpochMilliseconds {
        return timestamp_of(text).map(Some);
    }
    match column.kind {
        Kind::SmallInt => integer(text, "Short", i64::from(i16::MIN)..=i64::from(i16::MAX)),
        Kind::Integer => integer(text, "Integer", i64::from(i32::MIN)..=i64::from(i32::MAX)),
        Kind::BigInt => integer(text, "Long", i64::MIN..=i64::MAX),
        Kind::Real | Kind::Double => {
            let is_number = is_decimal(text, true) && text.parse().is_ok_and(f64::is_finite);
            if is_number { Ok(()) } else { Err(wrong(1208, "Invalid character in float")) }
        }
        Kind::Numeric if is_decimal(text, false) => Ok(()),
        Kind::Numeric => Err(wrong(1209, "Invalid character in decimal")),
        Kind::Boolean => {
            let known = ["t", "f", "true", "false", "y", "n", "yes", "no", "1", "0"];
            let is_known = known.contains(&text.to_ascii_lowercase().as_str());
            if is_known { Ok(()) } else { Err(wrong(1210, "Unknown boolean format")) }
        }
        Kind::Date if is_date(text) => Ok(()),
        Kind::Date => Err(wrong(1205, "Invalid Date Format - length must be 10 or more")),
        Kind::Timestamp | Kind::TimestampTz
            if is_timestamp(text, options.times == TimeFormat::Auto) =>
        {
            Ok(())
        }
        Kind::Timestamp | Kind::TimestampTz => {
            Err(wrong(1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"))
        }
        Kind::Super if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => Ok(()),
        Kind::Super => Err(wrong(1224, "Invalid JSON for a column of type SUPER")),
        Kind::Char | Kind::Varchar => Ok(()),
    }?;
    Ok(Some(text.to_owned()))
}

fn characters(bytes: &[u8], column: &Column, options: &Options) -> Result<Option<String>, Wrong> {
    if options.empty_as_null && bytes.is_empty() {
        return Ok(None);
    }
    if options.blanks_as_null && !bytes.is_empty() && bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let mut text = match (std::str::from_utf8(bytes), options.replacement) {
        (Ok(text), _) => text.to_owned(),
        (Err(_), None) => return Err(bad_utf8(bytes)),
        (Err(_), Some(replacement)) => {
            let mut text = String::new();
            for chunk in bytes.utf8_chunks() {
                text += chunk.valid();
                // As many as there are bytes that mean nothing.
                text.extend(chunk.invalid().iter().map(|_| replacement));
            }
            text
        }
    };
    if text.contains('\0') {
        return Err(wrong(
            1220,
            "String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: 00",
        ));
    }
    if column.kind == Kind::Char
        && let Some(character) = text.chars().find(|it| !it.is_ascii())
    {
        let hex = hex(character.to_string().as_bytes());
        let reason = format!(
            "Multibyte character not supported for CHAR (Hint: try using VARCHAR). Invalid char: {hex}"
        );
        return Err(wrong(1220, reason));
    }
    let limit = column.bytes.unwrap_or(usize::MAX);
    if text.len() > limit {
        if !options.truncate {
            return Err(wrong(1204, "String length exceeds DDL length"));
        }
        text.truncate(text.floor_char_boundary(limit));
    }
    Ok(Some(text))
}

fn bad_utf8(bytes: &[u8]) -> Wrong {
    let (at, length) = match std::str::from_utf8(bytes) {
        Ok(_) => (0, 0),
        Err(error) => (error.valid_up_to(), error.error_len().unwrap_or(bytes.len())),
    };
    let end = bytes.len().min(at + length);
    // Of AWS's four kinds: 2 is a sequence that ends early, 3 a first byte that cannot be one.
    let kind =
        if bytes[at..].first().is_some_and(|byte| (0xC2..=0xF4).contains(byte)) { 2 } else { 3 };
    let reason = format!(
        "String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: {} (error {kind})",
        hex(&bytes[at..end])
    );
    wrong(1220, reason)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn integer(text: &str, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<(), Wrong> {
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = &text[sign..];
    let at = digits.find(|it: char| !it.is_ascii_digit());
    if at.is_some() || digits.is_empty() {
        let at = at.unwrap_or(0) + sign;
        let value: String = text.chars().skip(at).take(1).collect();
        return Err(wrong(1207, format!("Invalid digit, Value '{value}', Pos {at}, Type: {name}")));
    }
    match text.parse::<i64>() {
        Ok(number) if range.contains(&number) => Ok(()),
        _ => Err(wrong(1222, format!("Overflow, Type: {name}"))),
    }
}

/// Digits, with a sign, a point and (in a float) an exponent or not.
fn is_decimal(text: &str, exponent: bool) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, power) = match text.split_once(['e', 'E']) {
        Some((number, power)) if exponent => (number, Some(power)),
        _ => (text, None),
    };
    let is_digits = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
    let power_is_good = power.is_none_or(|power| {
        let power = power.strip_prefix(['+', '-']).unwrap_or(power);
        !power.is_empty() && is_digits(power)
    });
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    is_digits(whole) && is_digits(fraction) && whole.len() + fraction.len() > 0 && power_is_good
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let is_it = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_it.then(|| text.parse().ok())?
}

/// `YYYY-MM-DD`, a day that there is.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |digits| parts.next().and_then(|it| number(it, digits));
    let (Some(year), Some(month), Some(day)) = (next(4), next(2), next(2)) else { return false };
    if parts.next().is_some() || year == 0 {
        return false;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// The moment so many milliseconds after 1970, as PostgreSQL reads it.
fn timestamp_of(text: &str) -> Result<String, Wrong> {
    const DAY: i64 = 86_400_000;
    let milliseconds: i64 = text
        .parse()
        .map_err(|_| wrong(1206, "Invalid timestamp format or value [epochmillisecs]"))?;
    let (mut days, of_day) = (milliseconds.div_euclid(DAY), milliseconds.rem_euclid(DAY));
    // Whole cycles of 400 years first, then year by year and month by month.
    let cycles = days.div_euclid(146_097);
    days = days.rem_euclid(146_097);
    let mut year = 1970 + 400 * cycles;
    let is_leap = |year: i64| {
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
    };
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let seconds = of_day % 60_000;
    Ok(format!(
        "{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{:02}.{:03}{era}",
        days + 1,
        seconds / 1000,
        seconds % 1000
    ))
}

/// `YYYY-MM-DD HH:MI:SS`; under TIMEFORMAT 'auto' with a fraction of up to six digits, a `T`, or the day alone.
fn is_timestamp(text: &str, auto: bool) -> bool {
    let Some(date) = text.get(..10) else { return false };
    let rest = &text[10..];
    if !is_date(date) {
        return false;
    }
    if rest.is_empty() {
        return auto;
    }
    let separators: &[char] = if auto { &[' ', 'T'] } else { &[' '] };
    let Some(time) = rest.strip_prefix(separators) else { return false };
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (time, None),
    };
    let fraction_is_good = fraction.is_none_or(|it| {
        auto && (1..=6).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mut parts = clock.split(':').map(|it| number(it, 2));
    let mut next = || parts.next().flatten();
    let within = |value: Option<u32>, limit| value.is_some_and(|it| it < limit);
    fraction_is_good
        && within(next(), 24)
        && within(next(), 60)
        && within(next(), 60)
        && clock.len() == 8
}
