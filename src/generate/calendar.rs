//! The calendar: which days there are, how many events each has, and when they happen.

use crate::table::time::Date;

/// 2018-11-01, on which the well-known sample begins, in days since 1970-01-01: a Thursday.
const FIRST_DAY: u64 = 17_836;
const MS_PER_DAY: u64 = 86_400_000;
const MS_PER_HOUR: u64 = 3_600_000;

/// How busy each weekday is, Thursday first: people listen at work.
const WEEK: [u64; 7] = [10, 12, 6, 4, 10, 11, 13];

/// How busy each hour is, in UTC: most of the listeners are in America.
const HOURS: [u64; 24] = [4, 3, 3, 3, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6, 6, 5, 5, 4, 4, 3];
const HOURS_SUM: u64 = {
    let (mut sum, mut hour) = (0, 0);
    while hour < HOURS.len() {
        sum += HOURS[hour];
        hour += 1;
    }
    sum
};

/// About how long it takes from one event of a session to the next, in seconds: a song.
const SECONDS_PER_EVENT: u64 = 240;

/// A day and its place among all events.
#[derive(Debug, Clone)]
pub(super) struct Day {
    /// Its midnight, in milliseconds since 1970-01-01.
    pub midnight: u64,
    /// The number of its first event among all.
    pub first: u64,
    pub events: u64,
    /// How many sessions go on at each time.
    pub lanes: u64,
    /// The number of its first seat among all; a day has `lanes` seats in each of its rows.
    pub first_seat: u64,
}

/// The days in order, `events` shared out among them as busy as they are.
pub(super) fn days(days: u32, events: u64) -> Vec<Day> {
    let weight = |day: u32| WEEK[day as usize % WEEK.len()];
    let all: u64 = (0..days).map(weight).sum();
    let (mut passed, mut first, mut first_seat) = (0, 0, 0);
    let mut calendar = Vec::new();
    for day in 0..days {
        passed += weight(day);
        let end = (u128::from(events) * u128::from(passed) / u128::from(all)) as u64;
        let events = end - first;
        let lanes = events.div_ceil(MS_PER_DAY / 1000 / SECONDS_PER_EVENT).max(1);
        let midnight = (FIRST_DAY + u64::from(day)) * MS_PER_DAY;
        calendar.push(Day { midnight, first, events, lanes, first_seat });
        first = end;
        first_seat += events.div_ceil(lanes) * lanes;
    }
    calendar
}

impl Day {
    /// When the day's event `number` happens: never before the one before it. `chance` is any number.
    pub fn moment(&self, number: u64, chance: u64) -> u64 {
        // The day in as many stretches as it has weight, each with as many events.
        let place = number * HOURS_SUM + chance % HOURS_SUM;
        let (stretch, within) = (place / self.events, place % self.events);
        let mut stretch_in_hour = stretch;
        let mut hour = 0;
        while stretch_in_hour >= HOURS[hour] {
            stretch_in_hour -= HOURS[hour];
            hour += 1;
        }
        let length = MS_PER_HOUR / HOURS[hour];
        let start = hour as u64 * MS_PER_HOUR + stretch_in_hour * length;
        self.midnight + start + length * within / self.events
    }

    pub fn date(&self) -> Date {
        Date::from_days((self.midnight / MS_PER_DAY) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_one_another_through_leap_years() {
        let days = days(3_000, 0);
        let cases = [
            (0, (2018, 11, 1)),
            (29, (2018, 11, 30)),
            (61, (2019, 1, 1)),
            (485, (2020, 2, 29)),
            (486, (2020, 3, 1)),
            (2_999, (2027, 1, 17)),
        ];
        for (day, expected) in cases {
            let Date { year, month, day: of_month } = days[day].date();
            assert_eq!((year, month, of_month), expected, "{day}");
        }
        assert_eq!(days[0].midnight, 1_541_030_400_000);
    }

    #[test]
    fn the_days_have_all_events() {
        for events in [0, 1, 29, 8_056, 2_000_000_000] {
            let days = days(30, events);
            assert_eq!(days.iter().map(|day| day.events).sum::<u64>(), events);
            assert!(days.windows(2).all(|two| two[0].first + two[0].events == two[1].first));
        }
    }

    #[test]
    fn the_events_of_a_day_happen_one_after_the_other_within_it() {
        for events in [1, 2, 95, 1_000, 100_000] {
            let day = &days(1, events)[0];
            let moments: Vec<_> =
                (0..events).map(|it| day.moment(it, it.wrapping_mul(7919))).collect();
            assert!(moments.is_sorted(), "{events}");
            let range = day.midnight..day.midnight + MS_PER_DAY;
            assert!(moments.iter().all(|it| range.contains(it)), "{events}");
        }
    }
}
