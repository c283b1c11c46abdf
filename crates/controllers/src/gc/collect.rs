//! The decisions about one object.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PropagationPolicy;

use super::Collector;
use super::graph::{Change, Coordinates, FOREGROUND, Node, ORPHAN};
use super::identity::Identity;
use crate::{Error, Outcome};

/// When an owner is looked for again that exists, but has not been seen: it may have come and gone
/// while nobody watched.
const UNSEEN: Duration = Duration::from_secs(30);

/// Owner references by what became of the owner.
#[derive(Default)]
struct Owners {
    /// It is there.
    solid: Vec<OwnerReference>,
    /// It is gone.
    dangling: Vec<OwnerReference>,
    /// It waits for its dependents to go.
    waiting: Vec<OwnerReference>,
}

fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|known| known == finalizer)
}

impl Collector {
    /// Looks at an object that may have lost its owners, or that waits for its dependents.
    pub(super) async fn attempt_to_delete(&self, uid: &str) -> Outcome {
        let Some(node) = self.graph.lock().get(uid) else { return Ok(None) };
        if node.is_deleting() && !node.deletes_dependents() {
            return Ok(None);
        }
        let latest = self.metadata(&node.seen.at).await?;
        let Some(latest) = latest.filter(|latest| latest.uid.as_deref() == Some(uid)) else {
            // Nobody will tell us of its end: an owner that was never there, or an event lost.
            let _ = self.changes.send(Change::Missing(node.identity()));
            return Ok(None);
        };
        let again = node.is_virtual.then_some(UNSEEN);
        if node.deletes_dependents() {
            return self.advance_foreground(&node).await;
        }
        let references = latest.owner_references.clone().unwrap_or_default();
        if references.is_empty() {
            return Ok(again);
        }
        let Some(owners) = self.classify(&node, references).await? else { return Ok(None) };
        if !owners.solid.is_empty() {
            if !owners.dangling.is_empty() || !owners.waiting.is_empty() {
                self.write_owners(&node.seen.at, &latest, owners.solid).await?;
            }
            return Ok(again);
        }
        let dependents = self.graph.lock().dependents(&node);
        if !owners.waiting.is_empty() && !dependents.is_empty() {
            if dependents.iter().any(Node::deletes_dependents) {
                // A circle: somebody has to stop waiting.
                self.unblock(&node, &latest).await?;
                let Some(latest) = self.metadata(&node.seen.at).await? else { return Ok(None) };
                self.delete(&node, &latest, PropagationPolicy::Foreground).await?;
                return Ok(None);
            }
            self.delete(&node, &latest, PropagationPolicy::Foreground).await?;
            return Ok(None);
        }
        // Whoever marked the object may have had a wish.
        let policy = if has_finalizer(&latest, ORPHAN) {
            PropagationPolicy::Orphan
        } else if has_finalizer(&latest, FOREGROUND) {
            PropagationPolicy::Foreground
        } else {
            PropagationPolicy::Background
        };
        self.delete(&node, &latest, policy).await?;
        Ok(None)
    }

    /// `None` when an owner cannot be named: an object outside namespaces refers to one in some.
    /// It is left alone.
    async fn classify(
        &self,
        node: &Node,
        references: Vec<OwnerReference>,
    ) -> Result<Option<Owners>, Error> {
        let mut owners = Owners::default();
        for reference in references {
            let at = Coordinates {
                api_version: reference.api_version.clone(),
                kind: reference.kind.clone(),
                namespace: String::new(),
                name: reference.name.clone(),
            };
            let mut wanted = Identity { at, uid: reference.uid.clone() };
            let mut absent = self.graph.lock().absent.has(&wanted);
            wanted.at.namespace = node.seen.at.namespace.clone();
            absent = absent || self.graph.lock().absent.has(&wanted);
            if absent {
                owners.dangling.push(reference);
                continue;
            }
            let namespaced = self.kind(&wanted.at)?.namespaced;
            if namespaced && wanted.at.namespace.is_empty() {
                return Ok(None);
            }
            let owner = self.metadata(&wanted.at).await?;
            match owner.filter(|owner| owner.uid.as_ref() == Some(&reference.uid)) {
                None => {
                    if !namespaced {
                        wanted.at.namespace.clear();
                    }
                    self.graph.lock().absent.add(wanted);
                    owners.dangling.push(reference);
                }
                Some(owner)
                    if owner.deletion_timestamp.is_some() && has_finalizer(&owner, FOREGROUND) =>
                {
                    owners.waiting.push(reference);
                }
                Some(_) => owners.solid.push(reference),
            }
        }
        Ok(Some(owners))
    }

    /// Lets an object go whose dependents are gone, and else sees to it that they go.
    async fn advance_foreground(&self, node: &Node) -> Outcome {
        let blocks = |dependent: &Node| {
            let mut owners = dependent.seen.owners.iter();
            owners.any(|o| o.uid == node.seen.uid && o.block_owner_deletion == Some(true))
        };
        let dependents = self.graph.lock().dependents(node);
        let blocking: Vec<&Node> = dependents.iter().filter(|node| blocks(node)).collect();
        for dependent in blocking.iter().filter(|dependent| !dependent.deletes_dependents()) {
            self.to_delete.add(dependent.seen.uid.clone());
        }
        if blocking.is_empty() {
            self.remove_finalizer(node, FOREGROUND).await?;
        }
        Ok(None)
    }

    async fn unblock(&self, node: &Node, latest: &ObjectMeta) -> Result<(), Error> {
        let mut owners = latest.owner_references.clone().unwrap_or_default();
        for owner in &mut owners {
            owner.block_owner_deletion = Some(false);
        }
        self.write_owners(&node.seen.at, latest, owners).await
    }

    /// Takes an object out of its dependents' references, then lets it go.
    pub(super) async fn orphan_dependents(&self, uid: &str) -> Outcome {
        let Some(node) = self.graph.lock().get(uid) else { return Ok(None) };
        let dependents = self.graph.lock().dependents(&node);
        for dependent in dependents {
            let at = &dependent.seen.at;
            let Some(latest) = self.metadata(at).await? else { continue };
            let mut owners = latest.owner_references.clone().unwrap_or_default();
            let before = owners.len();
            owners.retain(|owner| owner.uid != uid);
            if owners.len() < before {
                self.write_owners(at, &latest, owners).await?;
            }
        }
        self.remove_finalizer(&node, ORPHAN).await?;
        Ok(None)
    }
}
