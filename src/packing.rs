//! Packing: objects are compressed piece by piece, each by itself, since members one after the other are one object, or
//! as one stream.

use std::io;

use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BzEncoder, EncodeV2, ZstdEncoder};

use crate::decode::Compression;

/// Compresses all of `plain` behind what is in `out`.
pub(crate) fn pack(compression: Compression, plain: &[u8], out: &mut Vec<u8>) {
    match compression {
        Compression::Plain => out.extend_from_slice(plain),
        Compression::Gzip => gzip(plain, out),
        Compression::Zstd => encode(&mut ZstdEncoder::new(3), plain, out),
        Compression::Bzip2 => encode(&mut BzEncoder::new(Level::Default.into(), 0), plain, out),
    }
}

/// One gzip member (RFC 1952), without name and time.
///
/// Not by the loader's library: which of two deflates that has, and so the bytes, depends on what else is built.
fn gzip(plain: &[u8], out: &mut Vec<u8>) {
    const LEVEL: u8 = 6;
    const UNKNOWN_SYSTEM: u8 = 255;
    out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, UNKNOWN_SYSTEM]);
    out.extend(miniz_oxide::deflate::compress_to_vec(plain, LEVEL));
    out.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
}

fn encode(encoder: &mut dyn EncodeV2, plain: &[u8], out: &mut Vec<u8>) {
    push(encoder, plain, out);
    end(encoder, out);
}

/// Compresses `plain` as the next piece of what `encoder` has begun; some of it may come with later pieces.
#[cfg(feature = "s3")]
pub(crate) fn pack_into(encoder: &mut ZstdEncoder, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push(encoder, plain, &mut out);
    out
}

/// What is left to come of what `encoder` has begun.
#[cfg(feature = "s3")]
pub(crate) fn finish(encoder: &mut ZstdEncoder) -> Vec<u8> {
    let mut out = Vec::new();
    end(encoder, &mut out);
    out
}

fn push(encoder: &mut dyn EncodeV2, plain: &[u8], out: &mut Vec<u8>) {
    let mut source = PartialBuffer::new(plain);
    step(out, |sink| {
        encoder.encode(&mut source, sink)?;
        Ok(source.unwritten().is_empty())
    });
}

fn end(encoder: &mut dyn EncodeV2, out: &mut Vec<u8>) {
    step(out, |sink| encoder.finish(sink));
}

/// Makes room in `out` for what `more` gives, until it is done.
fn step(out: &mut Vec<u8>, mut more: impl FnMut(&mut WriteBuffer<'_>) -> io::Result<bool>) {
    const ROOM: usize = 64 << 10;
    loop {
        let filled = out.len();
        out.resize(filled + ROOM, 0);
        let mut sink = WriteBuffer::new_initialized(&mut out[filled..]);
        let done = more(&mut sink).expect("compressing into memory does not fail");
        let written = sink.written_len();
        out.truncate(filled + written);
        if done {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_one_after_the_other_are_read_as_one_text() {
        let piece: Vec<u8> = (0..300_000_u32).flat_map(|it| (it / 7).to_le_bytes()).collect();
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Bzip2] {
            let mut packed = Vec::new();
            pack(compression, &piece, &mut packed);
            pack(compression, b"", &mut packed);
            pack(compression, b"end", &mut packed);
            let mut decompressor = compression.decompressor().unwrap();
            let (mut plain, mut rest) = (Vec::new(), &packed[..]);
            while plain.len() < piece.len() + 3 {
                let used = decompressor.decompress(rest, &mut plain, 1 << 20).unwrap();
                rest = &rest[used..];
            }
            decompressor.finish().unwrap();
            assert!(plain == [&piece[..], b"end"].concat(), "{compression}");
            assert!(packed.len() < piece.len() / 2, "{compression}");
        }
    }
}
