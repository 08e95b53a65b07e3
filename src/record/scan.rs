//! The fast path: finds the values of a record whose members are the known ones, written plainly.
//!
//! It has two gears: [`Members`] takes the values as they come, if they come in the order of the columns;
//! [`Scanner::pick`] takes note of where they are, in whatever order. The invariant: what either of them gives, the plain
//! path ([`super::keys`]) gives too. Where the scanner meets anything that it does not know (another key, an escaped one, a
//! nested value, a mistake), it gives nothing and leaves the record to the plain path, which also finds the words for
//! what is wrong. A fuzz target holds them to each other.

use wide::u8x16;

use super::arena::{Arena, Slot};
use super::digits::Decimal;
use super::jsonpaths::JsonPath;
use super::value::{Conversion, Converted, Raw, RawKind, Rules, Unconverted, Values};

/// Finds values by keys that are expected in an order, though each may be missing or come elsewhere.
#[derive(Debug)]
pub(super) struct Scanner<const COLUMNS: usize> {
    /// One for each column, in their order.
    keys: [Key; COLUMNS],
}

impl<const COLUMNS: usize> Scanner<COLUMNS> {
    /// A scanner for the members that `paths` name; `None` where a path leads into one, two lead to the same, or a key
    /// is not written as it is.
    pub fn new(paths: &[JsonPath; COLUMNS]) -> Option<Self> {
        let is_plain = |path: &JsonPath| {
            path.below.is_empty()
                && path.key.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'))
        };
        let is_twice =
            |(index, path): (usize, &JsonPath)| paths[..index].iter().any(|it| it.key == path.key);
        if !paths.iter().all(is_plain) || paths.iter().enumerate().any(is_twice) {
            return None;
        }
        Some(Self { keys: paths.each_ref().map(|path| Key::new(&path.key)) })
    }

    /// The members of `record`, if it is an object.
    #[inline(always)]
    pub fn members<'a>(&'a self, record: &'a str) -> Option<Members<'a, COLUMNS>> {
        let record = record.as_bytes();
        let members = Members { keys: &self.keys, record, at: 0 };
        (record.first() == Some(&b'{')).then_some(members)
    }

    /// Picks the values of `record`, in whatever order its members come.
    #[inline(always)]
    pub fn pick(&self, rules: &Rules<'_>) -> Option<[Raw; COLUMNS]> {
        let mut picked = [Raw::NULL; COLUMNS];
        let mut members = self.members(rules.record)?;
        let (mut expected, mut in_order) = (0, true);
        while !members.have_ended() {
            let start = skip_space(members.record, members.at + 1);
            let stands_here = |key: &&Key| key.stands_at(members.record, start);
            let column = match self.keys.get(expected).filter(stands_here) {
                Some(_) => expected,
                None => self.column_at(members.record, start)?,
            };
            let behind = start + self.keys[column].length;
            picked[column] = members.value::<Unconverted>(behind, column, rules).ok()??;
            in_order &= column >= expected;
            expected = column + 1;
        }
        rules.arena.set_in_order(in_order);
        Some(picked)
    }

    #[inline(never)]
    fn column_at(&self, record: &[u8], start: usize) -> Option<usize> {
        self.keys.iter().position(|key| key.stands_at(record, start))
    }
}

/// The members of a record, one after the other; as [`Values`] those that come in the order of their columns.
pub(super) struct Members<'a, const COLUMNS: usize> {
    keys: &'a [Key; COLUMNS],
    record: &'a [u8],
    /// Where the brace or the comma stands before the next member; behind the last one, the closing brace.
    at: usize,
}

impl<'a, const COLUMNS: usize> Members<'a, COLUMNS> {
    #[inline(always)]
    fn have_ended(&self) -> bool {
        self.record[self.at] == b'}'
    }

    /// What a conversion makes of the value behind a key that ends at `behind`.
    #[inline(always)]
    fn value<C: Conversion>(
        &mut self,
        behind: usize,
        column: usize,
        rules: &Rules<'a>,
    ) -> Converted<C::Value<'a>> {
        let found = value::<C>(self.record, behind, column, rules);
        let (converted, end) = found.ok_or(UNEXPECTED)?;
        self.at = match self.record.get(end) {
            Some(b',') => end,
            _ => end_of_member(self.record, end).ok_or(UNEXPECTED)?,
        };
        converted
    }
}

impl<'a, const COLUMNS: usize> Values<'a> for Members<'a, COLUMNS> {
    #[inline(always)]
    fn next<C: Conversion>(&mut self, column: usize, rules: &Rules<'a>) -> Converted<C::Value<'a>> {
        let key = &self.keys[column];
        let mut start = self.at + 1;
        if !key.stands_at(self.record, start) {
            start = skip_space(self.record, start);
            if start == self.at + 1 || !key.stands_at(self.record, start) {
                return C::convert(rules, column, Raw::NULL);
            }
        }
        self.value::<C>(start + key.length, column, rules)
    }

    #[inline(always)]
    fn end(&self) -> Result<(), &'static str> {
        if self.have_ended() { Ok(()) } else { Err(UNEXPECTED) }
    }
}

/// What a record holds is for a slower path to read, or to refuse in other words.
const UNEXPECTED: &str = "unexpected";

/// A key as it is written: in quotes, with its colon.
#[derive(Debug)]
struct Key {
    text: Box<[u8]>,
    /// Of the text, which itself is hardly ever looked at.
    length: usize,
    /// Its first bytes as a number, zeros behind its end, to be compared at once.
    head: u128,
    /// All bits of the bytes that it has.
    mask: u128,
}

impl Key {
    const HEAD_BYTES: usize = 16;

    fn new(name: &str) -> Self {
        let text: Box<[u8]> = [b"\"", name.as_bytes(), b"\":"].concat().into();
        let mut head = [0; Self::HEAD_BYTES];
        let start = &text[..text.len().min(Self::HEAD_BYTES)];
        head[..start.len()].copy_from_slice(start);
        let mask = u128::MAX >> (8 * (Self::HEAD_BYTES - start.len()));
        Self { length: text.len(), head: u128::from_le_bytes(head), mask, text }
    }

    #[inline(always)]
    fn stands_at(&self, record: &[u8], at: usize) -> bool {
        let Some(rest) = record.get(at..) else { return false };
        match rest.first_chunk() {
            Some(head) => {
                (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0
                    && (self.length <= Self::HEAD_BYTES || rest.starts_with(&self.text))
            }
            None => rest.starts_with(&self.text),
        }
    }
}

/// What a conversion makes of the value that starts at `start`, or behind white space there, and where it ends.
#[inline(always)]
fn value<'a, C: Conversion>(
    record: &[u8],
    mut start: usize,
    column: usize,
    rules: &Rules<'a>,
) -> Option<(Converted<C::Value<'a>>, usize)> {
    let mut first = *record.get(start)?;
    if first <= b' ' {
        start = skip_any_space(record, start);
        first = *record.get(start)?;
    }
    if first == b'"' {
        let specials = specials_at(record, start + 1)?;
        let special = start + 1 + specials.trailing_zeros() as usize;
        if *record.get(special)? == b'"' {
            let raw = Raw::new(start, special + 1, RawKind::Plain);
            return Some((C::convert(rules, column, raw), special + 1));
        }
        let (kind, slot, end) = long_string(record, start, rules.arena)?;
        let raw = Raw { slot, ..Raw::new(start, end, kind) };
        return Some((C::convert(rules, column, raw), end));
    }
    if first.is_ascii_digit() || first == b'-' {
        if let Some((decimal, length)) = Decimal::at_start(&record[start..]) {
            let raw = Raw { decimal, ..Raw::new(start, start + length, RawKind::Decimal) };
            return Some((C::convert(rules, column, raw), start + length));
        }
        let end = any_number(record, start)?;
        let raw = Raw::new(start, end, RawKind::Number);
        return Some((C::convert(rules, column, raw), end));
    }
    if first == b'n' {
        let end = literal(record, start, b"null")?;
        return Some((C::convert(rules, column, Raw::NULL), end));
    }
    let end = match first {
        b't' => literal(record, start, b"true")?,
        b'f' => literal(record, start, b"false")?,
        _ => return None,
    };
    Some((C::convert(rules, column, Raw::new(start, end, RawKind::Other)), end))
}

#[inline(always)]
fn literal(record: &[u8], start: usize, name: &[u8]) -> Option<usize> {
    record[start..].starts_with(name).then_some(start + name.len())
}

/// Where the comma stands behind a member that ends at `at`, or the brace that ends the record.
#[inline(never)]
fn end_of_member(record: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(record, at);
    match record.get(at)? {
        b',' => Some(at),
        b'}' if at + 1 == record.len() => Some(at),
        _ => None,
    }
}

/// The string whose opening quote stands at `start`, however it is written. The escapes of a chunk are gone through without
/// looking for them again.
#[inline(never)]
fn long_string(bytes: &[u8], start: usize, arena: &Arena) -> Option<(RawKind, Slot, usize)> {
    let mut at = start + 1;
    let mut kind = RawKind::Plain;
    loop {
        let mut specials = specials_at(bytes, at)?;
        let mut next = at + CHUNK;
        while specials != 0 {
            let found = at + specials.trailing_zeros() as usize;
            match bytes[found] {
                b'"' => return Some((kind, Slot::NONE, found + 1)),
                b'\\' => {
                    if kind == RawKind::Plain
                        && let Some((slot, length)) = arena.known(&bytes[start + 1..])
                    {
                        return Some((RawKind::Known, slot, start + 1 + length));
                    }
                    kind = RawKind::Escaped;
                    match bytes.get(found + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' if is_hex(bytes.get(found + 2..found + 6)?) => {}
                        _ => return None,
                    }
                    specials &= !(0b11 << (found - at));
                    next = next.max(found + 2);
                }
                // A control character.
                _ => return None,
            }
        }
        at = next;
    }
}

#[inline]
fn is_hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}

/// How many bytes are looked at at once.
const CHUNK: usize = 32;

/// A bit for each of the bytes from `at` on that means something in a string: a quote, a backslash, or one that may not
/// stand there.
#[inline(always)]
fn specials_at(bytes: &[u8], at: usize) -> Option<u32> {
    match bytes.get(at..)?.first_chunk() {
        Some(chunk) => Some(specials(chunk)),
        None => specials_at_end(bytes, at),
    }
}

/// What [`specials_at`] gives where the text ends within the chunk.
#[inline(never)]
fn specials_at_end(bytes: &[u8], at: usize) -> Option<u32> {
    let rest = &bytes[at..];
    if rest.is_empty() {
        return None;
    }
    Some(match bytes.last_chunk() {
        // The last ones, without those before `at`.
        Some(last) => specials(last) >> (CHUNK - rest.len()),
        None => {
            let mut chunk = [b' '; CHUNK];
            chunk[..rest.len()].copy_from_slice(rest);
            specials(&chunk)
        }
    })
}

/// A bit for each byte that means something in a string.
#[inline]
fn specials(chunk: &[u8; CHUNK]) -> u32 {
    let (halves, _) = chunk.as_chunks();
    let [low, high] = [halves[0], halves[1]].map(|half| {
        let half = u8x16::new(half);
        // With this bit the other way round, a quote is the next one behind the control characters.
        let turned = half ^ u8x16::splat(b'"' ^ b' ');
        let special =
            turned.min(u8x16::splat(b' ')).simd_eq(turned) | half.simd_eq(u8x16::splat(b'\\'));
        special.to_bitmask()
    });
    low | high << 16
}

/// Where the number that starts at `at` ends, however it is written.
#[inline(never)]
fn any_number(bytes: &[u8], mut at: usize) -> Option<usize> {
    if bytes[at] == b'-' {
        at += 1;
    }
    at = match bytes.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => skip_digits(bytes, at + 1),
        _ => return None,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
        at = digits(bytes, at + 1 + usize::from(signed))?;
    }
    Some(at)
}

/// Where the digits that start at `at` end; there must be one.
fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let end = skip_digits(bytes, at);
    (end > at).then_some(end)
}

fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// Where what stands at `at` begins, behind white space, of which there is most often none.
#[inline]
fn skip_space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(..=b' ') => skip_any_space(bytes, at),
        _ => at,
    }
}

#[inline(never)]
fn skip_any_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::keys::Keys;

    /// The columns of the tests: the last key is longer than what is compared at once.
    const KEYS: [&str; 4] = ["artist", "ts", "é", "a_key_longer_than_its_head"];

    fn scanner() -> Scanner<{ KEYS.len() }> {
        Scanner::new(&KEYS.map(JsonPath::member)).unwrap()
    }

    /// The source text and the kind of each value.
    type Found<'a> = [(Option<&'a str>, RawKind); KEYS.len()];

    /// What was found, told as a parser tells it, which knows no decimals.
    fn told<'a>(record: &'a str, found: [Raw; KEYS.len()]) -> Found<'a> {
        found.map(|raw| {
            let source = raw.source(record);
            if raw.kind != RawKind::Decimal {
                return (source, raw.kind);
            }
            assert_eq!(source.unwrap().parse(), Ok(raw.decimal.double()));
            (source, RawKind::Number)
        })
    }

    /// What the scanner finds, in both of its gears, if it does.
    fn scanned(record: &str) -> [Option<Found<'_>>; 2] {
        let scanner = scanner();
        let found = Rules::with(record, |rules| {
            let in_order = || {
                let mut members = scanner.members(record)?;
                let mut raws = [Raw::NULL; KEYS.len()];
                for (column, raw) in raws.iter_mut().enumerate() {
                    *raw = members.next::<Unconverted>(column, rules).ok()??;
                }
                members.end().ok().map(|()| raws)
            };
            [in_order(), scanner.pick(rules)]
        });
        found.map(|found| Some(told(record, found?)))
    }

    /// What a JSON parser picks.
    fn parsed(record: &str) -> Option<Found<'_>> {
        let keys = Keys::new(KEYS.map(JsonPath::member), false);
        Some(told(record, keys.parse(record, |_| {}).ok()?))
    }

    #[test]
    fn plain_records_are_for_the_scanner_and_others_are_not() {
        let cases = [
            (r#"{"artist":"a","ts":1,"é":null,"a_key_longer_than_its_head":true}"#, true),
            (r#"{"artist": "a",  "ts": -1.5e+3 , "é" :1}"#, false),
            (r#"{"artist": "a",  "ts": -1.5e+3 , "é": false }"#, true),
            (r#"{"ts":0,"artist":"a"}"#, true),
            (r#"{"ts":0,"ts":1}"#, true),
            (
                r#"{"artist":"\"\/\u00e9\\","a_key_longer_than_its_head":"text of more than 16 bytes"}"#,
                true,
            ),
            (r#"{}"#, false),
            (r#"{"artist":"a"} "#, false),
            (r#"{"artist":"a",}"#, false),
            (r#"{"artist":"a""ts":1}"#, false),
            (r#"{"other":1}"#, false),
            (r#"{"\u0074s":1}"#, false),
            (r#"{"ts":[1]}"#, false),
            (r#"{"ts":01}"#, false),
            (r#"{"ts":1.}"#, false),
            (r#"{"ts":-}"#, false),
            (r#"{"ts":1e}"#, false),
            (r#"{"ts":nul}"#, false),
            (r#"{"ts":nulls}"#, false),
            (r#"{"artist":"\x"}"#, false),
            (r#"{"artist":"\u00g0"}"#, false),
            (r#"{"artist":"\u00"}"#, false),
            ("{\"artist\":\"a\tb\"}", false),
            ("{\"artist\":\"more than sixteen bytes\nb\"}", false),
            (r#"{"artist":"a"#, false),
            (r#"{"artist"#, false),
            ("{", false),
            ("", false),
            ("[]", false),
        ];
        for (record, is_plain) in cases {
            let [in_order, picked] = scanned(record);
            assert_eq!(picked.is_some(), is_plain, "{record}");
            assert!(is_plain || in_order.is_none(), "{record}");
            for found in in_order.into_iter().chain(picked) {
                assert_eq!(Some(found), parsed(record), "{record}");
            }
        }
    }

    #[test]
    fn members_are_found_as_they_come_if_they_come_in_order() {
        let cases = [
            (r#"{"artist":"a","ts":1,"é":null,"a_key_longer_than_its_head":true}"#, true),
            (r#"{"artist" : "a"}"#, false),
            (r#"{ "artist": "a",  "ts": -1.5e+3 , "é": false }"#, true),
            (r#"{"artist":"a","é":1}"#, true),
            (r#"{"a_key_longer_than_its_head":1}"#, true),
            (r#"{"ts":0,"artist":"a"}"#, false),
            (r#"{"ts":0,"ts":1}"#, false),
            (r#"{"artist":"a",}"#, false),
            (r#"{}"#, false),
        ];
        for (record, is_in_order) in cases {
            assert_eq!(scanned(record)[0].is_some(), is_in_order, "{record}");
        }
    }

    #[test]
    fn keys_that_stand_for_more_than_a_column_are_left_to_the_parser() {
        assert!(Scanner::new(&["a", "b"].map(JsonPath::member)).is_some());
        assert!(Scanner::new(&["a", "a"].map(JsonPath::member)).is_none());
        assert!(Scanner::new(&["a\"b"].map(JsonPath::member)).is_none());
    }

    fn token() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            8 => Just("text"), 2 => Just("é"), 1 => Just("\\\""), 1 => Just("\\/"), 1 => Just("\\\\"),
            1 => Just("\\ud83c\\udfb5"), 1 => Just("\\ud800"), 1 => Just("\t"), 1 => Just("a text of sixteen"),
        ];
        let string =
            prop::collection::vec(part, 0..6).prop_map(|parts| format!("\"{}\"", parts.concat()));
        let other = prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "17",
            "1540919166796.0",
            "1.5E-3",
            "01",
            "1.",
            "+1",
            ".5",
            "[1, 2]",
            "{\"ts\": 1}",
            "nul",
            "",
            "\"",
        ]);
        prop_oneof![3 => string, 2 => other.prop_map(str::to_owned)]
    }

    fn record() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            12 => prop::sample::select(KEYS.to_vec()),
            1 => prop::sample::select(vec!["other", "\\u0074s", "artist\\\"", "a_key_longer_than_its_head2"]),
        ];
        let space = || prop_oneof![6 => Just(""), 2 => Just(" "), 1 => Just("\t\r\n ")];
        let member = (space(), key, space(), space(), token(), space()).prop_map(
            |(before, key, colon, value_space, value, after)| {
                format!("{before}\"{key}\"{colon}:{value_space}{value}{after}")
            },
        );
        prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
    }

    proptest! {
        #[test]
        fn what_the_scanner_picks_the_parser_picks_too(
            record in record(), at in any::<prop::sample::Index>(), byte in prop::option::of(0..128_u8)
        ) {
            let mut record = record.into_bytes();
            if let Some(byte) = byte {
                let at = at.index(record.len());
                record[at] = byte;
            }
            let Ok(record) = String::from_utf8(record) else { return Ok(()) };
            for found in scanned(&record).into_iter().flatten() {
                prop_assert_eq!(Some(found), parsed(&record), "{}", record);
            }
        }
    }
}
