//! `staging_events`: one row for each event of the log, as it came.

use super::{Column, Kind, Layout, RESCUED, Row, Table};
use crate::encode::RowWriter;
use crate::record::Event;

/// The columns that come from the event itself.
pub(crate) const FIELDS: usize = 18;

const COLUMNS: &[Column; FIELDS + 3] = &[
    Column::new("artist", Kind::Text),
    Column::new("auth", Kind::Word),
    Column::new("first_name", Kind::Text),
    Column::new("gender", Kind::Word),
    Column::new("item_in_session", Kind::Int),
    Column::new("last_name", Kind::Text),
    Column::new("length", Kind::Double),
    Column::new("level", Kind::Word),
    Column::new("location", Kind::Text),
    Column::new("method", Kind::Word),
    Column::new("page", Kind::Word),
    Column::new("registration", Kind::BigInt),
    Column::new("session_id", Kind::Int),
    Column::new("song", Kind::Text),
    Column::new("status", Kind::Int),
    Column::new("ts", Kind::BigInt),
    Column::new("user_agent", Kind::Text),
    Column::new("user_id", Kind::Int),
    Column::new("object_id", Kind::BigInt),
    Column::new("record_no", Kind::BigInt),
    RESCUED,
];

pub(super) const LAYOUT: Layout =
    Layout { name: "staging_events", columns: COLUMNS, key: &["object_id", "record_no"] };

pub(crate) struct StagedEvent<'a> {
    pub event: &'a Event<'a>,
    pub object_id: i64,
    pub record_no: i64,
    /// Its members that feed no column.
    pub rescued: Option<&'a str>,
}

impl Row for StagedEvent<'_> {
    const TABLE: Table = Table::StagingEvents;

    fn write(&self, row: &mut impl RowWriter) {
        let Event {
            artist,
            auth,
            first_name,
            gender,
            item_in_session,
            last_name,
            length,
            level,
            location,
            method,
            page,
            registration,
            session_id,
            song,
            status,
            ts,
            user_agent,
            user_id,
        } = self.event;
        row.text(*artist);
        row.text(*auth);
        row.text(*first_name);
        row.text(*gender);
        row.int(*item_in_session);
        row.text(*last_name);
        row.double(*length);
        row.text(*level);
        row.text(*location);
        row.text(*method);
        row.text(*page);
        row.bigint(*registration);
        row.int(*session_id);
        row.text(*song);
        row.int(*status);
        row.bigint(ts.map(|moment| moment.unix_ms()));
        row.text(*user_agent);
        row.int(*user_id);
        row.bigint(Some(self.object_id));
        row.bigint(Some(self.record_no));
        row.json(self.rescued);
    }
}
