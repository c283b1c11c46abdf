//! The status of a Deployment, and what is done at the end: removing old ReplicaSets.

use client::helpers::is_not_found;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use kube::api::DeleteParams;

use super::conditions::{self, AVAILABLE, condition};
use super::fleet::Fleet;
use super::update::{actual, max_unavailable, size, wanted};
use super::{Rollout, annotations};
use crate::common::meta;
use crate::{Error, Outcome};

/// The status that these ReplicaSets amount to.
pub(super) fn calculate(deployment: &Deployment, fleet: &Fleet) -> DeploymentStatus {
    let available = fleet.total_available();
    let sum = |field: fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> Option<i32>| {
        fleet.all().filter_map(|set| set.status.as_ref()).filter_map(field).sum::<i32>()
    };
    let old = deployment.status.clone().unwrap_or_default();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(fleet.total_actual()),
        updated_replicas: Some(fleet.new.as_ref().map_or(0, actual)),
        ready_replicas: Some(sum(|status| status.ready_replicas)),
        available_replicas: Some(available),
        unavailable_replicas: Some((fleet.total_size() - available).max(0)),
        terminating_replicas: Some(sum(|status| status.terminating_replicas)),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let enough = available >= wanted(deployment) - max_unavailable(deployment);
    conditions::set(
        &mut status,
        if enough {
            let text = "Deployment has minimum availability.";
            condition(AVAILABLE, "True", "MinimumReplicasAvailable", text)
        } else {
            let text = "Deployment does not have minimum availability.";
            condition(AVAILABLE, "False", "MinimumReplicasUnavailable", text)
        },
    );
    status
}

/// Absent counts are zeros, however the server stores them.
fn normal(mut status: DeploymentStatus) -> DeploymentStatus {
    for count in [
        &mut status.replicas,
        &mut status.updated_replicas,
        &mut status.ready_replicas,
        &mut status.available_replicas,
        &mut status.unavailable_replicas,
        &mut status.terminating_replicas,
    ] {
        *count = Some(count.unwrap_or(0));
    }
    status
}

impl Rollout<'_> {
    /// Writes the plain status, without judging progress.
    pub(super) async fn write_status_of(&mut self, fleet: &Fleet) -> Outcome {
        let status = calculate(&self.deployment, fleet);
        self.write_status(status).await?;
        Ok(None)
    }

    /// Writes the status if it says something new.
    pub(super) async fn write_status(&mut self, status: DeploymentStatus) -> Result<(), Error> {
        let old = self.deployment.status.clone().unwrap_or_default();
        if normal(old) == normal(status.clone()) {
            return Ok(());
        }
        self.deployment.status = Some(status);
        self.write_deployment_status().await
    }

    pub(super) async fn observe_generation(&mut self) -> Outcome {
        let generation = self.deployment.metadata.generation;
        let mut status = self.deployment.status.clone().unwrap_or_default();
        if status.observed_generation < generation {
            status.observed_generation = generation;
            self.write_status(status).await?;
        }
        Ok(None)
    }

    /// Deletes the oldest ReplicaSets beyond the history limit.
    pub(super) async fn clean_up(&self, fleet: &Fleet) -> Result<(), Error> {
        let limit = self.deployment.spec.revision_history_limit;
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return Ok(()) };
        let mut old: Vec<&ReplicaSet> =
            fleet.old.iter().filter(|set| !meta::deleting(*set)).collect();
        let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|set| annotations::revision(*set));
        for set in old.into_iter().take(excess) {
            let observed = set.status.as_ref().and_then(|status| status.observed_generation);
            if actual(set) != 0 || size(set) != 0 || set.metadata.generation > observed {
                continue;
            }
            let api = self.context.api::<ReplicaSet>(meta::namespace(set));
            match api.delete(meta::name(set), &DeleteParams::default()).await {
                Err(error) if !is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}
