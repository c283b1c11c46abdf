//! Finding or making the ReplicaSet of the present template.

use std::collections::BTreeMap;

use client::EventType::{Normal, Warning};
use client::helpers::{controller_of, is_already_exists, owner_ref};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use kube::api::{ObjectMeta, PostParams};

use super::conditions::{self, PROGRESSING, condition, reason};
use super::fleet::{Fleet, HASH_LABEL, is_of};
use super::{Rollout, annotations, update};
use crate::Error;
use crate::common::hash::template_hash;
use crate::common::{meta, pod_control};
use crate::context::message;

/// Longest name of an object.
const MAX_NAME: usize = 253;

impl Rollout<'_> {
    /// Sorts the ReplicaSets and gives the new one its revision; makes it if asked to.
    pub(super) async fn fleet(
        &mut self,
        sets: Vec<ReplicaSet>,
        create: bool,
    ) -> Result<Fleet, Error> {
        let mut fleet = Fleet::find(&self.deployment, sets);
        let revision = fleet.old.iter().map(annotations::revision).max().unwrap_or(0) + 1;
        match fleet.new.take() {
            Some(set) => fleet.new = Some(self.found(set, revision).await?),
            None if create => fleet.new = Some(self.create(&fleet, revision).await?),
            None => {}
        }
        Ok(fleet)
    }

    async fn found(&mut self, set: ReplicaSet, revision: i64) -> Result<ReplicaSet, Error> {
        let mut changed = set.clone();
        let noted = annotations::note_revision(&mut changed, &self.deployment, revision, true);
        let min_ready = self.deployment.spec.min_ready_seconds;
        let spec = &mut changed.spec;
        let ready_differs = spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0);
        spec.min_ready_seconds = min_ready;
        if noted || ready_differs {
            let api = self.context.api::<ReplicaSet>(meta::namespace(&set));
            return Ok(api.replace(meta::name(&set), &PostParams::default(), &changed).await?);
        }
        let revision = meta::annotation(&set, annotations::REVISION).unwrap_or_default();
        let mut write = annotations::set_deployment_revision(&mut self.deployment, revision);
        let status = self.deployment.status.get_or_insert_default();
        let unknown = conditions::get(status, PROGRESSING).is_none();
        if unknown && conditions::deadline(&self.deployment).is_some() {
            let text = format!("Found new replica set {:?}", meta::name(&set));
            let condition = condition(PROGRESSING, "True", reason::FOUND_SET, text);
            conditions::set(self.deployment.status.get_or_insert_default(), condition);
            write = true;
        }
        if write {
            self.write_deployment_status().await?;
        }
        Ok(set)
    }

    async fn create(&mut self, fleet: &Fleet, revision: i64) -> Result<ReplicaSet, Error> {
        let wanted = self.blank_set(fleet, revision);
        let name = meta::name(&wanted).to_owned();
        let api = self.context.api::<ReplicaSet>(meta::namespace(&self.deployment));
        let (set, made) = match api.create(&PostParams::default(), &wanted).await {
            Ok(set) => (set, true),
            Err(error) if is_already_exists(&error) => {
                let present = api.get(&name).await?;
                let ours = controller_of(&present)
                    .is_some_and(|owner| owner.uid == meta::uid(&self.deployment));
                if !ours || !is_of(&present, &self.deployment) {
                    return self.collided(error).await;
                }
                (present, false)
            }
            Err(error) if pod_control::is_namespace_terminating(&error) => {
                return Err(error.into());
            }
            Err(error) => return self.create_failed(&name, error).await,
        };
        let size = update::size(&set);
        if made && size > 0 {
            let text = format!("Scaled up replica set {name} from 0 to {size}");
            self.context.events.event(&self.deployment, Normal, "ScalingReplicaSet", text);
        }
        let revision = revision.to_string();
        let mut write = annotations::set_deployment_revision(&mut self.deployment, &revision);
        if made && conditions::deadline(&self.deployment).is_some() {
            let text = format!("Created new replica set {name:?}");
            let condition = condition(PROGRESSING, "True", reason::NEW_SET, text);
            conditions::set(self.deployment.status.get_or_insert_default(), condition);
            write = true;
        }
        if write {
            self.write_deployment_status().await?;
        }
        Ok(set)
    }

    /// The ReplicaSet of the present template, as large as may be.
    fn blank_set(&self, fleet: &Fleet, revision: i64) -> ReplicaSet {
        let spec = self.deployment.spec.clone();
        let collisions = self.deployment.status.as_ref().and_then(|s| s.collision_count);
        let hash = template_hash(&spec.template, collisions);
        let label = |labels: &mut Option<BTreeMap<String, String>>| {
            labels.get_or_insert_default().insert(HASH_LABEL.into(), hash.clone());
        };
        let mut template = spec.template;
        label(&mut template.metadata.get_or_insert_default().labels);
        let mut selector = spec.selector;
        label(&mut selector.match_labels);
        let mut base = meta::name(&self.deployment);
        if base.len() + 1 + hash.len() > MAX_NAME {
            base = &base[..MAX_NAME - 1 - hash.len()];
        }
        let size = update::new_size(&self.deployment, fleet.total_size(), 0);
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{base}-{hash}")),
                namespace: self.deployment.metadata.namespace.clone(),
                owner_references: Some(vec![owner_ref(&self.deployment)]),
                labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(size),
                min_ready_seconds: spec.min_ready_seconds,
                selector,
                template: Some(template),
            },
            status: None,
        };
        annotations::note_revision(&mut set, &self.deployment, revision, false);
        set
    }

    /// Another template, or another owner, has the name: the next attempt takes another.
    async fn collided(&mut self, error: kube::Error) -> Result<ReplicaSet, Error> {
        let status = self.deployment.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.write_deployment_status().await?;
        Err(error.into())
    }

    async fn create_failed(&mut self, name: &str, error: kube::Error) -> Result<ReplicaSet, Error> {
        let text = format!("Failed to create new replica set {name:?}: {}", message(&error));
        if conditions::deadline(&self.deployment).is_some() {
            let condition = condition(PROGRESSING, "False", reason::CREATE_ERROR, &*text);
            conditions::set(self.deployment.status.get_or_insert_default(), condition);
            // The failure to create is what matters.
            let _ = self.write_deployment_status().await;
        }
        self.context.events.event(&self.deployment, Warning, reason::CREATE_ERROR, text);
        Err(error.into())
    }
}
