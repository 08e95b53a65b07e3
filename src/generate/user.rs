//! Users: who listens, from where, and on which terms.

use super::random::{Purpose, Random, Share};
use super::words::{AGENTS, FIRST_NAMES, LAST_NAMES, TOWNS};

/// A user as the logs show them.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub id: u64,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub gender: &'static str,
    pub town: &'static str,
    /// JSON text.
    pub agent: &'static str,
    /// In seconds since 1970-01-01.
    pub registered: u64,
    /// The terms on which the user begins.
    pub level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Free,
    Paid,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Free => Self::Paid,
            Self::Paid => Self::Free,
        }
    }
}

impl User {
    /// The user with a number, counted from 0.
    pub fn new(seed: u64, number: u64) -> Self {
        // The month before the logs begin.
        const FIRST_REGISTERED: u64 = 1_538_352_000;
        const REGISTERED_WITHIN: u64 = 31 * 86_400;
        let mut random = Random::new(seed, Purpose::User, number);
        let (first_name, gender) = *random.pick(&FIRST_NAMES);
        Self {
            id: number + 1,
            first_name,
            gender,
            last_name: *random.pick(&LAST_NAMES),
            town: *random.pick(&TOWNS),
            agent: *random.pick(&AGENTS),
            registered: FIRST_REGISTERED + random.below(REGISTERED_WITHIN),
            level: if random.happens(Share::new(0.3)) { Level::Paid } else { Level::Free },
        }
    }
}
