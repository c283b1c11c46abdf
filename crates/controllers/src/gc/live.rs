//! Live reads from the server, and writes to it.

use std::sync::Arc;

use client::helpers::is_not_found;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::DynamicObject;
use serde_json::json;

use super::Collector;
use super::graph::{Coordinates, Node};
use crate::Error;
use crate::common::discovery::Found;

impl Collector {
    /// The kind at these coordinates; any version of it serves.
    pub(super) fn kind(&self, at: &Coordinates) -> Result<Arc<Found>, Error> {
        let group = at.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let kinds = self.kinds.read();
        let found = kinds.iter().find(|k| k.resource.kind == at.kind && k.resource.group == group);
        let none = || Error::other(format!("no kind {} in {}", at.kind, at.api_version));
        found.cloned().ok_or_else(none)
    }

    pub(super) fn api(&self, at: &Coordinates) -> Result<Api<DynamicObject>, Error> {
        Ok(self.kind(at)?.api(&self.context.client, &at.namespace))
    }

    /// The object's metadata now; `None` if there is no such object, or it cannot be named (a
    /// namespaced owner of a cluster-scoped object).
    pub(super) async fn metadata(&self, at: &Coordinates) -> Result<Option<ObjectMeta>, Error> {
        if self.kind(at)?.namespaced && at.namespace.is_empty() {
            return Ok(None);
        }
        let found = self.api(at)?.get_metadata_opt(&at.name).await?;
        Ok(found.map(|object| object.metadata))
    }

    /// Deletes what we looked at, and only that.
    pub(super) async fn delete(
        &self,
        node: &Node,
        latest: &ObjectMeta,
        policy: PropagationPolicy,
    ) -> Result<(), Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(node.seen.uid.clone()),
                resource_version: latest.resource_version.clone(),
            }),
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        match self.api(&node.seen.at)?.delete(&node.seen.at.name, &params).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes owner references, unless the object has changed since.
    pub(super) async fn write_owners(
        &self,
        at: &Coordinates,
        latest: &ObjectMeta,
        owners: Vec<OwnerReference>,
    ) -> Result<(), Error> {
        let owners = (!owners.is_empty()).then_some(owners);
        let patch = json!({"metadata": {
            "ownerReferences": owners,
            "resourceVersion": latest.resource_version,
            "uid": latest.uid,
        }});
        self.patch(at, patch).await
    }

    pub(super) async fn remove_finalizer(&self, node: &Node, finalizer: &str) -> Result<(), Error> {
        let at = &node.seen.at;
        let Some(latest) = self.metadata(at).await? else { return Ok(()) };
        let mut list = latest.finalizers.clone().unwrap_or_default();
        if latest.uid.as_ref() != Some(&node.seen.uid) || !list.iter().any(|f| f == finalizer) {
            return Ok(());
        }
        list.retain(|known| known != finalizer);
        let patch = json!({"metadata": {
            "finalizers": (!list.is_empty()).then_some(list),
            "resourceVersion": latest.resource_version,
            "uid": latest.uid,
        }});
        self.patch(at, patch).await
    }

    async fn patch(&self, at: &Coordinates, patch: serde_json::Value) -> Result<(), Error> {
        let patch = Patch::Merge(patch);
        match self.api(at)?.patch_metadata(&at.name, &PatchParams::default(), &patch).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}
