//! VolumeRestrictions: claims for one pod only, and disks that cannot be mounted twice.

use std::collections::BTreeSet;

use client::ObjectKey;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Volume};

use crate::cache::NodeInfo;
use crate::change::Change;
use crate::framework::{Cycle, Plugin, Rejection};
use crate::pod::{PodInfo, volumes};

pub(super) const PLUGIN: Plugin = Plugin {
    prefilter: Some(prefilter),
    filter: Some(filter),
    update: Some(update),
    helps,
    ..Plugin::named("VolumeRestrictions")
};

/// The pod's claims that only one pod may use, and how often others use them.
#[derive(Clone, Default)]
pub(crate) struct Exclusive<'a> {
    claims: BTreeSet<&'a str>,
    users: i64,
}

impl Exclusive<'_> {
    fn uses(&self, pod: &PodInfo) -> i64 {
        if self.claims.is_empty() {
            return 0;
        }
        let names = pod.volumes().filter_map(claim_name);
        names.filter(|name| self.claims.contains(name)).count() as i64
    }
}

fn claim_name(volume: &Volume) -> Option<&str> {
    Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str())
}

fn is_exclusive(claim: &PersistentVolumeClaim) -> bool {
    let modes = claim.spec.as_ref().and_then(|s| s.access_modes.as_ref());
    modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
}

fn prefilter(cycle: &mut Cycle<'_>) -> Result<(), Rejection> {
    let (pod, cluster) = (cycle.pod, cycle.cluster);
    let mut exclusive = Exclusive::default();
    for name in pod.volumes().filter_map(claim_name) {
        let key = ObjectKey::new(&pod.key.namespace, name);
        let Some(claim) = cluster.storage.claims.get(&key) else {
            let reason = format!("persistentvolumeclaim {name:?} not found");
            return Err(Rejection::unresolvable(reason));
        };
        if is_exclusive(claim) {
            exclusive.claims.insert(name);
        }
    }
    if !exclusive.claims.is_empty() {
        let others = cluster.cache.nodes().flat_map(|node| &node.pods);
        let here = others.filter(|other| other.key.namespace == pod.key.namespace);
        exclusive.users = here.map(|other| exclusive.uses(other)).sum();
    }
    cycle.state.exclusive = exclusive;
    Ok(())
}

fn update<'a>(cycle: &mut Cycle<'a>, other: &'a PodInfo, _: &'a NodeInfo, change: i64) {
    if other.key.namespace == cycle.pod.key.namespace {
        cycle.state.exclusive.users += change * cycle.state.exclusive.uses(other);
    }
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let conflict = |volume: &Volume| {
        let taken = node.pods.iter().flat_map(|pod| pod.volumes());
        is_disk(volume) && taken.into_iter().any(|other| conflicts(volume, other))
    };
    if cycle.pod.volumes().any(conflict) {
        return Err(Rejection::resolvable("node(s) had no available disk"));
    }
    if cycle.state.exclusive.users > 0 {
        return Err(Rejection::resolvable(
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode \
             already in-use by another pod",
        ));
    }
    Ok(())
}

fn is_disk(volume: &Volume) -> bool {
    volume.gce_persistent_disk.is_some()
        || volume.aws_elastic_block_store.is_some()
        || volume.iscsi.is_some()
        || volume.rbd.is_some()
}

/// Returns true if two volumes are the same disk and may not be on a node together.
fn conflicts(a: &Volume, b: &Volume) -> bool {
    let writing = |x: Option<bool>, y: Option<bool>| !(x == Some(true) && y == Some(true));
    let gce = a.gce_persistent_disk.as_ref().zip(b.gce_persistent_disk.as_ref());
    let aws = a.aws_elastic_block_store.as_ref().zip(b.aws_elastic_block_store.as_ref());
    let iscsi = a.iscsi.as_ref().zip(b.iscsi.as_ref());
    let rbd = a.rbd.as_ref().zip(b.rbd.as_ref());
    gce.is_some_and(|(a, b)| a.pd_name == b.pd_name && writing(a.read_only, b.read_only))
        || aws.is_some_and(|(a, b)| a.volume_id == b.volume_id)
        || iscsi.is_some_and(|(a, b)| a.iqn == b.iqn && writing(a.read_only, b.read_only))
        || rbd.is_some_and(|(a, b)| {
            a.monitors.iter().any(|monitor| b.monitors.contains(monitor))
                && a.pool == b.pool
                && a.image == b.image
                && writing(a.read_only, b.read_only)
        })
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    if let Some(departed) = change.departed_pod() {
        let shares = |volume: &Volume| {
            let other = |other: &Volume| {
                conflicts(volume, other)
                    || (claim_name(volume).is_some() && claim_name(volume) == claim_name(other))
            };
            volumes(departed).any(other)
        };
        return departed.metadata.namespace.as_ref() == Some(&pod.key.namespace)
            && pod.volumes().any(shares);
    }
    change.new_node().is_some() || change.claim_for(&pod.pod)
}
