//! What `tests/fuzz` and `benches` work on: the pure modules behind small functions. No part of the API.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::Buffers;
use crate::decode::{Block, Compression, Cutter, FrameKind, Limits};
use crate::dialect::Dialect;
use crate::encode::{Encoding, NullMark, Rows, in_parts};
use crate::record::{Arena, EventReader, Fault, Format, Reader, Reject, SongReader};
use crate::source::{self, Object};
use crate::star::{Catalog, Matching};
use crate::table::Table;
use crate::table::load_errors::LoadError;
use crate::transform::{Fate, Listening, Logs, Outcome, Piece, Songs, each_record};

/// How an object is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// A name, whose suffix says how the object is compressed.
    pub name: &'a str,
    pub block_bytes: usize,
    pub max_record_bytes: usize,
}

/// An object, cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    pub frames: Vec<Frame>,
    /// The bytes of the largest block.
    pub largest_block: usize,
}

/// One frame, with its place in the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub number: u64,
    pub line: u64,
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub kind: Kind,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Record,
    TooLong,
    OpenArray,
}

/// Decodes an object that arrives in `pieces`.
///
/// # Errors
///
/// The bytes are not what the name announces, or a format that is not read.
pub fn decode<'a>(cut: Cut<'_>, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<Decoded> {
    let Cut { name, block_bytes, max_record_bytes } = cut;
    let kinds = [Compression::Gzip, Compression::Zstd, Compression::Bzip2];
    let compression = kinds.into_iter().find(|kind| name.ends_with(kind.suffix()));
    let compression = compression.unwrap_or(Compression::Plain);
    let mut cutter =
        Cutter::new(compression, Limits { block_bytes, max_record_bytes }, &Buffers::default(), 0);
    let mut decoded = Decoded { frames: Vec::new(), largest_block: 0 };
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(block) = cutter.push(&mut piece)? {
            decoded.add(&block);
        }
    }
    while let Some(block) = cutter.finish()? {
        decoded.add(&block);
    }
    Ok(decoded)
}

impl Decoded {
    fn add(&mut self, block: &Block) {
        self.largest_block = self.largest_block.max(block.bytes.len());
        let mut line_of = block.lines();
        self.frames.extend(block.frames.iter().enumerate().map(|(index, &frame)| Frame {
            number: block.first_record + index as u64,
            line: line_of(frame),
            offset: block.offset + u64::from(frame.start),
            bytes: block.record(frame).to_vec(),
            kind: match frame.kind {
                FrameKind::Record => Kind::Record,
                FrameKind::TooLong => Kind::TooLong,
                FrameKind::OpenArray => Kind::OpenArray,
            },
        }));
    }
}

/// The rows that one record makes, encoded for COPY, and why it was rejected, if it was.
#[derive(Debug, PartialEq)]
pub struct Transformed {
    pub rows: Vec<(Table, Vec<u8>)>,
    pub reject: Option<Reject>,
}

/// Which way records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// As loads read them: by the scanner where it can.
    Fast,
    /// By a JSON parser.
    Plain,
}

impl Path {
    fn of<const FIELDS: usize>(self, reader: Reader<FIELDS>) -> Reader<FIELDS> {
        match self {
            Self::Fast => reader,
            Self::Plain => reader.plain(),
        }
    }

    fn events(self, format: &Format) -> EventReader {
        self.of(EventReader::new(format, Dialect::Postgres))
    }

    fn songs(self, format: &Format) -> SongReader {
        self.of(SongReader::new(format, Dialect::Postgres))
    }
}

/// The work on logs, matched with the songs of `catalog`.
fn logs(reader: EventReader, staging: bool, catalog: &Catalog) -> Logs {
    Logs {
        reader,
        staging,
        songs: Some(catalog.match_index(Matching::default())),
        matched_only: false,
        encoding: Encoding::Binary,
        plays: Buffers::default(),
        staged: Buffers::default(),
    }
}

/// Loads `record` as an object that holds one event.
pub fn event(record: &[u8], format: &Format, path: Path) -> Transformed {
    let logs = logs(path.events(format), true, &Catalog::default());
    let mut listening = Listening::default();
    let mut transformed = transformed(logs.transform(&[whole(record)], &mut listening));
    transformed.add(Table::Users, |rows| listening.users.rows().for_each(|row| rows.push(&row)));
    transformed.add(Table::Time, |rows| listening.moments.rows().for_each(|row| rows.push(&row)));
    transformed
}

/// Whether each of the events is read as if it were the first, whatever reading those before it has taught.
pub fn are_read_alike(records: &[&[u8]], format: &Format) -> bool {
    let taught = EventReader::new(format, Dialect::Postgres);
    let mut arena = taught.arena();
    records.iter().all(|record| {
        arena.reset();
        let first = EventReader::new(format, Dialect::Postgres);
        let first_arena = first.arena();
        let Ok(text) = first.text(record) else { return true };
        taught.read(&text, &arena) == first.read(&text, &first_arena)
    })
}

/// Loads `record` as an object that holds one song.
pub fn song(record: &[u8], format: &Format, path: Path) -> Transformed {
    let songs =
        Songs { reader: path.songs(format), staging: true, star: true, encoding: Encoding::Binary };
    let mut catalog = Catalog::default();
    let mut transformed = transformed(songs.transform(&[whole(record)], &mut catalog));
    transformed.add(Table::Songs, |rows| catalog.songs().for_each(|row| rows.push(&row)));
    transformed.add(Table::Artists, |rows| catalog.artists().for_each(|row| rows.push(&row)));
    transformed
}

/// Bytes come in pieces of this size.
const READ_BYTES: usize = 256 << 10;

/// An object, cut into blocks that are worked on again and again.
pub struct Blocks(Vec<Piece>);

impl Blocks {
    /// Cuts the `bytes` of an object.
    pub fn cut(bytes: &[u8], block_bytes: usize) -> Self {
        let limits = Limits { block_bytes, max_record_bytes: Format::default().max_record_bytes };
        let compression = Compression::of(bytes).unwrap_or(Compression::Plain);
        let size = bytes.len() as u64;
        let mut cutter = Cutter::new(compression, limits, &Buffers::default(), size);
        let mut blocks = Vec::new();
        for piece in bytes.chunks(READ_BYTES) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(block) = cutter.push(&mut piece).expect("whole archives") {
                blocks.push(block);
            }
        }
        while let Some(block) = cutter.finish().expect("whole archives") {
            blocks.push(block);
        }
        let object = whole(b"").object;
        let piece = |block| Piece { object: object.clone(), block, last: false };
        Self(blocks.into_iter().map(piece).collect())
    }

    /// How many bytes the blocks have.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|piece| piece.block.bytes.len()).sum()
    }
}

/// Reads the events of `blocks`; returns how many could be read.
pub fn parse_events(blocks: &Blocks, path: Path) -> u64 {
    let reader = path.events(&Format::default());
    taken(blocks, reader.arena(), |record, arena| {
        reader.read(&reader.text(record)?, arena).map(drop)
    })
}

/// Reads the songs of `blocks`; returns how many could be read.
pub fn parse_songs(blocks: &Blocks, path: Path) -> u64 {
    let reader = path.songs(&Format::default());
    taken(blocks, reader.arena(), |record, arena| {
        reader.read(&reader.text(record)?, arena).map(drop)
    })
}

fn taken(
    blocks: &Blocks,
    mut arena: Arena,
    read: impl Fn(&[u8], &Arena) -> Result<(), Fault>,
) -> u64 {
    let outcome = each_record(&blocks.0, &mut arena, |record, _, arena| {
        read(record, arena).map(|()| Fate::Taken)
    });
    outcome.counts.iter().map(|counts| counts.amounts.taken).sum()
}

/// The work of a load on the songs and logs of an object each, without a target.
pub struct Work(Logs);

impl Work {
    /// Reads the catalog that plays are matched with.
    pub fn new(songs: &Blocks, staging: bool, path: Path) -> Self {
        let format = Format::default();
        let mut catalog = Catalog::default();
        let work = Songs {
            reader: path.songs(&format),
            staging: false,
            star: true,
            encoding: Encoding::Binary,
        };
        work.transform(&songs.0, &mut catalog);
        Self(logs(path.events(&format), staging, &catalog))
    }

    /// Encodes as for Redshift's COPY.
    pub fn as_csv(mut self) -> Self {
        self.0.encoding = Encoding::Csv(NullMark::by_chance());
        self
    }

    /// Works on each of the blocks of a log and on what they say of users and times, as if it were the first; returns
    /// how many bytes of rows come of them.
    pub fn transform(&self, logs: &Blocks) -> usize {
        let mut listening = Listening::default();
        let work = |piece| self.0.transform(std::slice::from_ref(piece), &mut listening).rows;
        let mut bytes = logs.0.iter().flat_map(work).map(|rows| rows.bytes.len()).sum();
        let encoding = self.0.encoding;
        let late = in_parts(encoding, listening.users.rows());
        let late = late.chain(in_parts(encoding, listening.moments.rows()));
        bytes += late.map(|rows| rows.bytes.len()).sum::<usize>();
        bytes
    }
}

fn whole(record: &[u8]) -> Piece {
    let frame =
        crate::decode::Frame { start: 0, end: record.len() as u32, kind: FrameKind::Record };
    let object = Object {
        id: 1,
        rank: 0,
        kind: source::Kind::Logs,
        name: Arc::from("object"),
        size: record.len() as u64,
        etag: Arc::from("etag"),
    };
    let block = Block {
        bytes: record.to_vec().into(),
        frames: vec![frame],
        first_record: 1,
        first_line: 1,
        offset: 0,
    };
    Piece { object: Arc::new(object), block, last: true }
}

fn transformed(outcome: Outcome) -> Transformed {
    let Outcome { rows, mut rejects, counts: _, unknown: _ } = outcome;
    let rows = rows.into_iter().map(|Rows { table, bytes, .. }| (table, bytes.to_vec())).collect();
    let mut transformed = Transformed { rows, reject: rejects.pop() };
    if let Some(reject) = transformed.reject.clone() {
        let row = LoadError { run: 1, reject: &reject };
        transformed.add(Table::LoadErrors, |rows| rows.push(&row));
    }
    transformed
}

impl Transformed {
    fn add(&mut self, table: Table, push: impl FnOnce(&mut Rows)) {
        let mut rows = Rows::new(table, Encoding::Binary);
        push(&mut rows);
        self.rows.push((table, rows.bytes.to_vec()));
    }
}
