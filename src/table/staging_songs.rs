//! `staging_songs`: one row for each song record, as it came.

use super::{Column, Kind, Layout, RESCUED, Row, Table};
use crate::encode::RowWriter;
use crate::record::SongRecord;

/// The columns that come from the record itself.
pub(crate) const FIELDS: usize = 10;

const COLUMNS: &[Column; FIELDS + 3] = &[
    Column::new("num_songs", Kind::Int),
    Column::new("artist_id", Kind::Key),
    Column::new("artist_latitude", Kind::Double),
    Column::new("artist_longitude", Kind::Double),
    Column::new("artist_location", Kind::Text),
    Column::new("artist_name", Kind::Text),
    Column::new("song_id", Kind::Key),
    Column::new("title", Kind::Text),
    Column::new("duration", Kind::Double),
    Column::new("year", Kind::Int),
    Column::new("object_id", Kind::BigInt),
    Column::new("record_no", Kind::BigInt),
    RESCUED,
];

pub(super) const LAYOUT: Layout =
    Layout { name: "staging_songs", columns: COLUMNS, key: &["object_id", "record_no"] };

pub(crate) struct StagedSong<'a> {
    pub song: &'a SongRecord<'a>,
    pub object_id: i64,
    pub record_no: i64,
    /// Its members that feed no column.
    pub rescued: Option<&'a str>,
}

impl Row for StagedSong<'_> {
    const TABLE: Table = Table::StagingSongs;

    fn write(&self, row: &mut impl RowWriter) {
        let SongRecord {
            num_songs,
            artist_id,
            artist_latitude,
            artist_longitude,
            artist_location,
            artist_name,
            song_id,
            title,
            duration,
            year,
        } = self.song;
        row.int(*num_songs);
        row.text(Some(artist_id));
        row.double(*artist_latitude);
        row.double(*artist_longitude);
        row.text(*artist_location);
        row.text(Some(artist_name));
        row.text(Some(song_id));
        row.text(Some(title));
        row.double(Some(*duration));
        row.int(*year);
        row.bigint(Some(self.object_id));
        row.bigint(Some(self.record_no));
        row.json(self.rescued);
    }
}
