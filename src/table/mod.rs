//! The tables: one file each, with its columns and how a row of it is written.

pub(crate) mod artists;
pub(crate) mod load_errors;
pub(crate) mod load_objects;
mod load_runs;
pub(crate) mod songplays;
pub(crate) mod songs;
pub(crate) mod staging_events;
pub(crate) mod staging_songs;
pub(crate) mod time;
pub(crate) mod users;

use std::fmt;

use serde::Serialize;

use crate::dialect::Dialect;
use crate::encode::RowWriter;

/// A table of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// One row for each event of the log.
    StagingEvents,
    /// One row for each song record.
    StagingSongs,
    /// The facts: one row for each play.
    Songplays,
    /// Who listens.
    Users,
    /// What is listened to.
    Songs,
    /// Whose songs they are.
    Artists,
    /// The moments at which plays start, taken apart.
    Time,
    /// The records that could not be loaded, and why.
    LoadErrors,
    /// The versions of objects that were loaded; `object_id` leads here.
    LoadObjects,
    /// The loads that were published.
    LoadRuns,
}

impl Table {
    /// Every table, dimensions before the facts that refer to them.
    pub const ALL: [Self; 10] = [
        Self::Artists,
        Self::Songs,
        Self::Users,
        Self::Time,
        Self::Songplays,
        Self::StagingEvents,
        Self::StagingSongs,
        Self::LoadErrors,
        Self::LoadObjects,
        Self::LoadRuns,
    ];

    /// The name in the database.
    pub const fn name(self) -> &'static str {
        self.layout().name
    }

    pub(crate) const fn columns(self) -> &'static [Column] {
        self.layout().columns
    }

    /// The columns that no two rows share.
    pub(crate) const fn key(self) -> &'static [&'static str] {
        self.layout().key
    }

    /// Whether the key is the primary one; it is that of an index otherwise, or kept by nothing.
    pub(crate) const fn has_primary_key(self) -> bool {
        match self {
            Self::StagingEvents | Self::StagingSongs | Self::LoadErrors => false,
            Self::Songplays | Self::Users | Self::Songs | Self::Artists | Self::Time => true,
            Self::LoadObjects | Self::LoadRuns => true,
        }
    }

    const fn layout(self) -> &'static Layout {
        match self {
            Self::StagingEvents => &staging_events::LAYOUT,
            Self::StagingSongs => &staging_songs::LAYOUT,
            Self::Songplays => &songplays::LAYOUT,
            Self::Users => &users::LAYOUT,
            Self::Songs => &songs::LAYOUT,
            Self::Artists => &artists::LAYOUT,
            Self::Time => &time::LAYOUT,
            Self::LoadErrors => &load_errors::LAYOUT,
            Self::LoadObjects => &load_objects::LAYOUT,
            Self::LoadRuns => &load_runs::LAYOUT,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a table looks like.
pub(crate) struct Layout {
    pub name: &'static str,
    pub columns: &'static [Column],
    pub key: &'static [&'static str],
}

/// A column: its name and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: &'static str,
    pub kind: Kind,
}

impl Column {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }
}

/// The members of a record that feed no other column of a staging table.
pub(crate) const RESCUED: Column = Column::new("rescued", Kind::Json);

/// What a column holds. How long a text may be depends on the server: PostgreSQL limits none but keys, Redshift counts
/// bytes, and plans memory for as many as a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    BigInt,
    Double,
    Timestamp,
    /// One of a few words.
    Word,
    /// Text that an index must be able to hold: B-tree entries end at 2,704 bytes; real song and artist ids have 18.
    Key,
    /// A name, a title, a place.
    Text,
    /// Text without a usual length.
    Long,
    /// A JSON value.
    Json,
}

impl Kind {
    /// The SQL type.
    pub const fn sql(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Int, _) => "INT",
            (Self::BigInt, _) => "BIGINT",
            (Self::Double, _) => "DOUBLE PRECISION",
            (Self::Timestamp, _) => "TIMESTAMP",
            (Self::Key, _) => "VARCHAR(256)",
            (Self::Word | Self::Text | Self::Long, Dialect::Postgres) => "TEXT",
            (Self::Word, Dialect::Redshift) => "VARCHAR(64)",
            (Self::Text, Dialect::Redshift) => "VARCHAR(1024)",
            (Self::Long, Dialect::Redshift) => "VARCHAR(65535)",
            (Self::Json, Dialect::Postgres) => "JSONB",
            (Self::Json, Dialect::Redshift) => "SUPER",
        }
    }

    /// How many bytes a text may have.
    pub const fn max_bytes(self, dialect: Dialect) -> Option<usize> {
        match (self, dialect) {
            (Self::Int | Self::BigInt | Self::Double | Self::Timestamp, _) => None,
            (Self::Key, _) => Some(256),
            (Self::Word | Self::Text | Self::Long | Self::Json, Dialect::Postgres) => None,
            (Self::Word, Dialect::Redshift) => Some(64),
            (Self::Text, Dialect::Redshift) => Some(1024),
            // A string in a SUPER has as many at most, and a field of CSV stands for one.
            (Self::Long | Self::Json, Dialect::Redshift) => Some(65_535),
        }
    }
}

/// A row of a table.
pub(crate) trait Row {
    const TABLE: Table;

    /// Writes every column, in the table's order.
    fn write(&self, row: &mut impl RowWriter);
}
