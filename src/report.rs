//! The report: what a load did, and while it runs, how far it is.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::ledger::Mode;
use crate::record::{Reject, Unknown};
use crate::source::Skipped;
use crate::table::Table;

/// What a load did.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The number of this load; `load_objects` and `load_errors` hold it too.
    pub run: i64,
    /// Whether every object was read, or those that are new or have changed.
    pub mode: Mode,
    /// What became of the objects that were listed.
    pub objects: Objects,
    /// What became of the song records.
    pub songs: SongBooks,
    /// What became of the events.
    pub events: EventBooks,
    /// How many rows each table holds now.
    pub tables: Vec<TableRows>,
    /// How long each stage took and what it handled; stages overlap.
    pub stages: Vec<Stage>,
    /// The first rejects.
    pub rejects: Vec<Reject>,
    /// The members of the records that were read that feed no column.
    pub unknown: UnknownMembers,
    /// How long all of it took.
    pub seconds: f64,
    /// Whether nothing was written, as was asked for.
    pub dry_run: bool,
}

/// What became of the listed objects: `listed = loaded + unchanged + skipped`. One that fails fails the load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Objects {
    /// Found at the source.
    pub listed: u64,
    /// Read to the end and loaded.
    pub loaded: u64,
    /// How many of those an unfinished load before this one has read.
    pub resumed: u64,
    /// Loaded before, and not read again.
    pub unchanged: u64,
    /// Loaded before and not there any more: their rows stay, but for a full load.
    pub gone: u64,
    /// Not loaded, by reason.
    pub skipped: Skipped,
    /// Bytes of the loaded objects, as they are stored.
    pub bytes: u64,
}

/// What became of the song records: `records = rows + rejected`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SongBooks {
    /// Found in the objects.
    pub records: u64,
    /// Taken over.
    pub rows: u64,
    /// Refused.
    pub rejected: u64,
}

/// What became of the events: `records = plays + filtered + rejected`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventBooks {
    /// Found in the objects.
    pub records: u64,
    /// Became rows of `songplays`.
    pub plays: u64,
    /// Are no plays, or match no song where only matched plays were asked for.
    pub filtered: u64,
    /// Refused.
    pub rejected: u64,
}

/// The members that feed no column, by name.
///
/// Names are told apart as they are written, escapes undone, by their first 100 bytes; of more than 1,000 those are that come first by length
/// and then by bytes. What was counted does not depend on the order of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnknownMembers {
    /// Those of song records, the most frequent first.
    pub songs: Vec<UnknownMember>,
    /// Those of events, the most frequent first.
    pub events: Vec<UnknownMember>,
    /// How many members there are with other names.
    pub others: u64,
}

/// A name that feeds no column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnknownMember {
    /// The name.
    pub name: String,
    /// How many members have it.
    pub count: u64,
}

impl UnknownMembers {
    pub(crate) fn new(songs: Unknown, events: Unknown) -> Self {
        let mut others = 0;
        let [songs, events] = [songs, events].map(|unknown| {
            let (names, more) = unknown.counts();
            others += more;
            names.into_iter().map(|(name, count)| UnknownMember { name, count }).collect()
        });
        Self { songs, events, others }
    }

    /// No more than so `many` names of each, and the others counted together.
    pub fn most_frequent(&self, many: usize) -> Self {
        let mut most = self.clone();
        for names in [&mut most.songs, &mut most.events] {
            let rest = names.split_off(many.min(names.len()));
            most.others += rest.iter().map(|member| member.count).sum::<u64>();
        }
        most
    }

    /// How many members there are in all.
    pub fn total(&self) -> u64 {
        let named = self.songs.iter().chain(&self.events).map(|member| member.count);
        named.sum::<u64>() + self.others
    }
}

/// How many rows a table holds, and what the load has changed about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableRows {
    /// The table.
    pub table: Table,
    /// Its rows: counted, or by the books.
    pub rows: u64,
    /// Whether the rows were counted. To count those of a large table would take an incremental load longer than all the
    /// rest: there they are what the run before has entered and what this one has changed, and someone else's changes
    /// are not in it. [`check`](crate::check()) holds them against the table.
    pub counted: bool,
    /// How many of them are new.
    pub inserted: u64,
    /// How many were there with other values.
    pub updated: u64,
    /// How many are gone.
    pub deleted: u64,
}

/// Rows by table.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowCounts([u64; Table::ALL.len()]);

impl RowCounts {
    pub fn add(&mut self, table: Table, rows: u64) {
        self.0[table as usize] += rows;
    }

    pub fn plus(mut self, other: Self) -> Self {
        for table in Table::ALL {
            self.add(table, other.0[table as usize]);
        }
        self
    }

    pub fn rows(self, table: Table) -> u64 {
        self.0[table as usize]
    }

    pub fn total(self) -> u64 {
        self.0.iter().sum()
    }

    /// Tables that hold just these rows, all of them new.
    pub fn tables(self) -> Vec<TableRows> {
        let new = |table| {
            let rows = self.rows(table);
            TableRows { table, rows, counted: true, inserted: rows, updated: 0, deleted: 0 }
        };
        Table::ALL.map(new).to_vec()
    }
}

/// A part of a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stage {
    /// What it did.
    pub name: &'static str,
    /// From its start to its end.
    pub seconds: f64,
    /// What it handled, and how much of it.
    pub amounts: Vec<Amount>,
}

impl Stage {
    pub(crate) fn new(
        name: &'static str,
        started: Instant,
        amounts: &[(&'static str, u64)],
    ) -> Self {
        let amounts = amounts.iter().map(|&(unit, count)| Amount { unit, count }).collect();
        Self { name, seconds: started.elapsed().as_secs_f64(), amounts }
    }
}

/// So many of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Amount {
    /// Of what: `objects`, `bytes`, `records` or `rows`.
    pub unit: &'static str,
    /// How many.
    pub count: u64,
}

impl Report {
    /// The rows of `table` after the load.
    pub fn rows(&self, table: Table) -> u64 {
        self.tables.iter().find(|rows| rows.table == table).map_or(0, |rows| rows.rows)
    }

    /// How many records were refused.
    pub fn rejected(&self) -> u64 {
        self.songs.rejected + self.events.rejected
    }
}

/// Counts that move while a load runs; reading them costs the load nothing. Each load wants its own.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    /// Objects that are to be read.
    pub objects_total: Counter,
    /// Objects that were read to the end.
    pub objects: Counter,
    /// Bytes that are to be read.
    pub bytes_total: Counter,
    /// Bytes that were read.
    pub bytes: Counter,
    /// Records that were parsed.
    pub records: Counter,
    /// Records that were refused.
    pub rejects: Counter,
    rows: [Counter; Table::ALL.len()],
}

/// What a load is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Opening the target and listing the source.
    Preparing,
    /// Reading songs, and logs as far as memory goes.
    Songs,
    /// Reading logs.
    Logs,
    /// Building the keys of the new tables, and copying users and times.
    Keys,
    /// Making the new state the visible one.
    Publishing,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Preparing, Self::Songs, Self::Logs, Self::Keys, Self::Publishing];
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

impl Progress {
    /// What the load is doing now.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Rows that were written to `table`.
    pub fn rows(&self, table: Table) -> u64 {
        self.rows[table as usize].get()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn add_rows(&self, table: Table, count: u64) {
        self.rows[table as usize].add(count);
    }
}
