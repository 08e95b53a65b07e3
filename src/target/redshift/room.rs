//! The room of a stage: how large its files get, how many are filled at once, and what they hold in memory.

use crate::table::Table;

/// Parts of [`PART_BYTES`] that may be held in memory, besides a small file for each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// One for each file that is large and not complete.
    pub filled: usize,
    /// Those on their way.
    pub sent: usize,
}

/// The least that S3 takes as a part of an object.
pub(super) const PART_BYTES: usize = 5 << 20;
/// Redshift's guide wants files of 1 MB to 1 GB: below the first no other one is begun, far below the second a file is
/// full, so that those of a table stay of one size.
pub(super) const SMALL: usize = 1 << 20;
pub(super) const FULL: usize = 256 << 20;
/// Plays and events are the tables that grow large side by side; when they come, the songs are all written.
const LARGE_TABLES: usize = 2;
/// How many tables are staged: all but the runs.
pub(super) const TABLES: usize = Table::ALL.len() - 1;

impl Room {
    /// The room of a stage that may have `memory`, or the least that it can do with.
    pub fn of(memory: usize) -> Self {
        let parts = (memory.saturating_sub(TABLES * SMALL) / PART_BYTES).max(LARGE_TABLES + 1);
        let sent = parts.div_ceil(4);
        Self { filled: parts - sent, sent }
    }

    /// How many files of a table are filled at once: one for each slice, or a number that divides theirs where that is too
    /// many.
    pub fn lanes(self, slices: usize) -> usize {
        let most = (self.filled / LARGE_TABLES).min(slices);
        (1..=most).rev().find(|lanes| slices.is_multiple_of(*lanes)).unwrap_or(1)
    }

    /// What was not written to while others were so often will hardly be again.
    pub const fn forgotten(self) -> u64 {
        8 * self.filled as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_many_as_slices_or_divide_them() {
        for (slices, memory, lanes) in [
            (1, 64, 1),
            (4, 64, 4),
            (6, 64, 3),
            (7, 64, 1),
            (8, 64, 4),
            (16, 64, 4),
            (16, 128, 8),
            (16, 256, 16),
            (16, 20, 1),
            (4, 32, 1),
            (16, 0, 1),
        ] {
            let found = Room::of(memory << 20).lanes(slices);
            assert_eq!(found, lanes, "{slices} slices, {memory} MiB");
        }
    }
}
