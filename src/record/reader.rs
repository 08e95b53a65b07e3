//! Readers: what those of events and of songs have in common.

use std::borrow::Cow;

use super::arena::Arena;
use super::format::Format;
use super::keys::Keys;
use super::reject::Fault;
use super::text;
use super::value::{Cells, Refusal, Rules, TOO_LONG, Values, taken_below};
use crate::dialect::Dialect;
use crate::table::{RESCUED, Table};

/// Reads records of one format, which feed so many columns of a staging table.
#[derive(Debug)]
pub(crate) struct Reader<const FIELDS: usize> {
    pub(super) keys: Keys<FIELDS>,
    table: Table,
    /// What [`taken_below`] says of each column.
    taken_below: [usize; FIELDS],
    format: Format,
    /// Of the database that the columns are in.
    dialect: Dialect,
}

impl<const FIELDS: usize> Reader<FIELDS> {
    /// A reader of records whose `keys` feed the first columns of `table`.
    pub(super) fn of(keys: Keys<FIELDS>, table: Table, format: &Format, dialect: Dialect) -> Self {
        let taken_below =
            std::array::from_fn(|index| taken_below(table.columns()[index], format, dialect));
        Self { keys, table, taken_below, format: format.clone(), dialect }
    }

    /// Reads the same without the fast path.
    #[cfg(feature = "internals")]
    pub fn plain(self) -> Self {
        Self { keys: self.keys.plain(), ..self }
    }

    /// The memory that its records take.
    pub fn arena(&self) -> Arena {
        Arena::new(self.format.replace_invalid_chars)
    }

    /// The record as text; with invalid UTF-8 replaced where the format says so, and otherwise blamed on the column it
    /// is in.
    pub fn text<'a>(&self, record: &'a [u8]) -> Result<Cow<'a, str>, Fault> {
        if let Ok(text) = simdutf8::basic::from_utf8(record) {
            return Ok(Cow::Borrowed(text));
        }
        if let Some(replacement) = self.format.replace_invalid_chars {
            return Ok(Cow::Owned(text::replace_invalid(record, replacement)));
        }
        const REASON: &str = "not valid UTF-8";
        // With each bad byte replaced by one byte, every value keeps its place.
        let readable = text::replace_invalid(record, b'?');
        let at = std::str::from_utf8(record).map_or_else(|error| error.valid_up_to(), str::len);
        let picked = self.keys.parse(&readable, |_| {})?;
        let blamed = picked.iter().zip(self.table.columns()).find_map(|(value, column)| {
            let place = value.place();
            place
                .contains(&at)
                .then(|| Fault::value(*column, self.dialect, Some(&record[place]), REASON))
        });
        Err(blamed.unwrap_or_else(|| Fault::record(REASON)))
    }

    /// The record as an `R`; `arena` holds the texts that `record` does not hold as they are.
    #[inline(always)]
    pub(super) fn read_as<'a, R: Record<'a>>(
        &'a self,
        record: &'a str,
        arena: &'a Arena,
    ) -> Result<R, Fault> {
        let Self { keys, table, taken_below, format, dialect } = self;
        let columns = table.columns();
        let rules = Rules { record, columns, taken_below, format, dialect: *dialect, arena };
        if arena.in_order()
            && let Some(members) = keys.members(record)
            && let Ok(read) = R::of(Cells { values: members, rules })
        {
            return Ok(read);
        }
        let picked = keys.pick(&rules)?;
        if let Some(rescued) = arena.rescued()
            && RESCUED.kind.max_bytes(*dialect).is_some_and(|most| rescued.len() > most)
        {
            return Err(Fault::value(RESCUED, *dialect, Some(rescued.as_bytes()), TOO_LONG));
        }
        R::of(Cells { values: &picked, rules }).map_err(|Refusal { column, reason }| {
            let value = picked[column].source(record).map(str::as_bytes);
            Fault::value(columns[column], *dialect, value, reason)
        })
    }
}

/// What a record is read as.
pub(super) trait Record<'a>: Sized {
    /// Asks the columns in their order.
    fn of<V: Values<'a>>(cells: Cells<'a, V>) -> Result<Self, Refusal>;
}
