//! Sources on block devices and network storage.

use std::sync::LazyLock;

use apimachinery::names;
use regex::Regex;

use super::files::secret_name;
use crate::registry::check::{Field, check_csi_driver_name, in_range};

/// Requires these fields, and those of the reference to a secret.
pub(super) fn with_secret(source: &Field<'_>, fields: &[&str], secret: &[&str]) {
    source.needs_all(fields);
    if let Some(reference) = source.opt("secretRef") {
        reference.needs_all(secret);
    }
}

fn partition(source: &Field<'_>) {
    // Zero means the whole disk; the message does not mention it.
    if source.int("partition").is_some_and(|n| !in_range(n, 0, 255)) {
        source.at("partition").invalid("must be between 1 and 255, inclusive");
    }
}

pub(super) fn gce(source: &Field<'_>) {
    source.needs("pdName");
    partition(source);
}

pub(super) fn aws(source: &Field<'_>) {
    source.needs("volumeID");
    partition(source);
}

static IQN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"iqn\.\d{4}-\d{2}\.([[:alnum:]\-.]+)(:[^,;*&$|\s]+)$").ok());
static EUI: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^eui.[[:alnum:]]{16}$").ok());
static NAA: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^naa.[[:alnum:]]{32}$").ok());

/// Checks an iSCSI name (RFC 3721). `prefix` is the message for an unknown prefix.
fn iscsi_name(field: &Field<'_>, prefix: &str) {
    let name = field.text();
    let pattern = [("iqn", &IQN), ("eui", &EUI), ("naa", &NAA)];
    match pattern.into_iter().find(|(start, _)| name.starts_with(start)) {
        None => field.invalid(prefix),
        Some((_, regex)) if regex.as_ref().is_some_and(|r| !r.is_match(name)) => {
            field.invalid("must be valid format");
        }
        Some(_) => {}
    }
}

fn iscsi_common(source: &Field<'_>, prefix: &str) {
    source.needs("targetPortal");
    if source.needs("iqn") {
        iscsi_name(&source.at("iqn"), prefix);
    }
    source.within("lun", 0, 255);
    let chap = source.flag("chapAuthDiscovery") || source.flag("chapAuthSession");
    if chap && !source.has("secretRef") {
        source.at("secretRef").required("");
    }
}

fn initiator(source: &Field<'_>, prefix: &str) {
    if source.has("initiatorName") {
        iscsi_name(&source.at_as("initiatorName", "initiatorname"), prefix);
    }
}

pub(super) fn iscsi(source: &Field<'_>) {
    let prefix = "must be valid format starting with iqn, eui, or naa";
    iscsi_common(source, prefix);
    initiator(source, prefix);
}

pub(super) fn iscsi_persistent(source: &Field<'_>) {
    let prefix = "must be valid format";
    iscsi_common(source, prefix);
    if let Some(reference) = source.opt("secretRef") {
        reference.needs("name");
    }
    initiator(source, prefix);
}

pub(super) fn fibre_channel(source: &Field<'_>) {
    let (targets, wwids) = (source.len("targetWWNs"), source.len("wwids"));
    let at = source.at("targetWWNs");
    if targets == 0 && wwids == 0 {
        at.required("must specify either targetWWNs or wwids, but not both");
    }
    if targets > 0 && wwids > 0 {
        at.invalid("targetWWNs and wwids can not be specified simultaneously");
    }
    if targets > 0 {
        if source.has("lun") {
            source.within("lun", 0, 255);
        } else {
            source.at("lun").required("lun is required if targetWWNs is specified");
        }
    }
}

pub(super) fn quobyte(source: &Field<'_>) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = source.str("registry");
    if registry.is_empty() {
        source.at("registry").required(PAIRS);
    } else if source.str("tenant").len() >= 65 {
        source.at("tenant").required("must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.split(',') {
            let one_colon = pair.matches(':').count() == 1;
            let bracketed = pair.starts_with('[') && pair.contains("]:");
            if !one_colon && !bracketed {
                source.at("registry").invalid(PAIRS);
            }
        }
    }
    source.needs("volume");
}

pub(super) fn glusterfs_persistent(source: &Field<'_>) {
    source.needs_all(&["endpoints", "path"]);
    if let Some(namespace) = source.opt("endpointsNamespace") {
        if namespace.text().is_empty() {
            namespace.invalid("if the endpointnamespace is set, it must be a valid namespace name");
        } else {
            namespace.invalid_all(names::dns1123_label(namespace.text()));
        }
    }
}

pub(super) fn flocker(source: &Field<'_>) {
    let (name, uuid) = (source.str("datasetName"), source.str("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        source.required("one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        source.invalid_value(
            "resource",
            "datasetName and datasetUUID can not be specified simultaneously",
        );
    }
    if name.contains('/') {
        source.at("datasetName").invalid("must not contain '/'");
    }
}

pub(super) fn flex(source: &Field<'_>) {
    source.needs("driver");
    for (key, option) in source.entries("options") {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let namespace = format!(".{}", namespace.to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            option.invalid_value(key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub(super) fn azure_file_persistent(source: &Field<'_>) {
    source.needs_all(&["secretName", "shareName"]);
    if source.has("secretNamespace") {
        source.needs("secretNamespace");
    }
}

pub(super) fn azure_disk(source: &Field<'_>) {
    source.needs_all(&["diskName", "diskURI"]);
    source.maybe_one_of("cachingMode", &["None", "ReadOnly", "ReadWrite"]);
    source.maybe_one_of("kind", &["Dedicated", "Managed", "Shared"]);
    let uri = source.str("diskURI");
    match source.get("kind").as_str() {
        Some("Managed") if !uri.starts_with("/subscriptions/") => {
            source.at("diskURI").not_supported(&["/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"]);
        }
        Some(kind) if kind != "Managed" && !uri.starts_with("https://") => {
            source.at("diskURI").not_supported(&[
                "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
            ]);
        }
        _ => {}
    }
}

pub(super) fn storageos(source: &Field<'_>, secret: &[&str]) {
    source.needs_valid("volumeName", names::dns1123_label);
    source.maybe_valid("volumeNamespace", names::dns1123_label);
    if let Some(reference) = source.opt("secretRef") {
        reference.needs_all(secret);
    }
}

pub(super) fn csi(source: &Field<'_>) {
    check_csi_driver_name(&source.at("driver"));
    if let Some(reference) = source.opt("nodePublishSecretRef")
        && reference.needs("name")
    {
        for message in secret_name(reference.str("name")) {
            source.at("name").invalid_value(reference.str("name"), message);
        }
    }
}

pub(super) fn csi_persistent(source: &Field<'_>) {
    check_csi_driver_name(&source.at("driver"));
    source.needs("volumeHandle");
    for name in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        if let Some(reference) = source.opt(name) {
            reference.needs_valid("name", secret_name);
            reference.needs_valid("namespace", names::dns1123_label);
        }
    }
}
