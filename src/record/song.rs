//! Song records: one song with its artist.

use std::array;

use super::arena::Arena;
use super::format::Format;
use super::jsonpaths::JsonPath;
use super::keys::Keys;
use super::reader::{Reader, Record};
use super::reject::Fault;
use super::value::{Cells, Double, Int, Refusal, Text, Values};
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
        let columns = Table::StagingSongs.columns();
        let paths = array::from_fn(|index| JsonPath::member(columns[index].name));
        let keys = Keys::new(paths, format.ignore_case);
        Self::of(keys, Table::StagingSongs, format, dialect)
    }

    /// The song that `record` holds; `arena` holds the texts that it does not hold as they are.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, a value does not convert, or one is missing that `songs` or `artists` can't be
    /// without.
    pub fn read<'a>(&'a self, record: &'a str, arena: &'a Arena) -> Result<SongRecord<'a>, Fault> {
        self.read_as(record, arena)
    }
}

impl<'a> Record<'a> for SongRecord<'a> {
    #[inline(always)]
    fn of<V: Values<'a>>(mut cells: Cells<'a, V>) -> Result<Self, Refusal> {
        let song = Self {
            num_songs: cells.next::<Int>(0)?,
            artist_id: cells.required::<Text>(1)?,
            artist_latitude: cells.next::<Double>(2)?,
            artist_longitude: cells.next::<Double>(3)?,
            artist_location: cells.next::<Text>(4)?,
            artist_name: cells.required::<Text>(5)?,
            song_id: cells.required::<Text>(6)?,
            title: cells.required::<Text>(7)?,
            duration: cells.required::<Double>(8)?,
            year: cells.next::<Int>(9)?,
        };
        cells.end()?;
        Ok(song)
    }
}
