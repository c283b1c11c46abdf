//! VolumeZone: a volume labelled with a zone or region is reached from there only.

use client::ObjectKey;
use k8s_openapi::api::core::v1::PersistentVolume;

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::framework::{Cycle, Plugin, Rejection};
use crate::pod::PodInfo;
use crate::storage::{class_of, volume_name};

pub(super) const PLUGIN: Plugin = Plugin {
    prefilter: Some(prefilter),
    filter: Some(filter),
    helps,
    ..Plugin::named("VolumeZone")
};

const LABELS: [&str; 4] = [
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

/// The name that took the place of a beta label.
fn stable(label: &str) -> &str {
    match label {
        "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
        label => label,
    }
}

/// Where a volume is: a label, and its values joined by `__`.
#[derive(Clone)]
pub(crate) struct Zone<'a> {
    label: &'a str,
    values: &'a str,
}

fn prefilter(cycle: &mut Cycle<'_>) -> Result<(), Rejection> {
    let storage = &cycle.cluster.storage;
    let named = cycle.pod.volumes().filter_map(|v| v.persistent_volume_claim.as_ref());
    let mut zones = Vec::new();
    for source in named {
        let name = &source.claim_name;
        let missing = |kind: &str, name: &str| format!("{kind} {name:?} not found");
        let Some(claim) = storage.claims.get(&ObjectKey::new(&cycle.pod.key.namespace, name))
        else {
            return Err(Rejection::unresolvable(missing("persistentvolumeclaim", name)));
        };
        let Some(volume) = volume_name(claim) else {
            let class = class_of(claim);
            let reason = if class.is_empty() {
                "PersistentVolumeClaim had no pv name and storageClass name".into()
            } else if storage.classes.named(class).is_none() {
                missing("storageclass.storage.k8s.io", class)
            } else {
                match storage.waits_for_consumer(claim) {
                    Ok(true) => continue,
                    Ok(false) => "PersistentVolume had no name".into(),
                    Err(error) => error.to_string(),
                }
            };
            return Err(Rejection::unresolvable(reason));
        };
        let Some(volume) = storage.volumes.named(volume) else {
            return Err(Rejection::unresolvable(missing("persistentvolume", volume)));
        };
        zones.extend(zones_of(volume));
    }
    cycle.state.zones = zones;
    Ok(())
}

fn zones_of(volume: &PersistentVolume) -> impl Iterator<Item = Zone<'_>> {
    let labels = volume.metadata.labels.as_ref();
    LABELS.into_iter().filter_map(move |label| Some(Zone { label, values: labels?.get(label)? }))
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let zones = &cycle.state.zones;
    // A node that is nowhere reaches everything.
    if zones.is_empty() || LABELS.iter().all(|label| node.label(label).is_none()) {
        return Ok(());
    }
    let reached = |zone: &Zone<'_>| {
        let value = node.label(zone.label).or_else(|| node.label(stable(zone.label)));
        value.is_some_and(|value| zone.values.split("__").any(|v| v.trim() == value))
    };
    if zones.iter().all(reached) {
        return Ok(());
    }
    Err(Rejection::unresolvable("node(s) had no available volume zone"))
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    change.node_with_new_labels()
        || change.claim_for(&pod.pod)
        || matches!(change, Change::Class(client::Event::Added(_)))
        || matches!(change, Change::Volume(event) if !matches!(event, client::Event::Deleted(_)))
}
