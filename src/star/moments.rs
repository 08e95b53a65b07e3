//! The distinct moments at which plays start.

use roaring::RoaringTreemap;

use super::Fold;
use crate::table::time::Moment;

/// A set of moments, a few bytes each: it grows with the plays, so it must be small.
#[derive(Debug, Default)]
pub(crate) struct Moments(RoaringTreemap);

/// Maps signed to unsigned numbers without changing their order.
const SIGN: u64 = 1 << 63;

impl Moments {
    pub fn insert(&mut self, moment: Moment) {
        self.0.insert(moment.unix_ms() as u64 ^ SIGN);
    }

    /// The moments in their order.
    pub fn iter(&self) -> impl Iterator<Item = Moment> + '_ {
        self.0.iter().filter_map(|key| Moment::from_unix_ms((key ^ SIGN) as i64))
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
        other.insert(Moment::from_unix_ms(-4_000_000_000).unwrap());
        let found: Vec<i64> = moments.merged(other).iter().map(Moment::unix_ms).collect();
        assert_eq!(found, [-4_000_000_000, -3, 0, 5]);
    }
}
