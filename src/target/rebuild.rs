//! Rebuilding: the whole star out of the staged rows, some of which an unfinished load has left.
//!
//! The rules are those of `star`, in SQL; a test holds both against each other. All of it is made, so nothing is looked
//! for that might have changed, as [`merge`](super::merge) does.

use super::merge::Rules;
use crate::star::Matching;
use crate::table::Table;

/// What is made of the staged rows.
pub(super) const STAR: [Table; 5] =
    [Table::Songplays, Table::Time, Table::Users, Table::Songs, Table::Artists];

/// The statements that fill the tables, which may run beside each other; the one that takes longest comes first.
const FILL: [&str; 4] = [
    include_str!("../sql/rebuild/songplays.sql"),
    include_str!("../sql/rebuild/users.sql"),
    include_str!("../sql/rebuild/songs.sql"),
    include_str!("../sql/rebuild/artists.sql"),
];

/// The statements that fill the tables of the star in the schema that is the first in the search path.
pub(super) fn fill(Rules { matching, matched_only }: Rules) -> Vec<String> {
    let match_duration = matching == Matching::TitleArtistDuration;
    let values = [("$1", match_duration), ("$2", matched_only)];
    let put = |statements: &str| {
        values.iter().fold(statements.to_owned(), |text, (name, value)| {
            text.replace(name, &value.to_string())
        })
    };
    FILL.into_iter().map(put).collect()
}

/// What is still to be entered into the ledger when the tables are filled.
pub(super) fn recount(Rules { matching: _, matched_only }: Rules) -> Option<&'static str> {
    matched_only.then_some(include_str!("../sql/rebuild/recount.sql"))
}
