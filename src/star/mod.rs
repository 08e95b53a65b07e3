//! The star: what songs, artists, users, times and plays are, whatever order the records arrive in.
//!
//! Each part is built in pieces, one for each thread, that merge in any order.

mod catalog;
mod moments;
mod users;

pub(crate) use catalog::{Catalog, MatchIndex};
pub(crate) use moments::Moments;
pub(crate) use users::Users;

use serde::Serialize;

use crate::record::Event;
use crate::table::songplays::Songplay;

/// What is built in pieces that merge, in any order, into the same whole.
pub(crate) trait Fold: Default + Send + 'static {
    fn merged(self, other: Self) -> Self;
}

/// When a play and a song are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// Title, artist name and duration are the same, to the last digit.
    #[default]
    TitleArtistDuration,
    /// Title and artist name are the same.
    TitleArtist,
}

/// Where a record stands: its object and its number there. Later places win where two records say different
/// things about the same, by the order of the objects' names and not of their ids, which depends on the loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub rank: u32,
    pub record_no: u32,
    pub object_id: u32,
}

impl Place {
    /// A number that no other record has and that leads back to this one.
    pub fn songplay_id(self) -> i64 {
        i64::from(self.object_id) << 32 | i64::from(self.record_no)
    }
}

/// The play that `event` tells of, with its song where the catalog has it; `None` for other events, and for plays of other
/// songs where only matched ones are wanted.
pub(crate) fn songplay<'a>(
    event: &Event<'a>,
    place: Place,
    songs: &'a MatchIndex,
    matched_only: bool,
) -> Option<Songplay<'a>> {
    let (Some(user_id), Some(start_time)) = (event.user_id, event.ts) else { return None };
    if !event.is_play() {
        return None;
    }
    let song = songs.find(event);
    if matched_only && song.is_none() {
        return None;
    }
    Some(Songplay {
        songplay_id: place.songplay_id(),
        start_time,
        user_id,
        level: event.level,
        song_id: song.map(|song| song.song_id),
        artist_id: song.map(|song| song.artist_id),
        session_id: event.session_id,
        location: event.location,
        user_agent: event.user_agent,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::Dialect;
    use crate::record::{EventReader, Format, SongReader};

    fn songs() -> impl Strategy<Value = Vec<String>> {
        let place = prop_oneof![Just("null"), Just("\"\""), Just("\"Ghent\"")];
        let degrees = prop_oneof![Just("null"), Just("51.05")];
        let song = (0..4u8, 0..3u8, 0..3u8, place, degrees).prop_map(
            |(song, artist, title, location, latitude)| {
                format!(
                    "{{\"song_id\":\"S{song}\",\"artist_id\":\"A{artist}\",\"title\":\"t{title}\",\
                     \"artist_name\":\"n{title}\",\"duration\":{artist},\
                     \"artist_location\":{location},\"artist_latitude\":{latitude}}}"
                )
            },
        );
        prop::collection::vec(song, 1..40)
    }

    fn events() -> impl Strategy<Value = Vec<String>> {
        let number = prop_oneof![Just("null"), Just("1"), Just("2")];
        let event = (1..4u8, number.clone(), number.clone(), number, 0..5u8).prop_map(
            |(user, ts, session, item, name)| {
                format!(
                    "{{\"userId\":{user},\"ts\":{ts},\"sessionId\":{session},\
                     \"itemInSession\":{item},\"firstName\":\"{name}\"}}"
                )
            },
        );
        prop::collection::vec(event, 1..40)
    }

    /// Folds `records`, each with its place, into `pieces` in a shuffled order, and merges those.
    fn folded<S: Fold>(
        records: &[String],
        order: &[usize],
        pieces: usize,
        mut add: impl FnMut(&mut S, &str, Place),
    ) -> S {
        let mut states: Vec<S> = (0..pieces).map(|_| S::default()).collect();
        for &index in order {
            let rank = index as u32 / 7;
            let place = Place { rank, record_no: index as u32 % 7, object_id: 99 - rank };
            add(&mut states[index * 31 % pieces], &records[index], place);
        }
        states.into_iter().rev().reduce(S::merged).unwrap()
    }

    fn orders(length: usize) -> impl Strategy<Value = (Vec<usize>, usize)> {
        (Just((0..length).collect::<Vec<_>>()).prop_shuffle(), 1..6usize)
    }

    proptest! {
        #[test]
        fn no_order_changes_the_catalog(
            (records, (order, pieces)) in
                songs().prop_flat_map(|songs| { let length = songs.len(); (Just(songs), orders(length)) })
        ) {
            let reader = SongReader::new(&Format::default(), Dialect::Postgres);
            let add = |catalog: &mut Catalog, record: &str, place| {
                catalog.add(&reader.read(record, &reader.arena()).unwrap(), place);
            };
            let in_order: Vec<usize> = (0..records.len()).collect();
            let one = folded(&records, &in_order, 1, add);
            let other = folded(&records, &order, pieces, add);
            prop_assert_eq!(one.songs().collect::<Vec<_>>(), other.songs().collect::<Vec<_>>());
            prop_assert_eq!(one.artists().collect::<Vec<_>>(), other.artists().collect::<Vec<_>>());
        }

        #[test]
        fn no_order_changes_the_users(
            (records, (order, pieces)) in
                events().prop_flat_map(|events| { let length = events.len(); (Just(events), orders(length)) })
        ) {
            let reader = EventReader::new(&Format::default(), Dialect::Postgres);
            let see = |users: &mut Users, record: &str, place| {
                users.see(&reader.read(record, &reader.arena()).unwrap(), place);
            };
            let in_order: Vec<usize> = (0..records.len()).collect();
            let one = folded(&records, &in_order, 1, see);
            let other = folded(&records, &order, pieces, see);
            prop_assert_eq!(one.rows().collect::<Vec<_>>(), other.rows().collect::<Vec<_>>());
        }
    }
}
