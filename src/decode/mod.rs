//! Decoding: the bytes of an object become blocks of whole records, whose positions are known.

mod compression;
mod cutter;
mod foreign;
mod framer;
mod whole;

pub use compression::Compression;
pub(crate) use cutter::{Cutter, Limits};
pub(crate) use foreign::Foreign;
pub(crate) use framer::{Frame, FrameKind};

use crate::buffer::Buffer;

/// A run of whole records of one object, in order.
///
/// Where it was cut depends on the block size, what it holds and how its records are numbered does not.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Decoded bytes; every frame lies inside.
    pub bytes: Buffer,
    /// The records, in order.
    pub frames: Vec<Frame>,
    /// The number of the first record in its object, counted from 1.
    pub first_record: u64,
    /// The number of the line that the block starts on, counted from 1.
    pub first_line: u64,
    /// The offset of the block's first byte in the decoded object.
    pub offset: u64,
}

impl Block {
    /// The bytes of `frame`.
    pub fn record(&self, frame: Frame) -> &[u8] {
        &self.bytes[frame.range()]
    }

    /// Counts the lines of the object up to frames that are asked for in order.
    pub fn lines(&self) -> impl FnMut(Frame) -> u64 + '_ {
        let (mut line, mut counted) = (self.first_line, 0);
        move |frame| {
            let start = frame.start as usize;
            line += count_newlines(&self.bytes[counted..start]);
            counted = start;
            line
        }
    }
}

fn count_newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
