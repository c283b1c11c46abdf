//! VolumeBinding: a node must reach the pod's volumes, or be able to get them.

use std::error::Error;

use client::{Event, ObjectKey};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::framework::{Cycle, Plugin, Rejection};
use crate::pod::{PodInfo, claim_of};
use crate::storage::{Plan, class_of, class_of_volume, is_bound, volume_name};
use rules::node_selector;

mod matching;
#[cfg(test)]
mod tests;

pub(super) const PLUGIN: Plugin = Plugin {
    prefilter: Some(prefilter),
    filter: Some(filter),
    helps,
    ..Plugin::named("VolumeBinding")
};

/// The provisioner of classes whose volumes nobody makes.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The pod's claims by what a node must offer.
#[derive(Clone, Default)]
pub(crate) struct Claims<'a> {
    /// Volumes of bound claims; none for one that does not exist.
    bound: Vec<Option<&'a PersistentVolume>>,
    /// Claims that wait for a pod, smallest first.
    waiting: Vec<&'a PersistentVolumeClaim>,
    /// Volumes of their classes.
    candidates: Vec<&'a PersistentVolume>,
}

fn prefilter(cycle: &mut Cycle<'_>) -> Result<(), Rejection> {
    let (pod, storage) = (cycle.pod, &cycle.cluster.storage);
    let mut claims = Claims::default();
    let mut immediate = false;
    for (name, owned) in pod.volumes().filter_map(|volume| claim_of(&pod.pod, volume)) {
        let Some(claim) = storage.claims.get(&ObjectKey::new(&pod.key.namespace, &name)) else {
            return Err(Rejection::unresolvable(if owned {
                // Normal for a moment after such a pod has been created.
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                )
            } else {
                format!("persistentvolumeclaim {name:?} not found")
            }));
        };
        let refused = |why: &dyn Error| Rejection::unresolvable(why.to_string());
        check(pod, claim, &name, owned).map_err(|why| refused(&why))?;
        if is_bound(claim) {
            claims
                .bound
                .push(volume_name(claim).and_then(|v| storage.volumes.named(v)).map(|v| &**v));
        } else if storage.waits_for_consumer(claim).map_err(|why| refused(&why))?
            && volume_name(claim).is_none()
        {
            claims.waiting.push(claim);
        } else {
            immediate = true;
        }
    }
    if immediate {
        let reason = "pod has unbound immediate PersistentVolumeClaims";
        return Err(Rejection::unresolvable(reason));
    }
    if !claims.waiting.is_empty() {
        claims.waiting.sort_by_key(|claim| matching::wanted(claim));
        let wanted = |volume: &&PersistentVolume| {
            claims.waiting.iter().any(|claim| class_of(claim) == class_of_volume(volume))
        };
        claims.candidates = storage.volumes.all().map(|v| &**v).filter(wanted).collect();
    }
    cycle.state.claims = claims;
    Ok(())
}

/// The reason why a claim is unusable for a pod.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}")]
    Lost { name: String, volume: String },
    #[error("persistentvolumeclaim {0:?} is being deleted")]
    Deleted(String),
    #[error("PVC {claim} was not created for pod {pod} (pod is not owner)")]
    NotOwned { claim: ObjectKey, pod: ObjectKey },
}

fn check(
    pod: &PodInfo,
    claim: &PersistentVolumeClaim,
    name: &str,
    owned: bool,
) -> Result<(), Unusable> {
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost") {
        let volume = volume_name(claim).unwrap_or_default().to_owned();
        return Err(Unusable::Lost { name: name.to_owned(), volume });
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(Unusable::Deleted(name.to_owned()));
    }
    let owner = client::helpers::controller_of(claim);
    if owned && owner.is_none_or(|owner| owner.uid != pod.uid()) {
        let claim = ObjectKey::new(&pod.key.namespace, name);
        return Err(Unusable::NotOwned { claim, pod: pod.key.clone() });
    }
    Ok(())
}

/// Returns true if a volume's node affinity admits a node.
pub(crate) fn reaches(node: &NodeInfo, volume: &PersistentVolume) -> bool {
    let affinity = volume.spec.as_ref().and_then(|s| s.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required.as_ref());
    required.is_none_or(|r| node_selector::selects(r, node.facts()))
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let claims = &cycle.state.claims;
    if claims.bound.is_empty() && claims.waiting.is_empty() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    if claims.bound.iter().any(Option::is_none) {
        reasons.push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
    } else if !claims.bound.iter().flatten().all(|volume| reaches(node, volume)) {
        reasons.push("node(s) didn't match PersistentVolume's node affinity");
    }
    if plan(cycle, node).is_none() {
        reasons.insert(
            reasons.iter().filter(|r| r.contains("affinity")).count(),
            "node(s) didn't find available persistent volumes to bind",
        );
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let mut rejection = Rejection::unresolvable(reasons.remove(0));
    rejection.reasons.extend(reasons.into_iter().map(Into::into));
    Err(rejection)
}

/// How the waiting claims get volumes on a node; none if they cannot.
pub(crate) fn plan(cycle: &Cycle<'_>, node: &NodeInfo) -> Option<Plan> {
    let (claims, storage) = (&cycle.state.claims, &cycle.cluster.storage);
    let mut plan = Plan::default();
    for claim in &claims.waiting {
        let selected = storage.selected_node(claim);
        if selected.is_some_and(|selected| selected != node.name()) {
            return None;
        }
        let free = claims.candidates.iter().filter(|volume| {
            let name = volume.metadata.name.as_ref();
            !storage.is_taken(volume, claim) && !plan.bind.iter().any(|(v, _)| Some(v) == name)
        });
        // Once a node is selected, a volume is being made.
        let found = selected.is_none().then(|| matching::find(claim, free, node)).flatten();
        match found.and_then(|volume| volume.metadata.name.clone()) {
            Some(volume) => plan.bind.push((volume, ObjectKey::of(*claim))),
            None => {
                let class = storage.classes.named(class_of(claim))?;
                if !provisions(class, node) {
                    return None;
                }
                plan.provision.push(ObjectKey::of(*claim));
            }
        }
    }
    Some(plan)
}

/// Returns true if a class provisions volumes for a node.
fn provisions(class: &StorageClass, node: &NodeInfo) -> bool {
    if matches!(class.provisioner.as_str(), "" | NO_PROVISIONER) {
        return false;
    }
    let allowed = class.allowed_topologies.as_deref().unwrap_or_default();
    allowed.is_empty()
        || allowed.iter().any(|term| {
            let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
            !expressions.is_empty()
                && expressions.iter().all(|e| {
                    node.label(&e.key).is_some_and(|value| e.values.iter().any(|v| v == value))
                })
        })
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::Class(Event::Added(_))
        | Change::Volume(Event::Added(_) | Event::Modified { .. }) => true,
        Change::Class(Event::Modified { old, new }) => {
            old.allowed_topologies != new.allowed_topologies
        }
        Change::Claim(_) => change.claim_for(&pod.pod),
        _ => change.node_with_new_labels(),
    }
}
