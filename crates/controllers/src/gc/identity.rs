//! The identity of objects in owner references: a uid with its coordinates.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::graph::{Coordinates, Node};

/// An object: where it is, and which of those that were there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) at: Coordinates,
    pub(super) uid: String,
}

impl Identity {
    /// Returns true if the object is in a namespace that is not the dependent's.
    pub(super) fn is_apart_from(&self, dependent: &Node) -> bool {
        !self.at.namespace.is_empty() && self.at.namespace != dependent.seen.at.namespace
    }
}

/// As upstream prints it in events.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Coordinates { api_version, kind, namespace, name } = &self.at;
        let uid = &self.uid;
        write!(f, "[{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}]")
    }
}

/// Returns true if a reference names an object at these coordinates, its namespace aside.
pub(super) fn is_at(reference: &OwnerReference, at: &Coordinates) -> bool {
    reference.api_version == at.api_version
        && reference.kind == at.kind
        && reference.name == at.name
}

/// How a dependent's references to the uid of an object fit the object. Both may be, when there are
/// several.
#[derive(Default)]
pub(super) struct Refers {
    pub(super) is_right: bool,
    pub(super) is_wrong: bool,
}

pub(super) fn refers(dependent: &Node, owner: &Identity) -> Refers {
    let mut found = Refers::default();
    for reference in dependent.seen.owners.iter().filter(|o| o.uid == owner.uid) {
        let fits = !owner.is_apart_from(dependent) && is_at(reference, &owner.at);
        found.is_right |= fits;
        found.is_wrong |= !fits;
    }
    found
}

/// Where else dependents say that an owner is which is not where it was looked for: the next place
/// in their order, and after the last the first.
pub(super) fn alternative(dependents: &[Node], missing: &Identity) -> Option<Coordinates> {
    let order = |at: &Coordinates| {
        (at.kind.clone(), at.api_version.clone(), at.namespace.clone(), at.name.clone())
    };
    let mut places: Vec<Coordinates> = Vec::new();
    for dependent in dependents {
        for reference in dependent.seen.owners.iter().filter(|o| o.uid == missing.uid) {
            let same_kind = reference.api_version == missing.at.api_version
                && reference.kind == missing.at.kind;
            // A kind whose object was looked for outside namespaces has none in them.
            let cluster = missing.at.namespace.is_empty() && same_kind;
            let namespace = if cluster { "" } else { &dependent.seen.at.namespace };
            places.push(Coordinates {
                api_version: reference.api_version.clone(),
                kind: reference.kind.clone(),
                namespace: namespace.to_owned(),
                name: reference.name.clone(),
            });
        }
    }
    places.retain(|at| *at != missing.at);
    places.sort_by_key(order);
    let after = places.iter().find(|at| order(at) > order(&missing.at));
    after.or(places.first()).cloned()
}

/// Owners known to be absent, so that their many dependents do not each ask; the oldest are
/// forgotten (upstream remembers 500).
#[derive(Default)]
pub(super) struct Absent {
    known: HashSet<Identity>,
    order: VecDeque<Identity>,
}

const REMEMBERED: usize = 500;

impl Absent {
    pub(super) fn add(&mut self, identity: Identity) {
        if !self.known.insert(identity.clone()) {
            return;
        }
        self.order.push_back(identity);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.known.contains(identity)
    }
}
