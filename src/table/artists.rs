//! `artists`: whose songs they are.

use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "artists",
    columns: &[
        Column::new("artist_id", Kind::Key),
        Column::new("name", Kind::Text),
        Column::new("location", Kind::Text),
        Column::new("latitude", Kind::Double),
        Column::new("longitude", Kind::Double),
    ],
    key: &["artist_id"],
};

#[derive(Debug, PartialEq)]
pub(crate) struct Artist<'a> {
    pub artist_id: &'a str,
    pub name: &'a str,
    pub location: Option<&'a str>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
}

impl Row for Artist<'_> {
    const TABLE: Table = Table::Artists;

    fn write(&self, row: &mut impl RowWriter) {
        let Self { artist_id, name, location, latitude, longitude } = *self;
        row.text(Some(artist_id));
        row.text(Some(name));
        row.text(location);
        row.double(latitude);
        row.double(longitude);
    }
}
