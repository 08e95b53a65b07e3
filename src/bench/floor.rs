//! The floor: the least time that a load could take if its parts overlapped perfectly.

use serde::Serialize;

use super::{Subject, Summary};

/// What the parts of a load, measured alone, make possible for the whole with the same settings.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Floor {
    /// The larger one of the two that follow.
    pub seconds: f64,
    /// What can't overlap: list, then the longest of fetch, encode on all threads and copy, then keys, then publish.
    pub path_seconds: f64,
    /// The CPU seconds of all parts, spread evenly over all cores.
    pub cpu_seconds: f64,
    /// The parts.
    pub parts: Vec<FloorPart>,
    /// The longest of those that overlap, encode on all threads.
    pub longest: FloorPart,
    /// The cores of this machine.
    pub cores: usize,
    /// The threads that parse and encode.
    pub threads: usize,
    /// The median of the loads, in floors.
    pub ratio: f64,
}

/// A part of a load, for the whole source.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct FloorPart {
    /// Which.
    pub stage: Subject,
    /// The median on the clock, times `scale`.
    pub seconds: f64,
    /// The median of the CPU seconds, times `scale`: the machine's where they are more than this program's.
    pub cpu_seconds: f64,
    /// How often the sample that was measured fits into the source.
    pub scale: f64,
}

/// What a load consists of; encode includes decode, parse and transform.
const PARTS: [Subject; 6] = [
    Subject::List,
    Subject::Fetch,
    Subject::Encode,
    Subject::Copy,
    Subject::Keys,
    Subject::Publish,
];

impl Floor {
    /// The floor of a load that works with so many `threads` on so many `cores`; `None` where a part was not measured.
    pub fn of(summaries: &[Summary], cores: usize, threads: usize) -> Option<Self> {
        let find = |stage| summaries.iter().find(|summary| summary.stage == stage);
        let parts: Vec<_> =
            PARTS.iter().map(|stage| FloorPart::of(find(*stage)?)).collect::<Option<_>>()?;
        let [list, fetch, encode, copy, keys, publish] = parts[..] else { return None };
        let encode = FloorPart { seconds: encode.seconds / threads.min(cores) as f64, ..encode };
        let overlapping = [fetch, encode, copy];
        let longest = overlapping.into_iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        let path_seconds = list.seconds + longest.seconds + keys.seconds + publish.seconds;
        let cpu_seconds = parts.iter().map(|part| part.cpu_seconds).sum::<f64>() / cores as f64;
        let seconds = path_seconds.max(cpu_seconds);
        let ratio = find(Subject::Load)?.seconds.median / seconds;
        Some(Self { seconds, path_seconds, cpu_seconds, parts, longest, cores, threads, ratio })
    }
}

impl FloorPart {
    fn of(summary: &Summary) -> Option<Self> {
        let stage = summary.stage;
        let own = summary.cpu_seconds?.median;
        let machine = summary.machine_cpu_seconds.map(|spread| spread.median);
        let (cpu_seconds, scale) = match stage {
            // Nothing but this program has a hand in it.
            Subject::Encode => (own, 1.0 / summary.share),
            Subject::Copy | Subject::Keys => (machine.unwrap_or(own).max(own), 1.0 / summary.share),
            // The whole source was read; and publishing grows with the number of tables rather than with their size, so
            // that a larger figure might be too large.
            _ => (machine.unwrap_or(own).max(own), 1.0),
        };
        let seconds = summary.seconds.median * scale;
        Some(Self { stage, seconds, cpu_seconds: cpu_seconds * scale, scale })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Handled, Measured, Took};
    use super::*;

    fn floor(stages: &[(Subject, f64, f64, f64)], cores: usize) -> Option<Floor> {
        let measured = stages.iter().map(|&(stage, seconds, machine, share)| {
            let (cpu_seconds, machine_cpu_seconds) = (Some(seconds / 2.0), Some(machine));
            let took = Took { seconds, cpu_seconds, machine_cpu_seconds, peak_bytes: None };
            Measured { share, ..Measured::new(stage, took, Handled::default()) }
        });
        Floor::of(&Summary::all(measured.collect()), cores, cores)
    }

    #[test]
    fn the_floor_is_the_longest_path_or_the_work_of_all_cores() {
        let stages = [
            (Subject::List, 1.0, 1.0, 1.0),
            (Subject::Fetch, 4.0, 1.0, 1.0),
            // Sampled: in the whole it takes 16 seconds, 8 of them of CPU.
            (Subject::Encode, 8.0, 99.0, 0.5),
            (Subject::Copy, 3.0, 6.0, 0.5),
            (Subject::Keys, 1.0, 2.0, 0.5),
            (Subject::Publish, 1.0, 0.0, 0.5),
            (Subject::Load, 21.0, 0.0, 1.0),
        ];
        let four = floor(&stages, 4).unwrap();
        assert_eq!(four.path_seconds, 1.0 + f64::max(16.0 / 4.0, 6.0) + 2.0 + 1.0);
        assert_eq!(four.cpu_seconds, (1.0 + 2.0 + 8.0 + 12.0 + 4.0 + 0.5) / 4.0);
        assert_eq!((four.seconds, four.ratio), (10.0, 2.1));
        assert_eq!((four.longest.stage, four.longest.seconds), (Subject::Copy, 6.0));
        let one = floor(&stages, 1).unwrap();
        assert_eq!((one.path_seconds, one.cpu_seconds, one.seconds), (20.0, 27.5, 27.5));
        assert_eq!((one.longest.stage, one.longest.seconds), (Subject::Encode, 16.0));
        assert!(floor(&stages[1..], 4).is_none());
    }
}
