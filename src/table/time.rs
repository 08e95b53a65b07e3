//! `time`: the moments at which plays start, taken apart.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Column, Kind, Layout, Row, Table};
use crate::encode::RowWriter;

pub(super) const LAYOUT: Layout = Layout {
    name: "time",
    columns: &[
        Column::new("start_time", Kind::Timestamp),
        Column::new("hour", Kind::Int),
        Column::new("day", Kind::Int),
        Column::new("week", Kind::Int),
        Column::new("month", Kind::Int),
        Column::new("year", Kind::Int),
        Column::new("weekday", Kind::Int),
    ],
    key: &["start_time"],
};

/// A moment that PostgreSQL can hold, in milliseconds since 1970-01-01 UTC.
///
/// PostgreSQL's range is 4714-11-24 BC to the end of the year 294276, far wider than calendar libraries'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(i64);

const DAY_MS: i64 = 86_400_000;
/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const POSTGRES_EPOCH_DAYS: i64 = 10_957;

impl Moment {
    const FIRST: i64 = (POSTGRES_EPOCH_DAYS - 2_451_545) * DAY_MS;
    const END: i64 = (POSTGRES_EPOCH_DAYS + 106_751_983) * DAY_MS;

    /// The moment `ms` milliseconds after 1970-01-01 UTC; `None` outside of PostgreSQL's range.
    pub fn from_unix_ms(ms: i64) -> Option<Self> {
        (Self::FIRST..Self::END).contains(&ms).then_some(Self(ms))
    }

    /// A time of day, as far as it can be stored.
    pub fn at(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_ms(since.as_millis() as i64).unwrap_or_default()
    }

    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// Microseconds since 2000-01-01, as PostgreSQL stores it.
    pub fn postgres_us(self) -> i64 {
        (self.0 - POSTGRES_EPOCH_DAYS * DAY_MS) * 1000
    }
}

/// As SQL writes timestamps, to the millisecond: `2018-11-01 20:57:10.796`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day } = Date::from_days(self.0.div_euclid(DAY_MS));
        let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
        let ms = self.0.rem_euclid(DAY_MS);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let ms = ms % 1000;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}{era}")
    }
}

/// A row of `time`.
pub(crate) struct Time {
    start: Moment,
    day: Day,
}

/// What all moments of a day have in common.
#[derive(Clone, Copy)]
struct Day {
    days: i64,
    date: Date,
    week: i32,
    weekday: i32,
}

/// The rows of moments, which are taken apart a day at a time where they come in their order.
pub(crate) fn rows(moments: impl Iterator<Item = Moment>) -> impl Iterator<Item = Time> {
    let mut day = Day::new(0);
    moments.map(move |start| {
        let days = start.0.div_euclid(DAY_MS);
        if days != day.days {
            day = Day::new(days);
        }
        Time { start, day }
    })
}

impl Day {
    fn new(days: i64) -> Self {
        Self { days, date: Date::from_days(days), week: iso_week(days), weekday: weekday(days) }
    }
}

impl Row for Time {
    const TABLE: Table = Table::Time;

    fn write(&self, row: &mut impl RowWriter) {
        let Self { start, day: Day { days, date: Date { year, month, day }, week, weekday } } =
            *self;
        row.timestamp(start);
        row.int(Some(((start.0 - days * DAY_MS) / 3_600_000) as i32));
        row.int(Some(day));
        row.int(Some(week));
        row.int(Some(month));
        // There is no year 0: the year before 1 is 1 BC, which PostgreSQL's EXTRACT calls -1.
        row.int(Some(if year > 0 { year } else { year - 1 }));
        row.int(Some(weekday));
    }
}

/// A day of the Gregorian calendar, the year 0 being 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub year: i32,
    pub month: i32,
    pub day: i32,
}

impl Date {
    /// From days since 1970-01-01, by counting in 400-year cycles of years that start in March.
    pub fn from_days(days: i64) -> Self {
        const CYCLE_DAYS: i64 = 146_097;
        let days = days + 719_468;
        let cycle = days.div_euclid(CYCLE_DAYS);
        let day_of_cycle = days.rem_euclid(CYCLE_DAYS);
        let leap_days = day_of_cycle / 1_460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
        let year_of_cycle = (day_of_cycle - leap_days) / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_cycle + 400 * cycle + i64::from(month <= 2);
        Self { year: year as i32, month: month as i32, day: day as i32 }
    }

    /// Days since 1970-01-01 of the first of January.
    fn new_year(year: i32) -> i64 {
        let before = i64::from(year) - 1;
        365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
            - 719_162
    }
}

/// 0 is Sunday.
fn weekday(days: i64) -> i32 {
    (days + 4).rem_euclid(7) as i32
}

/// ISO 8601: weeks start on Monday and belong to the year that holds their Thursday.
fn iso_week(days: i64) -> i32 {
    let monday = days - (days + 3).rem_euclid(7);
    let thursday = monday + 3;
    let new_year = Date::new_year(Date::from_days(thursday).year);
    ((thursday - new_year) / 7 + 1) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_and_weeks() {
        // (days since 1970-01-01, year, month, day, ISO week, weekday), from PostgreSQL's EXTRACT.
        let cases = [
            (0, 1970, 1, 1, 1, 4),
            (-1, 1969, 12, 31, 1, 3),
            (17_836, 2018, 11, 1, 44, 4),
            (11_016, 2000, 2, 29, 9, 2),
            (18_627, 2020, 12, 31, 53, 4),
            (18_630, 2021, 1, 3, 53, 0),
            (18_631, 2021, 1, 4, 1, 1),
            (-719_163, 0, 12, 31, 52, 0),
        ];
        for (days, year, month, day, week, expected) in cases {
            assert_eq!(Date::from_days(days), Date { year, month, day }, "{days}");
            assert_eq!((iso_week(days), weekday(days)), (week, expected), "{days}");
        }
    }

    #[test]
    fn moments_are_written_as_sql_has_them() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00.000"),
            (1_541_106_106_796, "2018-11-01 21:01:46.796"),
            (-1, "1969-12-31 23:59:59.999"),
            (-62_135_596_800_001, "0001-12-31 23:59:59.999 BC"),
            (Moment::FIRST, "4714-11-24 00:00:00.000 BC"),
            (Moment::END - 1, "294276-12-31 23:59:59.999"),
        ] {
            assert_eq!(Moment::from_unix_ms(ms).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn moments_outside_of_the_servers_range_are_refused() {
        assert!(Moment::from_unix_ms(Moment::FIRST).is_some());
        assert!(Moment::from_unix_ms(Moment::FIRST - 1).is_none());
        assert!(Moment::from_unix_ms(Moment::END - 1).is_some());
        assert!(Moment::from_unix_ms(Moment::END).is_none());
        assert_eq!(Moment::from_unix_ms(0).unwrap().postgres_us(), -946_684_800_000_000);
    }
}
