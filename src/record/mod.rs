//! Records: typed events and songs out of JSON text, by a warehouse COPY's conversions, or a reject.

mod event;
mod format;
mod jsonpaths;
mod keys;
mod reject;
mod scan;
mod song;
mod text;
mod value;

pub use format::Format;
pub use jsonpaths::JsonPaths;
pub use reject::Reject;

pub(crate) use event::{Event, EventReader};
pub(crate) use reject::Fault;
pub(crate) use song::{SongReader, SongRecord};

use std::borrow::Cow;

use self::keys::Keys;
use crate::table::Table;

/// `record` as text, invalid UTF-8 replaced where `format` says so and otherwise blamed on the column it is in.
fn utf8_text<'a, const COLUMNS: usize>(
    record: &'a [u8],
    keys: &Keys,
    table: Table,
    format: &Format,
) -> Result<Cow<'a, str>, Fault> {
    let invalid = match std::str::from_utf8(record) {
        Ok(text) => return Ok(Cow::Borrowed(text)),
        Err(invalid) => invalid,
    };
    if let Some(replacement) = format.replace_invalid_chars {
        return Ok(Cow::Owned(text::replace_invalid(record, replacement)));
    }
    const REASON: &str = "not valid UTF-8";
    // With each bad byte replaced by one byte, every value keeps its place.
    let readable = text::replace_invalid(record, b'?');
    let at = invalid.valid_up_to();
    let picked = keys.pick::<COLUMNS>(&readable)?;
    let blamed = picked.iter().zip(table.columns()).find_map(|(value, column)| {
        let value = (*value)?;
        let place = value.start as usize..value.end as usize;
        place.contains(&at).then(|| Fault::value(*column, Some(&record[place]), REASON))
    });
    Err(blamed.unwrap_or_else(|| Fault::record(REASON)))
}
