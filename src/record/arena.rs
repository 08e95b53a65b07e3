//! The arena: holds the texts of a record that do not stand in it as they are, and what the records before it have taught.

use std::array;
use std::cell::{Cell, OnceCell, RefCell};
use std::hash::BuildHasher;

use bumpalo::Bump;
use hashbrown::DefaultHashBuilder;

use super::text::{compact, unescape};
use super::unknown::Unknown;

/// Memory for one record after the other.
#[derive(Debug)]
pub(crate) struct Arena {
    bump: Bump,
    /// What takes the place of each byte that no database can hold.
    replacement: Option<u8>,
    /// Long texts whose escapes were undone, of which the first ones stay: user agents have many escapes, and there are
    /// few user agents.
    known: [OnceCell<Known>; SLOTS],
    hasher: DefaultHashBuilder,
    in_order: Cell<bool>,
    /// The members of all records that feed no column.
    unknown: RefCell<Unknown>,
    /// Those of the last record, if they are kept.
    rescued: OnceCell<String>,
}

#[derive(Debug)]
struct Known {
    /// With the quote behind it.
    escaped: Box<str>,
    text: Box<str>,
}

impl Known {
    fn inner(&self) -> &str {
        &self.escaped[..self.escaped.len() - 1]
    }
}

/// Where a known text is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot(u8);

impl Slot {
    /// Any slot, where no text is known.
    pub const NONE: Self = Self(0);
}

const SLOTS: usize = 1 << u8::BITS;

/// A text is looked for in this many slots, the first of which its first bytes say.
const TRIES: u8 = 8;
const HEAD_BYTES: usize = 64;

/// Longer ones are no user agents.
const MOST_BYTES: usize = 512;

impl Arena {
    pub fn new(replacement: Option<u8>) -> Self {
        Self {
            bump: Bump::new(),
            replacement,
            known: array::from_fn(|_| OnceCell::new()),
            hasher: DefaultHashBuilder::default(),
            in_order: Cell::new(true),
            unknown: RefCell::default(),
            rescued: OnceCell::new(),
        }
    }

    /// Forgets the texts of the last record.
    pub fn reset(&mut self) {
        self.bump.reset();
        self.rescued.take();
    }

    /// What was unknown about the records so far, which are counted no longer.
    pub fn take_unknown(&mut self) -> Unknown {
        self.unknown.take()
    }

    /// The members of the last record that feed no column, as a JSON object; `None` where there are none, or they are not
    /// kept.
    pub fn rescued(&self) -> Option<&str> {
        self.rescued.get().map(String::as_str)
    }

    /// Takes note of the last record's members that feed no column: names, with their quotes, and values, as they are
    /// written. What is `rescued` of them is kept until the next record.
    pub(super) fn see_unknown(
        &self,
        members: &[(&str, &str)],
        has_known: bool,
        rescued: Option<String>,
    ) {
        if members.is_empty() && has_known {
            return;
        }
        let mut unknown = self.unknown.borrow_mut();
        for (name, _) in members {
            let written = &name[1..name.len() - 1];
            // A name that no text can hold is told as it is written.
            unknown.see(unescape(written, None, &self.bump).unwrap_or(written));
        }
        unknown.strangers += u64::from(!has_known);
        if let Some(rescued) = rescued {
            let _ = self.rescued.set(rescued);
        }
    }

    /// Whether the members of the last record came in the order of their columns, as far as is known: those of the next
    /// will, too.
    pub(super) fn in_order(&self) -> bool {
        self.in_order.get()
    }

    pub(super) fn set_in_order(&self, in_order: bool) {
        self.in_order.set(in_order);
    }

    /// The known text of the string that `json` begins with, behind its opening quote, and where the string ends.
    #[inline(never)]
    pub(super) fn known(&self, json: &[u8]) -> Option<(Slot, usize)> {
        for slot in self.slots(json.first_chunk()?) {
            let Known { escaped, text: _ } = self.kept(slot).get()?;
            if json.starts_with(escaped.as_bytes()) {
                return Some((slot, escaped.len()));
            }
        }
        None
    }

    /// What the string says whose text is kept in `slot`.
    pub(super) fn text(&self, slot: Slot) -> &str {
        self.kept(slot).get().map_or("", |known| &known.text)
    }

    fn kept(&self, slot: Slot) -> &OnceCell<Known> {
        &self.known[usize::from(slot.0)]
    }

    fn slots(&self, head: &[u8; HEAD_BYTES]) -> impl Iterator<Item = Slot> {
        let first = self.hasher.hash_one(head) as u8;
        (0..TRIES).map(move |number| Slot(first.wrapping_add(number)))
    }

    /// What a string says whose `inner` text has escapes, as [`unescape`] does.
    ///
    /// # Errors
    ///
    /// There is something to replace and no replacement.
    pub(super) fn unescape<'a>(&'a self, inner: &'a str) -> Result<&'a str, &'static str> {
        let unescaped = || unescape(inner, self.replacement, &self.bump);
        let Some(head) = inner.as_bytes().first_chunk() else { return unescaped() };
        if inner.len() > MOST_BYTES {
            return unescaped();
        }
        for slot in self.slots(head) {
            let kept = self.kept(slot);
            match kept.get() {
                Some(known) if known.inner() == inner => return Ok(&known.text),
                Some(_) => {}
                None => {
                    let (escaped, text) = ([inner, "\""].concat().into(), unescaped()?.into());
                    return Ok(&kept.get_or_init(|| Known { escaped, text }).text);
                }
            }
        }
        unescaped()
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
            let text = escaped.replace("\\/", "/");
            assert_eq!(arena.unescape(escaped), Ok(&*text));
            let json = format!("{escaped}\",\"userId\":\"8\"}}");
            if let Some((slot, length)) = arena.known(json.as_bytes()) {
                assert_eq!((arena.text(slot), length), (&*text, escaped.len() + 1));
            }
        }
        let known: Vec<_> = arena.known.iter().filter_map(OnceCell::get).collect();
        assert!(known.len() > SLOTS / 2);
        assert!(known.iter().all(|it| (HEAD_BYTES..=MOST_BYTES).contains(&it.inner().len())));
    }

    #[test]
    fn a_text_that_goes_on_is_another() {
        let arena = Arena::new(None);
        let agent = format!("Mozilla\\/5.0 {}", "x".repeat(HEAD_BYTES));
        arena.unescape(&agent).unwrap();
        for (behind, is_known) in [("\"", true), ("x\"", false), ("\\\"\"", false), ("", false)] {
            let json = format!("{agent}{behind}");
            assert_eq!(arena.known(json.as_bytes()).is_some(), is_known, "{json}");
        }
    }
}
