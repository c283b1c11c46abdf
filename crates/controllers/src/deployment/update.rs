//! The arithmetic of an update: how many pods there may be more, and how many fewer.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::common::meta::scaled;

/// Returns true if the strategy is `Recreate`: old pods go before new ones come.
pub(super) fn recreates(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref();
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// Replicas wanted.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

/// Replicas a ReplicaSet is told to have.
pub(super) fn size(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Replicas a ReplicaSet has.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// Replicas of a ReplicaSet that serve.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// How many pods may exist beyond the wanted number, and how many of it may be unavailable. Both
/// zero would never move, so then one may be unavailable.
fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let wanted = wanted(deployment);
    let strategy = deployment.spec.strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
    let quarter = || IntOrString::String("25%".into());
    let surge = scaled(&rolling.max_surge.unwrap_or_else(quarter), wanted, true);
    let unavailable = scaled(&rolling.max_unavailable.unwrap_or_else(quarter), wanted, false);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// Pods there may be beyond the wanted number.
pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    if recreates(deployment) { 0 } else { fenceposts(deployment).0 }
}

/// Pods that may be unavailable during the update.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    if recreates(deployment) || wanted(deployment) == 0 {
        return 0;
    }
    fenceposts(deployment).1.min(wanted(deployment))
}

/// How large the new ReplicaSet may be now, given `total` replicas in all ReplicaSets.
pub(super) fn new_size(deployment: &Deployment, total: i32, new: i32) -> i32 {
    if recreates(deployment) {
        return wanted(deployment);
    }
    let most = wanted(deployment).saturating_add(max_surge(deployment));
    if total >= most { new } else { new + (most - total).min(wanted(deployment) - new) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(crate) fn deployment(replicas: i32, surge: Value, unavailable: Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "generation": 1},
            "spec": {"replicas": replicas, "selector": {}, "template": {},
                "strategy": {"type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}},
        }))
        .unwrap()
    }

    #[test]
    fn limits_follow_the_strategy() {
        for (replicas, surge, unavailable, expected) in [
            (10, json!("25%"), json!("25%"), (3, 2)),
            (3, json!("25%"), json!("25%"), (1, 0)),
            (1, json!(0), json!("25%"), (0, 1)),
            (4, json!(0), json!(9), (0, 4)),
            (0, json!(1), json!(1), (1, 0)),
        ] {
            let d = deployment(replicas, surge, unavailable);
            assert_eq!((max_surge(&d), max_unavailable(&d)), expected, "{replicas}");
        }
    }

    #[test]
    fn the_new_set_grows_into_the_room_there_is() {
        let d = deployment(10, json!(3), json!(2));
        for (total, new, expected) in [(10, 0, 3), (13, 3, 3), (11, 3, 5), (8, 8, 10), (0, 0, 10)] {
            assert_eq!(new_size(&d, total, new), expected, "{total} {new}");
        }
    }
}
