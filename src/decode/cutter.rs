//! The cutter: takes an object's bytes as they arrive and hands out blocks of whole records.

use std::io;
use std::mem;

use bytes::{Buf, Bytes};

use super::compression::{Compression, Decompressor};
use super::foreign::Foreign;
use super::framer::Framer;
use super::{Block, count_newlines};
use crate::buffer::{Buffer, Buffers};

/// How large blocks and records may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub block_bytes: usize,
    pub max_record_bytes: usize,
}

impl Limits {
    /// How large the first block of an object of `size` bytes, as it is stored, can be.
    pub fn block_of(self, compression: Compression, size: u64) -> usize {
        match compression {
            Compression::Plain => self.block_bytes.min(size as usize),
            Compression::Gzip | Compression::Zstd | Compression::Bzip2 => self.block_bytes,
        }
    }
}

/// Decompresses and cuts one object; give it the bytes in order, then [`finish`](Self::finish).
///
/// It holds at most one block and the record that does not fit it, so never more than the limits say.
pub(crate) struct Cutter {
    decompressor: Option<Decompressor>,
    framer: Framer,
    block_bytes: usize,
    buffers: Buffers,
    /// Decoded bytes that are not in a block yet.
    text: Buffer,
    /// How long `text` must be before it is looked at again.
    wanted: usize,
    /// Whether it is known that this is text.
    is_text: bool,
    next_record: u64,
    next_line: u64,
    offset: u64,
}

/// A block has at most one record for so many of its bytes: each makes a row or a reject, which takes memory of its
/// own however short the record is. Real song records have 300 bytes, events 470.
const BYTES_PER_FRAME: usize = 64;

/// Decompressed at a time: the room for it is zeroed first, which is lost work for a small object.
const DECOMPRESSED_BYTES: usize = 64 << 10;

impl Cutter {
    /// Cuts an object of `size` bytes, as it is stored, into blocks whose memory comes from `buffers`.
    pub fn new(compression: Compression, limits: Limits, buffers: &Buffers, size: u64) -> Self {
        Self {
            decompressor: compression.decompressor(),
            framer: Framer::new(limits.max_record_bytes),
            block_bytes: limits.block_bytes,
            buffers: buffers.clone(),
            text: buffers.take(limits.block_of(compression, size)),
            wanted: limits.block_bytes,
            is_text: false,
            next_record: 1,
            next_line: 1,
            offset: 0,
        }
    }

    /// Takes from `input` what fits; `None` means that all of it was taken and more is needed.
    ///
    /// # Errors
    ///
    /// The data is broken, or a [`Foreign`] format.
    pub fn push(&mut self, input: &mut Bytes) -> io::Result<Option<Block>> {
        loop {
            if self.text.len() >= self.wanted
                && let Some(block) = self.cut(false)?
            {
                return Ok(Some(block));
            }
            let before = self.text.len();
            let mut room = self.wanted - before;
            match &mut self.decompressor {
                None => {
                    let taken = room.min(input.len());
                    self.text.extend_from_slice(&input[..taken]);
                    input.advance(taken);
                }
                Some(decompressor) => {
                    room = room.min(DECOMPRESSED_BYTES);
                    let used = decompressor.decompress(input, &mut self.text, room)?;
                    input.advance(used);
                }
            }
            // A decompressor that fills all the room may still hold output when its input is used up.
            if input.is_empty() && self.text.len() - before < room {
                return Ok(None);
            }
        }
    }

    /// Hands out what is left when all input was pushed, block by block; `None` means that all is handed out.
    ///
    /// # Errors
    ///
    /// The compressed data ends early, or is a [`Foreign`] format.
    pub fn finish(&mut self) -> io::Result<Option<Block>> {
        if let Some(decompressor) = &mut self.decompressor {
            decompressor.finish()?;
        }
        self.cut(true)
    }

    /// The end of what was cut, as a block that holds nothing.
    pub fn end(&self) -> Block {
        Block {
            bytes: Buffer::default(),
            frames: Vec::new(),
            first_record: self.next_record,
            first_line: self.next_line,
            offset: self.offset,
        }
    }

    /// The block that `text` holds; `None` where no record is complete.
    fn cut(&mut self, end_of_text: bool) -> io::Result<Option<Block>> {
        if !self.is_text {
            // What is left when something was cut off is no start.
            if self.offset == 0
                && let Some(foreign) = Foreign::of(&self.text)
            {
                return Err(foreign.into());
            }
            self.is_text = self.text.len() >= Foreign::START_BYTES || self.offset > 0;
        }
        let limit = self.block_bytes.div_ceil(BYTES_PER_FRAME);
        let (frames, length) = self.framer.frame(&self.text, end_of_text, limit);
        let left = self.text.len() - length;
        self.wanted = if frames.len() >= limit {
            // There may be more records in what is left.
            self.block_bytes.min(left)
        } else {
            // A record larger than a block is looked at again only when twice as much of it is there.
            self.block_bytes.max(2 * left)
        };
        let mut rest = self.buffers.take(if end_of_text { left } else { self.wanted.max(left) });
        rest.extend_from_slice(&self.text[length..]);
        let mut bytes = mem::replace(&mut self.text, rest);
        bytes.truncate(length);
        let lines = count_newlines(&bytes);
        let block = Block {
            first_record: self.next_record,
            first_line: self.next_line,
            offset: self.offset,
            bytes: bytes.fitted(),
            frames,
        };
        self.next_record += block.frames.len() as u64;
        self.next_line += lines;
        self.offset += length as u64;
        Ok((!block.frames.is_empty()).then_some(block))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::FrameKind;
    use super::*;

    /// Cuts `text` as it would arrive in pieces of `piece` bytes.
    fn cut(text: &[u8], piece: usize, limits: Limits) -> Vec<Block> {
        let mut cutter = Cutter::new(Compression::Plain, limits, &Buffers::default(), 0);
        let mut blocks = Vec::new();
        for chunk in text.chunks(piece) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while let Some(block) = cutter.push(&mut chunk).unwrap() {
                blocks.push(block);
            }
        }
        while let Some(block) = cutter.finish().unwrap() {
            blocks.push(block);
        }
        blocks
    }

    /// The records of blocks: number, line, offset, text.
    fn records(blocks: &[Block]) -> Vec<(u64, u64, u64, String)> {
        let of = |block: &Block| {
            let mut line_of = block.lines();
            let numbered = block.frames.iter().enumerate().map(|(index, &frame)| {
                let text = match frame.kind {
                    FrameKind::Record => String::from_utf8_lossy(block.record(frame)).into_owned(),
                    kind => format!("{kind:?}"),
                };
                let offset = block.offset + u64::from(frame.start);
                (block.first_record + index as u64, line_of(frame), offset, text)
            });
            numbered.collect::<Vec<_>>()
        };
        blocks.iter().flat_map(of).collect()
    }

    fn texts(text: &str) -> Vec<String> {
        let limits = Limits { block_bytes: 1 << 20, max_record_bytes: 1 << 20 };
        let blocks = cut(text.as_bytes(), usize::MAX, limits);
        records(&blocks).into_iter().map(|record| record.3).collect()
    }

    #[test]
    fn every_framing_gives_its_records() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" \r\n\t ", &[]),
            ("{}", &["{}"]),
            ("{\"a\":1}\n{\"a\":2}\n", &["{\"a\":1}", "{\"a\":2}"]),
            ("\u{feff}{\"a\":1}\r\n\r\n{\"a\":2}", &["{\"a\":1}", "{\"a\":2}"]),
            ("{\"a\":1} {\"a\":2}{\"a\":3}\n", &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]),
            (
                "{\"a\":\"}{\"}\n{\"b\":\"\\\"}\"}\n{}",
                &["{\"a\":\"}{\"}", "{\"b\":\"\\\"}\"}", "{}"],
            ),
            (
                "{\n \"a\": [\n{\"b\": 1},\n{}\n]\n}\n{}\n",
                &["{\n \"a\": [\n{\"b\": 1},\n{}\n]\n}", "{}"],
            ),
            ("[]", &[]),
            ("[\n  {\"a\": 1},\n  {\"a\": [{}]}\n]\n", &["{\"a\": 1}", "{\"a\": [{}]}"]),
            ("[{\"a\":1},{\"a\":2}]", &["{\"a\":1}", "{\"a\":2}"]),
        ];
        for (text, expected) in cases {
            assert_eq!(texts(text), *expected, "framing {text:?}");
        }
    }

    #[test]
    fn broken_text_is_cut_so_that_good_records_survive() {
        let cases: &[(&str, &[&str])] = &[
            ("{\"a\":\"x\n{\"b\":1}\n", &["{\"a\":\"x", "{\"b\":1}"]),
            ("{\"a\":1\n{\"b\":1}\n", &["{\"a\":1", "{\"b\":1}"]),
            ("{\"a\":1,\n{\"b\":1}\n{}", &["{\"a\":1,", "{\"b\":1}", "{}"]),
            ("{\"a\":{\"b\":1}\n{\"b\":1}\n", &["{\"a\":{\"b\":1}", "{\"b\":1}"]),
            ("{\"a\":1 {}\n{}\n", &["{\"a\":1 {}", "{}"]),
            ("{]\n{}", &["{]", "{}"]),
            ("{\"a\":[}{\"a\":1}\n{}\n", &["{\"a\":[}", "{\"a\":1}", "{}"]),
            ("{}\n{\"a\":", &["{}", "{\"a\":"]),
            ("{}\nnonsense {here}\n{}\n", &["{}", "nonsense {here}", "{}"]),
            ("[{},", &["{}", "OpenArray"]),
            ("[{},{", &["{}", "{"]),
            ("[{\"a\":\"\n{}]", &["{\"a\":\"", "{}"]),
            ("[\n{\"a\":1,\n{},\n{}\n]", &["{\"a\":1,", "{}", "{}"]),
        ];
        for (text, expected) in cases {
            assert_eq!(texts(text), *expected, "framing {text:?}");
        }
    }

    #[test]
    fn what_stands_where_a_record_should_is_one_frame_and_costs_no_record() {
        let cases: &[(&str, &[&str])] = &[
            ("[{},null,{}]", &["{}", "null", "{}"]),
            ("[{},[],{}]", &["{}", "[]", "{}"]),
            ("[{},\"s\",{}]", &["{}", "\"s\"", "{}"]),
            ("[{},7,{}]", &["{}", "7", "{}"]),
            ("[{},,{}]", &["{}", ",", "{}"]),
            ("[{},,,{}]", &["{}", ",", ",", "{}"]),
            ("[,{}]", &[",", "{}"]),
            ("[{},]", &["{}", "]"]),
            ("[{} {}\n{}]", &["{}", "{}", "{}"]),
            ("[{}:{},{}]", &["{}", ":", "{}", "{}"]),
            ("[{}, not json, {}]", &["{}", "not json", "{}"]),
            ("[{}, \"},{\\\"\" , {}]", &["{}", "\"},{\\\"\"", "{}"]),
            ("[[{\"a\":\"]\"}], {}]", &["[{\"a\":\"]\"}]", "{}"]),
            ("[null, {}, [\n{},\n[{}]\n]\n, {}]", &["null", "{}", "[\n{},\n[{}]\n]", "{}"]),
            ("[\n{},\nnull,\n{}\n]", &["{}", "null", "{}"]),
            ("[{}]]{}", &["{}", "]", "{}"]),
            ("[{}],[{}]", &["{}", ",", "{}"]),
            ("[{}] [] [\n{}]{}", &["{}", "{}", "{}"]),
            ("null [{}, {}] 7", &["null", "{}", "{}", "7"]),
            ("{} null {}", &["{}", "null", "{}"]),
            ("{}{} x\n{}\n", &["{}", "{}", "x", "{}"]),
            ("{} [] {}\n", &["{}", "[]", "{}"]),
            ("{} [{}] {}\n", &["{}", "[{}]", "{}"]),
            ("{}, {}\n{}\n", &["{}", ",", "{}", "{}"]),
            ("{} } ] {}\n{}\n", &["{}", "} ]", "{}", "{}"]),
            ("7{} \"}\" null {}\n", &["7", "{}", "\"}\" null", "{}"]),
            ("### log rotated ###\n{}", &["### log rotated ###", "{}"]),
            ("123\n\"x\"\n[1,2]\n{}\n", &["123", "\"x\"", "[1,2]", "{}"]),
            ("[[{}]]\n[\n]{}", &["[[{}]]", "{}"]),
            ("{}\n\u{feff}{}", &["{}", "\u{feff}", "{}"]),
            ("{} \"x {}\n{}", &["{}", "\"x {}", "{}"]),
            // White space elsewhere, and junk here.
            ("{} \u{c}\n7\u{c}\n{}", &["{}", "\u{c}", "7\u{c}", "{}"]),
        ];
        for (text, expected) in cases {
            assert_eq!(texts(text), *expected, "framing {text:?}");
        }
    }

    #[test]
    fn pieces_and_block_sizes_never_matter() {
        let text = "\u{feff}{\"a\":\"}\\\\\\\"{\"}\n{\n\"b\":[{},\n{}]}\r\n\n{\"c\":1}{\"d\":2} \n{\"e\":\n{}\nx y\n{\"f\":\"\n{}\n\
                    [{\"a\":1}\n,{\"b\":[1]}]\n[ {},\n 7,\n{}\n]{\"g\":1} {\"h\":2} z\n{\"i\":3}\n{\"j\":4}\n  {\"k\":5";
        let whole = Limits { block_bytes: 1 << 20, max_record_bytes: 1 << 20 };
        let expected = records(&cut(text.as_bytes(), usize::MAX, whole));
        assert_eq!(expected.len(), 15);
        for block_bytes in 1..text.len() + 2 {
            for piece in [1, 2, 3, 7, 64, 1024] {
                let limits = Limits { block_bytes, ..whole };
                let blocks = cut(text.as_bytes(), piece, limits);
                assert_eq!(
                    records(&blocks),
                    expected,
                    "blocks of {block_bytes}, pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn a_record_over_the_limit_is_dropped_in_bounded_memory() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
        let text = format!("{{\"b\":1}}\n{long}\n{{\"c\":2}}\n{long} {{\"d\":3}}\n{long}");
        for piece in [1, 10, 4096] {
            let limits = Limits { block_bytes: 16, max_record_bytes: 100 };
            let blocks = cut(text.as_bytes(), piece, limits);
            let found = records(&blocks).into_iter().map(|record| record.3);
            let expected = ["{\"b\":1}", "TooLong", "{\"c\":2}", "TooLong", "{\"d\":3}", "TooLong"];
            assert_eq!(found.collect::<Vec<_>>(), expected);
            assert!(blocks.iter().all(|block| block.bytes.len() <= 300));
        }
    }

    #[test]
    fn white_space_is_not_held() {
        for start in ["", "{}", "[", "x", "{\"a\":"] {
            let text = format!("{start}{}", " ".repeat(10_000));
            let limits = Limits { block_bytes: 16, max_record_bytes: 100 };
            let mut cutter = Cutter::new(Compression::Plain, limits, &Buffers::default(), 0);
            for piece in text.as_bytes().chunks(10) {
                while cutter.push(&mut Bytes::copy_from_slice(piece)).unwrap().is_some() {}
                assert!(cutter.text.len() <= 300, "{start:?}");
            }
        }
    }

    #[test]
    fn many_short_records_make_small_blocks() {
        let limits = Limits { block_bytes: 1 << 10, max_record_bytes: 100 };
        let blocks = cut("{}\n1\n".repeat(1000).as_bytes(), usize::MAX, limits);
        assert!(blocks.iter().all(|block| block.frames.len() <= 17));
        assert_eq!(records(&blocks).len(), 2000);
    }

    #[test]
    fn what_is_too_long_is_so_in_any_pieces_and_blanks_do_not_grow() {
        let texts = [
            "{]{}\n{}",
            "{\"a\":{}\n{}",
            "x            \n{}",
            "{            \n{}",
            "{}                                \n{}",
            "{}                                x}\n{}",
            "[                                {}]",
            "[                                1]\n{}",
            "[                                ",
            "{xxxxxxxxx}         x\n{}",
            "[{},xxxxxxxxxxx]            \n{}",
            "[[{}], 12345, {}",
            "[1,2,34,{}",
            "{} 1234567{} 12345678{}",
            "{} [1,2,3,4,{}] {}",
            "{} \"12345\"{} \"123456\"{}",
        ];
        for text in texts {
            let whole = Limits { block_bytes: 1 << 20, max_record_bytes: 8 };
            let expected = records(&cut(text.as_bytes(), usize::MAX, whole));
            for (block_bytes, piece) in [(1, 1), (1, 2), (3, 5), (8, 1), (9, 3), (12, 7)] {
                let blocks = cut(text.as_bytes(), piece, Limits { block_bytes, ..whole });
                assert_eq!(records(&blocks), expected, "{text:?} in pieces of {piece}");
                assert!(blocks.iter().all(|block| block.bytes.len() <= 16), "{text:?}");
            }
        }
    }

    #[test]
    fn compressed_data_that_ends_early_is_an_error() {
        let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b];
        let limits = Limits { block_bytes: 16, max_record_bytes: 100 };
        let mut cutter = Cutter::new(Compression::Gzip, limits, &Buffers::default(), 0);
        assert!(cutter.push(&mut Bytes::copy_from_slice(&gzip)).unwrap().is_none());
        assert_eq!(cutter.finish().unwrap_err().to_string(), "the gzip data ends early");
    }

    /// An object, on one line or several.
    fn object() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "{}",
            r#"{"page":"NextSong","ts":1}"#,
            r#"{"a":"}{][,\"","b":[{"c":{}},[1],"x"],"d":{"e":null}}"#,
            "{\n  \"a\": [\n{\"b\": 1},\n{}\n],\r\n  \"c\":\n{\"d\": \"\\\\\"}\n}",
        ])
        .prop_map(str::to_owned)
    }

    /// A whole value that is no object.
    fn value() -> impl Strategy<Value = String> {
        let scalar = prop::sample::select(vec![
            "null",
            "true",
            "-1.5e3",
            "7",
            "\"\"",
            "\"s\"",
            "\"{}\"",
            "\"}]\\n,{\\\"\"",
            "\"\\\\\"",
            "\"[{\"",
        ])
        .prop_map(str::to_owned)
        .boxed();
        let array = |inner: BoxedStrategy<String>| {
            let elements = prop::collection::vec(inner, 0..3);
            (elements, prop::sample::select(vec![",", ",\n", ", "]))
                .prop_map(|(elements, comma)| format!("[{}]", elements.join(comma)))
                .boxed()
        };
        let flat = array(scalar.clone());
        // Objects stand deeper than the elements of an array of records would.
        let nested = array(array(prop_oneof![scalar.clone(), object()].boxed()));
        prop_oneof![3 => scalar, 1 => flat, 1 => nested]
    }

    fn junk() -> impl Strategy<Value = String> {
        let stray =
            prop::sample::select(vec![":", "#", "x", "\\", "nul", "\0", "é", "\u{feff}", "="]);
        prop_oneof![value(), stray.prop_map(str::to_owned)]
    }

    fn space() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", " ", "\n", "\t", "\r\n"])
    }

    proptest! {
        #[test]
        fn objects_joined_by_junk_are_the_records(
            parts in prop::collection::vec(
                (space(), prop_oneof![object(), object(), junk(), Just(",".to_owned())]), 1..12),
            is_array in any::<bool>(), block_bytes in 1..200_usize, piece in 1..50_usize,
        ) {
            let parts: Vec<_> = parts.into_iter().flat_map(|(space, part)| [space.to_owned(), part]).collect();
            let text = match is_array {
                true => format!("[{}\n]", parts.concat()),
                false => parts.concat(),
            };
            let whole = Limits { block_bytes: 1 << 20, max_record_bytes: 1 << 20 };
            let found = records(&cut(text.as_bytes(), usize::MAX, whole));
            let objects: Vec<_> = parts.iter().filter(|part| part.starts_with('{')).collect();
            let framed: Vec<_> = found.iter().map(|record| &record.3).filter(|text| text.starts_with('{')).collect();
            prop_assert_eq!(framed, objects, "{:?}", text);
            let in_blocks = records(&cut(text.as_bytes(), piece, Limits { block_bytes, ..whole }));
            prop_assert_eq!(in_blocks, found, "{:?}", text);
        }
    }
}
