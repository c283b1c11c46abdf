//! Is the rollout complete, under way, or stuck?

use std::time::Duration;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSetCondition,
};
use k8s_openapi::jiff::Timestamp;

use super::conditions::{self, PROGRESSING, REPLICA_FAILURE, condition, reason};
use super::fleet::Fleet;
use super::update::wanted;
use super::{Rollout, status};
use crate::common::meta;
use crate::{Error, Outcome};

fn count(value: Option<i32>) -> i32 {
    value.unwrap_or(0)
}

/// Returns true if all replicas are updated and available, and no old ones are left.
pub(super) fn is_complete(deployment: &Deployment, status: Option<&DeploymentStatus>) -> bool {
    let wanted = wanted(deployment);
    status.is_some_and(|status| {
        count(status.updated_replicas) == wanted
            && count(status.replicas) == wanted
            && count(status.available_replicas) == wanted
            && status.observed_generation >= deployment.metadata.generation
    })
}

/// Returns true if the newer status is closer to completion.
fn is_progressing(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let outdated = |s: &DeploymentStatus| count(s.replicas) - count(s.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

/// Time left until the rollout counts as stuck; `None` when it does.
fn time_left(condition: &DeploymentCondition, deadline: i32, now: Timestamp) -> Option<Duration> {
    let since = condition.last_update_time.as_ref()?;
    meta::remaining(since, Duration::from_secs(deadline.unsigned_abs().into()), now)
}

fn is_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(condition) = conditions::get(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(reason::COMPLETE) => false,
        Some(reason::TIMED_OUT) => true,
        _ => conditions::deadline(deployment)
            .is_some_and(|deadline| time_left(condition, deadline, now).is_none()),
    }
}

/// Sets `Progressing` by comparing the present state with the one last reported.
fn judge(deployment: &Deployment, status: &mut DeploymentStatus, subject: &str, now: Timestamp) {
    let old = deployment.status.clone().unwrap_or_default();
    let current = conditions::get(&old, PROGRESSING).cloned();
    let was_complete = count(status.replicas) == count(status.updated_replicas)
        && current.as_ref().is_some_and(|c| c.reason.as_deref() == Some(reason::COMPLETE));
    if was_complete {
        return;
    }
    if is_complete(deployment, Some(status)) {
        let text = format!("{subject} has successfully progressed.");
        conditions::set(status, condition(PROGRESSING, "True", reason::COMPLETE, text));
    } else if is_progressing(&old, status) {
        let text = format!("{subject} is progressing.");
        let mut fresh = condition(PROGRESSING, "True", reason::UPDATED, text);
        if let Some(current) = current.filter(|current| current.status.as_deref() == Some("True")) {
            fresh.last_transition_time = current.last_transition_time;
        }
        // Removed first, so that the time of this progress is noted even if nothing else changed.
        conditions::remove(status, PROGRESSING);
        conditions::set(status, fresh);
    } else if is_timed_out(deployment, status, now) {
        let text = format!("{subject} has timed out progressing.");
        conditions::set(status, condition(PROGRESSING, "False", reason::TIMED_OUT, text));
    }
}

/// The condition for ReplicaSets that cannot create pods; the new one's failure counts first.
fn failure(fleet: &Fleet) -> Option<DeploymentCondition> {
    let sets = fleet.new.iter().chain(&fleet.old);
    let all = sets.flat_map(|set| set.status.iter().flat_map(|s| s.conditions.iter().flatten()));
    let found: Option<&ReplicaSetCondition> =
        { all }.find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE));
    found.map(|c| DeploymentCondition {
        type_: Some(REPLICA_FAILURE.into()),
        status: c.status.clone(),
        reason: c.reason.clone(),
        message: c.message.clone(),
        last_transition_time: c.last_transition_time.clone(),
        last_update_time: c.last_transition_time.clone(),
    })
}

impl Rollout<'_> {
    /// Writes where the rollout stands; asks to come back when its deadline passes.
    pub(super) async fn report(&mut self, fleet: &Fleet) -> Outcome {
        let now = Timestamp::now();
        let mut status = status::calculate(&self.deployment, fleet);
        let deadline = conditions::deadline(&self.deployment);
        if deadline.is_some() {
            let subject = match &fleet.new {
                Some(set) => format!("ReplicaSet {:?}", meta::name(set)),
                None => format!("Deployment {:?}", meta::name(&self.deployment)),
            };
            judge(&self.deployment, &mut status, &subject, now);
        } else {
            conditions::remove(&mut status, PROGRESSING);
        }
        match failure(fleet) {
            Some(condition) => conditions::set(&mut status, condition),
            None => conditions::remove(&mut status, REPLICA_FAILURE),
        }
        self.write_status(status.clone()).await?;
        if is_complete(&self.deployment, Some(&status)) {
            return Ok(None);
        }
        let current = conditions::get(&status, PROGRESSING);
        let waiting = current.filter(|c| c.reason.as_deref() != Some(reason::TIMED_OUT));
        Ok(waiting.zip(deadline).map(|(condition, deadline)| {
            time_left(condition, deadline, now).unwrap_or_default() + Duration::from_secs(1)
        }))
    }

    /// Notes that the Deployment is paused, or no longer is; the clock of the deadline stops
    /// meanwhile.
    pub(super) async fn check_pause(&mut self) -> Result<(), Error> {
        if conditions::deadline(&self.deployment).is_none() {
            return Ok(());
        }
        let paused = self.paused();
        let status = self.deployment.status.get_or_insert_default();
        let current = conditions::get(status, PROGRESSING).and_then(|c| c.reason.as_deref());
        let noted = current == Some(reason::PAUSED);
        if current == Some(reason::TIMED_OUT) || paused == noted {
            return Ok(());
        }
        let (why, text) = if paused {
            (reason::PAUSED, "Deployment is paused")
        } else {
            (reason::RESUMED, "Deployment is resumed")
        };
        conditions::set(status, condition(PROGRESSING, "Unknown", why, text));
        self.write_deployment_status().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::update::tests::deployment;
    use super::*;
    use serde_json::json;

    fn status(replicas: i32, updated: i32, available: i32) -> DeploymentStatus {
        DeploymentStatus {
            replicas: Some(replicas),
            updated_replicas: Some(updated),
            ready_replicas: Some(available),
            available_replicas: Some(available),
            observed_generation: Some(1),
            ..DeploymentStatus::default()
        }
    }

    #[test]
    fn each_state_has_its_reason() {
        let now = Timestamp::now();
        let later = now + k8s_openapi::jiff::SignedDuration::from_secs(601);
        let mut d = deployment(3, json!(1), json!(0));
        d.spec.progress_deadline_seconds = Some(600);
        let reason_of = |d: &Deployment, new: DeploymentStatus, at| {
            let mut new = new;
            new.conditions = d.status.as_ref().and_then(|s| s.conditions.clone());
            judge(d, &mut new, "ReplicaSet \"web-1\"", at);
            let found = conditions::get(&new, PROGRESSING).and_then(|c| c.reason.clone());
            (found, new)
        };
        d.status = Some(status(0, 0, 0));
        let (why, first) = reason_of(&d, status(1, 1, 0), now);
        assert_eq!(why.as_deref(), Some(reason::UPDATED));

        d.status = Some(first.clone());
        let (why, _) = reason_of(&d, status(1, 1, 0), now);
        assert_eq!(why.as_deref(), Some(reason::UPDATED), "nothing new, time is left");
        let (why, stuck) = reason_of(&d, status(1, 1, 0), later);
        assert_eq!(why.as_deref(), Some(reason::TIMED_OUT));
        assert_eq!(conditions::get(&stuck, PROGRESSING).unwrap().status.as_deref(), Some("False"));

        let (why, done) = reason_of(&d, status(3, 3, 3), later);
        assert_eq!(why.as_deref(), Some(reason::COMPLETE));
        d.status = Some(done);
        let (why, _) = reason_of(&d, status(2, 2, 2), later);
        assert_eq!(why.as_deref(), Some(reason::COMPLETE), "scaling does not reopen a rollout");
    }
}
