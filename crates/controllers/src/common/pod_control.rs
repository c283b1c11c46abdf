//! Making and deleting pods on behalf of their controller.

use client::EventType::{Normal, Warning};
use client::helpers::{is_not_found, owner_ref};
use client::informer::Kind;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::Resource;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use super::meta;
use crate::context::message;
use crate::{Context, Error};

/// A kind that makes pods.
pub(crate) trait Owner:
    Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>
{
}
impl<K: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>> Owner for K {}

/// A pod as the template says, controlled by `owner` and named after it by the server.
pub(crate) fn pod_from<O: Owner>(owner: &O, template: &PodTemplateSpec) -> Pod {
    let from = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        generate_name: Some(prefix(meta::name(owner))),
        namespace: Some(meta::namespace(owner).to_owned()),
        labels: from.labels,
        annotations: from.annotations,
        finalizers: from.finalizers,
        owner_references: Some(vec![owner_ref(owner)]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

/// The owner's name and a dash, unless that leaves no valid pod name.
fn prefix(owner: &str) -> String {
    let dashed = format!("{owner}-");
    if apimachinery::names::dns1123_subdomain(dashed.trim_end_matches('-')).is_empty() {
        dashed
    } else {
        owner.to_owned()
    }
}

/// Creates `pod` and tells of it in an event about `owner`.
pub(crate) async fn create<O: Owner>(
    context: &Context,
    owner: &O,
    pod: &Pod,
) -> Result<Pod, Error> {
    let api = context.api::<Pod>(meta::namespace(owner));
    match api.create(&PostParams::default(), pod).await {
        Ok(made) => {
            let text = format!("Created pod: {}", meta::name(&made));
            context.events.event(owner, Normal, "SuccessfulCreate", text);
            Ok(made)
        }
        Err(error) => {
            if !is_namespace_terminating(&error) {
                let text = format!("Error creating: {}", message(&error));
                context.events.event(owner, Warning, "FailedCreate", text);
            }
            Err(error.into())
        }
    }
}

/// Deletes `pod` and tells of it in an event about `owner`. A pod that is gone is an error, so
/// that the caller stops waiting for its deletion.
pub(crate) async fn delete<O: Owner>(context: &Context, owner: &O, pod: &Pod) -> Result<(), Error> {
    let api = context.api::<Pod>(meta::namespace(pod));
    match api.delete(meta::name(pod), &DeleteParams::default()).await {
        Ok(_) => {
            let text = format!("Deleted pod: {}", meta::name(pod));
            context.events.event(owner, Normal, "SuccessfulDelete", text);
            Ok(())
        }
        Err(error) => {
            if !is_not_found(&error) {
                let text = format!("Error deleting: {}", message(&error));
                context.events.event(owner, Warning, "FailedDelete", text);
            }
            Err(error.into())
        }
    }
}

/// Returns true if creation failed because the namespace is being deleted: a retry would fail too.
pub(crate) fn is_namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
