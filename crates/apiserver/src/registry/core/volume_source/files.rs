//! Sources of files in a pod: host paths, secrets, config maps, the downward API, images.

use apimachinery::names;

use super::super::claim::check_claim_template;
use super::super::pod::{VOLUME_FIELDS, check_field_ref, check_resource_field_ref};
use crate::registry::check::{Field, in_range};

/// Checks file permission bits.
pub(super) fn file_mode(parent: &Field<'_>, name: &str) {
    if parent.int(name).is_some_and(|mode| !in_range(mode, 0, 0o777)) {
        parent.at(name).invalid("must be a number between 0 and 0777 (octal), both inclusive");
    }
}

pub(super) fn empty_dir(source: &Field<'_>) {
    if let Some(limit) = source.opt("sizeLimit")
        && limit.quantity().sign() < 0
    {
        limit.forbidden("SizeLimit field must be a valid resource quantity");
    }
}

const HOST_PATH_TYPES: &[&str] = &[
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

pub(super) fn host_path(source: &Field<'_>) {
    if source.needs("path") {
        source.at("path").no_backsteps();
        source.maybe_one_of("type", HOST_PATH_TYPES);
    }
}

pub(super) fn local(source: &Field<'_>) {
    if source.needs("path") {
        source.at("path").no_backsteps();
    }
}

pub(super) fn git_repo(source: &Field<'_>) {
    source.needs("repository");
    source.at("directory").relative_path();
}

pub(super) fn nfs(source: &Field<'_>) {
    source.needs_all(&["server", "path"]);
    if !source.str("path").starts_with('/') {
        source.at("path").invalid("must be an absolute path");
    }
}

/// Checks a key of a config map or secret and the path of its file.
pub(super) fn key_to_path(item: &Field<'_>) {
    item.needs_all(&["key", "path"]);
    item.at("path").local_path();
    file_mode(item, "mode");
}

fn keys(source: &Field<'_>, name: &str) {
    source.needs(name);
    file_mode(source, "defaultMode");
    for item in source.items("items") {
        key_to_path(&item);
    }
}

pub(super) fn secret(source: &Field<'_>) {
    keys(source, "secretName");
}

pub(super) fn config_map(source: &Field<'_>) {
    keys(source, "name");
}

/// Checks a file of the downward API. Upstream reports errors at the volume, not at the item.
pub(super) fn downward_file(source: &Field<'_>, file: &Field<'_>) {
    let file = source.instead(file.value());
    file.needs("path");
    file.at("path").local_path();
    if let Some(field) = file.opt("fieldRef") {
        check_field_ref(&field, VOLUME_FIELDS);
        if file.has("resourceFieldRef") {
            file.invalid_value(
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            );
        }
    } else if let Some(resource) = file.opt("resourceFieldRef") {
        check_resource_field_ref(&resource, true);
    } else {
        file.required("one of fieldRef and resourceFieldRef is required");
    }
    file_mode(&file, "mode");
}

pub(super) fn downward_api(source: &Field<'_>) {
    file_mode(source, "defaultMode");
    for file in source.items("items") {
        downward_file(source, &file);
    }
}

pub(super) fn ephemeral(source: &Field<'_>) {
    match source.opt("volumeClaimTemplate") {
        Some(template) => check_claim_template(&template),
        None => source.at("volumeClaimTemplate").required(""),
    }
}

pub(super) fn image(source: &Field<'_>) {
    source.needs_one_of("pullPolicy", super::super::pod::PULL_POLICIES);
}

/// Checks the name of a secret in the pod's namespace.
pub(super) fn secret_name(name: &str) -> Vec<String> {
    names::dns1123_subdomain(name)
}
