//! The history of a DaemonSet's template.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Controller;
use crate::Error;
use crate::common::history::{self, REVISION_LABEL, Wanted};
use crate::common::{claim, meta};
use rules::selector::Selector;

/// The revision of the present template, and the former ones.
pub(super) struct History {
    pub(super) hash: String,
    pub(super) old: Vec<Arc<ControllerRevision>>,
    pub(super) collisions: Option<i32>,
}

impl Controller {
    /// Finds the revision of the present template, or makes it, and sees to it that its number
    /// is the highest.
    pub(super) async fn history(
        &self,
        set: &Arc<DaemonSet>,
        selector: &Selector,
        pods: &[Arc<Pod>],
    ) -> Result<History, Error> {
        let spec = set.spec.clone();
        let matches = |revision: &ControllerRevision| selector.matches(revision);
        let all = claim::claim(&self.context, &**set, &self.revisions, matches).await?;
        let data = history::data(&spec.template);
        let (mut current, old): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|revision| history::keeps(revision, &data));
        let next = history::next(&old.iter().map(|revision| &**revision).collect::<Vec<_>>());
        let mut collisions = set.status.as_ref().and_then(|status| status.collision_count);
        current.sort_by(|a, b| history::by_age(a, b));
        let keep = match current.pop() {
            Some(newest) => {
                self.merge(&newest, &current, pods).await?;
                if history::number(&newest) < next {
                    Arc::new(history::renumber(&self.context, &newest, next).await?)
                } else {
                    newest
                }
            }
            None => {
                let template = spec.template.metadata.unwrap_or_default();
                let wanted = Wanted {
                    data,
                    revision: next,
                    labels: template.labels.unwrap_or_default(),
                    annotations: set.metadata.annotations.clone(),
                    hash_label: REVISION_LABEL,
                };
                let made = history::create(&self.context, &**set, wanted, &mut collisions);
                Arc::new(made.await?)
            }
        };
        // One that was not made by us is known by its name.
        let hash = meta::label(&*keep, REVISION_LABEL).unwrap_or(meta::name(&*keep)).to_owned();
        Ok(History { hash, old, collisions })
    }

    /// Lets pods of doubles be of the one that stays, and deletes the doubles.
    async fn merge(
        &self,
        keep: &ControllerRevision,
        doubles: &[Arc<ControllerRevision>],
        pods: &[Arc<Pod>],
    ) -> Result<(), Error> {
        if doubles.is_empty() {
            return Ok(());
        }
        let hash = meta::label(keep, REVISION_LABEL).unwrap_or(meta::name(keep));
        let doubled: HashSet<_> =
            doubles.iter().filter_map(|double| meta::label(&**double, REVISION_LABEL)).collect();
        for pod in pods {
            if meta::label(&**pod, REVISION_LABEL).is_some_and(|own| doubled.contains(own)) {
                let patch = json!({"metadata": {"labels": {REVISION_LABEL: hash}}});
                let api = self.context.api::<Pod>(meta::namespace(&**pod));
                let name = meta::name(&**pod);
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
        }
        for double in doubles {
            history::delete(&self.context, double).await?;
        }
        Ok(())
    }

    /// Deletes the oldest revisions beyond the limit that no pod is of.
    pub(super) async fn clean_up(
        &self,
        set: &DaemonSet,
        history: &History,
        pods: &[Arc<Pod>],
    ) -> Result<(), Error> {
        let limit = set.spec.revision_history_limit.unwrap_or(10);
        let live: HashSet<_> =
            pods.iter().filter_map(|pod| meta::label(&**pod, REVISION_LABEL)).collect();
        let is_live = |revision: &ControllerRevision| {
            meta::label(revision, REVISION_LABEL).is_some_and(|hash| live.contains(hash))
        };
        let old: Vec<_> = history.old.iter().map(|revision| &**revision).collect();
        for revision in history::excess(&old, limit, is_live) {
            history::delete(&self.context, revision).await?;
        }
        Ok(())
    }
}
