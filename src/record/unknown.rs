//! Unknown members: those of records that feed no column, counted by name.

use hashbrown::HashMap;

/// How often each unknown member was met, whatever the order and however many have counted.
///
/// At most [`MOST_NAMES`] names are told apart, those that are the first by their length and then by their bytes: the
/// names of fields are short, and that of a thousand others is an id. Which ones that are depends on all names alone,
/// so that what was counted apart adds up to the same. The members of all other names are counted together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unknown {
    names: HashMap<String, u64>,
    /// Names from this one on are not told apart.
    beyond: Option<String>,
    others: u64,
    /// Records that have no known member.
    pub strangers: u64,
}

/// How many names are told apart.
pub(crate) const MOST_NAMES: usize = 1000;

/// More of a name is not looked at.
const NAME_BYTES: usize = 100;

impl Unknown {
    pub fn see(&mut self, name: &str) {
        self.add(&name[..name.floor_char_boundary(NAME_BYTES)], 1);
    }

    fn add(&mut self, name: &str, count: u64) {
        if self.beyond.as_deref().is_some_and(|beyond| rank(name) >= rank(beyond)) {
            self.others += count;
            return;
        }
        *self.names.entry_ref(name).or_insert(0) += count;
        // Not for each name anew.
        if self.names.len() >= 2 * MOST_NAMES {
            self.trim();
        }
    }

    /// Tells no more names apart than there may be.
    fn trim(&mut self) {
        if self.names.len() <= MOST_NAMES {
            return;
        }
        let mut names: Vec<_> = self.names.drain().collect();
        names.sort_unstable_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        let rest = names.split_off(MOST_NAMES);
        self.others += rest.iter().map(|(_, count)| count).sum::<u64>();
        self.beyond = rest.into_iter().next().map(|(name, _)| name);
        self.names = names.into_iter().collect();
    }

    pub fn merge(&mut self, other: Self) {
        let Self { names, beyond, others, strangers } = other;
        self.others += others;
        self.strangers += strangers;
        if let Some(beyond) = beyond
            && self.beyond.as_ref().is_none_or(|mine| rank(&beyond) < rank(mine))
        {
            let (kept, rest): (Vec<_>, Vec<_>) =
                self.names.drain().partition(|(name, _)| rank(name) < rank(&beyond));
            self.others += rest.into_iter().map(|(_, count)| count).sum::<u64>();
            self.names = kept.into_iter().collect();
            self.beyond = Some(beyond);
        }
        for (name, count) in names {
            self.add(&name, count);
        }
    }

    /// The names with their counts, the most frequent first and equals by name, and how many members have other names.
    pub fn counts(mut self) -> (Vec<(String, u64)>, u64) {
        self.trim();
        let mut names: Vec<_> = self.names.into_iter().collect();
        names.sort_unstable_by(|(a, few), (b, many)| many.cmp(few).then_with(|| a.cmp(b)));
        (names, self.others)
    }
}

/// What names are told apart by.
fn rank(name: &str) -> (usize, &str) {
    (name.len(), name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts each part of the names by itself, and then all together.
    fn counted(parts: &[&[String]]) -> (Vec<(String, u64)>, u64) {
        let mut all = Unknown::default();
        for part in parts {
            let mut unknown = Unknown::default();
            part.iter().for_each(|name| unknown.see(name));
            all.merge(unknown);
        }
        all.counts()
    }

    #[test]
    fn frequent_names_come_first_and_long_ones_are_cut() {
        let names = ["b", "a", "c", "c"].map(str::to_owned);
        let expected = vec![("c".to_owned(), 2), ("a".to_owned(), 1), ("b".to_owned(), 1)];
        assert_eq!(counted(&[&names]), (expected, 0));
        let (names, _) = counted(&[&["é".repeat(80)]]);
        assert_eq!(names, [("é".repeat(50), 1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn what_is_counted_apart_adds_up_in_any_order(
            mut names in prop::collection::vec("[a-z]{1,3}", 0..6000),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let expected = counted(&[&names]);
            let total = expected.0.iter().map(|(_, count)| count).sum::<u64>() + expected.1;
            prop_assert_eq!(total, names.len() as u64);
            prop_assert!(expected.0.len() <= MOST_NAMES);
            names.reverse();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(names.len() + 1)).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([names.len()]);
            let starts = [0].into_iter().chain(cuts.iter().copied());
            let parts: Vec<_> = starts.zip(ends).map(|(from, to)| &names[from..to]).collect();
            prop_assert_eq!(counted(&parts), expected);
        }
    }
}
