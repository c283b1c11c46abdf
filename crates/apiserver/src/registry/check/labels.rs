//! Labels and label selectors (upstream's `pkg/apis/meta/v1/validation`).

use apimachinery::names;
use apimachinery::selector::LabelSelector;
use serde_json::Value;

use super::Field;

/// Labels: keys and values are complained about at the map.
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

/// A `metav1.LabelSelector`.
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
    let fields = ["matchLabels", "matchExpressions"];
    let fields = fields.iter().filter(|f| !selector[**f].is_null());
    let fields: Vec<String> = fields.map(|f| format!("\"{f}\":{}", selector[*f])).collect();
    format!("{{{}}}", fields.join(","))
}

/// The parsed selector, unless it is malformed.
pub(crate) fn selector_of(selector: &Value) -> Option<LabelSelector> {
    LabelSelector::from_value(selector).ok()
}
