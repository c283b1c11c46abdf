//! Reinvocation: when a policy or a webhook has changed an object, the plugins before it see it once
//! more.

use std::collections::HashSet;

use apimachinery::Object;
use parking_lot::Mutex;

/// The progress of one request through the mutating plugins.
#[derive(Default)]
pub(crate) struct Rounds(Mutex<State>);

/// A plugin that remembers whom it asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Policies,
    Webhooks,
}

#[derive(Default)]
struct State {
    second: bool,
    /// A policy or a webhook has changed the object.
    again: bool,
    of: [Memory; 2],
}

#[derive(Default)]
struct Memory {
    /// Those that have been asked and want to be asked again after a change.
    asked: HashSet<String>,
    /// Those that are asked in the second round.
    due: HashSet<String>,
    /// The object as they left it.
    last: Option<Object>,
}

impl Rounds {
    /// Begins the second round, if there is to be one.
    pub(super) fn next(&self) -> bool {
        let mut state = self.0.lock();
        let again = state.again && !state.second;
        state.second |= again;
        again
    }

    /// Returns true in the second round.
    pub(super) fn is_second(&self) -> bool {
        self.0.lock().second
    }

    /// Begins a plugin's part of a round: in the second one, a change by other plugins makes all that
    /// want to be asked again due.
    pub(super) fn begin(&self, asker: Asker, object: &Object) {
        let mut state = self.0.lock();
        let second = state.second;
        let memory = &mut state.of[asker as usize];
        if second && memory.last.as_ref() != Some(object) {
            memory.require_all();
        }
    }

    /// Returns true if the policy or webhook is asked in this round.
    pub(super) fn asks(&self, asker: Asker, id: &str) -> bool {
        let state = self.0.lock();
        !state.second || state.of[asker as usize].due.contains(id)
    }

    /// A policy or webhook has answered.
    pub(super) fn answered(&self, asker: Asker, id: &str, changed: bool, reinvoked: bool) {
        let mut state = self.0.lock();
        state.again |= changed;
        let memory = &mut state.of[asker as usize];
        if changed {
            memory.require_all();
        }
        if reinvoked {
            memory.asked.insert(id.to_owned());
        }
    }

    /// Ends a plugin's part of a round.
    pub(super) fn end(&self, asker: Asker, object: &Object) {
        let mut state = self.0.lock();
        // Kept only if there may be a second round that asks somebody. Nothing after the webhooks
        // changes an object.
        let may_follow = !state.second && (state.again || asker != Asker::Webhooks);
        let memory = &mut state.of[asker as usize];
        if may_follow && !memory.asked.is_empty() {
            memory.last = Some(object.clone());
        }
    }
}

impl Memory {
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
        use Asker::{Policies, Webhooks};
        let rounds = Rounds::default();
        rounds.begin(Policies, &json!(1));
        rounds.answered(Policies, "policy", false, true);
        rounds.end(Policies, &json!(1));
        rounds.begin(Webhooks, &json!(1));
        rounds.answered(Webhooks, "early", false, true);
        rounds.answered(Webhooks, "changes", true, false);
        rounds.end(Webhooks, &json!(2));
        assert!(rounds.next());
        rounds.begin(Policies, &json!(2));
        assert!(rounds.asks(Policies, "policy"));
        rounds.end(Policies, &json!(2));
        rounds.begin(Webhooks, &json!(2));
        assert!(rounds.asks(Webhooks, "early"));
        assert!(!rounds.asks(Webhooks, "changes"));
        assert!(!rounds.next());
        // Nothing has changed: one round.
        let rounds = Rounds::default();
        rounds.answered(Webhooks, "early", false, true);
        assert!(!rounds.next());
    }
}
