//! Changes of level: some users upgrade or downgrade once, in the midst of a session.

use std::collections::HashMap;

use super::listening::{Listening, Moment};
use super::page::Page;
use super::random::{Purpose, Random};
use super::sessions::Seat;
use super::user::Level;

/// One event in so many submits a change, in the sample.
const EVENTS_PER_CHANGE: u64 = 900;
/// No more than one user in so many changes, however many events there are.
const USERS_PER_CHANGE: u64 = 4;

/// The changes, by the number of the user.
#[derive(Debug, Default)]
pub(super) struct Changes(HashMap<u64, Change>);

/// When and where a user submits.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The number of the event among all.
    event: u64,
    /// The day of it, by its first seat.
    day: u64,
    seat: Seat,
}

impl Changes {
    /// Looks for events at which a user may change, and lets them.
    pub fn plan(listening: &Listening) -> Self {
        let Listening { seed, events, users, .. } = *listening;
        let mut changes = HashMap::new();
        for number in 0..(events / EVENTS_PER_CHANGE).min(users / USERS_PER_CHANGE) {
            let event = Random::new(seed, Purpose::Change, number).below(events);
            let moment = listening.moment(event);
            if moment.course.is_settled(moment.turn) {
                let change = Change { event, day: moment.day.first_seat, seat: moment.seat };
                changes.entry(moment.user).or_insert(change);
            }
        }
        Self(changes)
    }

    /// The user's level at a moment, of one who began with `level`, and the page that the change asks for there.
    pub fn at(&self, moment: &Moment<'_>, level: Level) -> (Level, Option<Page>) {
        let Some(change) = self.0.get(&moment.user) else { return (level, None) };
        let is_here = |seat| change.day == moment.day.first_seat && change.seat == seat;
        let seat = moment.seat;
        match moment.event > change.event {
            false if is_here(seat) => (level, Some(Page::to_have_left(level))),
            false if is_here(seat.next()) => (level, Some(Page::to_leave(level))),
            false => (level, None),
            true if seat.row > 0 && is_here(Seat { row: seat.row - 1, ..seat }) => {
                (level.other(), Some(Page::Home))
            }
            true => (level.other(), None),
        }
    }
}
