//! `pods/binding`: the scheduler's decision.

use apimachinery::{ObjectExt, Status, time};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::create::Ownership;
use super::{Call, update};
use crate::body::Body;
use crate::decode::Expected;
use crate::encode;
use crate::registry::{self, Sub};

const BINDING: Expected<'static> = Expected { group: "", version: "v1", kind: "Binding" };

pub(super) async fn bind(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let binding = call.decode(body, BINDING).await?;
    let name = if call.info.name.is_empty() { binding.name() } else { &call.info.name };
    if !binding.name().is_empty() && binding.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let node = binding.str_at(&["target", "name"]).to_owned();
    let kind = binding.str_at(&["target", "kind"]);
    if node.is_empty() || !matches!(kind, "" | "Node") {
        return Err(Status::bad_request("the target of a binding must be a Node"));
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
        set_condition(&mut pod, "PodScheduled", "", "");
        // The node it was nominated for has served its purpose (KEP-5278).
        if let Some(status) = pod["status"].as_object_mut() {
            status.remove("nominatedNodeName");
        }
        Ok((pod, Ownership::Update))
    })
    .await?;
    encode::value(StatusCode::CREATED, &Status::success().to_value(), call.accepted.encoding)
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
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        conditions.retain(|c| c["type"] != of);
        conditions.push(condition);
    }
}
