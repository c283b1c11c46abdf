//! The history of a StatefulSet's template.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};

use super::snapshot::{Snapshot, Version};
use super::{Controller, identity};
use crate::Error;
use crate::common::history::{self, Wanted};
use crate::common::{claim, meta};
use rules::selector::Selector;

const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// The revision the pods come from, the one they go to, and all there are.
pub(super) struct History {
    pub(super) current: Version,
    pub(super) update: Version,
    all: Vec<Arc<ControllerRevision>>,
    pub(super) collisions: Option<i32>,
}

fn version(revision: &ControllerRevision, set: &StatefulSet) -> Version {
    let own = || set.spec.template.clone();
    Version {
        name: meta::name(revision).to_owned(),
        template: history::template(revision).unwrap_or_else(own),
    }
}

impl Controller {
    /// Finds the revision of the present template, or makes it, and sees to it that its number
    /// is the highest.
    pub(super) async fn history(
        &self,
        set: &Arc<StatefulSet>,
        selector: &Selector,
    ) -> Result<History, Error> {
        let spec = set.spec.clone();
        let matches = |revision: &ControllerRevision| selector.matches(revision);
        let mut all = claim::claim(&self.context, &**set, &self.revisions, matches).await?;
        all.sort_by(|a, b| history::by_age(a, b));
        let data = history::data(&spec.template);
        let next = history::next(&all.iter().map(|revision| &**revision).collect::<Vec<_>>());
        let status = set.status.clone().unwrap_or_default();
        let mut collisions = status.collision_count;
        let equal = all.iter().rfind(|revision| history::keeps(revision, &data));
        let update = match equal {
            Some(equal) if history::number(equal) == next - 1 => equal.clone(),
            Some(equal) => Arc::new(history::renumber(&self.context, equal, next).await?),
            None => {
                let template = spec.template.metadata.unwrap_or_default();
                let wanted = Wanted {
                    data,
                    revision: next,
                    labels: template.labels.unwrap_or_default(),
                    annotations: set.metadata.annotations.clone(),
                    hash_label: HASH_LABEL,
                };
                let made = history::create(&self.context, &**set, wanted, &mut collisions);
                Arc::new(made.await?)
            }
        };
        let known = status.current_revision.unwrap_or_default();
        let current = all.iter().find(|revision| meta::name(&***revision) == known);
        let current = version(current.unwrap_or(&update), set);
        let update = version(&update, set);
        Ok(History { current, update, all, collisions })
    }

    /// Deletes the oldest revisions beyond the limit that no pod is of.
    pub(super) async fn clean_up(
        &self,
        snapshot: &Snapshot,
        history: &History,
    ) -> Result<(), Error> {
        let limit = snapshot.spec.revision_history_limit.unwrap_or(10);
        let is_live = |name: &str| {
            name == history.current.name
                || name == history.update.name
                || snapshot.pods().any(|pod| identity::revision(pod) == name)
        };
        let all = history.all.iter().map(|revision| &**revision);
        let old: Vec<_> = all.filter(|revision| !is_live(meta::name(*revision))).collect();
        for revision in history::excess(&old, limit, |_| false) {
            history::delete(&self.context, revision).await?;
        }
        Ok(())
    }
}
