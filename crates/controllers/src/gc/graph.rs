//! Who owns whom, as far as is known.

use std::collections::{HashMap, HashSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::ApiResource;

pub(super) const ORPHAN: &str = "orphan";
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Coordinates {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What was seen of an object.
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
    Gone(String),
}

/// What a change gives reason to do.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Todo {
    Delete(String),
    Orphan(String),
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
    /// Whether it goes once its dependents are gone.
    pub(super) fn deletes_dependents(&self) -> bool {
        self.seen.waits_for(FOREGROUND)
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.seen.deleting
    }
}

/// All objects by uid.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
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
            Change::Gone(uid) => self.remove(&uid),
        }
    }

    fn see(&mut self, new: Observed) -> Vec<Todo> {
        let mut todo = Vec::new();
        let uid = new.uid.clone();
        let old = self.nodes.get(&uid).filter(|node| !node.is_virtual).map(|n| n.seen.clone());
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
        for owner in &new.owners {
            match self.nodes.get_mut(&owner.uid) {
                Some(node) => {
                    node.dependents.insert(uid.clone());
                }
                None => {
                    self.nodes
                        .insert(owner.uid.clone(), virtual_owner(owner, &new.at.namespace, &uid));
                    todo.push(Todo::Delete(owner.uid.clone()));
                }
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
        node.seen = new;
        node.is_virtual = false;
        if orphans {
            todo.push(Todo::Orphan(uid.clone()));
        }
        if deletes {
            todo.extend(node.dependents.iter().cloned().map(Todo::Delete));
            todo.push(Todo::Delete(uid));
        }
        todo
    }

    fn remove(&mut self, uid: &str) -> Vec<Todo> {
        let mut todo = Vec::new();
        let Some(node) = self.nodes.remove(uid) else { return todo };
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

    fn delete(uid: &str) -> Todo {
        Todo::Delete(uid.into())
    }

    #[test]
    fn dependents_are_looked_at_when_their_owner_goes() {
        let mut graph = Graph::default();
        assert_eq!(graph.apply(Change::Seen(seen("owner", &[]))), []);
        assert_eq!(graph.apply(Change::Seen(seen("child", &[("owner", false)]))), []);
        assert_eq!(graph.apply(Change::Gone("owner".into())), [delete("child")]);
        assert_eq!(graph.apply(Change::Gone("owner".into())), []);
        assert_eq!(graph.apply(Change::Gone("child".into())), []);
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
        graph.apply(Change::Gone("stray".into()));
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
        assert_eq!(graph.apply(Change::Gone("a".into())), [delete("owner")]);
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
}
