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
    pub fn pick<const COLUMNS: usize>(
        &self,
        record: &str,
        picked: &mut [Option<Raw>; COLUMNS],
    ) -> bool {
        self.try_pick(record.as_bytes(), picked).is_some()
    }

    #[inline]
    fn try_pick<const COLUMNS: usize>(
        &self,
        record: &[u8],
        picked: &mut [Option<Raw>; COLUMNS],
    ) -> Option<()> {
        if record.first() != Some(&b'{') {
            return None;
        }
        let (mut at, mut expected) = (1, 0);
        loop {
            at = skip_space(record, at);
            let (column, behind) = self.find(record, at, expected)?;
            let (value, end) = value(record, skip_space(record, behind))?;
            *picked.get_mut(column)? = value;
            expected = column + 1;
            at = skip_space(record, end);
            match record.get(at)? {
                b',' => at += 1,
                b'}' if at + 1 == record.len() => return Some(()),
                _ => return None,
            }
        }
    }

    /// The column whose key stands at `at`, most likely the `expected` one, and where the key ends.
    #[inline(always)]
    fn find(&self, record: &[u8], at: usize, expected: usize) -> Option<(usize, usize)> {
        match self.keys.get(expected) {
            Some(key) if key.stands_at(record, at) => Some((expected, at + key.text.len())),
            _ => self.search(record, at),
        }
    }

    #[inline(never)]
    fn search(&self, record: &[u8], at: usize) -> Option<(usize, usize)> {
        let column = self.keys.iter().position(|key| key.stands_at(record, at))?;
        Some((column, at + self.keys[column].text.len()))
    }
}

/// A key as it is written: in quotes, with its colon.
#[derive(Debug)]
struct Key {
    text: Vec<u8>,
    /// Its first bytes as a number, zeros behind its end, to be compared at once.
    head: u128,
    /// All bits of the bytes that it has.
    mask: u128,
}

impl Key {
    const HEAD_BYTES: usize = 16;

    fn new(name: &str) -> Self {
        let text = [b"\"", name.as_bytes(), b"\":"].concat();
        let mut head = [0; Self::HEAD_BYTES];
        let length = text.len().min(Self::HEAD_BYTES);
        head[..length].copy_from_slice(&text[..length]);
        let mask = u128::MAX >> (8 * (Self::HEAD_BYTES - length));
        Self { text, head: u128::from_le_bytes(head), mask }
    }

    #[inline(always)]
    fn stands_at(&self, record: &[u8], at: usize) -> bool {
        let Some(rest) = record.get(at..) else { return false };
        match rest.first_chunk() {
            Some(head) => {
                (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0
                    && (self.text.len() <= Self::HEAD_BYTES || rest.starts_with(&self.text))
            }
            None => rest.starts_with(&self.text),
        }
    }
}

/// The value that starts at `start`, `None` inside where it is null, and where it ends.
#[inline(always)]
fn value(record: &[u8], start: usize) -> Option<(Option<Raw>, usize)> {
    let first = *record.get(start)?;
    let (kind, end) = if first == b'"' {
        string(record, start + 1)?
    } else if first.is_ascii_digit() || first == b'-' {
        (RawKind::Number, number(record, start)?)
    } else {
        match first {
            b'n' => return Some((None, literal(record, start, b"null")?)),
            b't' => (RawKind::Other, literal(record, start, b"true")?),
            b'f' => (RawKind::Other, literal(record, start, b"false")?),
            _ => return None,
        }
    };
    Some((Some(Raw { start: start as u32, end: end as u32, kind }), end))
}

#[inline]
fn literal(record: &[u8], start: usize, name: &[u8]) -> Option<usize> {
    record.get(start..)?.starts_with(name).then_some(start + name.len())
}

/// What the string is whose opening quote stands before `at`, and where it ends, behind its closing quote.
///
/// Most strings have no escapes, and end within a chunk or just behind it: how often a loop goes round can't be foretold.
#[inline(always)]
fn string(bytes: &[u8], at: usize) -> Option<(RawKind, usize)> {
    let specials = specials_at(bytes, at)?;
    let found = at + specials.trailing_zeros() as usize;
    if bytes.get(found) == Some(&b'"') {
        return Some((RawKind::Plain, found + 1));
    }
    long_string(bytes, at)
}

/// What [`string`] gives, however the string is written. The escapes of a chunk are gone through without looking for
/// them again.
#[inline(never)]
fn long_string(bytes: &[u8], mut at: usize) -> Option<(RawKind, usize)> {
    let mut kind = RawKind::Plain;
    loop {
        let mut specials = specials_at(bytes, at)?;
        let mut next = at + CHUNK;
        while specials != 0 {
            let found = at + specials.trailing_zeros() as usize;
            match bytes[found] {
                b'"' => return Some((kind, found + 1)),
                b'\\' => {
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

/// Where the number that starts at `at` ends.
#[inline(always)]
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    short_number(bytes, at).or_else(|| any_number(bytes, at))
}

/// Where the number ends if it is digits, perhaps with a point between them, in less than 16 bytes.
#[inline(always)]
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
