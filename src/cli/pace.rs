//! The pace of a load: how far it is, and how fast it has been of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sparkload::{Phase, Progress, Table};

/// Long enough to smooth what arrives in batches, short enough to show a stall.
const WINDOW: Duration = Duration::from_secs(3);

/// All counts of a load at a moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub at: Instant,
    pub phase: Phase,
    pub objects: u64,
    pub objects_total: u64,
    pub bytes: u64,
    pub bytes_total: u64,
    pub records: u64,
    pub rejects: u64,
    pub rows: [u64; Table::ALL.len()],
}

impl Snapshot {
    pub fn of(progress: &Progress) -> Self {
        Self {
            at: Instant::now(),
            phase: progress.phase(),
            objects: progress.objects.get(),
            objects_total: progress.objects_total.get(),
            bytes: progress.bytes.get(),
            bytes_total: progress.bytes_total.get(),
            records: progress.records.get(),
            rejects: progress.rejects.get(),
            rows: Table::ALL.map(|table| progress.rows(table)),
        }
    }
}

/// What was seen of a load in the last few seconds.
#[derive(Debug, Default)]
pub struct Pace(VecDeque<Snapshot>);

impl Pace {
    /// Takes a look.
    pub fn look(&mut self, progress: &Progress) -> Snapshot {
        let now = Snapshot::of(progress);
        self.0.push_back(now.clone());
        while self.0.len() > 2 && now.at - self.0[1].at >= WINDOW {
            self.0.pop_front();
        }
        now
    }

    /// How much of something was done a second.
    pub fn per_second(&self, of: impl Fn(&Snapshot) -> u64) -> u64 {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return 0 };
        let seconds = (last.at - first.at).as_secs_f64();
        let done = of(last).saturating_sub(of(first)) as f64;
        if seconds > 0.0 { (done / seconds).round() as u64 } else { 0 }
    }

    /// How long the bytes that are still to be read take at this pace.
    pub fn seconds_left(&self) -> Option<f64> {
        let last = self.0.back()?;
        let left = last.bytes_total.saturating_sub(last.bytes);
        let pace = self.per_second(|seen| seen.bytes);
        (left > 0 && pace > 0).then(|| left as f64 / pace as f64)
    }

    /// The tables that rows are written to, the fastest first, with their rows a second.
    pub fn tables(&self) -> Vec<(Table, u64)> {
        let rates = Table::ALL.iter().enumerate();
        let rates = rates.map(|(index, &table)| (table, self.per_second(|seen| seen.rows[index])));
        let mut moving: Vec<_> = rates.filter(|(_, rate)| *rate > 0).collect();
        moving.sort_by_key(|(_, rate)| std::cmp::Reverse(*rate));
        moving
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(seen: &[(u64, u64)]) -> Pace {
        let start = Instant::now();
        let mut at_zero = Snapshot::of(&Progress::default());
        at_zero.bytes_total = 1_000;
        let seen = seen.iter().map(|&(millis, bytes)| Snapshot {
            at: start + Duration::from_millis(millis),
            bytes,
            ..at_zero.clone()
        });
        Pace(seen.collect())
    }

    #[test]
    fn the_rest_takes_as_long_as_the_pace_says() {
        let cases: [(&[(u64, u64)], _); 5] = [
            (&[], None),
            (&[(0, 10)], None),
            (&[(0, 100), (500, 100)], None),
            (&[(0, 100), (500, 200)], Some(4.0)),
            (&[(0, 100), (500, 1_000)], None),
        ];
        for (seen, expected) in cases {
            assert_eq!(pace(seen).seconds_left(), expected, "{seen:?}");
        }
    }
}
