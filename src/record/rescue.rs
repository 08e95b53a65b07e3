//! Rescue: members that feed no column, as one JSON object that a database takes.
//!
//! A member is kept as it is written. What the database's own JSON can't hold (U+0000, an unpaired surrogate, a number out
//! of range, nesting without end) is kept as text instead: a string that says how it is written.

use std::fmt::Write;

use bumpalo::Bump;

use super::text::unescape;
use crate::dialect::Dialect;

/// Deeper values are kept as text: PostgreSQL's parser ends at its `max_stack_depth`, Redshift's at 1,000 levels.
const MOST_LEVELS: usize = 500;

/// PostgreSQL's NUMERIC has 131,072 digits before the point and so many behind it.
const MOST_PLACES: u64 = 16_383;

/// The object that has these members: names, with their quotes, and values, as they are written in valid JSON.
pub(super) fn object(members: &[(&str, &str)], dialect: Dialect) -> String {
    let mut object = String::from("{");
    for (number, (name, value)) in members.iter().enumerate() {
        if number > 0 {
            object.push(',');
        }
        if !copy_string(&mut object, name) {
            push_source(&mut object, name);
        }
        object.push(':');
        let before = object.len();
        if !copy(&mut object, value, dialect) {
            object.truncate(before);
            push_source(&mut object, value);
        }
    }
    object.push('}');
    object
}

/// Adds `value`, if the database's JSON can hold it. What was added before that was known is to be taken back.
fn copy(object: &mut String, value: &str, dialect: Dialect) -> bool {
    let (mut rest, mut levels) = (value, 0);
    while let Some(byte) = rest.bytes().next() {
        let length = match byte {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => {
                let is_more =
                    |byte: u8| matches!(byte, b'+' | b'-' | b'.' | b'0'..=b'9' | b'e' | b'E');
                rest.bytes().position(|byte| !is_more(byte)).unwrap_or(rest.len())
            }
            _ => 1,
        };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        match byte {
            b'{' | b'[' => levels += 1,
            b'}' | b']' => levels -= 1,
            _ => {}
        }
        let is_held = match byte {
            b'"' => copy_string(object, token),
            b'-' | b'0'..=b'9' => {
                object.push_str(token);
                holds_number(token, dialect)
            }
            _ => {
                object.push_str(token);
                levels <= MOST_LEVELS
            }
        };
        if !is_held {
            return false;
        }
    }
    true
}

/// How long the string is that `json` begins with, with its quotes.
fn string_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    let mut at = 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Adds a `string`, if a database's text can hold what it says. Characters that are written by their numbers are written
/// as they are: a database in another encoding than UTF-8 takes no numbers.
fn copy_string(object: &mut String, string: &str) -> bool {
    let inner = &string[1..string.len() - 1];
    if !inner.contains("\\u") {
        object.push_str(string);
        return true;
    }
    let arena = Bump::new();
    match unescape(inner, None, &arena) {
        Ok(text) => {
            push_string(object, text);
            true
        }
        Err(_) => false,
    }
}

/// Adds a string that says how `json` is written; of a string, without its quotes.
fn push_source(object: &mut String, json: &str) {
    let text = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(json);
    push_string(object, text);
}

/// Adds a string that says `text`.
fn push_string(object: &mut String, text: &str) {
    object.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => object.extend(['\\', character]),
            '\0'..'\u{20}' => {
                let _ = write!(object, "\\u{:04x}", u32::from(character));
            }
            _ => object.push(character),
        }
    }
    object.push('"');
}

fn holds_number(number: &str, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Redshift => number.parse().is_ok_and(f64::is_finite),
        Dialect::Postgres => {
            let exponent = number.split_once(['e', 'E']).map_or(Ok(0), |(_, it)| it.parse::<i64>());
            exponent.is_ok_and(|exponent| {
                exponent.unsigned_abs().saturating_add(number.len() as u64) <= MOST_PLACES
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_as_they_are_written_or_are_told_as_text() {
        let deep = format!("{}{}", "[".repeat(501), "]".repeat(501));
        let deep_text = format!("\"{deep}\"");
        let cases = [
            ("1.50", "1.50"),
            ("null", "null"),
            (r#"{"a" : [1, null, "x\"é\/\n"]}"#, r#"{"a" : [1, null, "x\"é\/\n"]}"#),
            (r#""\u00e9\ud83c\udfb5\u0001\"\n""#, r#""é🎵\u0001\"\u000a""#),
            (r#""a\u0000\"b""#, r#""a\\u0000\\\"b""#),
            (r#""\ud800""#, r#""\\ud800""#),
            (r#""\\u0000""#, r#""\\u0000""#),
            ("[1,\n\"\\u0000\"]", r#""[1,\u000a\"\\u0000\"]""#),
            (r#"{"\u0000":1}"#, r#""{\"\\u0000\":1}""#),
            ("1e16000", "1e16000"),
            ("-1e-99999", r#""-1e-99999""#),
            ("1e99999999999999999999", r#""1e99999999999999999999""#),
            (&deep, &*deep_text),
        ];
        for (value, expected) in cases {
            let object = object(&[("\"k\"", value)], Dialect::Postgres);
            assert_eq!(object, format!("{{\"k\":{expected}}}"));
            serde_json::from_str::<&serde_json::value::RawValue>(&object).unwrap();
        }
        assert_eq!(object(&[("\"k\"", "1e400")], Dialect::Redshift), r#"{"k":"1e400"}"#);
        let members = [(r#""\u0000""#, "1"), (r#""\u0062""#, "[]")];
        assert_eq!(object(&members, Dialect::Postgres), r#"{"\\u0000":1,"b":[]}"#);
    }
}
