//! Sweeps: an option of a load, and the values that it is measured with.

use std::str::FromStr;

use super::size;

/// An option and its values, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    pub knob: Knob,
    pub values: Vec<usize>,
}

/// An option that makes a load faster or slower and never changes its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knob {
    Connections,
    Threads,
    Fetches,
    BlockBytes,
    Memory,
}

impl Knob {
    const ALL: [Self; 5] =
        [Self::Connections, Self::Threads, Self::Fetches, Self::BlockBytes, Self::Memory];

    /// The long option's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Threads => "threads",
            Self::Fetches => "fetches",
            Self::BlockBytes => "block-bytes",
            Self::Memory => "memory",
        }
    }

    /// Whether a load that goes nowhere heeds it too.
    pub const fn is_of_reading(self) -> bool {
        match self {
            Self::Connections => false,
            Self::Threads | Self::Fetches | Self::BlockBytes | Self::Memory => true,
        }
    }

    /// `value` as people read it.
    pub fn shown(self, value: usize) -> String {
        match self {
            Self::Connections | Self::Threads | Self::Fetches => value.to_string(),
            Self::BlockBytes | Self::Memory => super::figures::bytes(value as u64),
        }
    }
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write connections=1..8 or threads=1,2,3";
        let (name, values) = text.split_once('=').ok_or(USAGE)?;
        let knob = Knob::ALL.into_iter().find(|knob| knob.name() == name).ok_or_else(|| {
            format!("an option to sweep is one of {}", Knob::ALL.map(Knob::name).join(", "))
        })?;
        let value = |text: &str| match size::parse(text.trim()) {
            Ok(0) | Err(_) => Err(USAGE.to_owned()),
            Ok(value) => Ok(value),
        };
        let values = match values.split_once("..") {
            None => values.split(',').map(value).collect::<Result<_, _>>()?,
            Some((first, last)) => {
                let (first, last) = (value(first)?, value(last)?);
                if first > last {
                    return Err(USAGE.to_owned());
                }
                let double = |value: &usize| value.checked_mul(2);
                let doubled = std::iter::successors(Some(first), double);
                doubled.take_while(|value| *value < last).chain([last]).collect()
            }
        };
        Ok(Self { knob, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_doubles_up_to_its_end() {
        type Meant = Option<(Knob, &'static [usize])>;
        let cases: [(&str, Meant); 11] = [
            ("connections=1..8", Some((Knob::Connections, &[1, 2, 4, 8]))),
            ("threads=1..6", Some((Knob::Threads, &[1, 2, 4, 6]))),
            ("threads=3..3", Some((Knob::Threads, &[3]))),
            ("fetches=8,1,64", Some((Knob::Fetches, &[8, 1, 64]))),
            ("block-bytes=64KiB..128KiB", Some((Knob::BlockBytes, &[64 << 10, 128 << 10]))),
            ("memory=32MiB", Some((Knob::Memory, &[32 << 20]))),
            ("connections", None),
            ("connections=0..8", None),
            ("connections=1..", None),
            ("connections=8..1", None),
            ("attempts=1..8", None),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|(knob, values)| Sweep { knob, values: values.into() });
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
