//! Events: the records of the log.

use super::arena::Arena;
use super::format::Format;
use super::jsonpaths::JsonPath;
use super::keys::Keys;
use super::reader::{Reader, Record};
use super::reject::Fault;
use super::value::{BigInt, Cells, Double, Int, Refusal, Text, Timestamp, Values};
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
            Some(paths) => Keys::new(paths.columns().clone(), format.ignore_case),
            None => Keys::new(KEYS.map(JsonPath::member), format.ignore_case),
        };
        Self::of(keys, Table::StagingEvents, format, dialect)
    }

    /// The event that `record` holds; `arena` holds the texts that it does not hold as they are.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, a value does not convert, or a play lacks its user or moment.
    pub fn read<'a>(&'a self, record: &'a str, arena: &'a Arena) -> Result<Event<'a>, Fault> {
        self.read_as(record, arena)
    }
}

impl<'a> Record<'a> for Event<'a> {
    #[inline(always)]
    fn of<V: Values<'a>>(mut cells: Cells<'a, V>) -> Result<Self, Refusal> {
        let event = Event {
            artist: cells.next::<Text>(0)?,
            auth: cells.next::<Text>(1)?,
            first_name: cells.next::<Text>(2)?,
            gender: cells.next::<Text>(3)?,
            item_in_session: cells.next::<Int>(4)?,
            last_name: cells.next::<Text>(5)?,
            length: cells.next::<Double>(6)?,
            level: cells.next::<Text>(7)?,
            location: cells.next::<Text>(8)?,
            method: cells.next::<Text>(9)?,
            page: cells.next::<Text>(10)?,
            registration: cells.next::<BigInt>(11)?,
            session_id: cells.next::<Int>(12)?,
            song: cells.next::<Text>(13)?,
            status: cells.next::<Int>(14)?,
            ts: cells.next::<Timestamp>(TS)?,
            user_agent: cells.next::<Text>(16)?,
            user_id: cells.next::<Int>(USER_ID)?,
        };
        cells.end()?;
        let reason = "missing in a NextSong event";
        if event.is_play() && event.user_id.is_none() {
            return Err(Refusal { column: USER_ID, reason });
        }
        if event.is_play() && event.ts.is_none() {
            return Err(Refusal { column: TS, reason });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_same_when_its_texts_are_known() {
        let agent = r#"\"Mozilla\/5.0 (X11; Linux x86_64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/34\""#;
        let record =
            format!(r#"{{"page":"Home","ts":1541106106796,"userAgent":"{agent}","userId":"8"}}"#);
        let reader = EventReader::new(&Format::default(), Dialect::Postgres);
        let arena = reader.arena();
        let [first, again] = [(); 2].map(|()| reader.read(&record, &arena).unwrap());
        assert!(arena.known(format!("{agent}\"").as_bytes()).is_some());
        assert_eq!(first.user_agent, Some(&*agent.replace('\\', "")));
        assert_eq!(first, again);
    }

    #[test]
    fn the_order_of_members_is_learned_and_makes_no_difference() {
        let reader = EventReader::new(&Format::default(), Dialect::Postgres);
        let arena = reader.arena();
        let records = [
            (r#"{"page":"Home","ts":1,"userId":"8"}"#, true),
            (r#"{"ts":1,"page":"Home","userId":"8"}"#, false),
            (r#"{"userId":"8","ts":1,"page":"Home"}"#, false),
            (r#"{"page":"Home","ts":1,"userId":"8"}"#, true),
            (r#"{"page":"Home","ts":1,"userId":"8"}"#, true),
        ];
        for (record, in_order) in records {
            let event = reader.read(record, &arena).unwrap();
            assert_eq!(event, reader.read(record, &reader.arena()).unwrap());
            assert_eq!((event.page, event.user_id), (Some("Home"), Some(8)));
            assert_eq!(arena.in_order(), in_order, "{record}");
        }
    }
}
