//! Containers: common rules, and those of each list.

use std::collections::HashSet;

use apimachinery::names;
use serde_json::Value;

use super::{Scope, env, handlers, mounts, ports, resources, restart, security};
use crate::registry::check::Field;

/// Policies for pulling an image.
pub(in crate::registry) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

fn check_common(container: &Field<'_>, scope: &Scope<'_>) {
    container.needs_valid("name", names::dns1123_label);
    container.needs("image");
    container.needs_one_of("terminationMessagePolicy", &["File", "FallbackToLogsOnError"]);
    ports::check(container);
    env::check(container);
    env::check_from(container);
    mounts::check_mounts(container, scope);
    mounts::check_devices(container, scope);
    container.needs_one_of("imagePullPolicy", PULL_POLICIES);
    resources::check_container(&container.at("resources"), scope);
    resources::check_resize_policy(container, scope);
    if let Some(context) = container.opt("securityContext") {
        security::check_container(&context, scope);
    }
}

/// A pod, unlike a template, may not have spaces around an image name.
pub(super) fn check_image_spaces(container: &Field<'_>) {
    let image = container.str("image");
    if image.len() != image.trim().len() {
        container.at("image").invalid("must not have leading or trailing whitespace");
    }
}

fn check_probes(container: &Field<'_>, scope: &Scope<'_>) {
    if let Some(lifecycle) = container.opt("lifecycle") {
        handlers::check_lifecycle(&lifecycle, scope);
    }
    handlers::check_probes(container);
}

pub(super) fn check_regular(spec: &Field<'_>, scope: &Scope<'_>) {
    if !spec.needs("containers") {
        return;
    }
    let mut seen = HashSet::new();
    for container in spec.items("containers") {
        check_common(&container, scope);
        if !seen.insert(container.str("name")) {
            container.at("name").duplicate();
        }
        check_probes(&container, scope);
        restart::check(&container);
    }
    ports::check_host_ports(&spec.items("containers").collect::<Vec<_>>());
}

pub(super) fn check_init(spec: &Field<'_>, scope: &Scope<'_>) {
    let mut seen: HashSet<&str> = spec.items("containers").map(|c| c.str("name")).collect();
    for container in spec.items("initContainers") {
        check_common(&container, scope);
        restart::check_init(&container);
        let name = container.str("name");
        if seen.contains(name) {
            container.at("name").duplicate();
        } else if !name.is_empty() {
            seen.insert(name);
        }
        let first = spec.at("initContainers").index(0).instead(container.value());
        ports::check_host_ports(&[first]);
        if container.str("restartPolicy") == "Always" {
            check_probes(&container, scope);
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(field) = container.opt(field) {
                    field.forbidden(
                        "may not be set for init containers without restartPolicy=Always",
                    );
                }
            }
        }
    }
}

/// Fields that an ephemeral container may not have, in upstream's order.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

pub(super) fn check_ephemeral(spec: &Field<'_>, scope: &Scope<'_>) {
    const REFUSED: &str = "cannot be set for an Ephemeral Container";
    let others: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.items(list))
        .map(|c| c.str("name"))
        .collect();
    let mut seen = others.clone();
    for container in spec.items("ephemeralContainers") {
        check_common(&container, scope);
        check_image_spaces(&container);
        if !seen.insert(container.str("name")) {
            container.at("name").duplicate();
        }
        let target = container.str("targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            container.at("targetContainerName").not_found();
        }
        for name in NOT_EPHEMERAL {
            let empty = |v: &Value| v.as_object().is_some_and(serde_json::Map::is_empty);
            if container.has(name) && !(*name == "resources" && empty(container.get(name))) {
                container.at(name).forbidden(REFUSED);
            }
        }
        for mount in container.items("volumeMounts") {
            for name in ["subPath", "subPathExpr"] {
                if !mount.str(name).is_empty() {
                    mount.at(name).forbidden(REFUSED);
                }
            }
        }
    }
}
