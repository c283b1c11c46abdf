//! Pods and pod templates.

use std::collections::HashSet;

use apimachinery::ObjectExt;
use apimachinery::field::Path;
use serde_json::Value;

use super::addresses::warn_ip;
use super::{entries, items, nodes, paths, ports, volumes, warn_fraction};
use crate::registry::core::app_armor;

const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF: &str = "container.seccomp.security.alpha.kubernetes.io/";
const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const VOLUMES: &[(&str, &str)] = &[
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const LISTS: &[&str] = &["initContainers", "containers", "ephemeralContainers"];

/// The containers of a pod with their paths.
pub(super) fn containers<'a>(
    path: &Path,
    spec: &'a Value,
) -> impl Iterator<Item = (Path, &'a Value)> + use<'a> {
    let path = path.clone();
    LISTS.iter().flat_map(move |list| {
        let path = path.child(list);
        items(spec, &[list]).enumerate().map(move |(i, container)| (path.index(i), container))
    })
}

/// Warns about the pod or template at `path`.
pub(super) fn warn(path: &Path, pod: &Value, found: &mut Vec<String>) {
    let is_template = *path != Path::root();
    let (spec, annotations) = (&pod["spec"], path.child("metadata").child("annotations"));
    let path = &path.child("spec");
    placement(path, spec, found);
    for (annotation, message) in ANNOTATIONS {
        if pod.annotation(annotation).is_some() {
            found.push(format!("{}: {message}", annotations.key(annotation)));
        }
    }
    for (i, volume) in items(spec, &["volumes"]).enumerate() {
        let path = path.child("volumes").index(i);
        for (source, message) in VOLUMES.iter().filter(|(source, _)| volume[*source].is_object()) {
            // Upstream names the Go field.
            let name = if *source == "storageos" { "storageOS" } else { source };
            found.push(format!("{}: {message}", path.child(name)));
        }
        if let Some(claim) = volume.get_path(&["ephemeral", "volumeClaimTemplate", "spec"]) {
            let path = path.child("ephemeral").child("volumeClaimTemplate").child("spec");
            volumes::warn_claim(&path, claim, found);
        }
    }
    items(spec, &["volumes"]).for_each(|volume| paths::warn(volume, found));
    repeated(path, spec, "hostAliases", "ip", found);
    repeated(path, spec, "imagePullSecrets", "name", found);
    for (i, secret) in items(spec, &["imagePullSecrets"]).enumerate() {
        if secret.str_at(&["name"]).is_empty() {
            let path = path.child("imagePullSecrets").index(i).child("name");
            found.push(format!("{path}: invalid empty name \"\""));
        }
    }
    for resource in ["memory", "ephemeral-storage"] {
        warn_fraction(&path.child("overhead"), &spec["overhead"], resource, found);
    }
    if pod.annotation(SECCOMP).is_some() && !spec["securityContext"]["seccompProfile"].is_object() {
        found.push(format!(
            "{}: non-functional in v1.27+; use the \"seccompProfile\" field instead",
            annotations.key(SECCOMP)
        ));
    }
    for (path, container) in containers(path, spec) {
        let context = &container["securityContext"];
        let name = container.str_at(&["name"]);
        let key = format!("{SECCOMP_OF}{name}");
        if pod.annotation(&key).is_some() && !context["seccompProfile"].is_object() {
            found.push(format!(
                "{}: non-functional in v1.27+; use the \"seccompProfile\" field instead",
                annotations.key(&key)
            ));
        }
        // A pod was warned about before it got the fields.
        let key = format!("{}{name}", app_armor::ANNOTATION);
        let own = &spec["securityContext"]["appArmorProfile"];
        if let Some(annotation) = pod.annotation(&key)
            && is_template
            && !context["appArmorProfile"].is_object()
            && app_armor::profile_of(annotation).as_ref() != Some(own)
        {
            found.push(app_armor::deprecation(&annotations, &key));
        }
        for resource in ["memory", "ephemeral-storage"] {
            for amounts in ["limits", "requests"] {
                let path = path.child("resources").child(amounts);
                warn_fraction(&path, &container["resources"][amounts], resource, found);
            }
        }
        hidden_variables(&path.child("env"), container, found);
        for (i, rule) in items(container, &["restartPolicyRules"]).enumerate() {
            if rule["action"] == "RestartAllContainers" {
                let at = path.child("restartPolicyRules").index(i).child("action");
                found.push(format!("{at}: restarts this container alone in this cluster yet"));
            }
        }
    }
    ports::warn(path, spec, found);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        found.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            path.child("terminationGracePeriodSeconds")
        ));
    }
    matching_none(path, spec, found);
    for (i, server) in items(spec, &["dnsConfig", "nameservers"]).enumerate() {
        let path = path.child("dnsConfig").child("nameservers").index(i);
        warn_ip(&path, server.as_str().unwrap_or_default(), found);
    }
    for (i, alias) in items(spec, &["hostAliases"]).enumerate() {
        let path = path.child("hostAliases").index(i).child("ip");
        warn_ip(&path, alias.str_at(&["ip"]), found);
    }
}

/// Warns about deprecated labels in node selectors, and topology spread without pods.
fn placement(path: &Path, spec: &Value, found: &mut Vec<String>) {
    for (label, _) in entries(spec, &["nodeSelector"]) {
        if let Some(message) = nodes::deprecated(label) {
            found.push(format!("{}: {message}", path.child("nodeSelector").key(label)));
        }
    }
    let affinity = &spec["affinity"]["nodeAffinity"];
    let at = path.child("affinity").child("nodeAffinity");
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    for (i, term) in items(affinity, &[required, "nodeSelectorTerms"]).enumerate() {
        let path = at.child(required).child("nodeSelectorTerms").index(i);
        nodes::warn_term(&path, term, false, found);
    }
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    for (i, term) in items(affinity, &[preferred]).enumerate() {
        let path = at.child(preferred).index(i).child("preference");
        nodes::warn_term(&path, &term["preference"], true, found);
    }
    for (i, constraint) in items(spec, &["topologySpreadConstraints"]).enumerate() {
        let path = path.child("topologySpreadConstraints").index(i);
        let key = constraint.str_at(&["topologyKey"]);
        if let Some(message) = nodes::deprecated(key) {
            found.push(format!("{}: {key} is {message}", path.child("topologyKey")));
        }
        no_selector(&path, constraint, found);
    }
}

fn no_selector(path: &Path, term: &Value, found: &mut Vec<String>) {
    if !term["labelSelector"].is_object() {
        let path = path.child("labelSelector");
        found.push(format!("{path}: a null labelSelector results in matching no pod"));
    }
}

/// Warns about pod affinity that selects nothing.
fn matching_none(path: &Path, spec: &Value, found: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = path.child("affinity").child(kind);
        let affinity = &spec["affinity"][kind];
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in items(affinity, &[required]).enumerate() {
            no_selector(&path.child(required).index(i), term, found);
        }
        let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in items(affinity, &[preferred]).enumerate() {
            let path = path.child(preferred).index(i).child("podAffinityTerm");
            no_selector(&path, &term["podAffinityTerm"], found);
        }
    }
}

/// Warns about items of a list with equal values of a field.
fn repeated(path: &Path, spec: &Value, list: &str, field: &str, found: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (i, item) in items(spec, &[list]).enumerate() {
        let value = item.str_at(&[field]);
        if !seen.insert(value) {
            let path = path.child(list).index(i).child(field);
            found.push(format!("{path}: duplicate {field} {value:?}"));
        }
    }
}

/// Warns about environment variables that are set twice, unless the second uses the first.
fn hidden_variables(path: &Path, container: &Value, found: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (i, variable) in items(container, &["env"]).enumerate() {
        let name = variable.str_at(&["name"]);
        if seen.insert(name) {
            continue;
        }
        let (value, earlier) = (variable.str_at(&["value"]), format!("$({name})"));
        let from = variable["valueFrom"].is_object();
        if from || value == earlier || !value.contains(&earlier) {
            let path = path.index(i);
            found.push(format!(
                "{path}: hides previous definition of {name:?}, which may be dropped when using \
                 apply"
            ));
        }
    }
}
