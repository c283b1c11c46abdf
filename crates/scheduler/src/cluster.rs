//! All that decisions are made from.

use client::{Event, ObjectKey};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::cache::Cache;
use crate::change::Change;
use crate::evictions::Evictions;
use crate::nominations::Nominations;
use crate::objects::Objects;
use crate::storage::Storage;
use rules::selector::Labels;

/// Nodes with their pods, and what else the plugins read. One task owns it.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) cache: Cache,
    pub(crate) nominations: Nominations,
    pub(crate) evictions: Evictions,
    pub(crate) storage: Storage,
    pub(crate) namespaces: Objects<Namespace>,
    pub(crate) services: Objects<Service>,
    pub(crate) replication_controllers: Objects<ReplicationController>,
    pub(crate) replica_sets: Objects<ReplicaSet>,
    pub(crate) stateful_sets: Objects<StatefulSet>,
    pub(crate) budgets: Objects<PodDisruptionBudget>,
}

impl Cluster {
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Node(Event::Deleted(node)) => {
                self.cache.node_gone(node.metadata.name.as_deref().unwrap_or_default());
            }
            Change::Node(event) => self.cache.node_changed(event.object().clone()),
            Change::Pod(Event::Deleted(pod)) => self.cache.pod_gone(&ObjectKey::of(&**pod)),
            Change::Pod(event) => self.cache.pod_changed(event.object()),
            Change::Namespace(event) => self.namespaces.apply(event),
            Change::Claim(event) => self.storage.claims.apply(event),
            Change::Volume(event) => self.storage.volumes.apply(event),
            Change::Class(event) => self.storage.classes.apply(event),
            Change::Service(event) => self.services.apply(event),
            Change::ReplicationController(event) => self.replication_controllers.apply(event),
            Change::ReplicaSet(event) => self.replica_sets.apply(event),
            Change::StatefulSet(event) => self.stateful_sets.apply(event),
            Change::Budget(event) => self.budgets.apply(event),
        }
    }

    pub(crate) fn namespace_labels(&self, namespace: &str) -> Option<&Labels> {
        self.namespaces.named(namespace)?.metadata.labels.as_ref()
    }
}
