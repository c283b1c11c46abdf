//! The two kinds, seen alike.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition,
    ReplicationControllerStatus,
};
use serde::Serialize;

use crate::common::pod_control::Owner;
use rules::selector::Selector;

/// The desired state.
pub(super) struct Spec {
    pub(super) replicas: i32,
    pub(super) min_ready_seconds: i32,
    pub(super) selector: Selector,
    pub(super) template: PodTemplateSpec,
}

/// A kind that keeps a number of pods.
pub(super) trait Replicated: Owner + Serialize {
    fn spec(&self) -> Spec;
    fn selector(&self) -> Selector;
    fn status(&self) -> ReplicaSetStatus;
    fn set_status(&mut self, status: ReplicaSetStatus);
}

impl Replicated for ReplicaSet {
    fn spec(&self) -> Spec {
        let spec = self.spec.clone();
        Spec {
            replicas: spec.replicas.unwrap_or(1),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            selector: Selector::new(&spec.selector),
            template: spec.template.unwrap_or_default(),
        }
    }

    fn selector(&self) -> Selector {
        Selector::new(Some(&self.spec.selector))
    }

    fn status(&self) -> ReplicaSetStatus {
        self.status.clone().unwrap_or_default()
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        self.status = Some(status);
    }
}

impl Replicated for ReplicationController {
    fn spec(&self) -> Spec {
        let spec = self.spec.clone().unwrap_or_default();
        Spec {
            replicas: spec.replicas.unwrap_or(1),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            selector: Selector::of_map(spec.selector.as_ref()),
            template: spec.template.unwrap_or_default(),
        }
    }

    fn selector(&self) -> Selector {
        Selector::of_map(self.spec.as_ref().and_then(|spec| spec.selector.as_ref()))
    }

    fn status(&self) -> ReplicaSetStatus {
        let status = self.status.clone().unwrap_or_default();
        let conditions = status.conditions.map(|conditions| {
            let same = |c: ReplicationControllerCondition| ReplicaSetCondition {
                type_: Some(c.type_),
                status: Some(c.status),
                reason: c.reason,
                message: c.message,
                last_transition_time: c.last_transition_time,
            };
            conditions.into_iter().map(same).collect()
        });
        ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            terminating_replicas: None,
            conditions,
        }
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        let conditions = status.conditions.map(|conditions| {
            let same = |c: ReplicaSetCondition| ReplicationControllerCondition {
                type_: c.type_.unwrap_or_default(),
                status: c.status.unwrap_or_default(),
                reason: c.reason,
                message: c.message,
                last_transition_time: c.last_transition_time,
            };
            conditions.into_iter().map(same).collect()
        });
        self.status = Some(ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions,
        });
    }
}
