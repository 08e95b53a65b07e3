//! The arena: holds the texts of a record that do not stand in it as they are.

use std::array;
use std::cell::OnceCell;
use std::hash::BuildHasher;
use std::ops::RangeInclusive;

use bumpalo::Bump;
use hashbrown::DefaultHashBuilder;

use super::text::{compact, unescape};

/// Memory for the texts of one record after the other.
#[derive(Debug)]
pub(crate) struct Arena {
    bump: Bump,
    /// What takes the place of each byte that no database can hold.
    replacement: Option<u8>,
    /// Long texts whose escapes were undone, each in the slot that its hash says, where the first one stays: user
    /// agents have many escapes, and there are few user agents.
    known: [OnceCell<Known>; SLOTS],
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Known {
    escaped: Box<str>,
    text: Box<str>,
}

const SLOTS: usize = 256;

/// Shorter ones are undone faster than found, longer ones are no user agents.
const WORTH_KNOWING: RangeInclusive<usize> = 64..=512;

impl Arena {
    pub fn new(replacement: Option<u8>) -> Self {
        Self {
            bump: Bump::new(),
            replacement,
            known: array::from_fn(|_| OnceCell::new()),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Forgets the texts of the last record.
    pub fn reset(&mut self) {
        self.bump.reset();
    }

    /// What a string says whose `inner` text has escapes, as [`unescape`] does.
    ///
    /// # Errors
    ///
    /// There is something to replace and no replacement.
    pub(super) fn unescape<'a>(&'a self, inner: &'a str) -> Result<&'a str, &'static str> {
        if !WORTH_KNOWING.contains(&inner.len()) {
            return unescape(inner, self.replacement, &self.bump);
        }
        let slot = &self.known[self.hasher.hash_one(inner) as usize % SLOTS];
        match slot.get() {
            Some(known) if *known.escaped == *inner => Ok(&known.text),
            Some(_) => unescape(inner, self.replacement, &self.bump),
            None => {
                let text = unescape(inner, self.replacement, &self.bump)?;
                Ok(&slot.get_or_init(|| Known { escaped: inner.into(), text: text.into() }).text)
            }
        }
    }

    /// JSON text without the white space between its tokens.
    pub(super) fn compact<'a>(&'a self, json: &'a str) -> &'a str {
        compact(json, &self.bump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_the_same_when_it_comes_again() {
        let mut arena = Arena::new(Some(b'?'));
        let texts: Vec<_> =
            (0..3 * SLOTS).map(|number| format!("{number}\\/{}", "x".repeat(number))).collect();
        for escaped in texts.iter().chain(&texts) {
            arena.reset();
            assert_eq!(arena.unescape(escaped), Ok(&*escaped.replace("\\/", "/")));
        }
        let taken = arena.known.iter().filter_map(OnceCell::get);
        assert!(taken.clone().count() > SLOTS / 2);
        assert!(taken.clone().all(|known| WORTH_KNOWING.contains(&known.escaped.len())));
    }
}
