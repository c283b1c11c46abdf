//! The status of a ReplicaSet.

use std::sync::Arc;

use client::helpers::now;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;

use super::Controller;
use super::kinds::{Replicated, Spec};
use crate::Error;
use crate::common::{meta, pod};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The status that these pods, and the failure to change them, amount to.
pub(super) fn calculate<K: Replicated>(
    owner: &K,
    spec: &Spec,
    active: &[Arc<Pod>],
    terminating: &[Arc<Pod>],
    failure: &Option<Error>,
    at: Timestamp,
) -> ReplicaSetStatus {
    let count = |holds: &dyn Fn(&Pod) -> bool| {
        i32::try_from(active.iter().filter(|pod| holds(pod)).count()).unwrap_or(i32::MAX)
    };
    let template = spec.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let labeled = |pod: &Pod| {
        template.into_iter().flatten().all(|(key, value)| meta::label(pod, key) == Some(value))
    };
    let replicas = count(&|_| true);
    let old = owner.status();
    ReplicaSetStatus {
        replicas,
        fully_labeled_replicas: Some(count(&labeled)),
        ready_replicas: Some(count(&pod::is_ready)),
        available_replicas: Some(count(&|p| pod::is_available(p, spec.min_ready_seconds, at))),
        terminating_replicas: Some(i32::try_from(terminating.len()).unwrap_or(i32::MAX)),
        observed_generation: owner.meta().generation,
        conditions: conditions(old.conditions, failure, replicas < spec.replicas),
    }
}

fn conditions(
    old: Option<Vec<ReplicaSetCondition>>,
    failure: &Option<Error>,
    too_few: bool,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    let is_failure = |c: &ReplicaSetCondition| c.type_.as_deref() == Some(REPLICA_FAILURE);
    let present = conditions.iter().any(is_failure);
    match failure {
        Some(error) if !present => conditions.push(ReplicaSetCondition {
            type_: Some(REPLICA_FAILURE.into()),
            status: Some("True".into()),
            reason: Some(if too_few { "FailedCreate" } else { "FailedDelete" }.into()),
            message: Some(error.to_string()),
            last_transition_time: Some(now()),
        }),
        None => conditions.retain(|condition| !is_failure(condition)),
        Some(_) => {}
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// Absent counts are zeros and an empty list of conditions is none, so that nothing is written
/// merely because the server does not store zeros.
fn normal(mut status: ReplicaSetStatus) -> ReplicaSetStatus {
    for count in [
        &mut status.fully_labeled_replicas,
        &mut status.ready_replicas,
        &mut status.available_replicas,
    ] {
        *count = Some(count.unwrap_or(0));
    }
    status.conditions = status.conditions.filter(|list| !list.is_empty());
    status
}

impl<K: Replicated> Controller<K> {
    /// Writes the status if it says something new.
    pub(super) async fn write_status(
        &self,
        owner: &K,
        status: ReplicaSetStatus,
    ) -> Result<(), Error> {
        let mut changed = owner.clone();
        changed.set_status(status);
        if normal(changed.status()) == normal(owner.status()) {
            return Ok(());
        }
        let api = self.context.api::<K>(meta::namespace(owner));
        let name = meta::name(owner);
        match api.replace_subresource("status", name, &PostParams::default(), &changed).await {
            Err(error) if !client::helpers::is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_noted_once_and_cleared() {
        let failure = Some(Error::other("exceeded quota"));
        let first = conditions(None, &failure, true).unwrap();
        assert_eq!(first[0].reason.as_deref(), Some("FailedCreate"));
        assert_eq!(first[0].message.as_deref(), Some("exceeded quota"));
        let later = Some(Error::other("something else"));
        assert_eq!(conditions(Some(first.clone()), &later, false).unwrap(), first);
        assert_eq!(conditions(Some(first), &None, false), None);
        let deleting = conditions(None, &later, false).unwrap();
        assert_eq!(deleting[0].reason.as_deref(), Some("FailedDelete"));
    }
}
