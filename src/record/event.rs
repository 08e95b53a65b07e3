//! Events: the records of the log.

use super::arena::Arena;
use super::format::Format;
use super::jsonpaths::JsonPath;
use super::keys::Keys;
use super::reader::Reader;
use super::reject::Fault;
use crate::dialect::Dialect;
use crate::table::Table;
use crate::table::staging_events::FIELDS;
use crate::table::time::Moment;

/// One event, borrowed from its JSON wherever that says it plainly, and from an arena elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Event<'a> {
    pub artist: Option<&'a str>,
    pub auth: Option<&'a str>,
    pub first_name: Option<&'a str>,
    pub gender: Option<&'a str>,
    pub item_in_session: Option<i32>,
    pub last_name: Option<&'a str>,
    pub length: Option<f64>,
    pub level: Option<&'a str>,
    pub location: Option<&'a str>,
    pub method: Option<&'a str>,
    pub page: Option<&'a str>,
    pub registration: Option<i64>,
    pub session_id: Option<i32>,
    pub song: Option<&'a str>,
    pub status: Option<i32>,
    pub ts: Option<Moment>,
    pub user_agent: Option<&'a str>,
    pub user_id: Option<i32>,
}

/// The members that feed the columns of `staging_events`, in their order.
const KEYS: [&str; FIELDS] = [
    "artist",
    "auth",
    "firstName",
    "gender",
    "itemInSession",
    "lastName",
    "length",
    "level",
    "location",
    "method",
    "page",
    "registration",
    "sessionId",
    "song",
    "status",
    "ts",
    "userAgent",
    "userId",
];

const TS: usize = 15;
const USER_ID: usize = 17;

/// Reads events in one format.
pub(crate) type EventReader = Reader<FIELDS>;

impl EventReader {
    pub fn new(format: &Format, dialect: Dialect) -> Self {
        let keys = match &format.jsonpaths {
            Some(paths) => Keys::new(paths.iter().cloned(), format.ignore_case),
            None => Keys::new(KEYS.map(JsonPath::member).into_iter(), format.ignore_case),
        };
        Self::of(keys, Table::StagingEvents, format, dialect)
    }

    /// The event that `record` holds; `arena` holds the texts that it does not hold as they are.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, a value does not convert, or a play lacks its user or moment.
    pub fn read<'a>(&self, record: &'a str, arena: &'a Arena) -> Result<Event<'a>, Fault> {
        let raw = self.keys.pick::<FIELDS>(record)?;
        let cells = self.cells(record, &raw, arena);
        let event = Event {
            artist: cells.text(0)?,
            auth: cells.text(1)?,
            first_name: cells.text(2)?,
            gender: cells.text(3)?,
            item_in_session: cells.int(4)?,
            last_name: cells.text(5)?,
            length: cells.double(6)?,
            level: cells.text(7)?,
            location: cells.text(8)?,
            method: cells.text(9)?,
            page: cells.text(10)?,
            registration: cells.bigint(11)?,
            session_id: cells.int(12)?,
            song: cells.text(13)?,
            status: cells.int(14)?,
            ts: cells.moment(TS)?,
            user_agent: cells.text(16)?,
            user_id: cells.int(USER_ID)?,
        };
        if event.is_play() && event.user_id.is_none() {
            return Err(cells.fault(USER_ID, "missing in a NextSong event"));
        }
        if event.is_play() && event.ts.is_none() {
            return Err(cells.fault(TS, "missing in a NextSong event"));
        }
        Ok(event)
    }
}

impl Event<'_> {
    /// Whether a song was played.
    pub fn is_play(&self) -> bool {
        self.page == Some("NextSong")
    }
}
