//! Recreate: all old pods go before the first new one comes.

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::fleet::Fleet;
use super::update::{actual, size, wanted};
use super::{Rollout, progress};
use crate::common::{claim, meta, pod};
use crate::{Error, Outcome};

impl Rollout<'_> {
    pub(super) async fn recreate(&mut self, sets: Vec<ReplicaSet>) -> Outcome {
        let mut fleet = self.fleet(sets.clone(), false).await?;
        if self.stop_old(&mut fleet).await? || self.old_pods_run(&fleet) {
            return self.report(&fleet).await;
        }
        if fleet.new.is_none() {
            fleet = self.fleet(sets, true).await?;
        }
        if let Some(new) = &mut fleet.new
            && size(new) != wanted(&self.deployment)
        {
            self.scale(new, wanted(&self.deployment)).await?;
        }
        if progress::is_complete(&self.deployment, self.deployment.status.as_ref()) {
            self.clean_up(&fleet).await?;
        }
        self.report(&fleet).await
    }

    async fn stop_old(&self, fleet: &mut Fleet) -> Result<bool, Error> {
        let mut stopped = false;
        for set in fleet.old.iter_mut().filter(|set| size(set) > 0) {
            stopped |= self.scale(set, 0).await?;
        }
        Ok(stopped)
    }

    /// Returns true if old pods may still run; those being deleted count until they are gone.
    fn old_pods_run(&self, fleet: &Fleet) -> bool {
        let pods = |set: &ReplicaSet| claim::controlled_by(&self.controller.pods, meta::uid(set));
        fleet
            .old
            .iter()
            .any(|set| actual(set) > 0 || pods(set).iter().any(|member| !pod::is_terminal(member)))
    }
}
