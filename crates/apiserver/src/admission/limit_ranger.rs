//! LimitRanger: pods and claims stay within the limits of their namespace, and containers without
//! resources get its defaults.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use rules::resources::{Amounts, Demand, PodResources};
use serde_json::{Value, json};

use super::{Operation, Plugin, Request};
use crate::registry::{self, Sub, items_mut};

mod constraint;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(super) struct LimitRanger;

#[async_trait]
impl Plugin for LimitRanger {
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        if !request.is("", "pods") || !concerns(request) {
            return Ok(());
        }
        for range in ranges(request)? {
            let set = fill_in(object, &range);
            if !set.is_empty() && request.operation == Operation::Create {
                let text = format!("LimitRanger plugin set: {}", set.join("; "));
                object.set_path(&["metadata", "annotations", ANNOTATION], text.into());
            }
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(object) = object.filter(|_| concerns(request)) else { return Ok(()) };
        for range in ranges(request)? {
            let limits = items(&range["spec"], "limits");
            let wrong: Vec<String> = if request.is("", "pods") {
                limits.flat_map(|limit| check_pod(limit, &object["spec"])).collect()
            } else {
                limits.flat_map(|limit| check_claim(limit, &object["spec"])).collect()
            };
            if let Some(text) = aggregate(wrong) {
                return Err(request.forbidden(text));
            }
        }
        Ok(())
    }
}

/// Applies to new and resized pods and new and changed claims; not to objects being deleted.
fn concerns(request: &Request<'_>) -> bool {
    let concerned = match (request.operation, request.sub) {
        (Operation::Create, None) => request.is("", "pods") || is_claim(request),
        (Operation::Update, None) => is_claim(request),
        (Operation::Update, Some(Sub::Resize)) => request.is("", "pods"),
        _ => false,
    };
    concerned && request.old.is_none_or(|old| old.deletion_timestamp().is_none())
}

fn is_claim(request: &Request<'_>) -> bool {
    request.is("", "persistentvolumeclaims")
}

/// The limit ranges of the namespace.
fn ranges(request: &Request<'_>) -> Result<Vec<Object>, Status> {
    let kind = registry::find("", "v1", "limitranges")
        .ok_or_else(|| Status::internal("no limit ranges"))?;
    request.server.storage.readable(kind, request.namespace)?;
    let snapshot = request.server.collection(kind)?.snapshot();
    Ok(snapshot.range(request.namespace, "").map(|entry| entry.object()).collect())
}

fn items<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object[field].as_array().into_iter().flatten()
}

/// Gives containers the resources they do not name, and reports which.
fn fill_in(pod: &mut Object, range: &Value) -> Vec<String> {
    let (mut requests, mut limits) = (json!({}), json!({}));
    for limit in items(&range["spec"], "limits").filter(|limit| limit["type"] == "Container") {
        for (to, list) in [(&mut requests, "defaultRequest"), (&mut limits, "default")] {
            for (name, amount) in limit[list].as_object().into_iter().flatten() {
                to[name] = amount.clone();
            }
        }
    }
    let mut said = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        for container in items_mut(&mut pod["spec"], list).filter(|c| c.is_object()) {
            for (to, word, defaults) in
                [("requests", "request", &requests), ("limits", "limit", &limits)]
            {
                let mut set = Vec::new();
                for (name, amount) in defaults.as_object().into_iter().flatten() {
                    if container.get_path(&["resources", to, name]).is_none() {
                        container.set_path(&["resources", to, name], amount.clone());
                        set.push(name.as_str());
                    }
                }
                if !set.is_empty() {
                    let name = container.str_at(&["name"]);
                    said.push(format!("{} {word} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    said
}

fn check_pod(limit: &Value, spec: &Value) -> Vec<String> {
    let both = |demand: &Demand| constraint::check(limit, &demand.requests, &demand.limits);
    match limit.str_at(&["type"]) {
        "Container" => {
            let containers = ["containers", "initContainers"];
            let containers = containers.into_iter().flat_map(|list| items(spec, list));
            containers.flat_map(|c| both(&Demand::read(&c["resources"]))).collect()
        }
        "Pod" => both(&of_pod(spec)),
        _ => Vec::new(),
    }
}

/// Resources of the pod without overhead: CPU and memory of the pod as a whole replace the sum of
/// its containers. (Huge pages do so only for quotas and the scheduler.)
fn of_pod(spec: &Value) -> Demand {
    let resources = PodResources::of_spec(spec);
    let mut total = resources.of_containers();
    if let Some(whole) = &resources.whole {
        for name in ["cpu", "memory"] {
            whole.requests.get(name).into_iter().for_each(|own| total.requests.set(name, own));
            whole.limits.get(name).into_iter().for_each(|own| total.limits.set(name, own));
        }
    }
    total
}

fn check_claim(limit: &Value, spec: &Value) -> Vec<String> {
    if limit["type"] != "PersistentVolumeClaim" {
        return Vec::new();
    }
    constraint::check_requests(limit, &Amounts::read(&spec["resources"]["requests"]))
}

/// Joins several errors like upstream.
fn aggregate(mut errors: Vec<String>) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.len() {
        0 => None,
        1 => errors.pop(),
        _ => Some(format!("[{}]", errors.join(", "))),
    }
}

#[cfg(test)]
mod tests;
