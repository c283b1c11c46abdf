//! Which bindings of a policy are about a request, and with which parameters.

use apimachinery::Object;

use super::params;
use super::source::{Binding, Policy};
use crate::admission::Request;
use crate::registry::KindRef;

/// One evaluation of a policy.
pub(super) struct Invocation<'p> {
    pub(super) binding: &'p Binding,
    /// The kind as which the objects of the request are seen.
    pub(super) seen: KindRef,
    pub(super) params: Option<Object>,
}

/// The reason why a policy, or one of its bindings, cannot be evaluated.
pub(super) struct Misconfigured<'p> {
    pub(super) binding: Option<&'p Binding>,
    pub(super) why: String,
}

impl<A> Policy<A> {
    /// The evaluations that a request demands.
    pub(super) fn invocations(
        &self,
        request: &Request<'_>,
        object: Option<&Object>,
    ) -> Vec<Result<Invocation<'_>, Misconfigured<'_>>> {
        let seen = match self.selection.seen_as(request, object) {
            Ok(Some(seen)) => seen,
            Ok(None) => return Vec::new(),
            Err(status) => {
                let why = format!("failed to configure policy: {}", status.message);
                return vec![Err(Misconfigured { binding: None, why })];
            }
        };
        let mut found = Vec::new();
        for binding in &self.bindings {
            let misconfigured = |why: &dyn std::fmt::Display| Misconfigured {
                binding: Some(binding),
                why: format!("failed to configure binding: {why}"),
            };
            match binding.selection.seen_as(request, object) {
                Ok(Some(_)) => {}
                Ok(None) => continue,
                Err(status) => {
                    found.push(Err(misconfigured(&status.message)));
                    continue;
                }
            }
            match params::of(request, self.param_kind.as_ref(), binding) {
                Ok(all) => found.extend(
                    all.into_iter()
                        .map(|params| Ok(Invocation { binding, seen: seen.clone(), params })),
                ),
                Err(why) => found.push(Err(misconfigured(&why))),
            }
        }
        found
    }
}
