//! `songs`: what is listened to.

use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "songs",
    columns: &[
        Column::new("song_id", Kind::Key),
        Column::new("title", Kind::Text),
        Column::new("artist_id", Kind::Key),
        Column::new("year", Kind::Int),
        Column::new("duration", Kind::Double),
    ],
    key: &["song_id"],
};

#[derive(Debug, PartialEq)]
pub(crate) struct Song<'a> {
    pub song_id: &'a str,
    pub title: &'a str,
    pub artist_id: &'a str,
    pub year: Option<i32>,
    pub duration: f64,
}

impl Row for Song<'_> {
    const TABLE: Table = Table::Songs;

    fn write(&self, row: &mut impl RowWriter) {
        let Self { song_id, title, artist_id, year, duration } = *self;
        row.text(Some(song_id));
        row.text(Some(title));
        row.text(Some(artist_id));
        row.int(year);
        row.double(Some(duration));
    }
}
