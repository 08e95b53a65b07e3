//! Foreign formats: what an object may hold instead of JSON text, told by its first bytes so that it can be named.

use std::error::Error;
use std::fmt;
use std::io;

use super::Compression;

/// A format that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    what: &'static str,
    /// What to do about it.
    pub help: &'static str,
}

const REPACK: &str =
    "pack it by gzip, zstd or bzip2 instead, or not at all, or leave it out with --exclude";
const EXPORT: &str = "export it as JSON, an object on each line, or leave it out with --exclude";
const RECODE: &str =
    "write it as UTF-8 (iconv -t UTF-8 -f and this encoding), or leave it out with --exclude";

/// The bytes that others start with, as the formats' own documents have them.
const FORMATS: [(&[u8], Foreign); 17] = [
    (b"\xfd7zXZ\0", Foreign { what: "packed by xz", help: REPACK }),
    (b"]\0\0\x80\0\xff\xff\xff\xff", Foreign { what: "packed by lzma", help: REPACK }),
    (b"7z\xbc\xaf\x27\x1c", Foreign { what: "a 7z archive", help: REPACK }),
    (b"\x04\x22\x4d\x18", Foreign { what: "packed by lz4", help: REPACK }),
    (b"\xff\x06\0\0sNaPpY", Foreign { what: "packed by snappy", help: REPACK }),
    (b"PK\x03\x04", Foreign { what: "a zip archive", help: REPACK }),
    (b"PK\x05\x06", Foreign { what: "a zip archive", help: REPACK }),
    (b"PAR1", Foreign { what: "a Parquet file", help: EXPORT }),
    (b"PARE", Foreign { what: "an encrypted Parquet file", help: EXPORT }),
    (b"Obj\x01", Foreign { what: "an Avro file", help: EXPORT }),
    (b"ORC", Foreign { what: "an ORC file", help: EXPORT }),
    (b"SQLite format 3\0", Foreign { what: "an SQLite database", help: EXPORT }),
    // The longer marks first.
    (b"\0\0\xfe\xff", Foreign { what: "UTF-32 text", help: RECODE }),
    (b"\xff\xfe\0\0", Foreign { what: "UTF-32 text", help: RECODE }),
    (b"\xfe\xff", Foreign { what: "UTF-16 text", help: RECODE }),
    (b"\xff\xfe", Foreign { what: "UTF-16 text", help: RECODE }),
    (b"Rar!\x1a\x07", Foreign { what: "a rar archive", help: REPACK }),
];

impl Foreign {
    /// The longest start that [`of`](Self::of) looks at: that of a tar archive.
    pub const START_BYTES: usize = 262;

    /// What text that starts so is instead of JSON.
    pub fn of(start: &[u8]) -> Option<Self> {
        if let Some((_, format)) = FORMATS.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Some(*format);
        }
        match (start, Compression::of(start)) {
            (_, Some(Compression::Gzip | Compression::Zstd | Compression::Bzip2)) => Some(Self {
                what: "packed twice",
                help: "unpack it once, or leave it out with --exclude",
            }),
            ([0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..], _) => {
                Some(Self { what: "UTF-16 text", help: RECODE })
            }
            ([0, 0, 0, 1..=255, ..] | [1..=255, 0, 0, 0, ..], _) => {
                Some(Self { what: "UTF-32 text", help: RECODE })
            }
            _ if start.get(257..262) == Some(b"ustar") => Some(Self {
                what: "a tar archive",
                help: "unpack it, or leave it out with --exclude",
            }),
            _ => None,
        }
    }

    /// The one that an error of a cutter tells of.
    pub fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Foreign> for io::Error {
    fn from(foreign: Foreign) -> Self {
        Self::new(io::ErrorKind::Unsupported, foreign)
    }
}

impl Error for Foreign {}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}, not JSON in UTF-8", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_are_not_read_are_known() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        let tar = [&[b'x'; 257][..], b"ustar"].concat();
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"", None),
            (b"{", None),
            (b"\0", None),
            (b"{}\0\0", None),
            (b"\0{}", None),
            (b"\xef\xbb\xbf{}", None),
            (b"null", None),
            (b"\xfd7zXZ\0\0", Some("packed by xz")),
            (b"PAR1\x15", Some("a Parquet file")),
            (b"PK\x03\x04\x14", Some("a zip archive")),
            (b"\x1f\x8b\x08", Some("packed twice")),
            (b"\xff\xfe{\0", Some("UTF-16 text")),
            (b"\xfe\xff\0{", Some("UTF-16 text")),
            (b"{\0\"\0", Some("UTF-16 text")),
            (&utf16("[{"), Some("UTF-16 text")),
            (b"\xff\xfe\0\0{\0\0\0", Some("UTF-32 text")),
            (b"{\0\0\0\"\0\0\0", Some("UTF-32 text")),
            (&tar, Some("a tar archive")),
        ];
        for (start, expected) in cases {
            assert_eq!(Foreign::of(start).map(|foreign| foreign.what), *expected, "{start:x?}");
        }
    }
}
