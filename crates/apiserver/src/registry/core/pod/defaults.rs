//! Defaults of a PodSpec (upstream's `pkg/apis/core/v1/defaults.go`).

use std::sync::LazyLock;

use apimachinery::{Object, ObjectExt};
use regex::Regex;
use rules::resources::{PodResources, is_huge_page, is_pod_level, may_overcommit};
use serde_json::{Map, Value, json};

use crate::registry::strategy::{ensure, set_default};

/// Defaults of `spec.template.spec`.
pub(crate) fn default_template(object: &mut Object) {
    default_spec(ensure(object, &["spec", "template", "spec"]));
}

/// Defaults of a pod spec in any object.
pub(crate) fn default_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|n| n < 0) {
        spec["terminationGracePeriodSeconds"] = 1.into();
    }
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "securityContext", json!({}));
    // The two names of the service account are one field.
    if let Some(name) = spec.get("serviceAccountName").filter(|n| **n != "").cloned() {
        spec["serviceAccount"] = name;
    } else if let Some(name) = spec.get("serviceAccount").cloned() {
        set_default(spec, "serviceAccountName", name);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in items(spec, list) {
            default_container(container);
        }
    }
    for volume in items(spec, "volumes") {
        default_volume(volume);
    }
}

/// In the host's network a pod's ports are host ports.
pub(super) fn default_host_ports(spec: &mut Value) {
    if spec["hostNetwork"] != true {
        return;
    }
    for list in ["containers", "initContainers"] {
        for port in items(spec, list).flat_map(|c| items(c, "ports")) {
            if port["hostPort"].as_i64().unwrap_or(0) == 0 {
                port["hostPort"] = port["containerPort"].clone();
            }
        }
    }
}

/// Resources of the pod as a whole: huge page limits default to the containers' limits, requests to
/// their requests, and then to the limits (KEP-2837).
pub(super) fn default_pod_resources(spec: &mut Value) {
    let given = |list: &str| spec["resources"][list].as_object().is_some_and(|m| !m.is_empty());
    if !given("limits") && !given("requests") {
        return;
    }
    let of_containers = PodResources::of_spec(spec).of_containers();
    let absent = |spec: &Value, list: &str, name: &str| spec["resources"][list][name].is_null();
    for (name, limit) in of_containers.limits.iter() {
        if is_huge_page(name) && absent(spec, "requests", name) && absent(spec, "limits", name) {
            spec.set_path(&["resources", "limits", name], limit.into());
        }
    }
    let Some(limits) = spec["resources"]["limits"].as_object().cloned() else { return };
    for (name, request) in of_containers.requests.iter() {
        if is_pod_level(name) && may_overcommit(name) && absent(spec, "requests", name) {
            spec.set_path(&["resources", "requests", name], request.into());
        }
    }
    for (name, limit) in limits {
        if is_pod_level(&name) && absent(spec, "requests", &name) {
            spec.set_path(&["resources", "requests", &name], limit);
        }
    }
}

/// A pod's environment lists the services of its namespace by default.
pub(super) fn default_service_links(spec: &mut Value) {
    set_default(spec, "enableServiceLinks", true);
}

/// Requests default to limits.
pub(super) fn default_requests(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            let Some(limits) = container.get_path(&["resources", "limits"]).cloned() else {
                continue;
            };
            for (name, limit) in limits.as_object().into_iter().flatten() {
                if container.get_path(&["resources", "requests", name]).is_none() {
                    container.set_path(&["resources", "requests", name], limit.clone());
                }
            }
        }
    }
}

fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter(|item| item.is_object())
}

fn default_container(container: &mut Value) {
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    let policy = pull_policy(container.str_at(&["image"]));
    set_default(container, "imagePullPolicy", policy);
    for port in items(container, "ports") {
        set_default(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(field) = variable.get_mut("valueFrom").and_then(|v| v.get_mut("fieldRef")) {
            set_default(field, "apiVersion", "v1");
        }
        if let Some(file) = variable.get_mut("valueFrom").and_then(|v| v.get_mut("fileKeyRef")) {
            set_default(file, "optional", false);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).filter(|p| p.is_object()) {
            default_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(get) = container
            .get_mut("lifecycle")
            .and_then(|l| l.get_mut(hook))
            .and_then(|h| h.get_mut("httpGet"))
        {
            default_http_get(get);
        }
    }
}

/// An image reference: registry, path, tag and digest (distribution's grammar).
static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let host = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
    let part = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
    Regex::new(&format!(
        "^(?:(?:{host}(?:\\.{host})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?/)?{part}(?:/{part})*\
         (?::([0-9A-Za-z_][0-9A-Za-z_.-]{{0,127}}))?(@[A-Za-z][0-9A-Za-z+._-]*:[0-9a-fA-F]{{32,}})?$"
    ))
    .ok()
});

/// Longest name of an image without its tag.
const MAX_IMAGE_NAME: usize = 255;

/// The latest image is always pulled; text that is not a valid reference has no tag.
fn pull_policy(image: &str) -> &'static str {
    let parts = REFERENCE.as_ref().and_then(|r| r.captures(image));
    let hash = image.len() == 64 && image.bytes().all(|b| b.is_ascii_hexdigit());
    let name = |parts: &regex::Captures<'_>| {
        let ends = [parts.get(1), parts.get(2)];
        ends.into_iter().flatten().next().map_or(image.len(), |end| end.start())
    };
    // Text that is not a valid image name has no tag either.
    let parts = parts.filter(|parts| !hash && name(parts) <= MAX_IMAGE_NAME);
    match parts.map(|p| (p.get(1).map(|tag| tag.as_str()), p.get(2))) {
        Some((None, None) | (Some("latest"), _)) => "Always",
        _ => "IfNotPresent",
    }
}

fn default_probe(probe: &mut Value) {
    for (field, seconds) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        // Zero means unset in the API types.
        if probe[field] == 0 {
            probe[field] = Value::Null;
        }
        set_default(probe, field, seconds);
    }
    if let Some(get) = probe.get_mut("httpGet").filter(|g| g.is_object()) {
        default_http_get(get);
    }
    if let Some(grpc) = probe.get_mut("grpc").filter(|g| g.is_object()) {
        set_default(grpc, "service", "");
    }
}

fn default_http_get(get: &mut Value) {
    set_default(get, "path", "/");
    set_default(get, "scheme", "HTTP");
}

fn default_volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|v| v.keys().any(|k| k != "name"));
    if !has_source {
        volume["emptyDir"] = Value::Object(Map::new());
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source).filter(|s| s.is_object()) {
            set_default(source, "defaultMode", 0o644);
        }
    }
    if let Some(path) = volume.get_mut("hostPath").filter(|s| s.is_object()) {
        set_default(path, "type", "");
    }
    if let Some(image) = volume.get_mut("image").filter(|s| s.is_object()) {
        let policy = pull_policy(image.str_at(&["reference"]));
        set_default(image, "pullPolicy", policy);
    }
    default_disk(volume);
    if let Some(projected) = volume.get_mut("projected") {
        for source in items(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken").filter(|t| t.is_object()) {
                set_default(token, "expirationSeconds", 3600);
            }
            if let Some(down) = source.get_mut("downwardAPI") {
                default_field_refs(down);
            }
        }
    }
    if let Some(down) = volume.get_mut("downwardAPI") {
        default_field_refs(down);
    }
    if let Some(ephemeral) = volume
        .get_mut("ephemeral")
        .and_then(|e| e.get_mut("volumeClaimTemplate"))
        .and_then(|t| t.get_mut("spec"))
    {
        set_default(ephemeral, "volumeMode", "Filesystem");
    }
}

/// Defaults of sources that persistent volumes share.
pub(in crate::registry) fn default_disk(volume: &mut Value) {
    const DEFAULTS: &[(&str, &[(&str, &str)])] = &[
        ("iscsi", &[("iscsiInterface", "default")]),
        ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
        ("azureDisk", &[("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("kind", "Shared")]),
        ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
    ];
    for (name, fields) in DEFAULTS {
        let Some(source) = volume.get_mut(name).filter(|s| s.is_object()) else { continue };
        for (field, value) in *fields {
            set_default(source, field, *value);
        }
        if *name == "azureDisk" {
            set_default(source, "readOnly", false);
        }
    }
}

fn default_field_refs(source: &mut Value) {
    for item in items(source, "items") {
        if let Some(field) = item.get_mut("fieldRef").filter(|f| f.is_object()) {
            set_default(field, "apiVersion", "v1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies_follow_the_tag() {
        for (image, want) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.2", "IfNotPresent"),
            ("host:5000/nginx", "Always"),
            ("host:5000/nginx:v1", "IfNotPresent"),
            ("nginx@sha256:abc", "IfNotPresent"),
            ("r.io/a/nginx:latest@sha256:0123456789abcdef0123456789abcdef", "Always"),
            ("nginx@sha256:0123456789abcdef0123456789abcdef", "IfNotPresent"),
            ("Host/a__b", "Always"),
            ("Nginx", "IfNotPresent"),
            ("a..b", "IfNotPresent"),
            ("", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), want, "{image}");
        }
    }

    #[test]
    fn defaults_are_idempotent() {
        let mut spec = json!({
            "hostNetwork": true,
            "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0}}],
            "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}],
        });
        default_spec(&mut spec);
        default_host_ports(&mut spec);
        let once = spec.clone();
        default_spec(&mut spec);
        assert_eq!(spec, once);
        assert_eq!(spec["containers"][0]["ports"][0]["hostPort"], 80);
        assert_eq!(spec["containers"][0]["livenessProbe"]["timeoutSeconds"], 1);
        assert_eq!(spec["volumes"][0]["emptyDir"], json!({}));
        assert_eq!(spec["volumes"][1]["secret"]["defaultMode"], 420);
    }
}
