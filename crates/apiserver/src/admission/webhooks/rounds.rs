//! Reinvocation: when a webhook has changed an object, the plugins before it see it once more.

use std::collections::HashSet;

use apimachinery::Object;
use parking_lot::Mutex;

/// The progress of one request through the mutating plugins.
#[derive(Default)]
pub(crate) struct Rounds(Mutex<State>);

#[derive(Default)]
struct State {
    second: bool,
    /// A webhook has changed the object.
    again: bool,
    /// Webhooks that have been asked and want to be asked again after a change.
    asked: HashSet<String>,
    /// Those that are asked in the second round.
    due: HashSet<String>,
    /// The object as the webhooks left it.
    last: Option<Object>,
}

impl Rounds {
    /// Begins the second round, if there is to be one.
    pub(in crate::admission) fn next(&self) -> bool {
        let mut state = self.0.lock();
        let again = state.again && !state.second;
        state.second |= again;
        again
    }

    /// Begins a round's webhooks: in the second one, a change by other plugins makes all that want
    /// to be asked again due.
    pub(super) fn begin(&self, object: &Object) {
        let mut state = self.0.lock();
        if state.second && state.last.as_ref() != Some(object) {
            state.require_all();
        }
    }

    /// Returns true if a webhook is asked in this round.
    pub(super) fn asks(&self, id: &str) -> bool {
        let state = self.0.lock();
        !state.second || state.due.contains(id)
    }

    /// A webhook has answered.
    pub(super) fn answered(&self, id: &str, changed: bool, reinvoked: bool) {
        let mut state = self.0.lock();
        if changed {
            state.require_all();
            state.again = true;
        }
        if reinvoked {
            state.asked.insert(id.to_owned());
        }
    }

    pub(super) fn end(&self, object: &Object) {
        let mut state = self.0.lock();
        // Kept only if there will be a second round.
        if state.again && !state.second {
            state.last = Some(object.clone());
        }
    }
}

impl State {
    fn require_all(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.due.extend(asked);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn those_before_a_change_are_asked_again_once() {
        let rounds = Rounds::default();
        rounds.begin(&json!(1));
        rounds.answered("early", false, true);
        rounds.answered("changes", true, false);
        rounds.end(&json!(2));
        assert!(rounds.next());
        rounds.begin(&json!(2));
        assert!(rounds.asks("early"));
        assert!(!rounds.asks("changes"));
        assert!(!rounds.next());
        // Nothing has changed: one round.
        let rounds = Rounds::default();
        rounds.answered("early", false, true);
        assert!(!rounds.next());
    }
}
