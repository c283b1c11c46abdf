//! Access reviews (upstream's `pkg/apis/authorization/validation`).

use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError};
use serde_json::Value;

use super::check::{Field, check, show_metadata};
use apimachinery::names;

const ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

/// Checks an access review of kind `of`.
pub(crate) fn check_access_review(of: &str, review: &Object) -> ErrorList {
    check(review, |review| {
        check_spec(&review.at("spec"), of != "SelfSubjectAccessReview");
        let meta = review.at("metadata");
        let local = of == "LocalSubjectAccessReview";
        let known = ["managedFields", if local { "namespace" } else { "managedFields" }];
        let mut fields = meta.value().as_object().into_iter().flatten();
        if fields.any(|(name, value)| !known.contains(&name.as_str()) && !value.is_null()) {
            let but = if local { " except for namespace" } else { "" };
            let error = FieldError::invalid_omitted(meta.path(), format!("must be empty{but}"));
            meta.push(error.showing(show_metadata(meta.value())));
        }
        if local {
            check_local(review);
        }
    })
}

fn check_local(review: &Field<'_>) {
    let spec = review.at("spec");
    if let Some(resource) = spec.opt("resourceAttributes")
        && resource.str("namespace") != review.at("metadata").str("namespace")
    {
        resource
            .at("namespace")
            .invalid_value(resource.str("namespace"), "must match metadata.namespace");
    }
    if let Some(other) = spec.opt("nonResourceAttributes") {
        other.invalid_as("NonResourceAttributes", "disallowed on this kind of request");
    }
}

fn check_spec(spec: &Field<'_>, of_others: bool) {
    match (spec.opt("resourceAttributes"), spec.opt("nonResourceAttributes")) {
        (Some(_), Some(other)) => {
            spec.instead(other.value()).invalid_as("NonResourceAttributes", ONE);
        }
        (None, None) => spec.invalid_value(Value::Null, ONE),
        _ => {}
    }
    if of_others && spec.str("user").is_empty() && spec.len("groups") == 0 {
        spec.at("user").invalid("at least one of user or group must be specified");
    }
    let resource = spec.at("resourceAttributes");
    for field in ["fieldSelector", "labelSelector"] {
        let Some(selector) = resource.opt(field) else { continue };
        check_selector(&selector);
        for requirement in selector.items("requirements") {
            check_requirement(&requirement, field == "labelSelector");
        }
    }
}

fn check_selector(selector: &Field<'_>) {
    let raw = selector.at("rawSelector");
    let requirements = selector.len("requirements") > 0;
    if requirements && !raw.text().is_empty() {
        raw.invalid("may not specified at the same time as requirements");
    }
    if !requirements && raw.text().is_empty() {
        selector.at("requirements").required(format!(
            "when {} is specified, requirements or rawSelector is required",
            selector.path()
        ));
    }
}

/// Unknown operators are accepted, because they may come from a newer client.
fn check_requirement(requirement: &Field<'_>, labels: bool) {
    if !labels && requirement.str("key").is_empty() {
        requirement.at("key").required("must be specified");
    }
    let values = requirement.at("values");
    match (requirement.str("operator"), requirement.len("values")) {
        ("In" | "NotIn", 0) => {
            values.required("must be specified when `operator` is 'In' or 'NotIn'");
        }
        ("Exists" | "DoesNotExist", 1..) => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        _ => {}
    }
    if labels {
        requirement.valid("key", names::qualified_name);
        for value in requirement.items("values") {
            value.invalid_all(names::label_value(value.text()));
        }
    }
}
