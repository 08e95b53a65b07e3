//! Text: how names and numbers are written into JSON.

/// A piece of a name, ready to be written.
#[derive(Debug)]
pub(super) struct Text {
    catalog: Vec<u8>,
    log: Vec<u8>,
    doubled: Vec<u8>,
}

/// How a name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As in the songs: only what JSON must escape, and what is not ASCII.
    Catalog,
    /// As in the logs: slashes are escaped too.
    Log,
    /// Taken twice for Latin-1 and encoded as UTF-8 again, as the logs have most of what is not ASCII.
    Doubled,
}

impl Text {
    pub fn new(text: &str) -> Self {
        let doubled = latin_1_as_utf_8(&latin_1_as_utf_8(text));
        Self {
            catalog: escaped(text),
            log: escaped(text).escape_slashes(),
            doubled: escaped(&doubled).escape_slashes(),
        }
    }

    pub fn put(&self, out: &mut Vec<u8>, spelling: Spelling) {
        out.extend_from_slice(match spelling {
            Spelling::Catalog => &self.catalog,
            Spelling::Log => &self.log,
            Spelling::Doubled => &self.doubled,
        });
    }
}

/// What becomes of text when its UTF-8 is taken for Latin-1.
fn latin_1_as_utf_8(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// Text between the quotes of JSON, in ASCII alone. No names have characters beyond the basic plane.
fn escaped(text: &str) -> Vec<u8> {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '"' => escaped.push_str("\\\""),
            ' '..='~' => escaped.push(char),
            _ => escaped.push_str(&format!("\\u{:04x}", u32::from(char))),
        }
    }
    escaped.into_bytes()
}

trait EscapeSlashes {
    fn escape_slashes(self) -> Self;
}

impl EscapeSlashes for Vec<u8> {
    fn escape_slashes(self) -> Self {
        let escaped = |byte: u8| [(byte == b'/').then_some(b'\\'), Some(byte)];
        self.into_iter().flat_map(escaped).flatten().collect()
    }
}

/// Writes a whole number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number with leading zeros, in `width` digits of at most 10.
pub(super) fn put_padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let (mut digits, mut rest) = ([0; 10], number);
    for digit in digits[..width].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[..width]);
}

/// Writes a number of hundred-thousandths as seconds, as short as Python does: `270.602`, `12.0`.
pub(super) fn put_seconds(out: &mut Vec<u8>, hundred_thousandths: u64) {
    put_number(out, hundred_thousandths / 100_000);
    out.push(b'.');
    put_padded(out, hundred_thousandths % 100_000, 5);
    let end = out.len();
    let zeros = out[end - 4..].iter().rev().take_while(|digit| **digit == b'0').count();
    out.truncate(end - zeros);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_in_the_sample() {
        let cases = [
            ("Plain", ["Plain", "Plain", "Plain"]),
            ("A/B \"x\"", [r#"A/B \"x\""#, r#"A\/B \"x\""#, r#"A\/B \"x\""#]),
            ("é", [r"\u00e9", r"\u00e9", r"\u00c3\u0083\u00c2\u00a9"]),
        ];
        for (text, expected) in cases {
            let spellings = [Spelling::Catalog, Spelling::Log, Spelling::Doubled];
            let written = spellings.map(|spelling| {
                let mut out = Vec::new();
                Text::new(text).put(&mut out, spelling);
                String::from_utf8(out).unwrap()
            });
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn numbers_are_written_as_short_as_they_are() {
        type Put = fn(&mut Vec<u8>, u64);
        let padded: Put = |out, number| put_padded(out, number, 4);
        let cases: [(Put, u64, &str); 8] = [
            (put_number, 0, "0"),
            (put_number, 1_541_030_400_796, "1541030400796"),
            (put_number, u64::MAX, "18446744073709551615"),
            (padded, 7, "0007"),
            (put_seconds, 27_060_200, "270.602"),
            (put_seconds, 1_200_000, "12.0"),
            (put_seconds, 1_200_001, "12.00001"),
            (put_seconds, 4_010_000, "40.1"),
        ];
        for (put, number, expected) in cases {
            let mut out = Vec::new();
            put(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
