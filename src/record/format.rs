//! The format options: how JSON becomes typed values, named as a warehouse's COPY names them.

use serde::Serialize;

use super::jsonpaths::JsonPaths;

/// How JSON becomes typed records; the default takes everything as it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Format {
    /// Which member of an event feeds which column, where it isn't the one of the usual name.
    pub jsonpaths: Option<JsonPaths>,
    /// Compares keys without regard to case.
    pub ignore_case: bool,
    /// Keeps the members that feed no column in the column `rescued` of the staging tables, as one JSON object.
    pub rescue: bool,
    /// Loads `""` as NULL in text columns.
    pub empty_as_null: bool,
    /// Loads text of white space only as NULL in text columns.
    pub blanks_as_null: bool,
    /// Cuts text that is too long for its column instead of rejecting the record.
    pub truncate_columns: bool,
    /// Stands in for each byte of what no text column can hold (invalid UTF-8, an unpaired surrogate, U+0000);
    /// a printable ASCII character, neither `"` nor `\\`. Without it such a record is rejected.
    pub replace_invalid_chars: Option<u8>,
    /// A longer record is rejected.
    pub max_record_bytes: usize,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            jsonpaths: None,
            ignore_case: false,
            rescue: false,
            empty_as_null: false,
            blanks_as_null: false,
            truncate_columns: false,
            replace_invalid_chars: None,
            max_record_bytes: 4 << 20,
        }
    }
}
