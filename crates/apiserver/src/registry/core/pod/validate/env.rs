//! Environment variables and the downward API.

use std::collections::HashMap;

use apimachinery::names;

use super::all_containers;
use crate::registry::check::{Field, Rule, no_backsteps};

pub(super) fn check(container: &Field<'_>) {
    for variable in container.items("env") {
        variable.needs_valid("name", names::relaxed_env_var_name);
        if let Some(source) = variable.opt("valueFrom") {
            check_source(&source, variable.str("value"));
        }
    }
}

fn check_source(source: &Field<'_>, value: &str) {
    let mut given = 0;
    let rules: [(&str, Rule); 5] = [
        ("fieldRef", |f| check_field_ref(f, ENV_FIELDS)),
        ("resourceFieldRef", |f| check_resource_field_ref(f, false)),
        ("configMapKeyRef", check_key_ref),
        ("secretKeyRef", check_key_ref),
        ("fileKeyRef", check_file_key_ref),
    ];
    for (name, rule) in rules {
        if let Some(source) = source.opt(name) {
            given += 1;
            rule(&source);
        }
    }
    let wrong = match given {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
             `secretKeyRef` or `fileKeyRef`"
        }
        _ if !value.is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    source.invalid_value("", wrong);
}

pub(super) fn check_from(container: &Field<'_>) {
    for source in container.items("envFrom") {
        source.maybe_valid("prefix", names::relaxed_env_var_name);
        let mut given = 0;
        for name in ["configMapRef", "secretRef"] {
            if let Some(reference) = source.opt(name) {
                given += 1;
                reference.needs_valid("name", names::dns1123_subdomain);
            }
        }
        let list = container.at("envFrom");
        match given {
            0 => list.invalid_value("", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => list.invalid_value("", "may not have more than one field specified at a time"),
        }
    }
}

fn check_key_ref(reference: &Field<'_>) {
    reference.valid("name", names::dns1123_subdomain);
    reference.needs_valid("key", names::config_map_key);
}

fn check_file_key_ref(reference: &Field<'_>) {
    reference.needs_valid("key", names::relaxed_env_var_name);
    reference.needs_valid("volumeName", names::dns1123_label);
    if reference.needs("path") && !no_backsteps(reference.str("path")) {
        reference.at("path").no_backsteps();
    }
}

/// Fields that a variable may refer to.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields that a file may refer to.
pub(in crate::registry) const VOLUME_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Fields of a pod that have a name in v1.
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Checks a reference to a field of the pod, one of `supported`.
pub(in crate::registry) fn check_field_ref(reference: &Field<'_>, supported: &[&str]) {
    if !reference.needs("apiVersion") || !reference.needs("fieldPath") {
        return;
    }
    let (version, path) = (reference.str("apiVersion"), reference.str("fieldPath"));
    let at = reference.at("fieldPath");
    let refuse = |why: String| at.invalid(format!("error converting fieldPath: {why}"));
    if version != "v1" {
        return refuse(format!("unsupported pod version: {version}"));
    }
    // `metadata.labels['key']`
    let subscripted = path.strip_suffix("']").and_then(|p| p.split_once("['"));
    if let Some((map, key)) = subscripted.filter(|(map, _)| !map.is_empty()) {
        let messages = match map {
            "metadata.annotations" => names::qualified_name(&key.to_lowercase()),
            "metadata.labels" => names::qualified_name(key),
            _ => return refuse(format!("field label does not support subscript: {path}")),
        };
        let shown = if map == "metadata.annotations" { key.to_lowercase() } else { key.to_owned() };
        for message in messages {
            reference.invalid_value(shown.as_str(), message);
        }
        return;
    }
    let path = if path == "spec.host" { "spec.nodeName" } else { path };
    if !KNOWN_FIELDS.contains(&path) {
        return refuse(format!("field label not supported: {path}"));
    }
    if !supported.contains(&path) {
        at.not_supported(supported);
    }
}

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Units that a number of bytes may be divided by.
const BYTE_UNITS: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";

/// Checks a reference to a resource of a container; a volume must name the container.
pub(in crate::registry) fn check_resource_field_ref(reference: &Field<'_>, in_volume: bool) {
    let resource = reference.str("resource");
    let huge =
        resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if in_volume && reference.str("containerName").is_empty() {
        reference.at("containerName").required("");
    } else if reference.needs("resource") && !RESOURCES.contains(&resource) && !huge {
        reference.at("resource").not_supported(RESOURCES);
    }
    let divisor = reference.at("divisor");
    if divisor.quantity().is_zero() {
        return;
    }
    let kind = resource.split_once('.').map_or("", |(_, kind)| kind);
    let (units, what) = match kind {
        "cpu" => ("1m, 1", "cpu"),
        "memory" => (BYTE_UNITS, "memory"),
        "ephemeral-storage" => (BYTE_UNITS, "local ephemeral storage"),
        _ if huge => (BYTE_UNITS, "hugepages"),
        _ => return,
    };
    if !units.split(", ").any(|unit| unit == divisor.text()) {
        let units = if kind == "cpu" { "1m and 1" } else { units };
        let detail =
            format!("only divisor's values {units} are supported with the {what} resource");
        divisor.invalid_value(resource, detail);
    }
}

/// Variables may only be read from files in emptyDir volumes.
pub(super) fn check_file_keys(spec: &Field<'_>) {
    let volumes: HashMap<&str, Field<'_>> =
        spec.items("volumes").map(|v| (v.str("name"), v)).collect();
    for variable in all_containers(spec).flat_map(|c| c.items("env")) {
        let Some(reference) = variable.at("valueFrom").opt("fileKeyRef") else { continue };
        let name = reference.at("volumeName");
        match volumes.get(name.text()) {
            None => name.not_found(),
            Some(volume) if !volume.has("emptyDir") => {
                name.invalid("referenced volume must be of type emptyDir");
            }
            Some(_) => {}
        }
    }
}
