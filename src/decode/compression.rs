//! Compression: which one the first bytes of an object tell, and its decompressor.

use std::fmt;
use std::io;

use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BzDecoder, DecodeV2, GzipDecoder, ZstdDecoder};

/// How the bytes of an object are compressed; what it is called says nothing about that.
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
    /// Told by the bytes that an object starts with; `None` where it takes more of them, of which there are none if it is
    /// plain.
    ///
    /// RFC 1952 (gzip), RFC 8878 (Zstandard frames, and skippable ones), and what bzip2 writes: its level, and behind it a
    /// block or the end.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        const BLOCK: &[u8] = b"1AY&SY";
        const END: &[u8] = b"\x17rE8P\x90";
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [b'B', b'Z', b'h', b'1'..=b'9', magic @ ..]
                if magic.starts_with(BLOCK) || magic.starts_with(END) =>
            {
                Some(Self::Bzip2)
            }
            [] | [0x1f] => None,
            [0x28 | 0x50..=0x5f, ..] if start.len() < 4 => None,
            [b'B', ..] if start.len() < 10 => None,
            _ => Some(Self::Plain),
        }
    }

    /// What the name of an object says, which its bytes may gainsay.
    pub(crate) fn named(name: &str) -> Self {
        let archives = [Self::Gzip, Self::Zstd, Self::Bzip2];
        let is_it = |kind: &Self| name.ends_with(kind.suffix());
        archives.into_iter().find(is_it).unwrap_or(Self::Plain)
    }

    /// A name without the suffix of a compression.
    pub(crate) fn stem(name: &str) -> &str {
        name.strip_suffix(Self::named(name).suffix()).unwrap_or(name)
    }

    /// What the name of such an object ends with, as a rule.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: &[(&[u8], Option<Compression>)] = &[
            (b"", None),
            (b"{", Some(Compression::Plain)),
            (b"\xef", Some(Compression::Plain)),
            (b"\x1f", None),
            (b"\x1f\x8b", Some(Compression::Gzip)),
            (b"\x1f{", Some(Compression::Plain)),
            (b"\x28\xb5\x2f", None),
            (b"\x28\xb5\x2f\xfd", Some(Compression::Zstd)),
            (b"\x5a\x2a\x4d\x18\0", Some(Compression::Zstd)),
            (b"(x) {", Some(Compression::Plain)),
            (b"BZh91AY&S", None),
            (b"BZh91AY&SY", Some(Compression::Bzip2)),
            (b"BZh1\x17rE8P\x90", Some(Compression::Bzip2)),
            (b"BZh9 is no record", Some(Compression::Plain)),
        ];
        for (start, expected) in cases {
            assert_eq!(Compression::of(start), *expected, "{start:x?}");
        }
    }
}
