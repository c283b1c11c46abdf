//! Constraints for pods that have none: those of a service or workload are spread if possible.

use client::helpers::controller_of;

use super::constraint::{Constraint, Constraints};
use crate::cluster::Cluster;
use crate::pod::PodInfo;
use rules::selector::{Labels, Selector};

/// Upstream's system defaults; empty for a pod that nothing selects.
pub(super) fn constraints(pod: &PodInfo, cluster: &Cluster) -> Constraints<'static> {
    let selector = selector(pod, cluster);
    if selector.is_everything() {
        return Constraints(Vec::new());
    }
    Constraints(vec![
        Constraint::default("kubernetes.io/hostname", 3, selector.clone()),
        Constraint::default("topology.kubernetes.io/zone", 5, selector),
    ])
}

/// Selects what the pod's services and its workload select; everything if there are none.
fn selector(pod: &PodInfo, cluster: &Cluster) -> Selector {
    let mut exact = Labels::new();
    for service in cluster.services.within(&pod.key.namespace) {
        let wanted = service.spec.as_ref().and_then(|s| s.selector.as_ref());
        let Some(wanted) = wanted.filter(|labels| !labels.is_empty()) else { continue };
        if wanted.iter().all(|(k, v)| pod.labels().and_then(|l| l.get(k)) == Some(v)) {
            exact.extend(wanted.clone());
        }
    }
    let selector = Selector::exact(&exact);
    let Some(owner) = controller_of(&*pod.pod) else { return selector };
    let key = client::ObjectKey::new(&pod.key.namespace, &owner.name);
    let workload = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => cluster
            .replication_controllers
            .get(&key)
            .and_then(|rc| rc.spec.as_ref()?.selector.as_ref())
            .map(Selector::exact),
        ("apps/v1", "ReplicaSet") => {
            cluster.replica_sets.get(&key).map(|rs| Selector::new(Some(&rs.spec.selector)))
        }
        ("apps/v1", "StatefulSet") => {
            cluster.stateful_sets.get(&key).map(|set| Selector::new(Some(&set.spec.selector)))
        }
        _ => None,
    };
    match workload {
        Some(workload) => selector.and(workload),
        None => selector,
    }
}
