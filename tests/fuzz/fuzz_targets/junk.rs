//! Objects joined by junk, in an array or not, in any pieces: whole values that are no objects and stray bytes without
//! braces, brackets or quotes cost no object, and add none.
//!
//! Each byte of the input is a part of the text: an object, white space, a comma, or junk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sparkload::internals::{Cut, Kind, decode};

fuzz_target!(|input: &[u8]| {
    let Some((parts, &[block, piece, is_array])) = input.split_last_chunk() else { return };
    let parts: Vec<&[u8]> = parts.iter().map(part).collect();
    let mut text = parts.concat();
    if is_array & 1 == 1 {
        text = [b"[", &text[..], b"]"].concat();
    }
    let whole =
        Cut { name: "plain", block_bytes: text.len() + 1, max_record_bytes: text.len() + 1 };
    let found =
        decode(whole, [&text[..]].into_iter()).expect("plain text is decoded").frames;
    let is_object = |bytes: &&[u8]| bytes.starts_with(b"{");
    let framed =
        found.iter().filter(|frame| frame.kind == Kind::Record).map(|frame| &frame.bytes[..]);
    assert!(framed.filter(is_object).eq(parts.iter().copied().filter(is_object)), "other objects");

    let cut = Cut { block_bytes: usize::from(block) + 1, ..whole };
    let pieces = text.chunks(usize::from(piece) + 1);
    let in_pieces = decode(cut, pieces).expect("plain text is always decoded").frames;
    assert_eq!(in_pieces, found, "frames depend on pieces or blocks");
});

const OBJECTS: [&[u8]; 4] = [
    b"{}",
    br#"{"page":"NextSong","ts":1}"#,
    br#"{"a":"}{][,\"","b":[{"c":{}},[1],"x"],"d":{"e":null}}"#,
    b"{\n  \"a\": [\n{\"b\": 1},\n{}\n],\r\n  \"c\":\n{\"d\": \"\\\\\"}\n}",
];

const SPACE: [&[u8]; 4] = [b" ", b"\n", b"\t", b"\r\n"];

/// No array with an object among its elements: it might be one of records.
const VALUES: [&[u8]; 11] = [
    b"null",
    b"-1.5e3",
    b"[]",
    b"[1,[2,\n3]]",
    br#"["]"]"#,
    b"[[{\"page\":\"NextSong\"},\n{\"a\":[]}]]",
    b"\"\"",
    br#""}]\n,{\"""#,
    br#""\\""#,
    br#""[{""#,
    b"true",
];

fn part(byte: &u8) -> &'static [u8] {
    /// Every byte but white space, commas, braces, brackets and quotes stands for itself.
    static BYTES: [u8; 256] = {
        let mut bytes = [0; 256];
        let mut at = 0;
        while at < bytes.len() {
            bytes[at] = at as u8;
            at += 1;
        }
        bytes
    };
    let index = usize::from(byte / 8);
    match byte % 8 {
        0..3 => OBJECTS[index % OBJECTS.len()],
        3 => SPACE[index % SPACE.len()],
        4 => b",",
        5 | 6 => VALUES[index % VALUES.len()],
        _ => match BYTES[usize::from(*byte)] {
            b'{' | b'}' | b'[' | b']' | b'"' => b":",
            other => std::slice::from_ref(&BYTES[usize::from(other)]),
        },
    }
}
