//! Labels and label selectors (upstream's `pkg/apis/meta/v1/validation`).

use apimachinery::names;
use apimachinery::selector::LabelSelector;
use serde_json::Value;

use super::Field;

/// Checks labels; findings are reported at the map.
pub(crate) fn check_labels(labels: &Field<'_>) {
    for (key, value) in labels.value().as_object().into_iter().flatten() {
        for message in names::qualified_name(key) {
            labels.invalid_value(key.as_str(), message);
        }
        for message in names::label_value(value.as_str().unwrap_or_default()) {
            labels.invalid_value(value.clone(), message);
        }
    }
}

/// Most bytes that annotations have together.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Checks annotations for a signer of certificates; findings are reported at the map.
pub(crate) fn check_user_annotations(of: &Field<'_>, name: &str) {
    let at = of.at(name);
    let mut bytes = 0;
    for (key, value) in at.value().as_object().into_iter().flatten() {
        bytes += key.len() + value.as_str().unwrap_or_default().len();
        let key = key.to_lowercase();
        let wrong = names::qualified_name(&key);
        if key.is_empty() {
            at.required("");
        } else if wrong.is_empty() && !key.contains('/') {
            at.invalid_value(
                key.as_str(),
                "must be a domain-prefixed key (such as \"acme.io/foo\")",
            );
        }
        for message in wrong.into_iter().filter(|_| !key.is_empty()) {
            at.invalid_value(key.as_str(), message);
        }
    }
    if bytes > MAX_ANNOTATIONS {
        at.too_long(MAX_ANNOTATIONS);
    }
}

/// Checks a `metav1.LabelSelector`.
pub(crate) fn check_label_selector(selector: &Field<'_>) {
    if let Some(labels) = selector.opt("matchLabels") {
        check_labels(&labels);
    }
    for expression in selector.items("matchExpressions") {
        match expression.str("operator") {
            "In" | "NotIn" => {
                if expression.len("values") == 0 {
                    expression
                        .at("values")
                        .required("must be specified when `operator` is 'In' or 'NotIn'");
                }
            }
            "Exists" | "DoesNotExist" => {
                if expression.len("values") > 0 {
                    expression.at("values").forbidden(
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    );
                }
            }
            _ => expression.at("operator").invalid("not a valid selector operator"),
        }
        expression.valid("key", names::qualified_name);
        for value in expression.items("values") {
            value.invalid_all(names::label_value(value.text()));
        }
    }
}

/// A selector as Go prints it: labels before expressions.
pub(crate) fn show_selector(selector: &Value) -> String {
    if selector.is_null() {
        return "null".to_owned();
    }
    let labels = &selector["matchLabels"];
    let labels = labels.is_object().then(|| format!("\"matchLabels\":{labels}"));
    let expressions = selector["matchExpressions"].as_array().map(|list| {
        let list: Vec<String> = list.iter().map(show_requirement).collect();
        format!("\"matchExpressions\":[{}]", list.join(","))
    });
    let fields: Vec<String> = labels.into_iter().chain(expressions).collect();
    format!("{{{}}}", fields.join(","))
}

fn show_requirement(requirement: &Value) -> String {
    let text = |field: &str| match &requirement[field] {
        Value::Null => Value::from(""),
        value => value.clone(),
    };
    let values = match &requirement["values"] {
        Value::Null => String::new(),
        values => format!(",\"values\":{values}"),
    };
    format!("{{\"key\":{},\"operator\":{}{values}}}", text("key"), text("operator"))
}

/// The parsed selector; `None` if it is malformed.
pub(crate) fn selector_of(selector: &Value) -> Option<LabelSelector> {
    LabelSelector::from_value(selector).ok()
}
