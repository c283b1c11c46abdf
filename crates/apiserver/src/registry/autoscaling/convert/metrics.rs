//! Metrics in the form that v1's annotations have.

use apimachinery::ObjectExt;
use apimachinery::text::go_json;
use serde_json::{Value, json};

/// Where the parts of a metric of v2 stand in v1: `type`, its field, and pairs of places, in the
/// order in which Go writes them.
type Form = (&'static str, &'static str, &'static [(&'static [&'static str], &'static str)]);

const TARGETS: &[Form] = &[
    (
        "Object",
        "object",
        &[
            (&["describedObject"], "target"),
            (&["metric", "name"], "metricName"),
            (&["target", "value"], "targetValue"),
            (&["metric", "selector"], "selector"),
            (&["target", "averageValue"], "averageValue"),
        ],
    ),
    (
        "Pods",
        "pods",
        &[
            (&["metric", "name"], "metricName"),
            (&["target", "averageValue"], "targetAverageValue"),
            (&["metric", "selector"], "selector"),
        ],
    ),
    (
        "Resource",
        "resource",
        &[
            (&["name"], "name"),
            (&["target", "averageUtilization"], "targetAverageUtilization"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
    ),
    (
        "ContainerResource",
        "containerResource",
        &[
            (&["name"], "name"),
            (&["target", "averageUtilization"], "targetAverageUtilization"),
            (&["target", "averageValue"], "targetAverageValue"),
            (&["container"], "container"),
        ],
    ),
    (
        "External",
        "external",
        &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "metricSelector"),
            (&["target", "value"], "targetValue"),
            (&["target", "averageValue"], "targetAverageValue"),
        ],
    ),
];

const CURRENT: &[Form] = &[
    (
        "Object",
        "object",
        &[
            (&["describedObject"], "target"),
            (&["metric", "name"], "metricName"),
            (&["current", "value"], "currentValue"),
            (&["metric", "selector"], "selector"),
            (&["current", "averageValue"], "averageValue"),
        ],
    ),
    (
        "Pods",
        "pods",
        &[
            (&["metric", "name"], "metricName"),
            (&["current", "averageValue"], "currentAverageValue"),
            (&["metric", "selector"], "selector"),
        ],
    ),
    (
        "Resource",
        "resource",
        &[
            (&["name"], "name"),
            (&["current", "averageUtilization"], "currentAverageUtilization"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    ),
    (
        "ContainerResource",
        "containerResource",
        &[
            (&["name"], "name"),
            (&["current", "averageUtilization"], "currentAverageUtilization"),
            (&["current", "averageValue"], "currentAverageValue"),
            (&["container"], "container"),
        ],
    ),
    (
        "External",
        "external",
        &[
            (&["metric", "name"], "metricName"),
            (&["metric", "selector"], "metricSelector"),
            (&["current", "value"], "currentValue"),
            (&["current", "averageValue"], "currentAverageValue"),
        ],
    ),
];

/// Quantities that v1 always has.
fn is_always_there(field: &str, place: &str) -> bool {
    match place {
        "currentAverageValue" => field != "external",
        "currentValue" => true,
        "targetValue" => field == "object",
        "targetAverageValue" => field == "pods",
        _ => false,
    }
}

/// A wanted metric, as JSON of v1.
pub(super) fn target_to_v1(metric: &Value) -> String {
    to_v1(TARGETS, metric)
}

/// A measured metric, as JSON of v1.
pub(super) fn current_to_v1(metric: &Value) -> String {
    to_v1(CURRENT, metric)
}

fn to_v1(forms: &[Form], metric: &Value) -> String {
    let mut shown = format!("{{\"type\":{}", metric["type"]);
    for (_, field, places) in forms.iter().filter(|(_, field, _)| metric[*field].is_object()) {
        let parts = places.iter().filter_map(|(from, to)| {
            let value = metric[*field].get_path(from).cloned();
            let zero = is_always_there(field, to).then(|| Value::from("0"));
            let value = value.or(zero)?;
            Some(match *to {
                "target" => format!("\"target\":{}", reference(&value)),
                _ => format!("\"{to}\":{}", go_json(&value)),
            })
        });
        shown.push_str(&format!(",\"{field}\":{{{}}}", parts.collect::<Vec<_>>().join(",")));
    }
    shown.push('}');
    shown
}

fn reference(of: &Value) -> String {
    super::in_order(of, &["kind", "name", "apiVersion"])
}

/// A wanted metric, from v1.
pub(super) fn target_to_v2(metric: &Value) -> Value {
    let mut made = to_v2(TARGETS, metric);
    for (_, field, _) in TARGETS {
        let Some(source) = made.get_mut(*field) else { continue };
        let target = &source["target"];
        let of = if !target["averageUtilization"].is_null() {
            "Utilization"
        } else if !target["averageValue"].is_null() {
            "AverageValue"
        } else {
            "Value"
        };
        source.set_path(&["target", "type"], of.into());
        // The zero that v1 always has says nothing then.
        if *field == "object" && of == "AverageValue" {
            source.remove_path(&["target", "value"]);
        }
    }
    made
}

/// A measured metric, from v1.
pub(super) fn current_to_v2(metric: &Value) -> Value {
    to_v2(CURRENT, metric)
}

fn to_v2(forms: &[Form], metric: &Value) -> Value {
    let mut made = json!({"type": metric["type"]});
    for (_, field, places) in forms.iter().filter(|(_, field, _)| metric[*field].is_object()) {
        let mut source = json!({});
        for (to, from) in places.iter().filter(|(_, from)| !metric[*field][*from].is_null()) {
            source.set_path(to, metric[*field][*from].clone());
        }
        made[*field] = source;
    }
    made
}
