//! Rules of a definition apart from its schemas.
//!
//! Upstream validates a definition after moving parts that all versions share to the top; the paths
//! of its errors, and therefore of ours, refer to that form.

use std::collections::HashSet;

use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::schema::check_validation;
use crate::registry::admissionregistration::check_client_config;
use crate::registry::check::{Field, Names};

const APPROVED: &str = "api-approved.kubernetes.io";
const TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const REVIEWS: &[&str] = &["v1", "v1beta1"];
const MAX_SELECTABLE: usize = 8;

/// Reports all messages of `rule` about a text in one.
fn all(field: &Field<'_>, rule: Names, prefix: &str) {
    let messages = rule(field.text());
    if !messages.is_empty() {
        field.invalid(format!("{prefix}{}", messages.join(",")));
    }
}

pub(super) fn check_definition(object: &Field<'_>, old: Option<&Object>) {
    let spec = object.at("spec");
    check_spec(&spec);
    if let Some(old) = old {
        check_immutable(&spec, old);
    }
    check_names(&object.at("status").at("acceptedNames"));
    check_stored_versions(object);
    check_approval(object, old);
    let kept = old.is_some_and(|old| old["spec"]["preserveUnknownFields"] == true);
    if spec.flag("preserveUnknownFields") && !kept {
        spec.at("preserveUnknownFields").invalid(
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
             spec.versions[*].schema instead",
        );
    }
}

fn check_immutable(spec: &Field<'_>, old: &Object) {
    let was = &old["spec"];
    let conditions = old["status"]["conditions"].as_array();
    let established = conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Established" && c["status"] == "True");
    let names = spec.at("names");
    if established {
        spec.immutable("scope", was);
        names.immutable("kind", &was["names"]);
    }
    spec.immutable("group", was);
    names.immutable("plural", &was["names"]);
}

/// Returns true if all versions agree on a field, which upstream then moves to the top.
fn shared(spec: &Field<'_>, field: &str) -> bool {
    let mut versions = spec.items("versions");
    let Some(first) = versions.next() else { return false };
    versions.all(|version| version.get(field) == first.get(field))
}

fn check_spec(spec: &Field<'_>) {
    let group = spec.at("group");
    if group.text().is_empty() {
        group.required("");
    } else {
        let messages = names::dns1123_subdomain(group.text());
        if !messages.is_empty() {
            group.invalid(messages.join(","));
        } else if !group.text().contains('.') {
            group.invalid("should be a domain with at least one dot");
        }
    }
    spec.needs_one_of("scope", &["Cluster", "Namespaced"]);
    let common = |field: &str| shared(spec, field);
    let (schemas, subresources, columns, selectable) = (
        common("schema"),
        common("subresources"),
        common("additionalPrinterColumns"),
        common("selectableFields"),
    );
    let has_schema =
        |version: &Field<'_>| version.at("schema").at("openAPIV3Schema").value().is_object();
    let top_schema = schemas && spec.items("versions").next().is_some_and(|v| has_schema(&v));
    if !top_schema {
        for version in spec.items("versions").filter(|v| schemas || !has_schema(v)) {
            version.at("schema").at("openAPIV3Schema").required("");
        }
    }
    let mut seen = HashSet::new();
    let (mut unique, mut storage) = (true, 0);
    for version in spec.items("versions") {
        storage += usize::from(version.flag("storage"));
        unique &= seen.insert(version.str("name"));
        all(&version.at("name"), names::dns1035_label, "");
        check_deprecation(&version);
        if !schemas {
            let status = version.at("subresources").has("status");
            check_validation(&version.at("schema"), status);
        }
        if !subresources {
            check_subresources(&version.at("subresources"));
        }
        if !columns {
            version.items("additionalPrinterColumns").for_each(|column| check_column(&column));
        }
        if !selectable {
            check_selectable(&version, &version.at("schema"));
        }
    }
    // Fields that all versions share are at the top.
    let mut own = spec.get("versions").clone();
    for version in own.as_array_mut().into_iter().flatten() {
        for field in ["schema", "subresources", "additionalPrinterColumns", "selectableFields"] {
            if common(field) {
                version.remove_path(&[field]);
            }
        }
    }
    let at = spec.at("versions");
    let versions = at.instead(&own);
    if !unique {
        versions.invalid_list_as(
            "CustomResourceDefinitionVersion",
            "must contain unique version names",
        );
    }
    if storage != 1 {
        versions.invalid_list_as(
            "CustomResourceDefinitionVersion",
            "must have exactly one version marked as storage version",
        );
    }
    if let Some(first) = spec.items("versions").next().filter(|first| !first.str("name").is_empty())
    {
        let name = spec.at("version").instead(first.get("name"));
        all(&name, names::dns1035_label, "");
    }
    let of = spec.at("names");
    of.needs_all(&["plural", "singular", "kind", "listKind"]);
    check_names(&of);
    // The top level holds the first version's values.
    if let Some(first) = spec.items("versions").next() {
        if schemas {
            let status = spec.items("versions").any(|v| v.at("subresources").has("status"));
            check_validation(&spec.at("validation").instead(first.get("schema")), status);
        }
        if subresources {
            check_subresources(&spec.at("subresources").instead(first.get("subresources")));
        }
        if columns {
            spec.instead(first.value())
                .items("additionalPrinterColumns")
                .for_each(|column| check_column(&column));
        }
        if selectable {
            check_selectable(&spec.instead(first.value()), &first.at("schema"));
        }
    }
    check_conversion(spec);
}

fn check_deprecation(version: &Field<'_>) {
    let Some(warning) = version.opt("deprecationWarning") else { return };
    if !version.flag("deprecated") {
        return warning.invalid("can only be set for deprecated versions");
    }
    if warning.text().len() > 256 {
        warning.invalid("must be <= 256 characters long");
    }
    if warning.text().is_empty() {
        warning.invalid("must not be an empty string");
    }
    if let Some((at, _)) = warning.text().char_indices().find(|(_, c)| c.is_control()) {
        warning.invalid(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index \
             {at}"
        ));
    }
}

pub(super) fn check_names(of: &Field<'_>) {
    for field in ["plural", "singular"] {
        if !of.str(field).is_empty() {
            all(&of.at(field), names::dns1035_label, "");
        }
    }
    for field in ["kind", "listKind"] {
        let messages = names::dns1035_label(&of.str(field).to_lowercase());
        if !of.str(field).is_empty() && !messages.is_empty() {
            of.at(field).invalid(format!(
                "may have mixed case, but should otherwise match: {}",
                messages.join(",")
            ));
        }
    }
    of.items("shortNames").for_each(|name| all(&name, names::dns1035_label, ""));
    if !of.str("kind").is_empty() && of.str("kind") == of.str("listKind") {
        of.at("listKind").invalid("kind and listKind may not be the same");
    }
    of.items("categories").for_each(|name| all(&name, names::dns1035_label, ""));
}

fn check_column(column: &Field<'_>) {
    column.needs("name");
    let types = format!("must be one of {}", TYPES.join(","));
    match column.str("type") {
        "" => column.at("type").required(types),
        of if !TYPES.contains(&of) => column.at("type").invalid(types),
        _ => {}
    }
    if !column.str("format").is_empty() && !FORMATS.contains(&column.str("format")) {
        column.at("format").invalid(format!("must be one of {}", FORMATS.join(",")));
    }
    let path = column.at_as("jsonPath", "JSONPath");
    if path.text().is_empty() {
        path.required("");
    } else {
        simple_path(&path);
    }
}

/// Returns true if the path begins as required.
fn simple_path(path: &Field<'_>) -> bool {
    let simple = path.text().starts_with('.');
    if !simple {
        path.invalid("must be a simple json path starting with .");
    }
    simple
}

fn check_subresources(subresources: &Field<'_>) {
    let Some(scale) = subresources.opt("scale") else { return };
    for (field, under) in [("specReplicasPath", "spec"), ("statusReplicasPath", "status")] {
        let path = scale.at(field);
        if path.text().is_empty() {
            path.required("");
        } else if simple_path(&path) && !path.text().starts_with(&format!(".{under}.")) {
            path.invalid(format!("should be a json path under .{under}"));
        }
    }
    let path = scale.at("labelSelectorPath");
    let known = [".spec.", ".status."].iter().any(|under| path.text().starts_with(under));
    if !path.text().is_empty() && simple_path(&path) && !known {
        path.invalid("should be a json path under either .spec or .status");
    }
}

fn check_selectable(of: &Field<'_>, schema: &Field<'_>) {
    let mut seen = HashSet::new();
    for field in of.items("selectableFields") {
        let path = field.at("jsonPath");
        if path.text().is_empty() {
            path.required("");
            continue;
        }
        let mut at = schema.get("openAPIV3Schema");
        for name in path.text().trim_start_matches('.').split('.') {
            at = &at["properties"][name];
        }
        if path.text().trim_start_matches('.').starts_with("metadata.") {
            path.invalid("must not point to fields in metadata");
        }
        if !matches!(at["type"].as_str(), Some("string" | "boolean" | "integer")) {
            path.invalid(
                "must point to a field of type string, boolean or integer. Enum string fields and \
                 strings with formats are allowed.",
            );
        }
        if !seen.insert(path.text()) {
            path.duplicate();
        }
    }
    if seen.len() > MAX_SELECTABLE {
        of.at("selectableFields").too_many(seen.len(), MAX_SELECTABLE);
    }
}

fn check_conversion(spec: &Field<'_>) {
    let Some(conversion) = spec.opt("conversion") else { return };
    if !matches!(conversion.str("strategy"), "None") && spec.flag("preserveUnknownFields") {
        conversion.at("strategy").invalid("must be None if spec.preserveUnknownFields is true");
    }
    conversion.needs_one_of("strategy", &["None", "Webhook"]);
    let webhook = conversion.at("webhook");
    let config = conversion.at("webhookClientConfig").instead(webhook.get("clientConfig"));
    let reviews =
        conversion.at("conversionReviewVersions").instead(webhook.get("conversionReviewVersions"));
    let count = webhook.len("conversionReviewVersions");
    if conversion.str("strategy") != "Webhook" {
        const NEEDLESS: &str = "should not be set when strategy is not set to Webhook";
        if !config.value().is_null() {
            config.forbidden(NEEDLESS);
        }
        if count > 0 {
            reviews.forbidden(NEEDLESS);
        }
        return;
    }
    if config.value().is_null() {
        config.required("required when strategy is set to Webhook");
    } else {
        check_client_config(&config);
    }
    if count == 0 {
        return reviews.required("");
    }
    let mut seen = HashSet::new();
    for i in 0..count {
        let version = reviews.index(i);
        if !seen.insert(version.text()) {
            version.invalid("duplicate version");
            continue;
        }
        version.invalid_all(names::dns1035_label(version.text()));
    }
    if !seen.iter().any(|version| REVIEWS.contains(version)) {
        reviews.invalid(format!("must include at least one of {}", REVIEWS.join(", ")));
    }
}

fn check_stored_versions(object: &Field<'_>) {
    let status = object.at("status");
    let stored = status.at("storedVersions");
    if status.len("storedVersions") == 0 {
        return stored.invalid_value(Value::Null, "must have at least one stored version");
    }
    let spec = object.at("spec");
    let known: Vec<&str> = spec.items("versions").map(|v| v.str("name")).collect();
    // Each entry covers one version: a second of the same name is not covered.
    let mut left: HashSet<&str> = status.strings("storedVersions").collect();
    for version in spec.items("versions") {
        let name = version.str("name");
        if !left.remove(name) && version.flag("storage") {
            stored.invalid(format!("must have the storage version {name}"));
        }
    }
    for version in status.items("storedVersions").filter(|v| !known.contains(&v.text())) {
        let name = version.text();
        version.invalid(format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain \
             in spec.versions until a storage migration ensures no data remains persisted in \
             {name} and removes {name} from status.storedVersions"
        ));
    }
}

/// Groups of Kubernetes itself require an approved review.
fn check_approval(object: &Field<'_>, old: Option<&Object>) {
    let group = object.at("spec").str("group");
    let of_community = |under: &str| group == under || group.ends_with(&format!(".{under}"));
    if !of_community("k8s.io") && !of_community("kubernetes.io") {
        return;
    }
    let state = |object: &Value| {
        let value = object.annotation(APPROVED).unwrap_or_default();
        match value {
            "" => 0,
            value if value.starts_with("unapproved") => 1,
            value if value.starts_with("https://") && value.len() > 8 => 2,
            _ => 3,
        }
    };
    let now = state(object.value());
    if old.is_some_and(|old| state(old) == now) {
        return;
    }
    let annotation = object.at("metadata").at("annotations").key(APPROVED);
    match now {
        0 => annotation.required(
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
             https://github.com/kubernetes/enhancements/pull/1111",
        ),
        3 => annotation.invalid(
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with \
             either a URL or a reason starting with \"unapproved\", see \
             https://github.com/kubernetes/enhancements/pull/1111",
        ),
        _ => {}
    }
}
