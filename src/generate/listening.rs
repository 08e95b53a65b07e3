//! Listening: for each event by its number, whose turn it is in which session.

use super::calendar::{Day, days};
use super::page::Course;
use super::popularity::Popularity;
use super::random::{Purpose, Random};
use super::sessions::{Seat, Seats, Turn, turn};

/// Who listens when.
#[derive(Debug)]
pub(super) struct Listening {
    pub seed: u64,
    pub events: u64,
    pub users: u64,
    pub days: Vec<Day>,
    popularity: Popularity,
}

/// An event before it is known what it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    /// Its number among all events.
    pub event: u64,
    pub day: &'a Day,
    pub seat: Seat,
    pub turn: Turn,
    /// The number of the session's user.
    pub user: u64,
    pub course: Course,
}

impl Listening {
    pub fn new(seed: u64, days_count: u32, events: u64, users: u64, skew: f64) -> Self {
        let popularity = Popularity::new(users, skew);
        Self { seed, events, users, days: days(days_count, events), popularity }
    }

    /// The moments of a day from its event `first` on.
    pub fn moments<'a>(&'a self, day: &'a Day, first: u64) -> impl Iterator<Item = Moment<'a>> {
        let mut seats = Seats::new(day, self.seed, first);
        (first..day.events).map(move |number| self.at(day, number, seats.next()))
    }

    /// The moment of the event with this number among all.
    pub fn moment(&self, event: u64) -> Moment<'_> {
        let day = &self.days[self.days.partition_point(|day| day.first <= event) - 1];
        let number = event - day.first;
        self.at(day, number, Seats::new(day, self.seed, number).next())
    }

    fn at<'a>(&self, day: &'a Day, number: u64, seat: Seat) -> Moment<'a> {
        let turn = turn(day, self.seed, seat);
        let mut random = Random::new(self.seed, Purpose::Session, turn.session);
        let user = self.popularity.pick(&mut random);
        let course = Course::new(&mut random, turn);
        Moment { event: day.first + number, day, seat, turn, user, course }
    }
}
