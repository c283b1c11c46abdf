//! Warnings to clients about fields without effect or with a surprising one (upstream's
//! `WarningsOnCreate` and `WarningsOnUpdate`), and objects that have no effect yet.

mod addresses;
mod nodes;
mod paths;
mod pods;
mod ports;
mod services;
mod volumes;

use apimachinery::field::Path;
use apimachinery::quantity::Quantity;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::kind::Kind;

/// Kinds that are stored but not acted on yet, and the missing action.
const WITHOUT_EFFECT: &[(&str, &str, &str)] = &[
    ("autoscaling", "HorizontalPodAutoscaler", "acted on"),
    ("networking.k8s.io", "NetworkPolicy", "enforced"),
    ("resource.k8s.io", "DeviceClass", "allocated by"),
    ("resource.k8s.io", "DeviceTaintRule", "enforced"),
    ("resource.k8s.io", "ResourceClaim", "allocated"),
    ("resource.k8s.io", "ResourceClaimTemplate", "acted on"),
    ("resource.k8s.io", "ResourceSlice", "allocated from"),
];

/// Warnings about a new object, or about an update of `old`.
pub(crate) fn warnings(kind: &Kind, object: &Object, old: Option<&Object>) -> Vec<String> {
    let mut found = Vec::new();
    of_kind(kind, object, old, &mut found);
    let group = kind.group;
    let effect = WITHOUT_EFFECT.iter().find(|(g, k, _)| *g == group && *k == kind.kind);
    if let Some((_, name, effect)) = effect {
        found.push(format!("{name} objects are stored by this cluster, but not {effect} yet"));
    }
    found
}

fn of_kind(kind: &Kind, object: &Object, old: Option<&Object>, found: &mut Vec<String>) {
    let spec = Path::new("spec");
    let template = |at: &[&str], path: Path, found: &mut Vec<String>| {
        // Other updates repeat no warnings.
        if old.is_none_or(|old| old.generation() != object.generation())
            && let Some(template) = object.get_path(at)
        {
            pods::warn(&path, template, found);
        }
    };
    let of_pods = "this is used in Pod names and hostnames, which can result in surprising \
                   behavior; a DNS label is recommended";
    match (kind.group, kind.kind) {
        ("", "Pod") if old.is_none() => {
            let why = "this is used in the Pod's hostname, which can result in surprising \
                       behavior; a DNS label is recommended";
            warn_name(object, why, found);
            pods::warn(&Path::root(), object, found);
        }
        ("", "PodTemplate") => template(&["template"], Path::new("template"), found),
        ("", "ReplicationController") | ("apps", "Deployment" | "ReplicaSet") => {
            if old.is_none() {
                warn_name(object, of_pods, found);
            }
            template(&["spec", "template"], spec.child("template"), found);
        }
        ("apps", "DaemonSet") => template(&["spec", "template"], spec.child("template"), found),
        ("apps", "StatefulSet") => {
            template(&["spec", "template"], spec.child("template"), found);
            for (i, claim) in items(object, &["spec", "volumeClaimTemplates"]).enumerate() {
                let name = if old.is_none() { "spec" } else { "Spec" };
                let path = spec.child("volumeClaimTemplates").index(i).child(name);
                volumes::warn_claim(&path, &claim["spec"], found);
            }
            if object["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|n| n < 0) {
                found.push(
                    "spec.revisionHistoryLimit: a negative value retains all historical \
                     revisions; a value >= 0 is recommended"
                        .to_owned(),
                );
            }
        }
        ("batch", "Job") => {
            if old.is_none() {
                warn_name(object, of_pods, found);
                warn_size(&spec, &object["spec"], found);
            }
            template(&["spec", "template"], spec.child("template"), found);
        }
        ("batch", "CronJob") => {
            let job = spec.child("jobTemplate").child("spec");
            if old.is_none() {
                warn_name(object, of_pods, found);
                warn_size(&job, &object["spec"]["jobTemplate"]["spec"], found);
            }
            template(&["spec", "jobTemplate", "spec", "template"], job.child("template"), found);
            if object.str_at(&["spec", "schedule"]).contains("TZ") && old.is_some() {
                found.push(
                    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                     https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for \
                     more details"
                        .to_owned(),
                );
            }
        }
        ("", "Service") => services::warn_service(object, found),
        ("", "Endpoints") => services::warn_endpoints(object, found),
        ("discovery.k8s.io", "EndpointSlice") => services::warn_slice(object, found),
        ("networking.k8s.io", "NetworkPolicy") => services::warn_policy(object, found),
        ("networking.k8s.io", "Ingress") if old.is_none() => services::warn_ingress(object, found),
        ("", "Node") => nodes::warn_node(object, found),
        ("node.k8s.io", "RuntimeClass") => nodes::warn_class(object, found),
        ("", "PersistentVolume") => volumes::warn_volume(object, found),
        ("", "PersistentVolumeClaim") => {
            if object.annotation(volumes::CLASS).is_some() {
                let path = Path::new("metadata").child("annotations").key(volumes::CLASS);
                found.push(format!(
                    "{path}: deprecated since v1.8; use \"storageClassName\" attribute instead"
                ));
            }
            volumes::warn_claim(&spec, &object["spec"], found);
        }
        ("storage.k8s.io", "StorageClass") => nodes::warn_topologies(object, found),
        ("storage.k8s.io", "CSIStorageCapacity") => {
            nodes::warn_selector(&Path::new("nodeTopology"), &object["nodeTopology"], found);
        }
        ("", "ServiceAccount") => warn_mountable(object, old, found),
        ("", "ResourceQuota") if old.is_none() => warn_quota(object, found),
        _ => {}
    }
}

/// The items of a list at a path.
fn items<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.get_path(path).and_then(Value::as_array).into_iter().flatten()
}

/// The entries of a map at a path, as text.
fn entries<'a>(
    object: &'a Value,
    path: &[&str],
) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
    let map = object.get_path(path).and_then(Value::as_object);
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Warns about a name that is not a DNS label.
fn warn_name(object: &Object, why: &str, found: &mut Vec<String>) {
    let wrong = names::dns1123_label(object.name());
    if !wrong.is_empty() {
        found.push(format!("metadata.name: {why}: [{}]", wrong.join(" ")));
    }
}

/// Warns about a fractional number of bytes.
fn warn_fraction(path: &Path, amounts: &Value, resource: &str, found: &mut Vec<String>) {
    let Some(value) = amounts.get(resource) else { return };
    let Ok(amount) = Quantity::from_value(value) else { return };
    if amount.milli_value() % 1000 != 0 {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let shown = Quantity::normalize(&shown).unwrap_or(shown);
        found.push(format!(
            "{}: fractional byte value {shown:?} is invalid, must be an integer",
            path.key(resource)
        ));
    }
}

/// Warns about an indexed job that is too large to record its failed indexes.
fn warn_size(path: &Path, spec: &Value, found: &mut Vec<String>) {
    let number = |field: &str| spec[field].as_i64().unwrap_or(0);
    if spec["completionMode"] == "Indexed"
        && number("completions") > 100_000
        && number("parallelism") > 10_000
    {
        found.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a \
             parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes \
             when a big number of indexes fail"
        ));
    }
}

fn warn_mountable(object: &Object, old: Option<&Object>, found: &mut Vec<String>) {
    const ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";
    let had = old.is_some_and(|old| old.annotation(ANNOTATION).is_some());
    if object.annotation(ANNOTATION).is_some() && !had {
        found.push(format!(
            "metadata.annotations[{ANNOTATION}]: deprecated in v1.32+; prefer separate namespaces \
             to isolate access to mounted secrets"
        ));
    }
}

/// Warns about requests that may exceed limits.
fn warn_quota(object: &Object, found: &mut Vec<String>) {
    let hard = &object["spec"]["hard"];
    for resource in ["cpu", "memory", "storage", "ephemeral-storage"] {
        let mut request = format!("requests.{resource}");
        if hard.get(&request).is_none() && matches!(resource, "cpu" | "memory") {
            request = resource.to_owned();
        }
        let limit = format!("limits.{resource}");
        let amount = |name: &str| Quantity::from_value(hard.get(name)?).ok();
        if let (Some(asked), Some(most)) = (amount(&request), amount(&limit))
            && asked > most
        {
            let shown = |name: &str| hard.str_at(&[name]).to_owned();
            found.push(format!(
                "ResourceQuota {request} ({}) should be less than {limit} ({})",
                shown(&request),
                shown(&limit)
            ));
        }
    }
}

#[cfg(test)]
mod tests;
