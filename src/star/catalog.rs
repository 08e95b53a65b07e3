//! The catalog: songs, their artists, and the index that finds the song of a play.

use std::cmp::Reverse;
use std::hash::BuildHasher;

use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::{Fold, Matching, Place};
use crate::record::{Event, SongRecord};
use crate::table::artists::Artist;
use crate::table::songs::Song;

/// Every song and artist seen.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    songs: HashMap<String, CatalogSong>,
    artists: HashMap<String, CatalogArtist>,
}

/// A song as the last record of its id tells.
#[derive(Debug)]
struct CatalogSong {
    place: Place,
    title: String,
    artist_id: String,
    artist_name: String,
    year: Option<i32>,
    duration: f64,
}

/// An artist as the best record of its id tells.
#[derive(Debug)]
struct CatalogArtist {
    merit: Merit,
    name: String,
    location: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// How good a source a record is on its artist: the more known of the place the better, then the smallest song
/// id, then the last place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    known: u8,
    song_id: Reverse<String>,
    place: Place,
}

impl Catalog {
    pub fn add(&mut self, record: &SongRecord<'_>, place: Place) {
        let song_id = record.song_id.to_owned();
        let song = CatalogSong {
            place,
            title: record.title.to_owned(),
            artist_id: record.artist_id.to_owned(),
            artist_name: record.artist_name.to_owned(),
            year: record.year,
            duration: record.duration,
        };
        let known = u8::from(record.artist_location.is_some_and(|text| !text.is_empty()))
            + u8::from(record.artist_latitude.is_some())
            + u8::from(record.artist_longitude.is_some());
        let artist = CatalogArtist {
            merit: Merit { known, song_id: Reverse(song_id.clone()), place },
            name: record.artist_name.to_owned(),
            location: record.artist_location.map(str::to_owned),
            latitude: record.artist_latitude,
            longitude: record.artist_longitude,
        };
        self.add_song(song_id, song);
        self.add_artist(record.artist_id.to_owned(), artist);
    }

    fn add_song(&mut self, song_id: String, song: CatalogSong) {
        match self.songs.entry(song_id) {
            Entry::Occupied(entry) if entry.get().place >= song.place => {}
            entry => {
                entry.insert(song);
            }
        }
    }

    fn add_artist(&mut self, artist_id: String, artist: CatalogArtist) {
        match self.artists.entry(artist_id) {
            Entry::Occupied(entry) if entry.get().merit >= artist.merit => {}
            entry => {
                entry.insert(artist);
            }
        }
    }

    /// The songs, ordered by id.
    pub fn songs(&self) -> impl Iterator<Item = Song<'_>> {
        let mut songs: Vec<_> = self.songs.iter().collect();
        songs.sort_unstable_by_key(|(song_id, _)| *song_id);
        songs.into_iter().map(|(song_id, song)| Song {
            song_id,
            title: &song.title,
            artist_id: &song.artist_id,
            year: song.year,
            duration: song.duration,
        })
    }

    /// The artists, ordered by id.
    pub fn artists(&self) -> impl Iterator<Item = Artist<'_>> {
        let mut artists: Vec<_> = self.artists.iter().collect();
        artists.sort_unstable_by_key(|(artist_id, _)| *artist_id);
        artists.into_iter().map(|(artist_id, artist)| Artist {
            artist_id,
            name: &artist.name,
            location: artist.location.as_deref(),
            latitude: artist.latitude,
            longitude: artist.longitude,
        })
    }

    /// What plays need to know of the finished catalog.
    pub fn match_index(&self, matching: Matching) -> MatchIndex {
        let mut songs: Vec<_> = self.songs.iter().collect();
        songs.sort_unstable_by_key(|(song_id, _)| *song_id);
        MatchIndex::new(
            songs.into_iter().map(|(song_id, song)| IndexedSong::new(song_id, song)),
            matching,
        )
    }
}

impl Fold for Catalog {
    fn merged(mut self, other: Self) -> Self {
        for (song_id, song) in other.songs {
            self.add_song(song_id, song);
        }
        for (artist_id, artist) in other.artists {
            self.add_artist(artist_id, artist);
        }
        self
    }
}

/// Finds the song of a play.
#[derive(Debug)]
pub(crate) struct MatchIndex {
    /// By what they are matched on.
    songs: HashTable<IndexedSong>,
    hasher: DefaultHashBuilder,
    matching: Matching,
}

/// A song; its texts lie side by side, since most plays ask for another one, which is in no cache.
#[derive(Debug)]
struct IndexedSong {
    /// Title, artist's name, song id, artist's id.
    texts: Box<str>,
    /// Where the first three of them end.
    ends: [u32; 3],
    duration: f64,
}

/// The song that a play is matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match<'a> {
    pub song_id: &'a str,
    pub artist_id: &'a str,
}

/// What a song is matched on; two are the same if all of it is.
#[derive(PartialEq)]
struct MatchKey<'a> {
    title: &'a str,
    artist_name: &'a str,
    duration: Option<f64>,
}

impl MatchIndex {
    /// Of several songs with the same key the first one is kept, so `songs` come ordered by id.
    fn new(songs: impl ExactSizeIterator<Item = IndexedSong>, matching: Matching) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut kept = HashTable::<IndexedSong>::with_capacity(songs.len());
        for song in songs {
            let key = song.key(matching);
            let hash = key.hash(&hasher);
            if kept.find(hash, |other| other.key(matching) == key).is_none() {
                kept.insert_unique(hash, song, |other| other.key(matching).hash(&hasher));
            }
        }
        Self { songs: kept, hasher, matching }
    }

    /// The song of the smallest id that is the one which `event` tells of.
    pub fn find(&self, event: &Event<'_>) -> Option<Match<'_>> {
        let duration = match self.matching {
            Matching::TitleArtistDuration => Some(event.length?),
            Matching::TitleArtist => None,
        };
        let key = MatchKey { title: event.song?, artist_name: event.artist?, duration };
        let same = |song: &IndexedSong| song.key(self.matching) == key;
        Some(self.songs.find(key.hash(&self.hasher), same)?.ids())
    }
}

impl IndexedSong {
    fn new(song_id: &str, song: &CatalogSong) -> Self {
        let CatalogSong { title, artist_name, artist_id, duration, .. } = song;
        let mut texts = String::new();
        let ends = [title.as_str(), artist_name.as_str(), song_id].map(|text| {
            texts.push_str(text);
            texts.len() as u32
        });
        texts.push_str(artist_id);
        Self { texts: texts.into(), ends, duration: *duration }
    }

    fn title(&self) -> &str {
        &self.texts[..self.ends[0] as usize]
    }

    fn artist_name(&self) -> &str {
        &self.texts[self.ends[0] as usize..self.ends[1] as usize]
    }

    fn ids(&self) -> Match<'_> {
        let [_, start, middle] = self.ends.map(|end| end as usize);
        Match { song_id: &self.texts[start..middle], artist_id: &self.texts[middle..] }
    }

    fn key(&self, matching: Matching) -> MatchKey<'_> {
        let duration = match matching {
            Matching::TitleArtistDuration => Some(self.duration),
            Matching::TitleArtist => None,
        };
        MatchKey { title: self.title(), artist_name: self.artist_name(), duration }
    }
}

impl MatchKey<'_> {
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        // Adding zero makes 0.0 of -0.0, which is equal to it.
        let duration = self.duration.map(|duration| (duration + 0.0).to_bits());
        hasher.hash_one((self.title, self.artist_name, duration))
    }
}
