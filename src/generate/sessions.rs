//! Sessions: whose turn it is, and where in a session.
//!
//! At each time as many sessions go on as a day has lanes. Each row of a day's events has one event of each lane, in
//! an order of its own; from one row to the next about as much time passes as a song takes. A lane is cut into
//! sessions, anew every [`ROWS`] rows, so that where an event stands in its session follows from its number, and any
//! stretch of a day can be made without what came before.

use super::calendar::Day;
use super::random::{Purpose, Random};

/// After so many rows (six hours) all lanes begin new sessions; no session is longer.
const ROWS: u64 = 90;

/// How long sessions are, in events: most are short, a few last for hours.
const LENGTHS: [u64; 16] = [1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 13, 17, 25, 40, 80];

/// Where an event stands: the place of one listener's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub row: u64,
    pub lane: u64,
}

impl Seat {
    /// The seat of the next event of the lane.
    pub fn next(self) -> Self {
        Self { row: self.row + 1, ..self }
    }
}

/// An event's place in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// The session's number among all: that of its first seat.
    pub session: u64,
    /// Its number in the session, counted from 0.
    pub item: u64,
    /// How many turns the session has, if the day lasts so long.
    pub length: u64,
}

/// The seats of a day's events from one on.
#[derive(Debug)]
pub(super) struct Seats<'a> {
    day: &'a Day,
    seed: u64,
    row: u64,
    at: u64,
    shift: u64,
    stride: u64,
}

impl<'a> Seats<'a> {
    /// Begins with the day's event `number`.
    pub fn new(day: &'a Day, seed: u64, number: u64) -> Self {
        let (row, at) = (number / day.lanes, number % day.lanes);
        let mut seats = Self { day, seed, row, at, shift: 0, stride: 1 };
        seats.shuffle();
        seats
    }

    /// The order of the row: an offset, and a stride that shares no factor with the number of lanes.
    fn shuffle(&mut self) {
        let lanes = self.day.lanes;
        let mut random =
            Random::new(self.seed, Purpose::Row, self.day.first_seat + self.row * lanes);
        self.shift = random.below(lanes);
        self.stride = random.below(lanes).max(1);
        while greatest_common_divisor(self.stride, lanes) != 1 {
            self.stride += 1;
        }
    }

    pub fn next(&mut self) -> Seat {
        let lane = (self.at * self.stride + self.shift) % self.day.lanes;
        let seat = Seat { row: self.row, lane };
        self.at += 1;
        if self.at == self.day.lanes {
            (self.row, self.at) = (self.row + 1, 0);
            self.shuffle();
        }
        seat
    }
}

/// The place in its session of what stands at `seat`.
pub(super) fn turn(day: &Day, seed: u64, seat: Seat) -> Turn {
    let first = seat.row / ROWS * ROWS;
    let place = seat.row - first;
    let seat_number = |row: u64| day.first_seat + row * day.lanes + seat.lane;
    let mut random = Random::new(seed, Purpose::Lane, seat_number(first));
    let mut start = 0;
    loop {
        let length = (*random.pick(&LENGTHS)).min(ROWS - start);
        if place < start + length {
            return Turn { session: seat_number(first + start), item: place - start, length };
        }
        start += length;
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::calendar::days;
    use super::*;

    #[test]
    fn every_seat_is_taken_once_and_sessions_count_their_items() {
        for events in [1, 359, 361, 5_000, 100_000] {
            let days = days(2, events);
            let (mut taken, mut next) = (BTreeSet::new(), BTreeMap::new());
            for day in &days {
                let mut seats = Seats::new(day, 7, 0);
                for _ in 0..day.events {
                    let seat = seats.next();
                    assert!(taken.insert((day.first_seat, seat.row, seat.lane)));
                    let Turn { session, item, length } = turn(day, 7, seat);
                    let expected = next.entry(session).or_insert(0);
                    assert_eq!(item, *expected);
                    assert!(item < length);
                    *expected += 1;
                }
            }
            assert!(events < 5_000 || next.len() as u64 * 15 > events, "{}", next.len());
        }
    }

    #[test]
    fn seats_can_be_asked_for_from_anywhere() {
        let day = &days(1, 10_000)[0];
        let mut all = Seats::new(day, 7, 0);
        let all: Vec<_> = (0..day.events).map(|_| all.next()).collect();
        for from in [1, 27, 28, 29, 9_999] {
            assert_eq!(Seats::new(day, 7, from as u64).next(), all[from]);
        }
    }
}
