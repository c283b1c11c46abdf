//! Rolling update: the new ReplicaSet grows as the old ones shrink, within the limits.

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::fleet::Fleet;
use super::update::{available, max_unavailable, new_size, size, wanted};
use super::{Rollout, progress};
use crate::{Error, Outcome};

impl Rollout<'_> {
    /// Takes one step and reports.
    pub(super) async fn roll(&mut self, sets: Vec<ReplicaSet>) -> Outcome {
        let mut fleet = self.fleet(sets, true).await?;
        let moved = self.grow_new(&mut fleet).await? || self.shrink_old(&mut fleet).await?;
        if !moved && progress::is_complete(&self.deployment, self.deployment.status.as_ref()) {
            self.clean_up(&fleet).await?;
        }
        self.report(&fleet).await
    }

    async fn grow_new(&self, fleet: &mut Fleet) -> Result<bool, Error> {
        let total = fleet.total_size();
        let Some(new) = &mut fleet.new else { return Ok(false) };
        let (now, wanted) = (size(new), wanted(&self.deployment));
        let to = match now.cmp(&wanted) {
            std::cmp::Ordering::Equal => return Ok(false),
            std::cmp::Ordering::Greater => wanted,
            std::cmp::Ordering::Less => new_size(&self.deployment, total, now),
        };
        self.scale(new, to).await
    }

    async fn shrink_old(&self, fleet: &mut Fleet) -> Result<bool, Error> {
        if fleet.old.iter().all(|set| size(set) == 0) {
            return Ok(false);
        }
        let least = wanted(&self.deployment) - max_unavailable(&self.deployment);
        let new_unavailable = fleet.new.as_ref().map_or(0, |new| size(new) - available(new));
        let room = fleet.total_size() - least - new_unavailable;
        if room <= 0 {
            return Ok(false);
        }
        // Those that do not serve go first: they cost no availability.
        let unhealthy = |set: &ReplicaSet| size(set) - available(set);
        let cleaned = self.shrink(&mut fleet.old, room, unhealthy).await?;
        let spare = fleet.total_available() - least;
        let scaled = self.shrink(&mut fleet.old, spare, size).await?;
        Ok(cleaned + scaled > 0)
    }

    /// Takes up to `count` replicas from the sets, oldest first, from each at most `expendable`.
    async fn shrink(
        &self,
        sets: &mut [ReplicaSet],
        count: i32,
        expendable: impl Fn(&ReplicaSet) -> i32,
    ) -> Result<i32, Error> {
        let mut taken = 0;
        for set in sets.iter_mut().filter(|set| size(set) > 0) {
            if taken >= count {
                break;
            }
            let part = expendable(set).min(count - taken);
            if part <= 0 {
                continue;
            }
            let to = size(set) - part;
            self.scale(set, to).await?;
            taken += part;
        }
        Ok(taken)
    }
}
