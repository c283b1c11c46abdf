//! Names of custom kinds, kept for the life of the process.
//!
//! Tables, metrics and messages refer to kinds by words that live as long as the program. Those of
//! custom kinds are kept once each: a definition that is deleted and made again costs nothing more,
//! and each new one costs some hundred bytes of what it takes in the store.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::registry::Selectable;

struct Kept<T: ?Sized + 'static>(LazyLock<Mutex<HashSet<&'static T>>>);

static WORDS: Kept<str> = Kept(LazyLock::new(Mutex::default));
static LISTS: Kept<[&'static str]> = Kept(LazyLock::new(Mutex::default));
static FIELDS: LazyLock<Mutex<HashMap<Vec<&'static str>, &'static [Selectable]>>> =
    LazyLock::new(Mutex::default);

impl<T: ?Sized + Eq + Hash> Kept<T> {
    fn get(&self, wanted: &T, make: impl FnOnce() -> Box<T>) -> &'static T {
        let mut all = self.0.lock();
        if let Some(kept) = all.get(wanted) {
            return kept;
        }
        let kept = Box::leak(make());
        all.insert(kept);
        kept
    }
}

/// A word.
pub(super) fn word(text: &str) -> &'static str {
    WORDS.get(text, || text.into())
}

/// A list of words.
pub(super) fn list<'a>(words: impl Iterator<Item = &'a str>) -> &'static [&'static str] {
    let words: Vec<&'static str> = words.map(word).collect();
    LISTS.get(&words, || words.as_slice().into())
}

/// The selectable fields of these paths, such as `.spec.color`.
pub(super) fn fields<'a>(paths: impl Iterator<Item = &'a str>) -> &'static [Selectable] {
    let names: Vec<&'static str> = paths.map(|path| word(path.trim_start_matches('.'))).collect();
    let mut all = FIELDS.lock();
    if let Some(kept) = all.get(&names) {
        return kept;
    }
    let made = names.iter().map(|name| Selectable::new(name, list(name.split('.'))));
    let kept: &'static [Selectable] = Box::leak(made.collect::<Box<[_]>>());
    all.insert(names, kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_kept_once() {
        assert!(std::ptr::eq(word("widgets"), word(&String::from("widgets"))));
        let one = list(["a", "b"].into_iter());
        assert!(std::ptr::eq(one, list(["a", "b"].into_iter())));
        let fields_of = || fields([".spec.color"].into_iter());
        assert!(std::ptr::eq(fields_of(), fields_of()));
        assert_eq!(fields_of()[0].name, "spec.color");
    }
}
