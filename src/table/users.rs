//! `users`: who listens.

use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "users",
    columns: &[
        Column::new("user_id", Kind::Int),
        Column::new("first_name", Kind::Text),
        Column::new("last_name", Kind::Text),
        Column::new("gender", Kind::Word),
        Column::new("level", Kind::Word),
    ],
    key: &["user_id"],
};

#[derive(Debug, PartialEq)]
pub(crate) struct User<'a> {
    pub user_id: i32,
    pub first_name: Option<&'a str>,
    pub last_name: Option<&'a str>,
    pub gender: Option<&'a str>,
    pub level: Option<&'a str>,
}

impl Row for User<'_> {
    const TABLE: Table = Table::Users;

    fn write(&self, row: &mut impl RowWriter) {
        let Self { user_id, first_name, last_name, gender, level } = *self;
        row.int(Some(user_id));
        row.text(first_name);
        row.text(last_name);
        row.text(gender);
        row.text(level);
    }
}
