//! Text: what a JSON string says, and what to do with the bytes that no database can hold.

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use memchr::memchr;

/// Undoes the escapes of a string's `inner` text, which a JSON parser has accepted; what it says then is held by `arena`.
///
/// What a database's text can't hold becomes as many `replacement`s as it would take bytes (three for a
/// surrogate, one for U+0000).
///
/// # Errors
///
/// There is something to replace and no replacement.
pub(super) fn unescape<'a>(
    inner: &'a str,
    replacement: Option<u8>,
    arena: &'a Bump,
) -> Result<&'a str, &'static str> {
    let Some(first) = memchr(b'\\', inner.as_bytes()) else {
        return Ok(inner);
    };
    let mut text = ArenaString::with_capacity_in(inner.len(), arena);
    let mut rest = inner;
    let mut backslash = Some(first);
    while let Some(at) = backslash {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let unit = hex(rest);
                rest = &rest[4..];
                let (character, reason) = match unit {
                    0 => (None, "U+0000 can't be stored"),
                    0xD800..=0xDBFF => match low_surrogate(rest) {
                        Some(low) => {
                            rest = &rest[6..];
                            let pair = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                            (char::from_u32(pair), UNPAIRED)
                        }
                        None => (None, UNPAIRED),
                    },
                    _ => (char::from_u32(unit), UNPAIRED),
                };
                match (character, replacement) {
                    (Some(character), _) => text.push(character),
                    (None, Some(replacement)) => {
                        let length = if unit == 0 { 1 } else { 3 };
                        text.extend(std::iter::repeat_n(char::from(replacement), length));
                    }
                    (None, None) => return Err(reason),
                }
            }
            itself => text.push(char::from(itself)),
        }
        backslash = memchr(b'\\', rest.as_bytes());
    }
    text.push_str(rest);
    Ok(text.into_bump_str())
}

const UNPAIRED: &str = "unpaired surrogate";

/// The four hexadecimal digits that `text` starts with.
fn hex(text: &str) -> u32 {
    u32::from_str_radix(&text[..4], 16).expect("the parser has checked the digits")
}

fn low_surrogate(text: &str) -> Option<u32> {
    text.starts_with("\\u").then(|| hex(&text[2..])).filter(|low| (0xDC00..0xE000).contains(low))
}

/// `bytes` as text, with `replacement` for each byte that is not part of valid UTF-8.
pub(super) fn replace_invalid(bytes: &[u8], replacement: u8) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n(char::from(replacement), chunk.invalid().len()));
    }
    text
}

/// JSON text without the white space between its tokens, held by `arena` where there is some.
pub(super) fn compact<'a>(json: &'a str, arena: &'a Bump) -> &'a str {
    let is_space = |character| matches!(character, ' ' | '\t' | '\r' | '\n');
    if !json.contains(is_space) {
        return json;
    }
    let mut in_string = false;
    let mut escaped = false;
    let mut text = ArenaString::from_str_in(json, arena);
    text.retain(|character| {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            return true;
        }
        in_string = character == '"';
        !is_space(character)
    });
    text.into_bump_str()
}

/// The longest beginning of `text` that has at most `bytes` bytes and ends between two characters.
pub(super) fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_what_they_mean() {
        let cases = [
            ("plain é", "plain é"),
            (r#"a\/b\"c\\d"#, "a/b\"c\\d"),
            (r"\b\f\n\r\t", "\u{8}\u{c}\n\r\t"),
            (r"\u00e9\u4e2d", "é中"),
            (r"\ud83c\udfb5 song", "🎵 song"),
            (r"\\u0000", "\\u0000"),
        ];
        for (inner, expected) in cases {
            assert_eq!(unescape(inner, None, &Bump::new()).unwrap(), expected, "{inner}");
        }
    }

    #[test]
    fn what_no_text_can_hold_is_refused_or_replaced_at_its_length() {
        let cases = [
            (r"a\u0000b", "a?b"),
            (r"\ud800", "???"),
            (r"\udc00x", "???x"),
            (r"\ud800\ud83c\udfb5", "???🎵"),
            (r"\ud800\u0041", "???A"),
            (r"\ud800\n", "???\n"),
        ];
        for (inner, replaced) in cases {
            assert!(unescape(inner, None, &Bump::new()).is_err(), "{inner}");
            assert_eq!(unescape(inner, Some(b'?'), &Bump::new()).unwrap(), replaced, "{inner}");
        }
        assert_eq!(replace_invalid(b"a\xe2\x82z\xff", b'^'), "a^^z^");
    }

    #[test]
    fn compact_json_keeps_the_spaces_of_strings() {
        let arena = Bump::new();
        assert_eq!(
            compact("{ \"a b\" : [ 1.0 ,\n\"\\\" }\" ] }", &arena),
            "{\"a b\":[1.0,\"\\\" }\"]}"
        );
        assert_eq!(compact("[1]", &arena), "[1]");
    }
}
