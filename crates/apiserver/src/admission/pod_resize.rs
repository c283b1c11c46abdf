//! PodResizeValidator and NodeDeclaredFeatureValidator: a running pod only becomes what its node can
//! run.

use std::sync::Arc;

use apimachinery::object::strings;
use apimachinery::status::Cause;
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use rules::resources::{Amounts, PodResources};
use serde_json::Value;

use super::{Operation, Plugin, Request};
use crate::cache::Entry;
use crate::registry::{self, Sub};

/// The node of a pod.
fn node(request: &Request<'_>, name: &str) -> Result<Arc<Entry>, Status> {
    registry::find("", "v1", "nodes")
        .and_then(|kind| request.server.entry(kind, "", name))
        .ok_or_else(|| request.forbidden(format!("node {} not found", quote(name))))
}

pub(super) struct PodResize;

#[async_trait]
impl Plugin for PodResize {
    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let resizes = request.operation == Operation::Update
            && request.is("", "pods")
            && request.sub == Some(Sub::Resize);
        let (Some(pod), Some(old)) = (pod.filter(|_| resizes), request.old) else { return Ok(()) };
        let name = pod.str_at(&["spec", "nodeName"]);
        if name.is_empty() || pod.generation() == old.generation() {
            return Ok(());
        }
        let node = node(request, name)?;
        let refuse = |why: String, reason: &'static str| {
            let cause = Cause { reason: reason.into(), ..Cause::default() };
            Err(request.forbidden(why).caused_by(cause))
        };
        if let Some(system) = node.label("kubernetes.io/os").filter(|system| *system != "linux") {
            let (name, system) = (quote(name), quote(system));
            let why =
                format!("pod resize is only supported on linux nodes, node {name} is {system}");
            return refuse(why, "UnsupportedPlatform");
        }
        let allocatable = Amounts::read(&node.object()["status"]["allocatable"]);
        match lacking(&PodResources::of_spec(&pod["spec"]).requests(), &allocatable) {
            lacking if lacking.is_empty() => Ok(()),
            lacking => refuse(
                format!("node didn't have enough allocatable resources: {}", lacking.join("; ")),
                "NodeCapacity",
            ),
        }
    }
}

fn lacking(requests: &Amounts, allocatable: &Amounts) -> Vec<String> {
    let amount = |of: &Amounts, name: &str| {
        let amount = of.get(name).unwrap_or_default();
        if name == "cpu" { amount.milli_value() } else { amount.value() }
    };
    ["cpu", "memory"]
        .into_iter()
        .filter(|name| requests.get(name) > allocatable.get(name))
        .map(|name| {
            let (wanted, has) = (amount(requests, name), amount(allocatable, name));
            format!("{name}, requested: {wanted}, allocatable: {has}")
        })
        .collect()
}

pub(super) struct DeclaredFeatures;

#[async_trait]
impl Plugin for DeclaredFeatures {
    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let changes = request.operation == Operation::Update
            && request.is("", "pods")
            && matches!(request.sub, None | Some(Sub::Resize));
        let (Some(pod), Some(old)) = (pod.filter(|_| changes), request.old) else { return Ok(()) };
        let name = pod.str_at(&["spec", "nodeName"]);
        if name.is_empty() || pod.generation() == old.generation() {
            return Ok(());
        }
        let needed = features(pod, old);
        if needed.is_empty() {
            return Ok(());
        }
        let declared = strings(&node(request, name)?.object()["status"]["declaredFeatures"]);
        let missing: Vec<&str> =
            needed.into_iter().filter(|need| !declared.iter().any(|d| d == need)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(request.forbidden(format!(
            "pod update requires features {} which are not available on node {}",
            missing.join(", "),
            quote(name)
        )))
    }
}

/// The features of a node without which it could not follow the change.
fn features(pod: &Object, old: &Object) -> Vec<&'static str> {
    let mut needed = Vec::new();
    if pod["spec"]["resources"] != old["spec"]["resources"] {
        needed.push("InPlacePodLevelResourcesVerticalScaling");
    }
    let list = |of: &Object| of["spec"]["initContainers"].as_array().cloned().unwrap_or_default();
    let differs = |(new, old): (&Value, &Value)| {
        old["restartPolicy"] != "Always" && new["resources"] != old["resources"]
    };
    if list(pod).iter().zip(&list(old)).any(differs) {
        needed.push("InPlacePodVerticalScalingInitContainers");
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_fit_the_node() {
        let amounts =
            |cpu: &str, memory: &str| Amounts::read(&json!({"cpu": cpu, "memory": memory}));
        let has = amounts("2", "1Gi");
        assert!(lacking(&amounts("2", "1Gi"), &has).is_empty());
        assert_eq!(
            lacking(&amounts("2001m", "2Gi"), &has),
            [
                "cpu, requested: 2001, allocatable: 2000",
                "memory, requested: 2147483648, allocatable: 1073741824",
            ]
        );
        assert_eq!(lacking(&amounts("1", "1"), &Amounts::default()).len(), 2);
    }

    #[test]
    fn changes_need_features() {
        let pod = |whole: Value, init: Value, sidecar: Value| {
            json!({"spec": {"resources": whole, "initContainers": [
                {"resources": init}, {"resources": sidecar, "restartPolicy": "Always"}]}})
        };
        let (a, b) = (json!({"requests": {"cpu": "1"}}), json!({"requests": {"cpu": "2"}}));
        let old = pod(a.clone(), a.clone(), a.clone());
        assert!(features(&old, &old).is_empty());
        assert!(features(&pod(a.clone(), a.clone(), b.clone()), &old).is_empty());
        assert_eq!(
            features(&pod(b.clone(), b, a), &old),
            ["InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"]
        );
    }
}
