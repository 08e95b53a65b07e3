//! Any bytes, compressed or not, in any pieces: the frames depend on the text alone, stand where they say, leave
//! nothing out, and agree with a JSON parser about what the records of a valid text are.
//!
//! The last bytes of the input say how the rest is cut.

#![no_main]

use std::io::{self, Write};

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sparkload::internals::{Cut, Decoded, Frame, Kind, decode};

fuzz_target!(|input: &[u8]| {
    let Some((text, &[block, record, piece, kind, members])) = input.split_last_chunk() else {
        return;
    };
    let max_record_bytes = size(record);
    let whole = Cut { name: "plain", block_bytes: text.len() + 1, max_record_bytes };
    // What is no text is another format.
    let Ok(Decoded { frames: expected, .. }) = decode(whole, [text].into_iter()) else { return };
    stand_where_they_say(text, &expected, max_record_bytes);
    leave_nothing_out(text, &expected);
    are_the_records_of_valid_json(text, &expected, max_record_bytes);

    let name = ["plain", "x.gz", "x.zst", "x.bz2"][usize::from(kind) % 4];
    let cut = Cut { name, block_bytes: size(block), max_record_bytes };
    let (one, other) = text.split_at(text.len() * usize::from(members) / 256);
    let object = [compressed(name, one), compressed(name, other)].concat();
    let decoded = decode(cut, Pieces::new(&object, piece)).expect("the object is whole");
    assert_eq!(decoded.frames, expected, "frames depend on pieces or blocks");
    is_bounded(&decoded, cut);

    if kind >= 0x80 {
        // The text is no such archive, most of the time: an error, and the same one for all pieces.
        let at_once = decode(cut, [text].into_iter());
        let in_pieces = decode(cut, Pieces::new(text, piece));
        match (at_once, in_pieces) {
            (Ok(at_once), Ok(in_pieces)) => assert_eq!(at_once.frames, in_pieces.frames),
            (Err(_), Err(_)) => {}
            (at_once, in_pieces) => panic!("{at_once:?} at once, {in_pieces:?} in pieces"),
        }
    }
});

/// A size from 1 to about 4 KiB, small ones as likely as large ones.
fn size(byte: u8) -> usize {
    1 << (byte % 13) | usize::from(byte / 16)
}

/// `text` as one member of an archive.
fn compressed(name: &str, text: &[u8]) -> Vec<u8> {
    let done: io::Result<Vec<u8>> = match name.split_once('.') {
        Some((_, "gz")) => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
        Some((_, "zst")) => zstd::bulk::compress(text, 1),
        Some((_, "bz2")) => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text).and_then(|()| encoder.finish())
        }
        _ => Ok(text.to_vec()),
    };
    done.expect("memory takes everything")
}

/// Pieces of many sizes, empty ones too, around one that `size` gives.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
    state: u32,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], piece: u8) -> Self {
        Self { rest: bytes, size: size(piece), state: piece.into() }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = self.state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let length = (self.state >> 16) as usize % (2 * self.size + 1);
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

fn stand_where_they_say(text: &[u8], frames: &[Frame], max_record_bytes: usize) {
    let mut end = 0;
    for (index, frame) in frames.iter().enumerate() {
        let Frame { number, line, offset, bytes, kind } = frame;
        let start = *offset as usize;
        assert_eq!(*number, index as u64 + 1);
        assert!(start >= end, "frame {number} overlaps the one before");
        end = start + bytes.len();
        assert_eq!(bytes, &text[start..end], "frame {number} holds other bytes");
        let newlines = text[..start].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(*line, 1 + newlines as u64, "frame {number} is on another line");
        match kind {
            Kind::Record => {
                assert!((1..=max_record_bytes).contains(&bytes.len()));
                assert!(!is_space(bytes[0]) && !is_space(bytes[bytes.len() - 1]));
            }
            Kind::TooLong => assert_eq!(bytes.len(), max_record_bytes),
            Kind::OpenArray => assert!(bytes.is_empty() && index + 1 == frames.len()),
        }
    }
}

/// What is in no frame is white space, a byte order mark at the start, the punctuation of an array, or the rest of
/// a record that is too long.
fn leave_nothing_out(text: &[u8], frames: &[Frame]) {
    let mut at = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut too_long = false;
    let ends = frames.iter().map(|frame| (frame.offset as usize, frame));
    for (start, frame) in ends {
        assert!(too_long || text[at..start].iter().all(|&byte| is_between(byte)), "lost bytes");
        at = start + frame.bytes.len();
        too_long = frame.kind == Kind::TooLong;
    }
    assert!(too_long || text[at..].iter().all(|&byte| is_between(byte)), "lost bytes at the end");
}

/// Of objects in a row, or in one array, each is a frame, and nothing else is.
fn are_the_records_of_valid_json(text: &[u8], frames: &[Frame], max_record_bytes: usize) {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let row = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let objects = match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(elements) => elements,
        Err(_) => match row.collect() {
            Ok(objects) => objects,
            Err(_) => return,
        },
    };
    if !objects.iter().all(|object| object.get().starts_with('{')) {
        return;
    }
    let expected = objects.iter().map(|object| {
        let bytes = object.get().as_bytes();
        match bytes.get(..max_record_bytes) {
            Some(beginning) if bytes.len() > max_record_bytes => (beginning, Kind::TooLong),
            _ => (bytes, Kind::Record),
        }
    });
    let found = frames.iter().map(|frame| (&frame.bytes[..], frame.kind));
    assert!(found.eq(expected), "other records than a JSON parser finds");
}

/// A record is waited for while it may still be good; a block is then as large as what was waited for.
fn is_bounded(decoded: &Decoded, cut: Cut<'_>) {
    let limit = cut.block_bytes.max(2 * cut.max_record_bytes).max(2 * BOM.len());
    assert!(decoded.largest_block <= limit, "a block of {} bytes", decoded.largest_block);
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_between(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'[' | b',' | b']')
}
