//! Pods that still have the finalizer though no Job will count them.

use std::sync::Arc;

use client::ObjectKey;
use client::helpers::controller_of;
use k8s_openapi::api::core::v1::Pod;

use super::{Controller, conditions, finalizer, is_foreign};
use crate::common::claim;
use crate::{Error, Outcome};

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Orphan {
    /// One pod.
    Pod(ObjectKey),
    /// All pods of the Job with this uid, which has ended or is gone.
    Of(String),
}

impl Controller {
    pub(super) async fn sync_orphan(&self, orphan: Orphan) -> Outcome {
        let pods: Vec<Arc<Pod>> = match &orphan {
            Orphan::Pod(key) => self.pods.get(key).into_iter().collect(),
            Orphan::Of(uid) => claim::controlled_by(&self.pods, uid),
        };
        for pod in pods {
            self.release_orphan(&pod).await?;
        }
        Ok(None)
    }

    async fn release_orphan(&self, pod: &Pod) -> Result<(), Error> {
        if let Some(owner) = controller_of(pod) {
            if owner.kind != "Job" || owner.api_version != "batch/v1" {
                return Ok(());
            }
            let counted_by = self.owner_of(pod).and_then(|key| self.jobs.get(&key));
            if counted_by.is_some_and(|job| is_foreign(&job) || !conditions::finished(&job)) {
                return Ok(());
            }
        }
        finalizer::remove(&self.context, pod).await
    }
}
