//! The annotations in which autoscaling/v1 keeps data that it has no fields for.

use apimachinery::ObjectExt;
use serde_json::{Map, Value, json};

/// Form of a metric: its target or its current state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Wanted,
    Current,
}

/// The fields of a kind of metric in v1, in order, and their places in v2: `wanted` and `current`
/// stand for the target and the state.
type Fields = &'static [(&'static str, &'static [&'static str])];

const CONTAINER: (&str, &[&str]) = ("container", &["container"]);
const NAME: (&str, &[&str]) = ("name", &["name"]);
const METRIC: (&str, &[&str]) = ("metricName", &["metric", "name"]);
const SELECTOR: (&str, &[&str]) = ("selector", &["metric", "selector"]);
const DESCRIBED: (&str, &[&str]) = ("target", &["describedObject"]);

/// The possible sources of a metric in the order of v1, and their fields.
fn sources(form: Form) -> [(&'static str, Fields); 5] {
    match form {
        Form::Wanted => [
            (
                "object",
                &[
                    DESCRIBED,
                    METRIC,
                    ("targetValue", &["target", "value"]),
                    SELECTOR,
                    ("averageValue", &["target", "averageValue"]),
                ],
            ),
            ("pods", &[METRIC, ("targetAverageValue", &["target", "averageValue"]), SELECTOR]),
            (
                "resource",
                &[
                    NAME,
                    ("targetAverageUtilization", &["target", "averageUtilization"]),
                    ("targetAverageValue", &["target", "averageValue"]),
                ],
            ),
            (
                "containerResource",
                &[
                    NAME,
                    ("targetAverageUtilization", &["target", "averageUtilization"]),
                    ("targetAverageValue", &["target", "averageValue"]),
                    CONTAINER,
                ],
            ),
            (
                "external",
                &[
                    METRIC,
                    ("metricSelector", &["metric", "selector"]),
                    ("targetValue", &["target", "value"]),
                    ("targetAverageValue", &["target", "averageValue"]),
                ],
            ),
        ],
        Form::Current => [
            (
                "object",
                &[
                    DESCRIBED,
                    METRIC,
                    ("currentValue", &["current", "value"]),
                    SELECTOR,
                    ("averageValue", &["current", "averageValue"]),
                ],
            ),
            ("pods", &[METRIC, ("currentAverageValue", &["current", "averageValue"]), SELECTOR]),
            (
                "resource",
                &[
                    NAME,
                    ("currentAverageUtilization", &["current", "averageUtilization"]),
                    ("currentAverageValue", &["current", "averageValue"]),
                ],
            ),
            (
                "containerResource",
                &[
                    NAME,
                    ("currentAverageUtilization", &["current", "averageUtilization"]),
                    ("currentAverageValue", &["current", "averageValue"]),
                    CONTAINER,
                ],
            ),
            (
                "external",
                &[
                    METRIC,
                    ("metricSelector", &["metric", "selector"]),
                    ("currentValue", &["current", "value"]),
                    ("currentAverageValue", &["current", "averageValue"]),
                ],
            ),
        ],
    }
}

/// Quantity fields of v1 that Go never omits, even without a value.
const NEVER_LEFT_OUT: &[(&str, &str)] = &[
    ("object", "targetValue"),
    ("object", "currentValue"),
    ("pods", "targetAverageValue"),
    ("pods", "currentAverageValue"),
    ("resource", "currentAverageValue"),
    ("containerResource", "currentAverageValue"),
    ("external", "currentValue"),
];

/// An object with its fields in the given order.
fn ordered<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", fields.join(","))
}

/// The fields of an object that are present, in the given order.
fn there(object: &Value, names: &[&'static str]) -> String {
    let known = names.iter().filter_map(|name| Some((*name, object.get(*name)?)));
    let known = known.filter(|(_, value)| !value.is_null() && *value != "");
    ordered(known.map(|(name, value)| (name, value.to_string())))
}

fn selector(selector: &Value) -> String {
    let requirements = selector["matchExpressions"].as_array().into_iter().flatten();
    let requirements: Vec<String> =
        requirements.map(|r| there(r, &["key", "operator", "values"])).collect();
    let labels = selector.get("matchLabels").filter(|labels| !labels.is_null());
    let labels = labels.map(|labels| ("matchLabels", labels.to_string()));
    let requirements = (!requirements.is_empty())
        .then(|| ("matchExpressions", format!("[{}]", requirements.join(","))));
    ordered(labels.into_iter().chain(requirements))
}

/// Writes a v2 metric as v1.
pub(super) fn write(metric: &Value, form: Form) -> String {
    let mut own = vec![("type", metric["type"].to_string())];
    for (name, fields) in sources(form) {
        let Some(source) = metric.get(name).filter(|source| source.is_object()) else { continue };
        let written = fields.iter().filter_map(|&(field, path)| {
            let value = source.get_path(path).filter(|value| !value.is_null());
            let value = match (value, field) {
                (Some(value), "target") => there(value, &["kind", "name", "apiVersion"]),
                (Some(value), "selector" | "metricSelector") => selector(value),
                (Some(value), _) => value.to_string(),
                (None, _) if NEVER_LEFT_OUT.contains(&(name, field)) => "\"0\"".to_owned(),
                (None, _) => return None,
            };
            Some((field, value))
        });
        own.push((name, ordered(written)));
    }
    ordered(own)
}

/// Reads a v1 metric as v2.
pub(super) fn read(metric: &Value, form: Form) -> Value {
    let mut object = json!({"type": metric["type"]});
    for (name, fields) in sources(form) {
        let Some(source) = metric.get(name).filter(|source| source.is_object()) else { continue };
        let mut found = json!({});
        // A zero `value`, which v1 never omits, means none if an average is set.
        let averaged = fields.iter().any(|(field, path)| {
            path.last() == Some(&"averageValue") && source.get(*field).is_some_and(|v| !v.is_null())
        });
        for &(field, path) in fields {
            let Some(value) = source.get(field).filter(|value| !value.is_null()) else { continue };
            if !(path.last() == Some(&"value") && value == "0" && averaged) {
                found.set_path(path, value.clone());
            }
        }
        if form == Form::Wanted {
            let target = &found["target"];
            let kind = match (&target["averageUtilization"], &target["averageValue"]) {
                (Value::Null, Value::Null) => "Value",
                (Value::Null, _) => "AverageValue",
                _ => "Utilization",
            };
            found.set_path(&["target", "type"], kind.into());
        }
        object[name] = found;
    }
    object
}

/// A condition, in the order of its fields.
pub(super) fn write_condition(condition: &Value) -> String {
    there(condition, &["type", "status", "lastTransitionTime", "reason", "message"])
}

const DIRECTIONS: [(&str, &str); 2] = [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];
const RULES: [(&str, &str); 4] = [
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
    ("SelectPolicy", "selectPolicy"),
    ("Policies", "policies"),
    ("Tolerance", "tolerance"),
];
const POLICY: [(&str, &str); 3] =
    [("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];

/// The behavior with Go's field names: upstream never gave it JSON names.
pub(super) fn write_behavior(behavior: &Value) -> String {
    let policy = |policy: &Value| ordered(POLICY.map(|(go, name)| (go, policy[name].to_string())));
    let rules = |rules: &Value| {
        ordered(RULES.map(|(go, name)| match &rules[name] {
            Value::Array(policies) => {
                let policies: Vec<String> = policies.iter().map(policy).collect();
                (go, format!("[{}]", policies.join(",")))
            }
            value => (go, value.to_string()),
        }))
    };
    ordered(DIRECTIONS.map(|(go, name)| match &behavior[name] {
        Value::Object(_) => (go, rules(&behavior[name])),
        _ => (go, "null".to_owned()),
    }))
}

/// The reverse conversion.
pub(super) fn read_behavior(behavior: &Value) -> Value {
    let renamed = |from: &Value, names: &[(&str, &str)]| -> Map<String, Value> {
        let there = names.iter().filter_map(|(go, name)| Some((name, from.get(*go)?)));
        let there = there.filter(|(_, value)| !value.is_null());
        there.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let mut all = renamed(behavior, &DIRECTIONS);
    for rules in all.values_mut() {
        *rules = renamed(rules, &RULES).into();
        for policy in rules["policies"].as_array_mut().into_iter().flatten() {
            *policy = renamed(policy, &POLICY).into();
        }
    }
    all.into()
}
