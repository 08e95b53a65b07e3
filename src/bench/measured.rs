//! One measurement.

use serde::{Deserialize, Serialize};

use super::{Subject, TableSum};

/// What one measurement has come to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// What was measured.
    pub stage: Subject,
    /// What it took.
    #[serde(flatten)]
    pub took: Took,
    /// What it handled.
    #[serde(flatten)]
    pub handled: Handled,
    /// How much of the source that is: less than 1 where only a sample fits into memory.
    pub share: f64,
    /// After a load: what the tables of the star hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result: Vec<TableSum>,
}

/// What something takes; `None` where the system does not say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Took {
    /// On the clock.
    pub seconds: f64,
    /// Of all threads of this process, in user and system mode.
    pub cpu_seconds: Option<f64>,
    /// Of everything on this machine, servers included, in ticks of 10 ms.
    pub machine_cpu_seconds: Option<f64>,
    /// The most memory that this process has held until then, in bytes.
    pub peak_bytes: Option<u64>,
}

/// What something handles; 0 where it knows nothing of the kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Handled {
    /// Objects of the source.
    pub objects: u64,
    /// Bytes of the source as they are stored; of [`Copy`](Subject::Copy) and [`Keys`](Subject::Keys), bytes that are sent.
    pub bytes: u64,
    /// Songs and events.
    pub records: u64,
    /// Rows of all tables.
    pub rows: u64,
}

impl Measured {
    /// A measurement of the whole source.
    pub(super) fn new(stage: Subject, took: Took, handled: Handled) -> Self {
        Self { stage, took, handled, share: 1.0, result: Vec::new() }
    }
}
