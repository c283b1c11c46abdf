//! Specs of persistent volume claims and claim templates (upstream's
//! `ValidatePersistentVolumeClaimSpec`).

use apimachinery::names;

use super::resource_names::check_amount;
use crate::registry::check::{Field, check_label_selector, check_labels};

/// Access modes of a volume.
pub(super) const ACCESS_MODES: &[&str] =
    &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// Checks the access modes of a claim or volume. `missing` is upstream's message without any.
pub(super) fn check_access_modes(spec: &Field<'_>, missing: &str) {
    let at = spec.at("accessModes");
    if spec.len("accessModes") == 0 {
        at.required(missing);
    }
    let (mut single, mut others) = (false, false);
    for mode in spec.strings("accessModes") {
        if !ACCESS_MODES.contains(&mode) {
            let error =
                apimachinery::field::FieldError::not_supported(at.path(), mode, ACCESS_MODES);
            at.push(error);
        } else if mode == "ReadWriteOncePod" {
            single = true;
        } else {
            others = true;
        }
    }
    if single && others {
        at.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

/// Checks a claim's spec.
pub(in crate::registry) fn check_claim_spec(spec: &Field<'_>) {
    if spec.len("accessModes") == 0 {
        spec.at("accessModes").required("at least 1 access mode is required");
    }
    if let Some(selector) = spec.opt("selector") {
        check_label_selector(&selector);
    }
    if spec.len("accessModes") > 0 {
        check_access_modes(spec, "");
    }
    let storage = spec.at("resources").at("requests").at("storage");
    let place = spec.at("resources").key("storage").instead(storage.value());
    if storage.value().is_null() {
        place.required("");
    } else if storage.quantity().sign() <= 0 {
        place.invalid("must be greater than zero");
    } else {
        check_amount(&place, "storage");
    }
    spec.maybe_valid("storageClassName", names::dns1123_subdomain);
    spec.maybe_one_of("volumeMode", VOLUME_MODES);
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    for source in [&source, &reference].into_iter().filter(|s| !s.value().is_null()) {
        check_data_source(source);
    }
    reference.maybe_valid("namespace", names::dns1123_label);
    if !source.value().is_null() && !reference.value().is_null() {
        // Upstream prints the path in place of the value.
        let shown = "{}";
        let refuse = |detail: &str| {
            let error = apimachinery::field::FieldError::invalid_omitted(spec.path(), detail);
            spec.push(error.showing(shown));
        };
        let same = ["apiGroup", "kind", "name"]
            .iter()
            .all(|field| source.get(field) == reference.get(field));
        if !reference.str("namespace").is_empty() {
            refuse("may not be specified when dataSourceRef.namespace is specified");
        } else if !same {
            refuse("must match dataSourceRef");
        }
    }
    spec.maybe_valid("volumeAttributesClassName", names::dns1123_subdomain);
}

fn check_data_source(source: &Field<'_>) {
    source.needs_all(&["name", "kind"]);
    let group = source.str("apiGroup");
    if group.is_empty() && source.str("kind") != "PersistentVolumeClaim" {
        source.invalid_value(
            source.str("kind"),
            "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        );
    }
    source.maybe_valid("apiGroup", names::dns1123_subdomain);
}

/// Checks a template from which a pod's volume creates a claim: its metadata only has labels and
/// annotations.
pub(super) fn check_claim_template(template: &Field<'_>) {
    check_template_metadata(&template.at("metadata"));
    check_claim_spec(&template.at("spec"));
}

/// Metadata that a template cannot give.
const UNSET: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// Checks the metadata of a template, which may only have labels and annotations.
pub(in crate::registry) fn check_template_metadata(meta: &Field<'_>) {
    let annotations = meta.at("annotations");
    for (key, _) in annotations.value().as_object().into_iter().flatten() {
        for message in names::qualified_name(&key.to_lowercase()) {
            annotations.invalid_value(key.as_str(), message);
        }
    }
    check_labels(&meta.at("labels"));
    for field in UNSET.iter().filter(|field| meta.has(field)) {
        // Upstream's name of the field follows Go's.
        meta.at_as(field, if *field == "uid" { "uID" } else { field }).forbidden("cannot be set");
    }
}
