//! AlwaysPullImages: nobody runs an image that a node has for somebody else.

use std::collections::HashSet;

use apimachinery::field::{FieldError, Path};
use apimachinery::text::aggregate;
use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Plugin, Request};

const ALWAYS: &str = "Always";
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(super) struct AlwaysPullImages;

#[async_trait]
impl Plugin for AlwaysPullImages {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        if !concerns(request, pod) || !pod["spec"].is_object() {
            return Ok(());
        }
        // Lists that are not there stay away.
        let spec = &mut pod["spec"];
        for list in LISTS {
            for container in list_mut(spec, list) {
                container["imagePullPolicy"] = ALWAYS.into();
            }
        }
        for volume in list_mut(spec, "volumes") {
            if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
                image["pullPolicy"] = ALWAYS.into();
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod.filter(|pod| concerns(request, pod)) else { return Ok(()) };
        let faults: Vec<String> =
            faults(pod).into_iter().map(|error| request.forbidden(error).message).collect();
        if faults.is_empty() {
            return Ok(());
        }
        // A plain error in upstream, which has no reason.
        Err(Status::generic(500, "", aggregate(&faults)))
    }
}

fn faults(pod: &Object) -> Vec<FieldError> {
    let spec = Path::new("spec");
    let check = |path: Path, policy: &Value| {
        let policy = policy.as_str().unwrap_or_default();
        (policy != ALWAYS).then(|| FieldError::not_supported(&path, policy, &[ALWAYS]))
    };
    let mut faults = Vec::new();
    for list in LISTS {
        for (i, container) in items(&pod["spec"][list]).enumerate() {
            let path = spec.child(list).index(i).child("imagePullPolicy");
            faults.extend(check(path, &container["imagePullPolicy"]));
        }
    }
    for (i, volume) in items(&pod["spec"]["volumes"]).enumerate() {
        if volume["image"].is_object() {
            let path = spec.child("volumes").index(i).child("image").child("pullPolicy");
            faults.extend(check(path, &volume["image"]["pullPolicy"]));
        }
    }
    faults
}

fn list_mut<'a>(spec: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn images(pod: &Object) -> HashSet<&str> {
    let containers = LISTS.into_iter().flat_map(|list| items(&pod["spec"][list]));
    containers.map(|container| container["image"].as_str().unwrap_or_default()).collect()
}

/// Returns true for new pods, and for updates to images that the pod does not have yet.
fn concerns(request: &Request<'_>, pod: &Object) -> bool {
    match (request.operation, request.old) {
        (Operation::Create, _) => request.creates_pod(),
        (_, Some(old)) => request.updates_pod() && !images(pod).is_subset(&images(old)),
        _ => false,
    }
}
