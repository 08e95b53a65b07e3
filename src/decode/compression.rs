//! Compression: which one an object's name announces, and its decompressor.

use std::fmt;
use std::io;

use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BzDecoder, DecodeV2, GzipDecoder, ZstdDecoder};

/// How the bytes of an object are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
    /// `.bz2`
    Bzip2,
}

impl Compression {
    /// Splits a name into the compression that its suffix announces and the name without that suffix.
    pub(crate) fn split(name: &str) -> (Self, &str) {
        [Self::Gzip, Self::Zstd, Self::Bzip2]
            .into_iter()
            .find_map(|kind| name.strip_suffix(kind.suffix()).map(|stem| (kind, stem)))
            .unwrap_or((Self::Plain, name))
    }

    /// What the name of such an object ends with.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
        }
    }

    /// A decompressor for an object's bytes; `None` where there is nothing to decompress.
    pub(crate) fn decompressor(self) -> Option<Decompressor> {
        let codec: Box<dyn DecodeV2 + Send> = match self {
            Self::Plain => return None,
            Self::Gzip => Box::new(GzipDecoder::new()),
            Self::Zstd => Box::new(ZstdDecoder::new()),
            Self::Bzip2 => Box::new(BzDecoder::new()),
        };
        Some(Decompressor { compression: self, codec, between_members: false })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// A decompressor that never hands out more than is asked for, however much a few bytes expand to.
pub(crate) struct Decompressor {
    compression: Compression,
    codec: Box<dyn DecodeV2 + Send>,
    between_members: bool,
}

impl Decompressor {
    /// Decompresses from `input` into the end of `output`, at most `room` bytes; returns how many bytes of
    /// `input` were used. Concatenated members read as one stream.
    pub fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        room: usize,
    ) -> io::Result<usize> {
        let filled = output.len();
        output.resize(filled + room, 0);
        let mut source = PartialBuffer::new(input);
        let mut sink = WriteBuffer::new_initialized(&mut output[filled..]);
        let outcome = loop {
            let exhausted = source.unwritten().is_empty();
            if self.between_members && !exhausted {
                if let Err(cause) = self.codec.reinit() {
                    break Err(cause);
                }
                self.between_members = false;
            }
            if self.between_members || sink.has_no_spare_space() {
                break Ok(());
            }
            let before = sink.written_len();
            match self.codec.decode(&mut source, &mut sink) {
                Ok(member_ended) => self.between_members = member_ended,
                // Some codecs call it an error to be asked for output that they do not have yet.
                Err(_) if exhausted && sink.written_len() == before => break Ok(()),
                Err(cause) => break Err(cause),
            }
            if source.unwritten().is_empty() && !sink.has_no_spare_space() {
                break Ok(());
            }
        };
        let (used, written) = (source.written_len(), sink.written_len());
        output.truncate(filled + written);
        match outcome {
            Ok(()) => Ok(used),
            Err(cause) => {
                let message = format!("the {} data is broken: {cause}", self.compression);
                Err(io::Error::new(cause.kind(), message))
            }
        }
    }

    /// Checks that the last member is complete.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.between_members {
            return Ok(());
        }
        let message = format!("the {} data ends early", self.compression);
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }
}
