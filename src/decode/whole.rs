//! Whole values: where an object, an array or a string ends that is valid JSON, and where one goes no further that is not.

use memchr::memchr3;

/// How far a value has been scanned, whose text may arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// The brace or bracket that it starts with; zero before that was seen, and for a string.
    opener: u8,
    /// How many more of these were opened than closed.
    depth: usize,
    /// Whether each of the open objects and arrays is an object, the innermost one in the lowest bit. Those around more
    /// than 64 others count for arrays.
    objects: u64,
    in_string: bool,
    escaped: bool,
    line_start: bool,
    /// The last byte that was not white space.
    last: u8,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Behind its last byte.
    Closed,
    /// Before a byte that can't belong to it: a line break in a string, or a `{` at the start of a line where JSON allows
    /// none, with which the next record starts.
    Broken,
}

impl Whole {
    /// Scans on from `at`, at first from the byte that the value starts with, up to its end; `None` where the text ends
    /// before.
    pub fn scan(&mut self, text: &[u8], at: &mut usize) -> Option<End> {
        while *at < text.len() {
            if self.escaped {
                self.escaped = false;
                if text[*at] != b'\n' {
                    *at += 1;
                    continue;
                }
            }
            if self.in_string {
                let Some(length) = memchr3(b'"', b'\\', b'\n', &text[*at..]) else {
                    *at = text.len();
                    return None;
                };
                *at += length;
                match text[*at] {
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => return Some(End::Broken),
                }
                *at += 1;
                if self.depth == 0 && !self.in_string {
                    return Some(End::Closed);
                }
                continue;
            }
            let byte = text[*at];
            match byte {
                b'\n' => self.line_start = true,
                b' ' | b'\t' | b'\r' => {}
                b'{' if self.line_start && !self.allows_an_object() => return Some(End::Broken),
                _ => {
                    self.line_start = false;
                    self.last = byte;
                    if self.closes(byte) {
                        *at += 1;
                        return Some(End::Closed);
                    }
                }
            }
            *at += 1;
        }
        None
    }

    /// Takes note of a `byte` outside of strings; returns whether the value ends with it. Of braces and brackets only those
    /// count that are like its own: in valid JSON the others come in pairs between them.
    fn closes(&mut self, byte: u8) -> bool {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                if self.depth == 0 {
                    self.opener = byte;
                }
                self.depth += usize::from(byte == self.opener);
                self.objects = self.objects << 1 | u64::from(byte == b'{');
            }
            b'}' | b']' => {
                self.depth -= usize::from(byte == self.opener + 2);
                self.objects >>= 1;
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    /// Whether JSON allows an object behind the last byte: as a member's value, or as an element.
    fn allows_an_object(&self) -> bool {
        match self.last {
            b':' | b'[' => true,
            b',' => self.objects & 1 == 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_json_or_its_line_ends_it() {
        let cases = [
            ("{} ", Some((End::Closed, "{}"))),
            (r#"{"a":[{"b":"}"},{}]},"#, Some((End::Closed, r#"{"a":[{"b":"}"},{}]}"#))),
            (r#"[{"a":"]"},[]]x"#, Some((End::Closed, r#"[{"a":"]"},[]]"#))),
            (r#""a\\\"{"x"#, Some((End::Closed, r#""a\\\"{""#))),
            ("{\"a\":[\n{},\n{}]}", Some((End::Closed, "{\"a\":[\n{},\n{}]}"))),
            ("{\"a\":\n{}}", Some((End::Closed, "{\"a\":\n{}}"))),
            ("{\"a\":1,\n{}", Some((End::Broken, "{\"a\":1,\n"))),
            ("{\"a\":1\n{}", Some((End::Broken, "{\"a\":1\n"))),
            ("[1,\n{}]", Some((End::Closed, "[1,\n{}]"))),
            ("[1\n{}]", Some((End::Broken, "[1\n"))),
            ("\"a\n\"", Some((End::Broken, "\"a"))),
            ("\"a\\\n\"", Some((End::Broken, "\"a\\"))),
            ("{]", None),
            ("{\"a\"", None),
        ];
        for (text, expected) in cases {
            let mut at = 0;
            let found = Whole::default().scan(text.as_bytes(), &mut at);
            assert_eq!(found.map(|end| (end, &text[..at])), expected, "{text}");
        }
    }
}
