//! The graph of owners and dependents, as far as it is known.

use std::collections::{HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::ApiResource;

use super::identity::{self, Absent, Identity, is_at, refers};

pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Coordinates {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// The parts of an object that the graph needs, as observed.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) at: Coordinates,
    pub(super) uid: String,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) deleting: bool,
    pub(super) finalizers: Vec<String>,
}

impl Observed {
    pub(super) fn new(kind: &ApiResource, meta: &ObjectMeta) -> Self {
        Self {
            at: Coordinates {
                api_version: kind.api_version.clone(),
                kind: kind.kind.clone(),
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            uid: meta.uid.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
        }
    }

    fn waits_for(&self, finalizer: &str) -> bool {
        self.deleting && self.finalizers.iter().any(|known| known == finalizer)
    }
}

/// A change to the graph.
#[derive(Debug)]
pub(super) enum Change {
    Seen(Observed),
    Gone(Identity),
    /// There is no such object at these coordinates, as far as the server says.
    Missing(Identity),
}

/// Work that follows from a change.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Todo {
    Delete(String),
    Orphan(String),
    /// As `Delete`, but not at once: something else about the object is tried.
    Retry(String),
    /// Tell about a dependent whose owner is in another namespace.
    Report {
        dependent: String,
        owner: String,
    },
}

/// An object in the graph.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) seen: Observed,
    pub(super) dependents: HashSet<String>,
    /// Only known from the reference of a dependent: whether it exists has to be found out.
    pub(super) is_virtual: bool,
}

impl Node {
    /// Returns true if it is deleted in the foreground, once its dependents are gone.
    pub(super) fn deletes_dependents(&self) -> bool {
        self.seen.waits_for(FOREGROUND)
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.seen.deleting
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { at: self.seen.at.clone(), uid: self.seen.uid.clone() }
    }
}

/// All objects by uid.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    /// Owners that are known not to exist.
    pub(super) absent: Absent,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<Node> {
        self.nodes.get(uid).cloned()
    }

    /// The dependents of an object.
    pub(super) fn dependents(&self, node: &Node) -> Vec<Node> {
        node.dependents.iter().filter_map(|uid| self.nodes.get(uid).cloned()).collect()
    }

    pub(super) fn apply(&mut self, change: Change) -> Vec<Todo> {
        match change {
            Change::Seen(observed) => self.see(observed),
            Change::Gone(identity) => self.remove(&identity),
            Change::Missing(identity) => self.miss(&identity),
        }
    }

    fn see(&mut self, new: Observed) -> Vec<Todo> {
        let mut todo = Vec::new();
        let uid = new.uid.clone();
        let found = self.nodes.get(&uid);
        let old = found.filter(|node| !node.is_virtual).map(|n| n.seen.clone());
        if let Some(assumed) = found.filter(|node| node.is_virtual && node.seen.at != new.at) {
            // Some dependent was wrong about where its owner is.
            let owner = Identity { at: new.at.clone(), uid: uid.clone() };
            for dependent in self.dependents(assumed) {
                if refers(&dependent, &owner).is_wrong {
                    let dependent_uid = dependent.seen.uid.clone();
                    if owner.is_apart_from(&dependent) {
                        let (dependent, owner) = (dependent_uid.clone(), uid.clone());
                        todo.push(Todo::Report { dependent, owner });
                    }
                    todo.push(Todo::Delete(dependent_uid));
                }
            }
        }
        let old_owners = old.as_ref().map(|old| old.owners.clone()).unwrap_or_default();

        for gone in old_owners.iter().filter(|o| !new.owners.iter().any(|n| n.uid == o.uid)) {
            if let Some(owner) = self.nodes.get_mut(&gone.uid) {
                owner.dependents.remove(&uid);
            }
        }
        for before in &old_owners {
            let after = new.owners.iter().find(|owner| owner.uid == before.uid);
            let blocked = before.block_owner_deletion == Some(true);
            let unblocks = after.is_none_or(|after| after.block_owner_deletion != Some(true));
            if blocked && unblocks {
                self.recheck_waiting(&before.uid, &mut todo);
            }
        }
        let starts = |finalizer: &str| {
            new.waits_for(finalizer) && !old.as_ref().is_some_and(|old| old.waits_for(finalizer))
        };
        let (orphans, deletes) = (starts(ORPHAN), starts(FOREGROUND));
        let node = self.nodes.entry(uid.clone()).or_insert_with(|| Node {
            seen: new.clone(),
            dependents: HashSet::new(),
            is_virtual: false,
        });
        node.seen = new.clone();
        node.is_virtual = false;
        let added = |owner: &&OwnerReference| !old_owners.iter().any(|o| o.uid == owner.uid);
        let added: Vec<_> = new.owners.iter().filter(added).cloned().collect();
        self.join(&new, &added, &mut todo);
        if orphans {
            todo.push(Todo::Orphan(uid));
        } else if deletes {
            let dependents = self.nodes.get(&uid).map(|n| n.dependents.clone());
            todo.extend(dependents.into_iter().flatten().map(Todo::Delete));
            todo.push(Todo::Delete(uid));
        }
        todo
    }

    /// Makes an object a dependent of its owners, which may still be unseen, or not be what the
    /// references say.
    fn join(&mut self, dependent: &Observed, owners: &[OwnerReference], todo: &mut Vec<Todo>) {
        let mut doubtful = false;
        for owner in owners {
            let Some(node) = self.nodes.get_mut(&owner.uid) else {
                let node = virtual_owner(owner, &dependent.at.namespace, &dependent.uid);
                self.nodes.insert(owner.uid.clone(), node);
                todo.push(Todo::Delete(owner.uid.clone()));
                continue;
            };
            node.dependents.insert(dependent.uid.clone());
            let place = &node.seen.at.namespace;
            let elsewhere = *place != dependent.at.namespace;
            if !place.is_empty() && elsewhere {
                if !node.is_virtual && !doubtful {
                    let (dependent, owner) = (dependent.uid.clone(), owner.uid.clone());
                    todo.push(Todo::Report { dependent, owner });
                }
                doubtful = true;
            } else if !is_at(owner, &node.seen.at) || (elsewhere && node.is_virtual) {
                doubtful = true;
            }
        }
        if doubtful {
            todo.push(Todo::Delete(dependent.uid.clone()));
        }
    }

    /// An object that is not at the coordinates of an owner reference may still be elsewhere.
    fn miss(&mut self, missing: &Identity) -> Vec<Todo> {
        let Some(node) = self.nodes.get(&missing.uid) else { return Vec::new() };
        let (mut believers, mut others) = (Vec::new(), Vec::new());
        for dependent in self.dependents(node) {
            let refers = refers(&dependent, missing);
            if refers.is_right {
                believers.push(dependent.seen.uid.clone());
            }
            if refers.is_wrong {
                others.push(dependent);
            }
        }
        let same = node.identity() == *missing;
        let stays = if node.is_virtual { !others.is_empty() } else { !same };
        if !stays {
            return self.remove(missing);
        }
        let mut todo = Vec::new();
        let next = match node.is_virtual && same {
            true => identity::alternative(&others, missing),
            false => None,
        };
        if !believers.is_empty() {
            self.absent.add(missing.clone());
            todo.extend(believers.into_iter().map(Todo::Delete));
        }
        if let (Some(next), Some(node)) = (next, self.nodes.get_mut(&missing.uid)) {
            node.seen.at = next;
            todo.push(Todo::Retry(missing.uid.clone()));
        }
        todo
    }

    fn remove(&mut self, identity: &Identity) -> Vec<Todo> {
        let uid = &identity.uid;
        let mut todo = Vec::new();
        let Some(node) = self.nodes.remove(uid) else { return todo };
        if !node.dependents.is_empty() {
            self.absent.add(identity.clone());
        }
        for owner in &node.seen.owners {
            if let Some(owner) = self.nodes.get_mut(&owner.uid) {
                owner.dependents.remove(uid);
            }
            self.recheck_waiting(&owner.uid, &mut todo);
            let orphaned =
                self.nodes.get(&owner.uid).is_some_and(|o| o.is_virtual && o.dependents.is_empty());
            if orphaned {
                self.nodes.remove(&owner.uid);
            }
        }
        todo.extend(node.dependents.into_iter().map(Todo::Delete));
        todo
    }

    /// An owner that waits for its dependents may have waited for the last one.
    fn recheck_waiting(&self, owner: &str, todo: &mut Vec<Todo>) {
        if self.nodes.get(owner).is_some_and(Node::deletes_dependents) {
            todo.push(Todo::Delete(owner.to_owned()));
        }
    }
}

/// An owner nobody has seen yet. It is looked for in the dependent's namespace.
fn virtual_owner(reference: &OwnerReference, namespace: &str, dependent: &str) -> Node {
    Node {
        seen: Observed {
            at: Coordinates {
                api_version: reference.api_version.clone(),
                kind: reference.kind.clone(),
                namespace: namespace.to_owned(),
                name: reference.name.clone(),
            },
            uid: reference.uid.clone(),
            owners: Vec::new(),
            deleting: false,
            finalizers: Vec::new(),
        },
        dependents: HashSet::from([dependent.to_owned()]),
        is_virtual: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(uid: &str, owners: &[(&str, bool)]) -> Observed {
        let owner = |(uid, blocks): &(&str, bool)| OwnerReference {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            name: (*uid).into(),
            uid: (*uid).into(),
            block_owner_deletion: Some(*blocks),
            ..OwnerReference::default()
        };
        Observed {
            at: Coordinates {
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: "ns".into(),
                name: uid.into(),
            },
            uid: uid.into(),
            owners: owners.iter().map(owner).collect(),
            deleting: false,
            finalizers: Vec::new(),
        }
    }

    fn going(uid: &str, finalizer: &str) -> Observed {
        Observed { deleting: true, finalizers: vec![finalizer.into()], ..seen(uid, &[]) }
    }

    fn gone(uid: &str) -> Change {
        Change::Gone(Identity { at: seen(uid, &[]).at, uid: uid.into() })
    }

    fn delete(uid: &str) -> Todo {
        Todo::Delete(uid.into())
    }

    #[test]
    fn dependents_are_looked_at_when_their_owner_goes() {
        let mut graph = Graph::default();
        assert_eq!(graph.apply(Change::Seen(seen("owner", &[]))), []);
        assert_eq!(graph.apply(Change::Seen(seen("child", &[("owner", false)]))), []);
        assert_eq!(graph.apply(gone("owner")), [delete("child")]);
        assert_eq!(graph.apply(gone("owner")), []);
        assert_eq!(graph.apply(gone("child")), []);
        assert!(graph.nodes.is_empty());
    }

    #[test]
    fn unseen_owners_are_looked_for() {
        let mut graph = Graph::default();
        assert_eq!(
            graph.apply(Change::Seen(seen("child", &[("owner", false)]))),
            [delete("owner")]
        );
        assert!(graph.get("owner").unwrap().is_virtual);
        assert_eq!(graph.apply(Change::Seen(seen("owner", &[]))), []);
        let owner = graph.get("owner").unwrap();
        assert!(!owner.is_virtual && owner.dependents.contains("child"));
        // Of an owner that never existed nothing stays when its dependent goes.
        graph.apply(Change::Seen(seen("stray", &[("nobody", false)])));
        graph.apply(gone("stray"));
        assert!(graph.get("nobody").is_none());
    }

    #[test]
    fn foreground_deletion_begins_with_the_dependents_and_ends_with_the_last() {
        let mut graph = Graph::default();
        graph.apply(Change::Seen(seen("owner", &[])));
        graph.apply(Change::Seen(seen("a", &[("owner", true)])));
        let todo = graph.apply(Change::Seen(going("owner", FOREGROUND)));
        assert_eq!(todo, [delete("a"), delete("owner")]);
        assert_eq!(graph.apply(Change::Seen(going("owner", FOREGROUND))), [], "said once");
        graph.apply(Change::Seen(seen("b", &[("owner", true)])));
        // Released by one, deleted the other: both times the owner is looked at.
        assert_eq!(graph.apply(Change::Seen(seen("b", &[]))), [delete("owner")]);
        assert_eq!(graph.apply(gone("a")), [delete("owner")]);
    }

    #[test]
    fn orphaning_is_asked_for_once() {
        let mut graph = Graph::default();
        graph.apply(Change::Seen(seen("owner", &[])));
        let todo = graph.apply(Change::Seen(going("owner", ORPHAN)));
        assert_eq!(todo, [Todo::Orphan("owner".into())]);
        assert_eq!(graph.apply(Change::Seen(going("owner", ORPHAN))), []);
        let mut fresh = Graph::default();
        let todo = fresh.apply(Change::Seen(going("owner", ORPHAN)));
        assert_eq!(todo, [Todo::Orphan("owner".into())], "also when first seen like that");
    }

    fn elsewhere(mut observed: Observed) -> Observed {
        observed.at.namespace = "other".into();
        observed
    }

    #[test]
    fn a_wrong_reference_does_not_lose_the_owner() {
        // The bad dependent comes first, as after a restart: its owner is taken to be in its
        // namespace, where the server does not find it.
        let mut graph = Graph::default();
        let bad = elsewhere(seen("bad", &[("owner", false)]));
        assert_eq!(graph.apply(Change::Seen(bad)), [delete("owner")]);
        let assumed = graph.get("owner").unwrap().identity();
        let report = Todo::Report { dependent: "bad".into(), owner: "owner".into() };
        let todo = graph.apply(Change::Seen(seen("owner", &[])));
        assert_eq!(todo, [report, delete("bad")]);
        for uid in ["good", "better"] {
            assert_eq!(graph.apply(Change::Seen(seen(uid, &[("owner", false)]))), []);
        }
        // The answer about where it was looked for comes late.
        assert_eq!(graph.apply(Change::Missing(assumed.clone())), [delete("bad")]);
        assert!(graph.absent.has(&assumed));
        let mut todo = graph.apply(gone("owner"));
        todo.sort();
        assert_eq!(todo, [delete("bad"), delete("better"), delete("good")]);
    }

    #[test]
    fn an_unseen_owner_is_looked_for_wherever_it_may_be() {
        let mut graph = Graph::default();
        graph.apply(Change::Seen(elsewhere(seen("bad", &[("owner", false)]))));
        // Two dependents disagree, so that both have to be looked at.
        assert_eq!(graph.apply(Change::Seen(seen("good", &[("owner", false)]))), [delete("good")]);
        let assumed = graph.get("owner").unwrap().identity();
        let todo = graph.apply(Change::Missing(assumed));
        assert_eq!(todo, [delete("bad"), Todo::Retry("owner".into())]);
        assert_eq!(graph.get("owner").unwrap().seen.at, seen("owner", &[]).at);
        let next = graph.get("owner").unwrap().identity();
        assert_eq!(
            graph.apply(Change::Missing(next)),
            [delete("good"), Todo::Retry("owner".into())]
        );
    }

    #[test]
    fn the_kind_and_the_name_of_an_owner_count() {
        let mut graph = Graph::default();
        graph.apply(Change::Seen(seen("owner", &[])));
        let mut wrong = seen("wrong", &[("owner", false)]);
        wrong.owners[0].kind = "Secret".into();
        assert_eq!(graph.apply(Change::Seen(wrong)), [delete("wrong")]);
    }
}
