//! Summaries: several measurements of the same in few figures.

use serde::Serialize;

use super::{Handled, Measured, Subject};

/// All measurements of one subject, with the same settings.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// What was measured.
    pub stage: Subject,
    /// On the clock.
    pub seconds: Spread,
    /// What it adds to the stage that it includes, by the medians.
    pub adds_seconds: Option<f64>,
    /// Of this process.
    pub cpu_seconds: Option<Spread>,
    /// Of everything on the machine.
    pub machine_cpu_seconds: Option<Spread>,
    /// The largest peak, in bytes.
    pub peak_bytes: Option<u64>,
    /// What each run handled.
    #[serde(flatten)]
    pub handled: Handled,
    /// How much of the source that is.
    pub share: f64,
    /// By the median of the seconds.
    pub per_second: PerSecond,
    /// The measurements, in the order they were made.
    pub runs: Vec<Measured>,
}

/// Figures in their order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// The one in the middle, or halfway between the two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// How much is handled a second; nothing where the subject knows nothing of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PerSecond {
    /// Objects.
    pub objects: Option<f64>,
    /// Bytes, as [`Handled`] counts them.
    pub bytes: Option<f64>,
    /// Records.
    pub records: Option<f64>,
    /// Rows.
    pub rows: Option<f64>,
}

impl Spread {
    /// The spread of `figures`, if there are any.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median = match figures.len().is_multiple_of(2) {
            true => (figures[middle - 1] + figures[middle]) / 2.0,
            false => figures[middle],
        };
        Some(Self { median, min, max })
    }
}

impl Summary {
    /// Sums up `runs` of one subject, if there are any.
    pub fn of(runs: Vec<Measured>) -> Option<Self> {
        let first = runs.first()?;
        let seconds = Spread::of(runs.iter().map(|run| run.took.seconds))?;
        let spread = |of: fn(&Measured) -> Option<f64>| {
            let figures: Option<Vec<f64>> = runs.iter().map(of).collect();
            figures.and_then(Spread::of)
        };
        let Handled { objects, bytes, records, rows } = first.handled;
        let rate =
            |count: u64| (count > 0 && seconds.median > 0.0).then(|| count as f64 / seconds.median);
        Some(Self {
            stage: first.stage,
            seconds,
            adds_seconds: None,
            cpu_seconds: spread(|run| run.took.cpu_seconds),
            machine_cpu_seconds: spread(|run| run.took.machine_cpu_seconds),
            peak_bytes: runs.iter().filter_map(|run| run.took.peak_bytes).max(),
            handled: first.handled,
            share: first.share,
            per_second: PerSecond {
                objects: rate(objects),
                bytes: rate(bytes),
                records: rate(records),
                rows: rate(rows),
            },
            runs,
        })
    }

    /// Sums up measurements in any order, subject by subject.
    pub fn all(measured: Vec<Measured>) -> Vec<Self> {
        let mut summaries: Vec<Self> = Vec::new();
        for subject in Subject::ALL {
            let runs = measured.iter().filter(|run| run.stage == subject).cloned().collect();
            let Some(mut summary) = Self::of(runs) else { continue };
            let included = subject.includes();
            let included = summaries.iter().find(|before| Some(before.stage) == included);
            summary.adds_seconds =
                included.map(|before| summary.seconds.median - before.seconds.median);
            summaries.push(summary);
        }
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::super::Took;
    use super::*;

    fn measured(stage: Subject, seconds: f64) -> Measured {
        let took = Took {
            seconds,
            cpu_seconds: Some(seconds),
            machine_cpu_seconds: None,
            peak_bytes: None,
        };
        let handled = Handled { objects: 2, bytes: 100, records: 10, rows: 0 };
        Measured::new(stage, took, handled)
    }

    #[test]
    fn the_median_is_in_the_middle() {
        type Spreads = Option<(f64, f64, f64)>;
        let cases: [(&[f64], Spreads); 4] = [
            (&[], None),
            (&[3.0], Some((3.0, 3.0, 3.0))),
            (&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0))),
            (&[4.0, 1.0, 2.0, 9.0], Some((3.0, 1.0, 9.0))),
        ];
        for (figures, expected) in cases {
            let spread = Spread::of(figures.iter().copied());
            assert_eq!(spread.map(|it| (it.median, it.min, it.max)), expected, "{figures:?}");
        }
    }

    #[test]
    fn a_stage_that_includes_another_says_what_it_adds() {
        let runs = [(Subject::Parse, 5.0), (Subject::Decode, 2.0), (Subject::Parse, 7.0)];
        let all = Summary::all(runs.map(|(stage, seconds)| measured(stage, seconds)).into());
        let [decode, parse] = &all[..] else { panic!("{all:?}") };
        assert_eq!((decode.stage, decode.adds_seconds), (Subject::Decode, None));
        assert_eq!((parse.stage, parse.adds_seconds), (Subject::Parse, Some(4.0)));
        assert_eq!(parse.per_second.bytes, Some(100.0 / 6.0));
        assert_eq!(parse.per_second.rows, None);
        assert_eq!(parse.machine_cpu_seconds, None);
    }
}
