//! `songplays`: the facts, one row for each play.

use super::time::Moment;
use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "songplays",
    columns: &[
        Column::new("songplay_id", Kind::BigInt),
        Column::new("start_time", Kind::Timestamp),
        Column::new("user_id", Kind::Int),
        Column::new("level", Kind::Word),
        Column::new("song_id", Kind::Key),
        Column::new("artist_id", Kind::Key),
        Column::new("session_id", Kind::Int),
        Column::new("location", Kind::Text),
        Column::new("user_agent", Kind::Text),
    ],
    key: &["songplay_id"],
};

pub(crate) struct Songplay<'a> {
    pub songplay_id: i64,
    pub start_time: Moment,
    pub user_id: i32,
    pub level: Option<&'a str>,
    pub song_id: Option<&'a str>,
    pub artist_id: Option<&'a str>,
    pub session_id: Option<i32>,
    pub location: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

impl Row for Songplay<'_> {
    const TABLE: Table = Table::Songplays;

    fn write(&self, row: &mut impl RowWriter) {
        let Self {
            songplay_id,
            start_time,
            user_id,
            level,
            song_id,
            artist_id,
            session_id,
            location,
            user_agent,
        } = *self;
        row.bigint(Some(songplay_id));
        row.timestamp(start_time);
        row.int(Some(user_id));
        row.text(level);
        row.text(song_id);
        row.text(artist_id);
        row.int(session_id);
        row.text(location);
        row.text(user_agent);
    }
}
