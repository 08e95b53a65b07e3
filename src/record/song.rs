//! Song records: one song with its artist.

use super::arena::Arena;
use super::format::Format;
use super::jsonpaths::JsonPath;
use super::keys::Keys;
use super::reader::Reader;
use super::reject::Fault;
use crate::dialect::Dialect;
use crate::table::Table;
use crate::table::staging_songs::FIELDS;

/// One song with its artist, borrowed from its JSON wherever that says it plainly, and from an arena elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SongRecord<'a> {
    pub num_songs: Option<i32>,
    pub artist_id: &'a str,
    pub artist_latitude: Option<f64>,
    pub artist_longitude: Option<f64>,
    pub artist_location: Option<&'a str>,
    pub artist_name: &'a str,
    pub song_id: &'a str,
    pub title: &'a str,
    pub duration: f64,
    pub year: Option<i32>,
}

/// Reads song records in one format.
pub(crate) type SongReader = Reader<FIELDS>;

impl SongReader {
    /// The columns of `staging_songs` are fed from the members of their own names.
    pub fn new(format: &Format, dialect: Dialect) -> Self {
        let names = Table::StagingSongs.columns()[..FIELDS].iter().map(|column| column.name);
        let keys = Keys::new(names.map(JsonPath::member), format.ignore_case);
        Self::of(keys, Table::StagingSongs, format, dialect)
    }

    /// The song that `record` holds; `arena` holds the texts that it does not hold as they are.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, a value does not convert, or one is missing that `songs` or `artists` can't be
    /// without.
    pub fn read<'a>(&self, record: &'a str, arena: &'a Arena) -> Result<SongRecord<'a>, Fault> {
        let raw = self.keys.pick::<FIELDS>(record)?;
        let cells = self.cells(record, &raw, arena);
        Ok(SongRecord {
            num_songs: cells.int(0)?,
            artist_id: cells.required_text(1)?,
            artist_latitude: cells.double(2)?,
            artist_longitude: cells.double(3)?,
            artist_location: cells.text(4)?,
            artist_name: cells.required_text(5)?,
            song_id: cells.required_text(6)?,
            title: cells.required_text(7)?,
            duration: cells.required_double(8)?,
            year: cells.int(9)?,
        })
    }
}
