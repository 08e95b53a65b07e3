//! The star: what songs, artists, users, times and plays are, whatever order the records arrive in.
//!
//! Each part is built in pieces, one for each thread, that merge in any order.

mod catalog;
mod moments;
mod users;

pub(crate) use catalog::{Catalog, MatchIndex};
pub(crate) use moments::Moments;
pub(crate) use users::Users;

use crate::record::Event;
use crate::table::songplays::Songplay;

/// What is built in pieces that merge, in any order, into the same whole.
pub(crate) trait Fold: Default + Send + 'static {
    fn merged(self, other: Self) -> Self;
}

/// When a play and a song are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matching {
    /// Title, artist name and duration are the same, to the last digit.
    #[default]
    TitleArtistDuration,
    /// Title and artist name are the same.
    TitleArtist,
}

/// Where a record stands: its object and its number there. Later places win where two records say different
/// things about the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub object_id: u32,
    pub record_no: u32,
}

impl Place {
    /// A number that no other record has and that leads back to this one.
    pub fn songplay_id(self) -> i64 {
        i64::from(self.object_id) << 32 | i64::from(self.record_no)
    }
}

/// The play that `event` tells of, with its song where the catalog has it; `None` for other events.
pub(crate) fn songplay<'a>(
    event: &'a Event<'_>,
    place: Place,
    songs: &'a MatchIndex,
) -> Option<Songplay<'a>> {
    let (Some(user_id), Some(start_time)) = (event.user_id, event.ts) else { return None };
    if !event.is_play() {
        return None;
    }
    let song = songs.find(event);
    Some(Songplay {
        songplay_id: place.songplay_id(),
        start_time,
        user_id,
        level: event.level.as_deref(),
        song_id: song.map(|song| song.song_id),
        artist_id: song.map(|song| song.artist_id),
        session_id: event.session_id,
        location: event.location.as_deref(),
        user_agent: event.user_agent.as_deref(),
    })
}
