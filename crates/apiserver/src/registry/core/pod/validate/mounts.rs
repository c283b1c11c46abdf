//! Volume mounts and devices of a container.

use std::collections::{HashMap, HashSet};

use super::Scope;
use crate::registry::check::{Field, no_backsteps};

/// Names and paths of the other list.
fn taken<'a>(container: &Field<'a>, list: &str, path: &str) -> HashMap<&'a str, &'a str> {
    container.items(list).map(|item| (item.str("name"), item.str(path))).collect()
}

const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];

pub(super) fn check_mounts(container: &Field<'_>, scope: &Scope<'_>) {
    let devices = taken(container, "volumeDevices", "devicePath");
    let mut paths = HashSet::new();
    for mount in container.items("volumeMounts") {
        let (name, path) = (mount.str("name"), mount.str("mountPath"));
        mount.needs("name");
        if !scope.volumes.contains_key(name) {
            mount.at("name").not_found();
        }
        mount.needs("mountPath");
        if !paths.insert(path) {
            mount.at("mountPath").invalid("must be unique");
        }
        if devices.contains_key(name) {
            mount.at("name").invalid("must not already exist in volumeDevices");
        }
        if devices.values().any(|p| *p == path) {
            mount.at("mountPath").invalid("must not already exist as a path in volumeDevices");
        }
        // Upstream reports the following errors at the list.
        let at = |field: &str| container.at("volumeMounts").instead(mount.value()).at(field);
        if !mount.str("subPath").is_empty() {
            at("subPath").relative_path();
        }
        if !mount.str("subPathExpr").is_empty() {
            if !mount.str("subPath").is_empty() {
                mount.at("subPathExpr").invalid("subPathExpr and subPath are mutually exclusive");
            }
            at("subPathExpr").relative_path();
        }
        if mount.has("mountPropagation") {
            check_propagation(&at("mountPropagation"), container);
        }
        if mount.has("recursiveReadOnly") {
            check_recursive_read_only(&at("recursiveReadOnly"), &mount);
        }
    }
}

fn check_propagation(propagation: &Field<'_>, container: &Field<'_>) {
    if !PROPAGATIONS.contains(&propagation.text()) {
        propagation.not_supported(PROPAGATIONS);
    }
    let privileged = container.at("securityContext").flag("privileged");
    if propagation.text() == "Bidirectional" && !privileged {
        propagation.forbidden(
            "Bidirectional mount propagation is available only to privileged containers",
        );
    }
}

fn check_recursive_read_only(field: &Field<'_>, mount: &Field<'_>) {
    match field.text() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.flag("readOnly") {
                field.forbidden("may only be specified when readOnly is true");
            }
            if !matches!(mount.str("mountPropagation"), "" | "None") {
                field.forbidden(
                    "may only be specified when mountPropagation is None or not specified",
                );
            }
        }
        _ => field.not_supported(&["Disabled", "Enabled", "IfPossible"]),
    }
}

pub(super) fn check_devices(container: &Field<'_>, scope: &Scope<'_>) {
    let mounts = taken(container, "volumeMounts", "mountPath");
    let (mut names, mut paths) = (HashSet::new(), HashSet::new());
    for device in container.items("volumeDevices") {
        let (name, path) = (device.str("name"), device.str("devicePath"));
        device.needs("name");
        if names.contains(name) {
            device.at("name").invalid("must be unique");
        }
        match scope.volumes.get(name) {
            Some(v) if v["persistentVolumeClaim"].is_null() && v["ephemeral"].is_null() => {
                device.at("name").invalid(
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for \
                     block mode",
                );
            }
            Some(_) => {}
            None => device.at("name").not_found(),
        }
        device.needs("devicePath");
        if paths.contains(path) {
            device.at("devicePath").invalid("must be unique");
        }
        if no_backsteps(path) {
            paths.insert(path);
        } else {
            device.at("devicePath").invalid("can not contain backsteps ('..')");
        }
        if mounts.contains_key(name) {
            device.at("name").invalid("must not already exist in volumeMounts");
        }
        if mounts.values().any(|p| *p == path) {
            device.at("devicePath").invalid("must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
}
