//! Scaling outside of a rollout, and the one place where ReplicaSets change size.

use client::EventType::Normal;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::PostParams;

use super::fleet::{Fleet, by_age};
use super::update::{available, max_surge, size, wanted};
use super::{Rollout, annotations, update};
use crate::common::meta;
use crate::{Error, Outcome};

/// The share of one ReplicaSet when the Deployment is scaled in the middle of a rollout:
/// in proportion to its size, at most what is left of `to_add`.
fn proportion(set: &ReplicaSet, deployment: &Deployment, to_add: i32, added: i32) -> i32 {
    if size(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let share = share(set, deployment);
    let left = to_add - added;
    if to_add > 0 { share.min(left) } else { share.max(left) }
}

fn share(set: &ReplicaSet, deployment: &Deployment) -> i32 {
    if wanted(deployment) == 0 {
        return -size(set);
    }
    let most = f64::from(wanted(deployment) + max_surge(deployment));
    let before = annotations::maximum(set).filter(|n| *n > 0).unwrap_or_else(|| {
        deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0)
    });
    if before == 0 {
        return 0;
    }
    let scaled = f64::from(size(set)) * most / f64::from(before);
    // Replica counts are far below what a float cannot hold.
    scaled.round() as i32 - size(set)
}

/// The sizes that ReplicaSets, largest first, should have so that together they have `allowed`.
fn spread(sets: &[&ReplicaSet], deployment: &Deployment, to_add: i32) -> Vec<i32> {
    let mut added = 0;
    let mut sizes: Vec<i32> = sets
        .iter()
        .map(|set| {
            let part = proportion(set, deployment, to_add, added);
            added += part;
            size(set) + part
        })
        .collect();
    if to_add != 0
        && let Some(first) = sizes.first_mut()
    {
        *first = (*first + to_add - added).max(0);
    }
    sizes
}

impl Rollout<'_> {
    /// Returns true if the Deployment was scaled since its ReplicaSets were.
    pub(super) fn is_scaling(&self, sets: &[ReplicaSet]) -> bool {
        let wanted = wanted(&self.deployment);
        let active = sets.iter().filter(|set| size(set) > 0);
        active.filter_map(annotations::desired).any(|desired| desired != wanted)
    }

    /// Scales without rolling anything out.
    pub(super) async fn sync_scale(&mut self, sets: Vec<ReplicaSet>) -> Outcome {
        let mut fleet = self.fleet(sets, false).await?;
        self.scale_fleet(&mut fleet).await?;
        if self.paused() {
            self.clean_up(&fleet).await?;
        }
        self.write_status_of(&fleet).await
    }

    async fn scale_fleet(&self, fleet: &mut Fleet) -> Result<(), Error> {
        let wanted = wanted(&self.deployment);
        if let Some(set) = fleet.active_or_latest() {
            if size(set) != wanted {
                self.scale(set, wanted).await?;
            }
            return Ok(());
        }
        if self.is_saturated(fleet.new.as_ref()) {
            for set in fleet.old.iter_mut().filter(|set| size(set) > 0) {
                self.scale(set, 0).await?;
            }
            return Ok(());
        }
        if update::recreates(&self.deployment) {
            return Ok(());
        }
        let mut active: Vec<&mut ReplicaSet> =
            fleet.old.iter_mut().chain(&mut fleet.new).filter(|set| size(set) > 0).collect();
        let allowed = if wanted > 0 { wanted + max_surge(&self.deployment) } else { 0 };
        let to_add = allowed - active.iter().map(|set| size(set)).sum::<i32>();
        active.sort_by(|a, b| {
            let age = by_age(a, b);
            size(b).cmp(&size(a)).then(if to_add > 0 { age.reverse() } else { age })
        });
        let views: Vec<&ReplicaSet> = active.iter().map(|set| &**set).collect();
        let sizes = spread(&views, &self.deployment, to_add);
        for (set, size) in active.into_iter().zip(sizes) {
            self.scale(set, size).await?;
        }
        Ok(())
    }

    fn is_saturated(&self, new: Option<&ReplicaSet>) -> bool {
        let wanted = wanted(&self.deployment);
        new.is_some_and(|set| {
            annotations::desired(set) == Some(wanted)
                && size(set) == wanted
                && available(set) == wanted
        })
    }

    /// Gives a ReplicaSet its size and notes the Deployment's on it; whether the size changed.
    pub(super) async fn scale(&self, set: &mut ReplicaSet, to: i32) -> Result<bool, Error> {
        let from = size(set);
        let mut changed = set.clone();
        let noted = annotations::note_size(&mut changed, &self.deployment);
        if from == to && !noted {
            return Ok(false);
        }
        changed.spec.replicas = Some(to);
        let api = self.context.api::<ReplicaSet>(meta::namespace(set));
        *set = api.replace(meta::name(&changed), &PostParams::default(), &changed).await?;
        if from != to {
            let way = if to > from { "up" } else { "down" };
            let text = format!("Scaled {way} replica set {} from {from} to {to}", meta::name(set));
            self.context.events.event(&self.deployment, Normal, "ScalingReplicaSet", text);
        }
        Ok(from != to)
    }
}

#[cfg(test)]
mod tests {
    use super::super::update::tests::deployment;
    use super::*;
    use kube::ResourceExt;
    use serde_json::json;

    fn set(name: &str, size: i32, max: i32) -> ReplicaSet {
        let mut set = ReplicaSet::default();
        set.metadata.name = Some(name.into());
        set.spec.replicas = Some(size);
        set.annotations_mut()
            .insert("deployment.kubernetes.io/max-replicas".into(), max.to_string());
        set
    }

    #[test]
    fn replicas_are_spread_in_proportion() {
        // Cases of upstream's documentation and tests: sizes before, then after.
        for (replicas, surge, before, max, after) in [
            (15, 3, vec![8, 5], 13, vec![11, 7]),
            (10, 0, vec![5, 5], 10, vec![5, 5]),
            (12, 0, vec![5, 5], 10, vec![6, 6]),
            (6, 0, vec![5, 5], 10, vec![3, 3]),
            (0, 0, vec![8, 2], 10, vec![0, 0]),
            (11, 0, vec![4, 3, 3], 10, vec![5, 3, 3]),
        ] {
            let d = deployment(replicas, json!(surge), json!(1));
            let sets: Vec<_> = before.iter().map(|size| set("s", *size, max)).collect();
            let views: Vec<_> = sets.iter().collect();
            let allowed = if replicas > 0 { replicas + surge } else { 0 };
            let to_add = allowed - before.iter().sum::<i32>();
            assert_eq!(spread(&views, &d, to_add), after, "{replicas} from {before:?}");
        }
    }
}
