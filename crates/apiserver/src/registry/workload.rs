//! Rules shared by pod controllers: selectors, templates, percentages and statuses.

use apimachinery::field::FieldError;
use apimachinery::names;
use serde_json::{Value, json};

use super::check::{Field, check_label_selector, selector_of, show_selector};
use super::core::check_template;

/// Checks the selector of a workload; `kind` is upstream's name of it in the message.
pub(super) fn check_selector(spec: &Field<'_>, kind: &str) {
    let selector = spec.at("selector");
    if selector.value().is_null() {
        return selector.required("");
    }
    check_label_selector(&selector);
    if selector.len("matchLabels") + selector.len("matchExpressions") == 0 {
        invalid_selector(&selector, &format!("empty selector is invalid for {kind}"));
    }
}

/// Reports an invalid selector, whose value is shown.
pub(super) fn invalid_selector(selector: &Field<'_>, detail: &str) {
    let error = FieldError::invalid_omitted(selector.path(), detail);
    selector.push(error.showing(show_selector(selector.value())));
}

/// Requires an unchanged selector.
pub(super) fn selector_is_immutable(spec: &Field<'_>, old: &Value) {
    if spec.get("selector") != &old["selector"] {
        invalid_selector(&spec.at("selector"), "field is immutable");
    }
}

/// Requires that the selector, if valid, selects the template's labels; an empty one selects all.
pub(super) fn check_match(spec: &Field<'_>, template: &Field<'_>) {
    let labels = &template.get("metadata")["labels"];
    if selector_of(spec.get("selector")).is_some_and(|s| !s.matches(|key| labels[key].as_str())) {
        template
            .at("metadata")
            .at("labels")
            .invalid_value(labels.clone(), "`selector` does not match template `labels`");
    }
}

/// Checks the template of a workload whose pods run forever.
pub(super) fn check_running_template(template: &Field<'_>, kind: &str) {
    check_template(template);
    check_runs_for_ever(template, kind);
}

/// Requires pods that are always restarted and have no deadline.
pub(super) fn check_runs_for_ever(template: &Field<'_>, kind: &str) {
    let spec = template.at("spec");
    spec.one_of("restartPolicy", &["Always"]);
    if spec.has("activeDeadlineSeconds") {
        spec.at("activeDeadlineSeconds")
            .forbidden(format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// Checks selector and template of a Deployment or ReplicaSet.
pub(super) fn check_replicated(spec: &Field<'_>) {
    check_selector(spec, "deployment");
    if selector_of(spec.get("selector")).is_none() {
        invalid_selector(&spec.at("selector"), "invalid label selector");
        return;
    }
    let template = spec.at("template");
    check_match(spec, &template);
    check_running_template(&template, "ReplicaSet");
}

/// A whole percentage; `None` for other values.
fn percent(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    if names::percent(text).is_empty() { text.strip_suffix('%')?.parse().ok() } else { None }
}

/// The number before the percent sign, or the number.
pub(super) fn int_or_percent(value: &Value) -> i64 {
    percent(value)
        .or_else(|| value.as_i64())
        .unwrap_or_else(|| value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Requires a number that is not negative, or a percentage; absent reads as 0.
pub(super) fn check_int_or_percent(parent: &Field<'_>, name: &str) {
    match parent.get(name) {
        Value::String(text) => parent.at(name).invalid_all(names::percent(text)),
        _ => parent.non_negative(name),
    }
}

pub(super) fn check_at_most_all(parent: &Field<'_>, name: &str) {
    if percent(parent.get(name)).is_some_and(|p| p > 100) {
        parent.at(name).invalid("must not be greater than 100%");
    }
}

/// Go reads an absent number or percentage as the number zero.
pub(super) fn shown_int_or_percent(value: &Value) -> Value {
    if value.is_null() { json!(0) } else { value.clone() }
}

/// Checks counts of a status: none is negative, parts do not exceed the whole, and available does
/// not exceed ready. `ready` is the latter's name in the message.
pub(super) fn check_replica_counts(
    status: &Field<'_>,
    counts: &[&str],
    parts: &[&str],
    ready: &str,
) {
    status.non_negative_all(counts);
    let number = |name: &str| status.int(name).unwrap_or(0);
    for part in parts.iter().filter(|part| number(part) > number("replicas")) {
        status.at(part).invalid_value(number(part), "cannot be greater than status.replicas");
    }
    if number("availableReplicas") > number("readyReplicas") {
        let available = number("availableReplicas");
        let detail = format!("cannot be greater than {ready}");
        status.at("availableReplicas").invalid_value(available, detail);
    }
}

/// Checks counts of a ReplicaSet's or ReplicationController's status.
pub(super) fn check_replicated_counts(status: &Field<'_>) {
    check_replica_counts(
        status,
        &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ],
        &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        "readyReplicas",
    );
}

/// Requires that the count of name collisions does not decrease.
pub(super) fn check_collisions(status: &Field<'_>, old: &Value) {
    let (now, was) = (status.int("collisionCount"), old["status"]["collisionCount"].as_i64());
    if was.is_some_and(|was| now.is_none_or(|now| now < was)) {
        status.at("collisionCount").invalid_value(now.unwrap_or(0), "cannot be decremented");
    }
}
