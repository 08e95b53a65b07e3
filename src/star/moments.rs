//! The distinct moments at which plays start.

use roaring::RoaringTreemap;

use super::Fold;
use crate::table::time::{self, Moment, Time};

/// A set of moments, a few bytes each: it grows with the plays, so it must be small.
#[derive(Debug, Default)]
pub(crate) struct Moments(RoaringTreemap);

/// The lower bits of milliseconds that the map keeps in one of its bitmaps, of 32 that it could: plays stand close to each
/// other, so what is searched is the 64 containers of 70 minutes, and not the thousands of a month.
const BITS: u32 = 22;
const MASK: u64 = (1 << BITS) - 1;

/// Makes every moment a positive number of 54 bits, without changing their order.
const BIAS: i64 = 1 << 48;

impl Moments {
    pub fn insert(&mut self, moment: Moment) {
        let key = (moment.unix_ms() + BIAS) as u64;
        self.0.insert((key & !MASK) << (32 - BITS) | key & MASK);
    }

    /// The rows of `time`, in the order of their moments.
    pub fn rows(&self) -> impl Iterator<Item = Time> + '_ {
        time::rows(self.iter())
    }

    fn iter(&self) -> impl Iterator<Item = Moment> + '_ {
        let ms = |key: u64| ((key >> (32 - BITS)) & !MASK | key & MASK) as i64 - BIAS;
        self.0.iter().filter_map(move |key| Moment::from_unix_ms(ms(key)))
    }
}

impl Fold for Moments {
    fn merged(mut self, other: Self) -> Self {
        self.0 |= other.0;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_distinct_and_in_order() {
        let mut moments = Moments::default();
        let mut other = Moments::default();
        for ms in [5, -3, 0, 5] {
            moments.insert(Moment::from_unix_ms(ms).unwrap());
        }
        // The ends of PostgreSQL's range.
        let (first, last) = (-210_866_803_200_000, 9_224_318_015_999_999);
        for ms in [last, -4_000_000_000, first] {
            other.insert(Moment::from_unix_ms(ms).unwrap());
        }
        let found: Vec<i64> = moments.merged(other).iter().map(Moment::unix_ms).collect();
        assert_eq!(found, [first, -4_000_000_000, -3, 0, 5, last]);
    }
}
