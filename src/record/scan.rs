//! The fast path: picks the values of a record whose members are the known ones, written plainly.
//!
//! The invariant: what [`Scanner::pick`] returns, the plain path ([`super::keys`]) returns too. Where the scanner meets
//! anything that it does not know (another key, an escaped one, a nested value, a mistake), it returns nothing and
//! leaves the record to the plain path, which also finds the words for what is wrong. A fuzz target holds the two to
//! each other.

use wide::u8x16;

use super::jsonpaths::JsonPath;
use super::value::{Raw, RawKind};

/// Picks values by keys that are expected in an order, though each may be missing or come elsewhere.
#[derive(Debug)]
pub(super) struct Scanner {
    /// One for each column, in their order.
    keys: Vec<Key>,
}

impl Scanner {
    /// A scanner for the members that `paths` name; `None` where a path leads into one, two lead to the same, or a key
    /// is not written as it is.
    pub fn new(paths: &[JsonPath]) -> Option<Self> {
        let is_plain = |path: &JsonPath| {
            path.below.is_empty()
                && path.key.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'))
        };
        let is_twice =
            |(index, path): (usize, &JsonPath)| paths[..index].iter().any(|it| it.key == path.key);
        if !paths.iter().all(is_plain) || paths.iter().enumerate().any(is_twice) {
            return None;
        }
        Some(Self { keys: paths.iter().map(|path| Key::new(&path.key)).collect() })
    }

    /// Picks the value of each column into `picked`, which is all empty; returns whether it could. If not, `picked` is
    /// void.
    #[inline]
    pub fn pick(&self, record: &str, picked: &mut [Option<Raw>]) -> bool {
        self.try_pick(record.as_bytes(), picked).is_some()
    }

    #[inline]
    fn try_pick(&self, record: &[u8], picked: &mut [Option<Raw>]) -> Option<()> {
        if record.first() != Some(&b'{') {
            return None;
        }
        let mut at = skip_space(record, 1);
        let mut expected = 0;
        loop {
            let column = self.find(record, at, expected)?;
            expected = column + 1;
            let start = skip_space(record, at + self.keys[column].text.len());
            let (value, end) = value(record, start)?;
            picked[column] = value;
            at = skip_space(record, end);
            match record.get(at)? {
                b',' => at = skip_space(record, at + 1),
                b'}' if at + 1 == record.len() => return Some(()),
                _ => return None,
            }
        }
    }

    /// The column whose key stands at `at`, most likely the `expected` one.
    #[inline]
    fn find(&self, record: &[u8], at: usize, expected: usize) -> Option<usize> {
        let text = record.get(at..)?;
        let head = Head::of(record, at);
        let stands_here = |key: &Key| key.stands_at(text, head);
        match self.keys.get(expected) {
            Some(key) if stands_here(key) => Some(expected),
            _ => self.keys.iter().position(stands_here),
        }
    }
}

/// A key as it is written: in quotes, with its colon.
#[derive(Debug)]
struct Key {
    text: Vec<u8>,
    head: Head,
    mask: u128,
}

/// The first bytes of a text, to be compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head(u128);

impl Head {
    const BYTES: usize = 16;

    /// That of what starts at `at`, with zeros behind the end.
    #[inline]
    fn of(text: &[u8], at: usize) -> Self {
        let rest = &text[at..];
        if let Some(head) = rest.first_chunk() {
            return Self(u128::from_le_bytes(*head));
        }
        match text.last_chunk() {
            // The last bytes, without those before `at`.
            Some(last) => {
                let before = 8 * (Self::BYTES - rest.len()) as u32;
                Self(u128::from_le_bytes(*last).checked_shr(before).unwrap_or(0))
            }
            None => {
                let mut head = [0; Self::BYTES];
                head[..rest.len()].copy_from_slice(rest);
                Self(u128::from_le_bytes(head))
            }
        }
    }
}

impl Key {
    fn new(name: &str) -> Self {
        let text = [b"\"", name.as_bytes(), b"\":"].concat();
        let unused = Head::BYTES.saturating_sub(text.len());
        Self { head: Head::of(&text, 0), mask: u128::MAX >> (8 * unused), text }
    }

    fn stands_at(&self, text: &[u8], head: Head) -> bool {
        (head.0 ^ self.head.0) & self.mask == 0
            && (self.text.len() <= Head::BYTES || text.starts_with(&self.text))
    }
}

/// The value that starts at `start`, `None` inside where it is null, and where it ends.
#[inline]
fn value(record: &[u8], start: usize) -> Option<(Option<Raw>, usize)> {
    let (kind, end) = match record.get(start)? {
        b'"' => string(record, start + 1)?,
        b'-' | b'0'..=b'9' => (RawKind::Number, number(record, start)?),
        b'n' => return Some((None, literal(record, start, b"null")?)),
        b't' => (RawKind::Other, literal(record, start, b"true")?),
        b'f' => (RawKind::Other, literal(record, start, b"false")?),
        _ => return None,
    };
    Some((Some(Raw { start: start as u32, end: end as u32, kind }), end))
}

#[inline]
fn literal(record: &[u8], start: usize, name: &[u8]) -> Option<usize> {
    record.get(start..)?.starts_with(name).then_some(start + name.len())
}

/// What the string is whose opening quote stands before `at`, and where it ends, behind its closing quote.
#[inline]
fn string(bytes: &[u8], mut at: usize) -> Option<(RawKind, usize)> {
    let mut kind = RawKind::Plain;
    loop {
        at = find_special(bytes, at)?;
        match bytes[at] {
            b'"' => return Some((kind, at + 1)),
            b'\\' => {
                kind = RawKind::Escaped;
                at += match bytes.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                    _ => return None,
                };
            }
            // A control character.
            _ => return None,
        }
    }
}

/// The first byte from `at` on that means something in a string: a quote, a backslash, or one that may not stand there.
///
/// 32 bytes at once, since most strings are no longer: how often this goes round can't be foretold.
#[inline]
pub(super) fn find_special(bytes: &[u8], mut at: usize) -> Option<usize> {
    const BYTES: usize = 32;
    while let Some(chunk) = bytes.get(at..)?.first_chunk::<BYTES>() {
        let found = specials(chunk);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += BYTES;
    }
    let rest = &bytes[at..];
    let found = match bytes.last_chunk::<BYTES>() {
        // The last ones, without those before `at`.
        Some(chunk) => specials(chunk).checked_shr((BYTES - rest.len()) as u32)?,
        None => {
            let mut chunk = [b' '; BYTES];
            chunk[..rest.len()].copy_from_slice(rest);
            specials(&chunk)
        }
    };
    (found != 0).then(|| at + found.trailing_zeros() as usize)
}

/// A bit for each byte that means something in a string.
#[inline]
fn specials(chunk: &[u8; 32]) -> u32 {
    let (halves, _) = chunk.as_chunks();
    let [low, high] = [halves[0], halves[1]].map(|half| {
        let half = u8x16::new(half);
        let control = u8x16::splat(0x1f);
        let special = half.simd_eq(u8x16::splat(b'"'))
            | half.simd_eq(u8x16::splat(b'\\'))
            | half.min(control).simd_eq(half);
        special.to_bitmask()
    });
    low | high << 16
}

/// Where the number that starts at `at` ends.
#[inline]
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    short_number(bytes, at).or_else(|| any_number(bytes, at))
}

/// Where the number ends if it is digits, perhaps with a point between them, in less than 16 bytes.
#[inline]
fn short_number(bytes: &[u8], at: usize) -> Option<usize> {
    let chunk = u8x16::new(*bytes.get(at..)?.first_chunk::<16>()?);
    let digit = chunk - u8x16::splat(b'0');
    let digits = digit.min(u8x16::splat(9)).simd_eq(digit).to_bitmask();
    let points = chunk.simd_eq(u8x16::splat(b'.')).to_bitmask();
    let length = (digits | points).trailing_ones();
    let points = points & ((1 << length) - 1);
    let first_is_zero = bytes[at] == b'0';
    let is_plain = if points == 0 {
        !first_is_zero || length == 1
    } else {
        let point = points.trailing_zeros();
        let stands_between = point > 0 && point + 1 < length;
        points.is_power_of_two() && stands_between && (!first_is_zero || point == 1)
    };
    let end = at + length as usize;
    let ends = length > 0 && length < 16 && !matches!(bytes[end], b'e' | b'E');
    (is_plain && ends).then_some(end)
}

/// Where the number that starts at `at` ends, however it is written.
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

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The columns of the tests: the last key is longer than what is compared at once.
    const KEYS: [&str; 4] = ["artist", "ts", "é", "a_key_longer_than_its_head"];

    fn scanner() -> Scanner {
        Scanner::new(&KEYS.map(JsonPath::member)).unwrap()
    }

    /// What the scanner picks, if it does.
    fn scanned(record: &str) -> Option<[Option<Raw>; KEYS.len()]> {
        let mut picked = [None; KEYS.len()];
        scanner().pick(record, &mut picked).then_some(picked)
    }

    /// What a JSON parser picks.
    fn parsed(record: &str) -> Option<[Option<Raw>; KEYS.len()]> {
        let paths = KEYS.map(JsonPath::member).into_iter();
        super::super::keys::Keys::new(paths, false).plain().pick(record).ok()
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
            assert_eq!(scanned(record).is_some(), is_plain, "{record}");
            if is_plain {
                assert_eq!(scanned(record), parsed(record), "{record}");
            }
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
            if let Some(picked) = scanned(&record) {
                prop_assert_eq!(Some(picked), parsed(&record), "{}", record);
            }
        }
    }
}
