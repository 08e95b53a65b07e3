//! The data: which objects there are, and the bytes of each, from nothing but the settings.

use std::ops::Range;

use super::Generated;
use super::changes::Changes;
use super::event::{Events, Sort};
use super::listening::Listening;
use super::popularity::Popularity;
use super::random::Share;
use super::settings::Generate;
use super::song::{SONGS_PER_FOLDER, Songs};
use crate::decode::Compression;
use crate::packing::pack;
use crate::table::time::Date;

/// Logs are made in blocks of so many events, about 1 MB: small enough that all threads have work in any day and that
/// a few for each thread are little memory.
const EVENTS_PER_BLOCK: u64 = 2_048;

/// For each song of the catalog so many are played that it lacks, and no fewer than these: users know more music.
const ELSEWHERE_PER_SONG: u64 = 4;
const LEAST_ELSEWHERE: u64 = 10_000;

/// All objects of a data set. What they hold depends neither on the order in which they are made nor on threads.
#[derive(Debug)]
pub(super) struct Data {
    songs: u64,
    compression: Compression,
    listening: Listening,
    events: Events,
}

/// A stretch of a day's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    day: usize,
    /// Its first event, counted from the day's.
    first: u64,
}

/// Bytes that were made, and what they hold.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub bytes: Vec<u8>,
    pub counts: Generated,
}

impl Data {
    pub fn new(settings: &Generate) -> Self {
        let Generate { seed, songs, days, events, users, skew, matching, dirty, .. } = *settings;
        let listening = Listening::new(seed, days, events, users, skew);
        let events = Events {
            seed,
            songs: Songs::new(seed),
            changes: Changes::plan(&listening),
            in_catalog: (songs > 0).then(|| Popularity::new(songs, skew)),
            elsewhere: Popularity::new((ELSEWHERE_PER_SONG * songs).max(LEAST_ELSEWHERE), skew),
            catalog_size: songs,
            matching: Share::new(matching),
            dirty: Share::new(dirty),
        };
        Self { songs, compression: settings.compression, listening, events }
    }

    /// The songs by their folders: ranges of their numbers.
    pub fn folders(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let songs = self.songs;
        (0..songs.div_ceil(SONGS_PER_FOLDER)).map(move |folder| {
            let first = folder * SONGS_PER_FOLDER;
            first..(first + SONGS_PER_FOLDER).min(songs)
        })
    }

    /// Makes the objects of songs, and their keys.
    pub fn folder(&self, songs: Range<u64>) -> Vec<(String, Made)> {
        songs.map(|song| (self.song_key(song), self.song(song))).collect()
    }

    fn song_key(&self, song: u64) -> String {
        self.events.songs.key(song) + self.compression.suffix()
    }

    fn song(&self, song: u64) -> Made {
        let mut made = Made::default();
        self.events.songs.put_record(&mut made.bytes, song);
        made.pack(self.compression);
        made.counts.objects = 1;
        made.counts.songs = 1;
        made
    }

    /// The blocks of all logs in the order of their objects and their place there. Days without events have none.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let events: Vec<_> = self.listening.days.iter().map(|day| day.events).collect();
        events.into_iter().enumerate().flat_map(|(day, events)| {
            let firsts = (0..events).step_by(EVENTS_PER_BLOCK as usize);
            firsts.map(move |first| Block { day, first })
        })
    }

    /// The key of the object that a block begins, if it does.
    pub fn begins(&self, block: Block) -> Option<String> {
        let Date { year, month, day } = self.listening.days[block.day].date();
        let suffix = self.compression.suffix();
        (block.first == 0).then(|| {
            format!("log_data/{year}/{month:02}/{year}-{month:02}-{day:02}-events.json{suffix}")
        })
    }

    /// Makes a block, in the memory of `bytes`.
    pub fn block(&self, block: Block, mut bytes: Vec<u8>) -> Made {
        bytes.clear();
        let mut made = Made { bytes, counts: Generated::default() };
        let counts = &mut made.counts;
        counts.objects = u64::from(block.first == 0);
        let day = &self.listening.days[block.day];
        for moment in self.listening.moments(day, block.first).take(EVENTS_PER_BLOCK as usize) {
            counts.events += 1;
            match self.events.put(&mut made.bytes, &moment) {
                Sort::MatchingPlay => {
                    counts.plays += 1;
                    counts.matching += 1;
                }
                Sort::OtherPlay => counts.plays += 1,
                Sort::Other => {}
                Sort::Dirty => counts.dirty += 1,
            }
        }
        made.pack(self.compression);
        made
    }
}

impl Made {
    /// Compresses the bytes, and counts them.
    fn pack(&mut self, compression: Compression) {
        self.counts.plain_bytes = self.bytes.len() as u64;
        if compression != Compression::Plain {
            let mut packed = Vec::with_capacity(self.bytes.len() / 4);
            pack(compression, &self.bytes, &mut packed);
            self.bytes = packed;
        }
        self.counts.bytes = self.bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Location;

    /// Enough of everything: changes of level, days of several blocks, names that are not ASCII.
    fn settings() -> Generate {
        let usual = Generate::new(Location::Directory("unused".into()));
        Generate { songs: 30, days: 4, events: 9_000, users: 300, ..usual }
    }

    /// The 64-bit FNV-1a hash.
    fn hash(hash: u64, bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_on_every_machine() {
        let cases = [
            (Compression::Plain, usize::MAX, 9_601_002_482_469_055_108),
            // Compression is slow without optimisation.
            (Compression::Gzip, 1, 7_619_598_135_130_070_574),
            (Compression::Zstd, 1, 13_330_527_784_087_783_700),
            (Compression::Bzip2, 1, 10_004_161_360_079_564_229),
        ];
        let hashes = cases.map(|(compression, most, _)| {
            let data = Data::new(&Generate { compression, dirty: 0.01, ..settings() });
            let mut all = 0xcbf2_9ce4_8422_2325;
            let songs = data.folders().flat_map(|songs| data.folder(songs)).take(most);
            for (key, made) in songs {
                all = hash(hash(all, key.as_bytes()), &made.bytes);
            }
            for block in data.blocks().take(most) {
                all = hash(all, data.begins(block).unwrap_or_default().as_bytes());
                all = hash(all, &data.block(block, Vec::new()).bytes);
            }
            (compression, most, all)
        });
        assert_eq!(hashes, cases);
    }

    #[test]
    fn logs_look_like_the_samples() {
        let data = Data::new(&settings());
        let block = data.blocks().next().unwrap();
        assert_eq!(data.begins(block).unwrap(), "log_data/2018/11/2018-11-01-events.json");
        let log = String::from_utf8_lossy(&data.block(block, Vec::new()).bytes).into_owned();
        let first = |what: &str| log.lines().find(|line| line.contains(what)).unwrap().to_owned();
        insta::assert_snapshot!(first("NextSong"), @r#"{"artist":"Uncle Distant Puzzle","auth":"Logged In","firstName":"Ada","gender":"F","itemInSession":0,"lastName":"Farrow","length":197.86904,"level":"paid","location":"Westerly-Napier-Elgin Park, IL-IN-WI","method":"PUT","page":"NextSong","registration":1538826570796.0,"sessionId":1,"song":"Faded Monsoon Forever","status":200,"ts":1541030415042,"userAgent":"\"Mozilla\/5.0 (Windows NT 6.3; WOW64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/36.0.1985.143 Safari\/537.36\"","userId":"208"}"#);
        insta::assert_snapshot!(first("\"Login\""), @r#"{"artist":null,"auth":"Logged Out","firstName":null,"gender":null,"itemInSession":1,"lastName":null,"length":null,"level":"free","location":null,"method":"PUT","page":"Login","registration":null,"sessionId":3,"song":null,"status":307,"ts":1541030832076,"userAgent":null,"userId":""}"#);
    }

    #[test]
    fn a_change_of_level_is_considered_submitted_and_kept() {
        let data = Data::new(&settings());
        let mut seen = std::collections::BTreeMap::<String, Vec<(String, String)>>::new();
        for block in data.blocks() {
            for line in data.block(block, Vec::new()).bytes.split(|byte| *byte == b'\n') {
                let Ok(event) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                seen.entry(text("userId")).or_default().push((text("page"), text("level")));
            }
        }
        let (mut changes, mut submitted) = (0, 0);
        for (_, events) in seen.iter().filter(|(user, _)| !user.is_empty()) {
            for two in events.windows(2) {
                let ((page, level), (_, next)) = (&two[0], &two[1]);
                submitted += u32::from(page.starts_with("Submit "));
                if level != next {
                    assert!(
                        page == "Submit Upgrade" && level == "free" || page == "Submit Downgrade"
                    );
                    changes += 1;
                }
            }
        }
        assert!(changes > 3, "{changes}");
        assert_eq!(changes, submitted);
    }
}
