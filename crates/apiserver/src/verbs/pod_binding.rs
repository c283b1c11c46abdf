//! `pods/binding`: records the scheduler's decision.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, Status, time};
use http::Response;
use serde_json::{Value, json};

use super::create::Ownership;
use super::{Call, meta, update};
use crate::body::Body;
use crate::decode::Expected;
use crate::encode;
use crate::registry::{self, Sub};

const BINDING: Expected<'static> = Expected::builtin("", "v1", "Binding");

pub(super) async fn bind(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let mut binding = call.decode(body, BINDING).await?;
    meta::place(&call.kind, &call.info.namespace, &mut binding)?;
    let name = if call.info.name.is_empty() { binding.name() } else { &call.info.name };
    if binding.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let node = binding.str_at(&["target", "name"]).to_owned();
    let errors = check(&binding);
    if !errors.is_empty() {
        return Err(Status::generic(500, "", errors.message()));
    }
    let pods = registry::find("", "v1", "pods").ok_or_else(|| Status::internal("no pods"))?;
    // The binding is a write of the pod through its binding subresource.
    let mut pod_call = call.upon(pods, Some(Sub::Binding));
    pod_call.info.name = name.to_owned();
    update::change(&pod_call, |old| {
        let conflict = |why: String| Status::conflict("", "pods/binding", old.name(), why);
        if !binding.uid().is_empty() && binding.uid() != old.uid() {
            return Err(conflict(format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: {}",
                binding.uid(),
                old.uid()
            )));
        }
        let version = binding.resource_version();
        if !version.is_empty() && version != old.resource_version() {
            return Err(conflict(format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion \
                 in object meta: {}",
                old.resource_version()
            )));
        }
        if old.deletion_timestamp().is_some() {
            return Err(conflict(format!(
                "pod {} is being deleted, cannot be assigned to a host",
                old.name()
            )));
        }
        let assigned = old.str_at(&["spec", "nodeName"]);
        if !assigned.is_empty() {
            return Err(conflict(format!(
                "pod {} is already assigned to node \"{assigned}\"",
                old.name()
            )));
        }
        if old["spec"]["schedulingGates"].as_array().is_some_and(|g| !g.is_empty()) {
            return Err(conflict(format!(
                "pod {} has non-empty .spec.schedulingGates",
                old.name()
            )));
        }
        let mut pod = old.clone();
        pod.set_meta("resourceVersion", Value::Null);
        pod.set_path(&["spec", "nodeName"], node.clone().into());
        for (key, value) in binding.annotations() {
            pod.set_path(&["metadata", "annotations", key], value.into());
        }
        for (key, value) in binding.labels() {
            pod.set_path(&["metadata", "labels", key], value.into());
        }
        set_condition(&mut pod, "PodScheduled", "", "");
        // The nomination is no longer needed (KEP-5278).
        if let Some(status) = pod["status"].as_object_mut() {
            status.remove("nominatedNodeName");
        }
        Ok((pod, Ownership::Update))
    })
    .await?;
    encode::created(call.accepted.encoding)
}

/// Validates a binding (upstream's `ValidatePodBinding`).
fn check(binding: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let target = Path::new("target");
    let kind = binding.str_at(&["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        let supported = ["Node", "<empty>"];
        errors.0.push(FieldError::not_supported(&target.child("kind"), kind, &supported));
    }
    if binding.str_at(&["target", "name"]).is_empty() {
        errors.0.push(FieldError::required(&target.child("name"), ""));
    }
    errors
}

/// Sets a condition of a pod to true.
pub(super) fn set_condition(pod: &mut Value, of: &str, reason: &str, message: &str) {
    let mut condition = json!({
        "type": of, "status": "True", "lastProbeTime": null,
        "lastTransitionTime": time::now_rfc3339(),
    });
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[field] = text.into();
        }
    }
    if !pod["status"]["conditions"].is_array() {
        pod.set_path(&["status", "conditions"], json!([]));
    }
    let Some(conditions) = pod["status"]["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|c| c["type"] == of) {
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}
