//! Any bytes as a record, in any format: reading it never panics, what is taken is what a JSON parser and the rules
//! of the conversions say, what is refused breaks one of them, and every row is one that a database can take.
//!
//! The last two bytes of the input are the format.

#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use sparkload::internals::{Path, Transformed, are_read_alike, event, song};
use sparkload::{Format, Table};

fuzz_target!(|input: &[u8]| {
    let Some((record, &[options, replacement])) = input.split_last_chunk() else { return };
    let option = |bit: u32| options & (1 << bit) != 0;
    let format = Format {
        ignore_case: option(0),
        empty_as_null: option(1),
        blanks_as_null: option(2),
        truncate_columns: option(3),
        replace_invalid_chars: option(4).then_some(replacement % 127 + 1),
        ..Format::default()
    };
    let lines: Vec<_> = record.split(|&byte| byte == b'\n').collect();
    assert!(are_read_alike(&[&lines[..], &[record], &lines[..]].concat(), &format));
    for (fields, load) in [(EVENT, event as Load), (SONG, song as Load)] {
        let transformed = load(record, &format, Path::Fast);
        // The scanner's invariant: it says nothing else than a parser does.
        assert_eq!(transformed, load(record, &format, Path::Plain));
        let rows = decoded(&transformed);
        is_kept_when_rejected(record, &transformed, &rows);
        agrees_with_a_json_parser(record, fields, &format, &transformed, &rows);
    }
});

type Load = fn(&[u8], &Format, Path) -> Transformed;

/// What a column takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    BigInt,
    Double,
    Text,
    Key,
    Timestamp,
}
use Type::{BigInt, Double, Int, Key, Text, Timestamp};

/// The member that feeds each column of `staging_events`, and the column's type; `ts` must be a moment.
const EVENT: &[(&str, Type)] = &[
    ("artist", Text),
    ("auth", Text),
    ("firstName", Text),
    ("gender", Text),
    ("itemInSession", Int),
    ("lastName", Text),
    ("length", Double),
    ("level", Text),
    ("location", Text),
    ("method", Text),
    ("page", Text),
    ("registration", BigInt),
    ("sessionId", Int),
    ("song", Text),
    ("status", Int),
    ("ts", Timestamp),
    ("userAgent", Text),
    ("userId", Int),
];
/// The same for `staging_songs`.
const SONG: &[(&str, Type)] = &[
    ("num_songs", Int),
    ("artist_id", Key),
    ("artist_latitude", Double),
    ("artist_longitude", Double),
    ("artist_location", Text),
    ("artist_name", Text),
    ("song_id", Key),
    ("title", Text),
    ("duration", Double),
    ("year", Int),
];
/// The members that a song record must have.
const REQUIRED: [&str; 5] = ["artist_id", "artist_name", "song_id", "title", "duration"];

/// The types of a table's columns, by SPEC; `ts` of the events stays a number.
fn columns(table: Table) -> Vec<Type> {
    let of = |fields: &[(&str, Type)]| {
        let plain = |&(_, kind): &(_, Type)| if kind == Timestamp { BigInt } else { kind };
        fields.iter().map(plain).chain([BigInt, BigInt, Text]).collect()
    };
    match table {
        Table::StagingEvents => of(EVENT),
        Table::StagingSongs => of(SONG),
        Table::Songplays => vec![BigInt, Timestamp, Int, Text, Key, Key, Int, Text, Text],
        Table::Users => vec![Int, Text, Text, Text, Text],
        Table::Time => vec![Timestamp, Int, Int, Int, Int, Int, Int],
        Table::Songs => vec![Key, Text, Key, Int, Double],
        Table::Artists => vec![Key, Text, Text, Double, Double],
        Table::LoadErrors => {
            vec![BigInt, BigInt, Text, Text, BigInt, BigInt, BigInt, Text, Text, Text, Text, Text]
        }
        Table::LoadObjects | Table::LoadRuns => unreachable!("no record makes a row of it"),
    }
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Double(f64),
    Text(String),
}

/// Takes the rows of a binary COPY apart, and checks that a database can take them.
fn decoded(transformed: &Transformed) -> Vec<(Table, Vec<Cell>)> {
    let mut decoded = Vec::new();
    for (table, bytes) in &transformed.rows {
        let columns = columns(*table);
        let mut rest = &bytes[..];
        while let Some((count, behind)) = rest.split_first_chunk() {
            assert_eq!(i16::from_be_bytes(*count) as usize, columns.len(), "columns of {table}");
            rest = behind;
            let cells = columns.iter().map(|kind| {
                let (length, behind) = rest.split_first_chunk().expect("a length");
                let length = i32::from_be_bytes(*length);
                if length == -1 {
                    rest = behind;
                    return Cell::Null;
                }
                let (value, behind) = behind.split_at(length as usize);
                rest = behind;
                cell(*kind, value)
            });
            decoded.push((*table, cells.collect()));
        }
        assert!(rest.is_empty(), "half a row of {table}");
    }
    decoded
}

fn cell(kind: Type, value: &[u8]) -> Cell {
    let number = || i64::from_be_bytes(value.try_into().expect("eight bytes"));
    match kind {
        Int => Cell::Int(i32::from_be_bytes(value.try_into().expect("four bytes")).into()),
        BigInt | Timestamp => Cell::Int(number()),
        Double => {
            let double = f64::from_bits(number() as u64);
            assert!(double.is_finite());
            Cell::Double(double)
        }
        Text | Key => {
            let text = std::str::from_utf8(value).expect("a database's text is UTF-8");
            assert!(!text.contains('\0'), "no database can hold {text:?}");
            assert!(kind == Text || text.len() <= KEY_BYTES, "{text:?} is too long for its column");
            Cell::Text(text.to_owned())
        }
    }
}

/// A reject keeps the whole record, and nothing else comes of it.
fn is_kept_when_rejected(record: &[u8], transformed: &Transformed, rows: &[(Table, Vec<Cell>)]) {
    let Some(reject) = &transformed.reject else {
        assert!(rows.iter().all(|(table, _)| *table != Table::LoadErrors));
        return;
    };
    assert!(matches!(rows, [(Table::LoadErrors, _)]), "rows of a rejected record: {rows:?}");
    let line = serde_json::to_string(reject).expect("a reject is JSON");
    assert!(!line.contains('\n'));
    let line: Value = serde_json::from_str(&line).expect("a reject is JSON");
    let kept = match (&line["record"], &line["record_hex"]) {
        (Value::String(text), Value::Null) => text.clone().into_bytes(),
        (Value::Null, Value::String(hex)) => {
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
        }
        both => panic!("no record in {both:?}"),
    };
    assert_eq!(kept, record, "a rejected record is kept");
    assert!(!reject.to_string().is_empty());
}

/// What a column must hold.
#[derive(Debug)]
enum Expected {
    Exactly(Cell),
    /// The source text of this value, without needless space.
    Source(Value),
    /// This double, if the value is taken at all: it may stand for another number, rounded.
    Near(f64),
    /// The beginning of this text, as much as a key may have.
    Cut(String),
    Refused,
    /// A second opinion is too much work.
    Anything,
}

/// Holds what was read against `serde_json`, where that can read the record and no key is repeated.
fn agrees_with_a_json_parser(
    record: &[u8],
    fields: &[(&str, Type)],
    format: &Format,
    transformed: &Transformed,
    rows: &[(Table, Vec<Cell>)],
) {
    let fold = |key: &str| if format.ignore_case { key.to_lowercase() } else { key.to_owned() };
    let Ok(Members(members)) = serde_json::from_slice(record) else {
        let syntax = std::str::from_utf8(record).is_ok_and(|text| {
            serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() || !text.contains('{')
        });
        assert!(!syntax || transformed.reject.is_some(), "broken JSON was read");
        return;
    };
    let mut keys: Vec<String> = members.iter().map(|(key, _)| fold(key)).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return;
    }
    let expected: Vec<Expected> = fields
        .iter()
        .map(|(name, kind)| {
            let member = members.iter().find(|(key, _)| fold(key) == fold(name));
            expected(*kind, member.map_or(&Value::Null, |(_, value)| value), format)
        })
        .collect();

    let staged =
        rows.iter().find(|(table, _)| matches!(table, Table::StagingEvents | Table::StagingSongs));
    let Some((_, cells)) = staged else {
        let sure =
            expected.iter().all(|it| matches!(it, Expected::Exactly(_) | Expected::Source(_)));
        let refused = expected.iter().any(|it| matches!(it, Expected::Refused));
        let taken = sure && !lacks_what_it_needs(fields, &exact(&expected));
        assert!(refused || !taken, "refused without a reason: {:?}", transformed.reject);
        return;
    };
    for (((name, _), expected), cell) in fields.iter().zip(&expected).zip(cells) {
        let agrees = match (expected, cell) {
            (Expected::Anything, _) => true,
            (Expected::Exactly(expected), cell) => expected == cell,
            (Expected::Source(value), Cell::Text(text)) => {
                serde_json::from_str::<Value>(text).is_ok_and(|read| read == *value)
                    && text.len() <= record.len()
            }
            // Two doubles beside each other, at most.
            (Expected::Near(expected), Cell::Int(number)) => {
                (*number as f64 - expected).abs() <= expected.abs() * f64::EPSILON
            }
            (Expected::Cut(whole), Cell::Text(text)) => {
                whole.starts_with(text.as_str()) && text.len() > KEY_BYTES - 4
            }
            _ => false,
        };
        assert!(agrees, "{name}: {expected:?} became {cell:?}");
    }
    assert!(!lacks_what_it_needs(fields, cells), "taken without what it needs");
}

/// A key's column takes 256 bytes.
const KEY_BYTES: usize = 256;
/// PostgreSQL's timestamps: 4714-11-24 BC to the end of 294276, in milliseconds since 1970.
const MOMENTS: std::ops::RangeInclusive<i64> = -210_866_803_200_000..=9_224_318_015_999_999;

fn expected(kind: Type, value: &Value, format: &Format) -> Expected {
    if value.is_null() {
        return Expected::Exactly(Cell::Null);
    }
    match kind {
        Text | Key => expected_text(kind, value, format),
        Double => match number(value) {
            Number::Blank => Expected::Exactly(Cell::Null),
            Number::Invalid => Expected::Refused,
            Number::Unclear => Expected::Anything,
            Number::Whole(number) => Expected::Exactly(Cell::Double(number as f64)),
            Number::Float(number) if number.is_finite() => Expected::Exactly(Cell::Double(number)),
            Number::Float(_) => Expected::Refused,
        },
        Int | BigInt | Timestamp => {
            let range = match kind {
                Int => i32::MIN.into()..=i32::MAX.into(),
                Timestamp => MOMENTS,
                _ => i64::MIN..=i64::MAX,
            };
            match number(value) {
                Number::Blank => Expected::Exactly(Cell::Null),
                Number::Invalid => Expected::Refused,
                Number::Unclear => Expected::Anything,
                Number::Whole(number) if range.contains(&number) => {
                    Expected::Exactly(Cell::Int(number))
                }
                Number::Whole(_) => Expected::Refused,
                // Far from any number of the column's.
                Number::Float(number) if number.abs() > 1e19 => Expected::Refused,
                Number::Float(number) if number.fract() != 0.0 => Expected::Refused,
                Number::Float(number) => Expected::Near(number),
            }
        }
    }
}

fn expected_text(kind: Type, value: &Value, format: &Format) -> Expected {
    let text = match value {
        Value::String(text) => match format.replace_invalid_chars {
            Some(replacement) => text.replace('\0', &char::from(replacement).to_string()),
            None if text.contains('\0') => return Expected::Refused,
            None => text.clone(),
        },
        Value::Bool(it) => it.to_string(),
        _ if kind == Key => return Expected::Anything,
        _ => return Expected::Source(value.clone()),
    };
    if text.is_empty() && format.empty_as_null {
        return Expected::Exactly(Cell::Null);
    }
    if !text.is_empty() && text.chars().all(char::is_whitespace) && format.blanks_as_null {
        return Expected::Exactly(Cell::Null);
    }
    match (kind == Key && text.len() > KEY_BYTES, format.truncate_columns) {
        (false, _) => Expected::Exactly(Cell::Text(text)),
        (true, true) => Expected::Cut(text),
        (true, false) => Expected::Refused,
    }
}

/// What a value is as a number.
enum Number {
    Whole(i64),
    Float(f64),
    Blank,
    Invalid,
    Unclear,
}

fn number(value: &Value) -> Number {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Number::Whole(number),
            (None, Some(number)) => Number::Float(number),
            (None, None) => Number::Unclear,
        },
        Value::String(text) if text.contains('\0') => Number::Unclear,
        Value::String(text) => {
            let text = text.trim();
            let is_number = text.contains(|it: char| it.is_ascii_digit())
                && text.bytes().all(|it| b"0123456789+-.eE".contains(&it));
            match (text.parse(), text.parse()) {
                _ if text.is_empty() => Number::Blank,
                _ if !is_number => Number::Invalid,
                (Ok(number), _) => Number::Whole(number),
                (_, Ok(number)) => Number::Float(number),
                (Err(_), Err(_)) => Number::Invalid,
            }
        }
        _ => Number::Invalid,
    }
}

/// The cells that are known, any text for a source text.
fn exact(expected: &[Expected]) -> Vec<Cell> {
    let cell = |expected: &Expected| match expected {
        Expected::Exactly(cell) => cell.clone(),
        _ => Cell::Text(String::new()),
    };
    expected.iter().map(cell).collect()
}

/// A play needs a user and a moment; a song needs much.
fn lacks_what_it_needs(fields: &[(&str, Type)], cells: &[Cell]) -> bool {
    let cell = |name: &str| {
        fields.iter().position(|(field, _)| *field == name).map_or(&Cell::Null, |at| &cells[at])
    };
    if fields == EVENT {
        let is_play = *cell("page") == Cell::Text("NextSong".to_owned());
        return is_play && ["userId", "ts"].iter().any(|name| *cell(name) == Cell::Null);
    }
    REQUIRED.iter().any(|name| *cell(name) == Cell::Null)
}

/// The members of a JSON object, repeated ones too.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
