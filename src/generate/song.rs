//! Songs: those of the catalog, and those that users play though the catalog lacks them.

use super::random::{Purpose, Random, Share};
use super::text::{Spelling, Text, put_number, put_seconds};
use super::words::{ADJECTIVES, ARTIST_FORMS, HOMES, NOUNS, TITLE_FORMS};

/// So many songs in a row have one artist.
const SONGS_PER_ARTIST: u64 = 3;
/// So many songs in a row lie in one folder, `A/B/C`.
pub(super) const SONGS_PER_FOLDER: u64 = 100;

/// All songs, by their numbers. Those below the catalog's size are in it.
///
/// No two songs have the same title, so that a song that is not in the catalog matches none there.
#[derive(Debug)]
pub(super) struct Songs {
    seed: u64,
    titles: Vec<Form>,
    artists: Vec<Form>,
}

/// What stands before and after the words of a name.
#[derive(Debug)]
struct Form {
    before: Text,
    after: Text,
}

impl Form {
    fn all(forms: &[(&str, &str)]) -> Vec<Self> {
        let form = |(before, after): &(&str, &str)| Self {
            before: Text::new(before),
            after: Text::new(after),
        };
        forms.iter().map(form).collect()
    }
}

/// Where a song stands in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is in the catalog, and named just as there.
    InCatalog,
    /// It is not, and its name is as likely as not garbled.
    Elsewhere,
}

impl Songs {
    pub fn new(seed: u64) -> Self {
        Self { seed, titles: Form::all(&TITLE_FORMS), artists: Form::all(&ARTIST_FORMS) }
    }

    /// The key of the song's object, without a suffix for compression.
    pub fn key(&self, song: u64) -> String {
        let folder = song / SONGS_PER_FOLDER % 26_u64.pow(3);
        let mut out = b"song_data/".to_vec();
        let letters = [folder / 676, folder / 26 % 26, folder % 26].map(letter);
        for letter in letters {
            out.extend([letter, b'/']);
        }
        out.extend_from_slice(b"TR");
        out.extend(letters);
        self.put_id(&mut out, Purpose::Song, song, 2, b"128");
        out.extend_from_slice(b".json");
        String::from_utf8(out).expect("keys are ASCII")
    }

    /// Writes the song's record, as the sample has them: one line without an ending.
    pub fn put_record(&self, out: &mut Vec<u8>, song: u64) {
        let artist = song / SONGS_PER_ARTIST;
        let mut random = Random::new(self.seed, Purpose::Artist, artist);
        let home = random.happens(Share::new(0.6)).then(|| random.pick(&HOMES));
        let (latitude, longitude) = home.and_then(|(_, at)| *at).unwrap_or(("null", "null"));
        let name = home.map_or("", |(name, _)| name);

        out.extend_from_slice(b"{\"num_songs\": 1, \"artist_id\": \"AR");
        self.put_id(out, Purpose::Artist, artist, 5, b"118");
        out.extend_from_slice(b"\", \"artist_latitude\": ");
        out.extend_from_slice(latitude.as_bytes());
        out.extend_from_slice(b", \"artist_longitude\": ");
        out.extend_from_slice(longitude.as_bytes());
        out.extend_from_slice(b", \"artist_location\": \"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\", \"artist_name\": \"");
        self.put_artist(out, song, self.spelling(song, Spelling::Catalog));
        out.extend_from_slice(b"\", \"song_id\": \"SO");
        self.put_id(out, Purpose::Song, song, 5, b"12A");
        out.extend_from_slice(b"\", \"title\": \"");
        self.put_title(out, song, self.spelling(song, Spelling::Catalog));
        out.extend_from_slice(b"\", \"duration\": ");
        let mut random = self.random(song);
        put_seconds(out, duration(&mut random));
        out.extend_from_slice(b", \"year\": ");
        let year = if random.happens(Share::new(0.5)) { 1955 + random.below(56) } else { 0 };
        put_number(out, year);
        out.push(b'}');
    }

    /// Writes what a log calls the song's artist, between quotes.
    pub fn put_played_artist(&self, out: &mut Vec<u8>, song: u64, known: Known) {
        self.put_artist(out, song, self.played(song, known));
    }

    /// Writes what a log calls the song, between quotes.
    pub fn put_played_title(&self, out: &mut Vec<u8>, song: u64, known: Known) {
        self.put_title(out, song, self.played(song, known));
    }

    /// Writes how long the song is, in seconds.
    pub fn put_duration(&self, out: &mut Vec<u8>, song: u64) {
        put_seconds(out, duration(&mut self.random(song)));
    }

    fn random(&self, song: u64) -> Random {
        Random::new(self.seed, Purpose::Song, song)
    }

    fn played(&self, song: u64, known: Known) -> Spelling {
        match known {
            Known::InCatalog => self.spelling(song, Spelling::Log),
            Known::Elsewhere => Spelling::Doubled,
        }
    }

    /// How the catalog spells what is not ASCII: a few artists' songs are garbled there too.
    fn spelling(&self, song: u64, otherwise: Spelling) -> Spelling {
        let artist = song / SONGS_PER_ARTIST;
        if artist % 5 == self.seed % 5 { Spelling::Doubled } else { otherwise }
    }

    fn put_title(&self, out: &mut Vec<u8>, song: u64, spelling: Spelling) {
        put_name(out, self.seed, &self.titles, song, spelling, " (Take ", ")");
    }

    fn put_artist(&self, out: &mut Vec<u8>, song: u64, spelling: Spelling) {
        let artist = song / SONGS_PER_ARTIST;
        put_name(out, !self.seed, &self.artists, artist, spelling, " No. ", "");
    }

    /// Writes the rest of an id: some letters, a mark, and eight digits that no other number has.
    fn put_id(
        &self,
        out: &mut Vec<u8>,
        purpose: Purpose,
        number: u64,
        letters: usize,
        mark: &[u8],
    ) {
        let mut bits = Random::new(self.seed, purpose, number).next();
        for _ in 0..letters {
            out.push(letter(bits % 26));
            bits /= 26;
        }
        out.extend_from_slice(mark);
        let shift = Random::new(self.seed, purpose, u64::MAX).next();
        let digits = shuffled((number ^ shift) as u32);
        out.extend(
            (0..8).map(|digit| b"0123456789ABCDEF"[(digits >> (28 - 4 * digit)) as usize & 15]),
        );
    }
}

fn letter(number: u64) -> u8 {
    b'A' + number as u8
}

/// In hundred-thousandths of a second: between half a minute and seven and a half, mostly about four.
fn duration(random: &mut Random) -> u64 {
    3_000_000 + random.below(21_000_000) + random.below(21_000_000)
}

/// Writes the name that has this number: each has a form and two words of its own, and when all are used up a count.
fn put_name(
    out: &mut Vec<u8>,
    seed: u64,
    forms: &[Form],
    number: u64,
    spelling: Spelling,
    before_count: &str,
    after_count: &str,
) {
    const WORDS: u64 = (ADJECTIVES.len() * NOUNS.len()) as u64;
    let names = WORDS * forms.len() as u64;
    // A prime shares no factor with the number of names, so that all are used before one comes again.
    let name = (number % names * 7_368_787 + seed % names) % names;
    let (form, words) = (&forms[(name / WORDS) as usize], name % WORDS);
    form.before.put(out, spelling);
    out.extend_from_slice(ADJECTIVES[words as usize % ADJECTIVES.len()].as_bytes());
    out.push(b' ');
    out.extend_from_slice(NOUNS[words as usize / ADJECTIVES.len()].as_bytes());
    form.after.put(out, spelling);
    let count = number / names;
    if count > 0 {
        out.extend_from_slice(before_count.as_bytes());
        put_number(out, count + 1);
        out.extend_from_slice(after_count.as_bytes());
    }
}

/// Another number, which no other number gives: odd factors and shifts can be undone.
fn shuffled(number: u32) -> u32 {
    let number = number.wrapping_mul(0x9E37_79B1);
    let number = (number ^ (number >> 16)).wrapping_mul(0x85EB_CA6B);
    number ^ (number >> 13)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn written(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_two_songs_share_a_title_an_id_or_a_key() {
        let songs = Songs::new(1);
        let (mut titles, mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for song in 0..200_000 {
            // What is read, however it is written.
            let json = written(|out| songs.put_record(out, song));
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert!(titles.insert(json["title"].as_str().unwrap().to_owned()), "{json}");
            assert!(ids.insert(json["song_id"].as_str().unwrap().to_owned()), "{json}");
            assert!(keys.insert(songs.key(song)));
        }
    }

    #[test]
    fn a_song_of_the_catalog_is_called_the_same_in_both_places() {
        let songs = Songs::new(3);
        for song in 0..5_000 {
            let record = written(|out| songs.put_record(out, song));
            let record: serde_json::Value = serde_json::from_str(&record).unwrap();
            let played = written(|out| {
                out.extend_from_slice(b"[\"");
                songs.put_played_artist(out, song, Known::InCatalog);
                out.extend_from_slice(b"\",\"");
                songs.put_played_title(out, song, Known::InCatalog);
                out.extend_from_slice(b"\",");
                songs.put_duration(out, song);
                out.push(b']');
            });
            let played: serde_json::Value = serde_json::from_str(&played).unwrap();
            assert_eq!(played[0], record["artist_name"]);
            assert_eq!(played[1], record["title"]);
            assert_eq!(played[2], record["duration"]);
        }
    }

    #[test]
    fn a_record_looks_like_the_samples() {
        let songs = Songs::new(1);
        insta::assert_snapshot!(written(|out| songs.put_record(out, 1)), @r#"{"num_songs": 1, "artist_id": "ARQXDMU1182EA4D76B", "artist_latitude": null, "artist_longitude": null, "artist_location": "", "artist_name": "The Hollow Ghost", "song_id": "SOTLOHI12A0FFD1BBC", "title": "What's a Little Pocket?", "duration": 174.78927, "year": 0}"#);
        insta::assert_snapshot!(songs.key(1), @"song_data/A/A/A/TRAAATL1280FFD1BBC.json");
    }
}
