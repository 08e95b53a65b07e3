//! The users, as their latest events show them.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{Fold, Place};
use crate::record::Event;
use crate::table::users::User;

/// Every user seen, with the attributes of the latest event by (ts, session, item, place).
#[derive(Debug, Default)]
pub(crate) struct Users(HashMap<i32, Seen>);

#[derive(Debug)]
struct Seen {
    when: When,
    first_name: Option<String>,
    last_name: Option<String>,
    gender: Option<String>,
    level: Option<String>,
}

/// How late an event is; what is missing counts as earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct When {
    ts: Option<i64>,
    session_id: Option<i32>,
    item_in_session: Option<i32>,
    place: Place,
}

impl Users {
    /// Takes note of an event's user, if it has one.
    pub fn see(&mut self, event: &Event<'_>, place: Place) {
        let Some(user_id) = event.user_id else { return };
        let when = When {
            ts: event.ts.map(|moment| moment.unix_ms()),
            session_id: event.session_id,
            item_in_session: event.item_in_session,
            place,
        };
        match self.0.entry(user_id) {
            Entry::Occupied(entry) if entry.get().when >= when => {}
            Entry::Occupied(mut entry) => entry.get_mut().update(event, when),
            Entry::Vacant(entry) => {
                let mut seen =
                    Seen { when, first_name: None, last_name: None, gender: None, level: None };
                seen.update(event, when);
                entry.insert(seen);
            }
        }
    }

    /// The users, ordered by id.
    pub fn rows(&self) -> impl Iterator<Item = User<'_>> {
        let mut users: Vec<_> = self.0.iter().collect();
        users.sort_unstable_by_key(|(user_id, _)| **user_id);
        users.into_iter().map(|(user_id, seen)| User {
            user_id: *user_id,
            first_name: seen.first_name.as_deref(),
            last_name: seen.last_name.as_deref(),
            gender: seen.gender.as_deref(),
            level: seen.level.as_deref(),
        })
    }
}

impl Fold for Users {
    fn merged(mut self, other: Self) -> Self {
        for (user_id, seen) in other.0 {
            match self.0.entry(user_id) {
                Entry::Occupied(entry) if entry.get().when >= seen.when => {}
                entry => {
                    entry.insert(seen);
                }
            }
        }
        self
    }
}

impl Seen {
    /// Keeps the strings' memory: most users are updated thousands of times.
    fn update(&mut self, event: &Event<'_>, when: When) {
        fn set(kept: &mut Option<String>, value: Option<&str>) {
            match (kept, value) {
                (Some(kept), Some(value)) => value.clone_into(kept),
                (kept, value) => *kept = value.map(str::to_owned),
            }
        }
        self.when = when;
        set(&mut self.first_name, event.first_name);
        set(&mut self.last_name, event.last_name);
        set(&mut self.gender, event.gender);
        set(&mut self.level, event.level);
    }
}
