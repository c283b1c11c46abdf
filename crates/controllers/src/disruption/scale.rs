//! How many pods there should be, by those who control them.

use std::collections::HashMap;
use std::sync::Arc;

use client::helpers::{controller_of, is_not_found};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::core::{DynamicObject, GroupVersionKind};

use super::Controller;
use crate::Error;
use crate::common::meta;

/// The sum of the scales, and whether some pods are controlled by nobody.
pub(super) struct Expected {
    pub(super) count: i32,
    pub(super) unmanaged: bool,
}

impl Controller {
    /// Adds up the scale of every controller of these pods.
    pub(super) async fn expected(&self, pods: &[Arc<Pod>]) -> Result<Expected, Error> {
        let (mut scales, mut unmanaged) = (HashMap::<String, i32>::new(), false);
        // ReplicaSets that count as their Deployment.
        let mut seen = std::collections::HashSet::new();
        for member in pods {
            let Some(reference) = controller_of(&**member) else {
                unmanaged = true;
                continue;
            };
            if !seen.insert(reference.uid.clone()) {
                continue;
            }
            let namespace = meta::namespace(&**member);
            let found = match self.known_scale(namespace, reference) {
                Some(found) => Some(found),
                None => self.other_scale(namespace, reference).await?,
            };
            let Some((uid, scale)) = found else {
                let name = meta::name(&**member);
                return Err(Error::other(format!("found no controllers for pod {name:?}")));
            };
            scales.insert(uid, scale);
        }
        Ok(Expected { count: scales.values().sum(), unmanaged })
    }

    /// The scale of a workload of a kind we watch.
    fn known_scale(&self, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
        let (group, _) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let uid = owner.uid.clone();
        match (group, owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                let set = self.sets.get_in(namespace, &owner.name)?;
                let parent = controller_of(&*set).filter(|parent| parent.kind == "Deployment");
                if meta::uid(&*set) != uid {
                    return None;
                }
                let Some(parent) = parent else {
                    let replicas = set.spec.replicas;
                    return Some((uid, replicas.unwrap_or(1)));
                };
                let deployment = self.deployments.get_in(namespace, &parent.name)?;
                let replicas = deployment.spec.replicas;
                let ours = meta::uid(&*deployment) == parent.uid;
                ours.then(|| (parent.uid.clone(), replicas.unwrap_or(1)))
            }
            ("apps", "StatefulSet") => {
                let set = self.stateful.get_in(namespace, &owner.name)?;
                let replicas = set.spec.replicas;
                (meta::uid(&*set) == uid).then_some((uid, replicas.unwrap_or(1)))
            }
            ("", "ReplicationController") => {
                let controller = self.controllers.get_in(namespace, &owner.name)?;
                let replicas = controller.spec.as_ref().and_then(|spec| spec.replicas);
                (meta::uid(&*controller) == uid).then_some((uid, replicas.unwrap_or(1)))
            }
            _ => None,
        }
    }

    /// The scale of anything that has one.
    async fn other_scale(
        &self,
        namespace: &str,
        owner: &OwnerReference,
    ) -> Result<Option<(String, i32)>, Error> {
        let (group, version) =
            owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let kind = GroupVersionKind::gvk(group, version, &owner.kind);
        let client = &self.context.client;
        let (resource, capabilities) = kube::discovery::pinned_kind(client, &kind).await?;
        if !capabilities.subresources.iter().any(|(sub, _)| sub.plural == "scale") {
            let plural = &resource.plural;
            let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
            return Err(Error::other(format!("{name} does not implement the scale subresource")));
        }
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let scale = match api.get_subresource("scale", &owner.name).await {
            Err(error) if is_not_found(&error) => return Ok(None),
            result => result?,
        };
        let replicas = scale.data["spec"]["replicas"].as_i64().unwrap_or(0);
        let ours = meta::uid(&scale) == owner.uid;
        let replicas = i32::try_from(replicas).unwrap_or(i32::MAX);
        Ok(ours.then(|| (owner.uid.clone(), replicas)))
    }
}
