//! Volumes of pods.

use std::collections::BTreeSet;

use super::{Pod, Refusal, items, plural, quoted, text};

/// Sources that reach nothing outside of the cluster's control.
const PERMITTED: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The other sources, in the order in which they are looked for.
const OTHERS: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn host_paths(pod: Pod<'_>) -> Option<Refusal> {
    let volumes: Vec<&str> = items(&pod.spec["volumes"])
        .filter(|volume| !volume["hostPath"].is_null())
        .map(|volume| text(&volume["name"]))
        .collect();
    (!volumes.is_empty()).then(|| Refusal {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", volumes.len()), quoted(volumes)),
    })
}

pub(super) fn sources(pod: Pod<'_>) -> Option<Refusal> {
    let mut volumes = Vec::new();
    let mut sources = BTreeSet::new();
    for volume in items(&pod.spec["volumes"]) {
        let has = |source: &&&str| !volume[**source].is_null();
        if PERMITTED.iter().any(|source| has(&source)) {
            continue;
        }
        volumes.push(text(&volume["name"]));
        sources.insert(OTHERS.iter().find(has).copied().unwrap_or("unknown"));
    }
    (!volumes.is_empty()).then(|| Refusal {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", volumes.len()),
            quoted(&volumes),
            plural("uses", "use", volumes.len()),
            plural("restricted volume type", "restricted volume types", sources.len()),
            quoted(sources)
        ),
    })
}
