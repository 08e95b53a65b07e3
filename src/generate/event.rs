//! Events: one record of a log, written as the sample has them.

use super::changes::Changes;
use super::damage::Damage;
use super::listening::Moment;
use super::page::{Auth, Page};
use super::popularity::Popularity;
use super::random::{Purpose, Random, Share};
use super::sessions::Turn;
use super::song::{Known, Songs};
use super::text::put_number;
use super::user::{Level, User};

/// What happens at the moments of listening.
#[derive(Debug)]
pub(super) struct Events {
    pub seed: u64,
    pub songs: Songs,
    pub changes: Changes,
    /// Of the songs in the catalog; `None` where there are none.
    pub in_catalog: Option<Popularity>,
    /// Of those that are not; their numbers follow on the catalog's.
    pub elsewhere: Popularity,
    pub catalog_size: u64,
    pub matching: Share,
    pub dirty: Share,
}

/// What an event is, for the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// A play of a song of the catalog.
    MatchingPlay,
    /// A play of another song.
    OtherPlay,
    /// Neither a play nor damaged.
    Other,
    Dirty,
}

impl Events {
    /// Writes the record of a moment, with its line ending.
    pub fn put(&self, out: &mut Vec<u8>, moment: &Moment<'_>) -> Sort {
        let mut random = Random::new(self.seed, Purpose::Event, moment.event);
        let user = User::new(self.seed, moment.user);
        let (level, page) = self.changes.at(moment, user.level);
        let is_dirty = random.happens(self.dirty);
        let (auth, page) = match page {
            Some(page) => (Auth::LoggedIn, page),
            None if is_dirty => (Auth::LoggedIn, Page::NextSong),
            None => moment.course.page(&mut random, moment.turn, level),
        };
        let ts = moment.day.moment(moment.event - moment.day.first, random.next());
        let song = (page == Page::NextSong).then(|| self.song(&mut random));
        let start = out.len();
        self.put_record(out, &Record { turn: moment.turn, user, level, auth, page, ts, song });
        let sort = match song {
            None => Sort::Other,
            Some(_) if is_dirty => {
                Damage::any(&mut random).apply(out, start);
                Sort::Dirty
            }
            Some((_, Known::InCatalog)) => Sort::MatchingPlay,
            Some((_, Known::Elsewhere)) => Sort::OtherPlay,
        };
        out.push(b'\n');
        sort
    }

    fn song(&self, random: &mut Random) -> (u64, Known) {
        match (random.happens(self.matching), &self.in_catalog) {
            (true, Some(in_catalog)) => (in_catalog.pick(random), Known::InCatalog),
            _ => (self.catalog_size + self.elsewhere.pick(random), Known::Elsewhere),
        }
    }

    /// Writes a record without a line ending: the sample's keys in the sample's order.
    fn put_record(&self, out: &mut Vec<u8>, record: &Record) {
        let Record { turn, user, level, auth, page, ts, song } = *record;
        let known = auth == Auth::LoggedIn;
        let (method, status) = page.request();

        out.extend_from_slice(b"{\"artist\":");
        match song {
            Some((song, known)) => {
                out.push(b'"');
                self.songs.put_played_artist(out, song, known);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"auth\":\"");
        out.extend_from_slice(auth.name().as_bytes());
        out.extend_from_slice(b"\",\"firstName\":");
        put_text(out, known.then_some(user.first_name));
        out.extend_from_slice(b",\"gender\":");
        put_text(out, known.then_some(user.gender));
        out.extend_from_slice(b",\"itemInSession\":");
        put_number(out, turn.item);
        out.extend_from_slice(b",\"lastName\":");
        put_text(out, known.then_some(user.last_name));
        out.extend_from_slice(b",\"length\":");
        match song {
            Some((song, _)) => self.songs.put_duration(out, song),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"level\":\"");
        out.extend_from_slice(level.name().as_bytes());
        out.extend_from_slice(b"\",\"location\":");
        put_text(out, known.then_some(user.town));
        out.extend_from_slice(b",\"method\":\"");
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b"\",\"page\":\"");
        out.extend_from_slice(page.name().as_bytes());
        out.extend_from_slice(b"\",\"registration\":");
        if known {
            put_number(out, user.registered);
            // The sample's registrations all end so.
            out.extend_from_slice(b"796.0");
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b",\"sessionId\":");
        put_number(out, turn.session + 1);
        out.extend_from_slice(b",\"song\":");
        match song {
            Some((song, known)) => {
                out.push(b'"');
                self.songs.put_played_title(out, song, known);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"status\":");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b",\"ts\":");
        put_number(out, ts);
        out.extend_from_slice(b",\"userAgent\":");
        put_text(out, known.then_some(user.agent));
        out.extend_from_slice(b",\"userId\":\"");
        if known {
            put_number(out, user.id);
        }
        out.extend_from_slice(b"\"}");
    }
}

/// What a record says.
struct Record {
    turn: Turn,
    user: User,
    level: Level,
    auth: Auth,
    page: Page,
    /// In milliseconds since 1970-01-01.
    ts: u64,
    song: Option<(u64, Known)>,
}

/// Writes JSON text between quotes, or null.
fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}
