//! HorizontalPodAutoscaler v1 ↔ v2: the CPU target moves between a field and the metrics list, and
//! what v1 has no fields for travels in annotations.

mod metrics;

use apimachinery::ObjectExt;
use apimachinery::text::go_json;
use serde_json::{Map, Value, json};

/// Metrics that v1 cannot say.
pub(super) const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

/// Takes an annotation away and reads it; what cannot be read is nothing.
fn take(object: &mut Value, annotation: &str) -> Option<Value> {
    let text = object.remove_path(&["metadata", "annotations", annotation])?;
    serde_json::from_str(text.as_str()?).ok()
}

fn items(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

pub(super) fn to_v2(object: &mut Value) {
    object["apiVersion"] = "autoscaling/v2".into();
    let others = items(take(object, METRICS));
    let mut wanted: Vec<Value> = others.iter().map(metrics::target_to_v2).collect();
    if let Some(target) = object.remove_path(&["spec", "targetCPUUtilizationPercentage"]) {
        wanted.push(json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target},
        }}));
    }
    if !wanted.is_empty() {
        object.set_path(&["spec", "metrics"], wanted.into());
    }
    if let Some(behavior) = take(object, BEHAVIOR).filter(Value::is_object) {
        object.set_path(&["spec", "behavior"], small_names(&behavior));
    }
    let mut current: Vec<Value> = Vec::new();
    if let Some(now) = object.remove_path(&["status", "currentCPUUtilizationPercentage"]) {
        current.push(json!({"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": now},
        }}));
    }
    // These say more than the field.
    if let Some(told) = take(object, CURRENT_METRICS) {
        current = items(Some(told)).iter().map(metrics::current_to_v2).collect();
    }
    if !current.is_empty() {
        object.set_path(&["status", "currentMetrics"], current.into());
    }
    if let Some(conditions) = take(object, CONDITIONS).filter(Value::is_array) {
        object.set_path(&["status", "conditions"], conditions);
    }
    if object["metadata"]["annotations"].as_object().is_some_and(Map::is_empty) {
        object.remove_path(&["metadata", "annotations"]);
    }
}

pub(super) fn to_v1(object: &mut Value) {
    object["apiVersion"] = "autoscaling/v1".into();
    for annotation in [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR] {
        object.remove_path(&["metadata", "annotations", annotation]);
    }
    let say = |object: &mut Value, annotation: &str, text: String| {
        object.set_path(&["metadata", "annotations", annotation], text.into());
    };
    let mut others = Vec::new();
    for metric in items(object.remove_path(&["spec", "metrics"])) {
        match metric.get_path(&["resource", "target", "averageUtilization"]) {
            Some(target) if is_cpu(&metric) => {
                object.set_path(&["spec", "targetCPUUtilizationPercentage"], target.clone());
            }
            _ => others.push(metrics::target_to_v1(&metric)),
        }
    }
    if !others.is_empty() {
        say(object, METRICS, format!("[{}]", others.join(",")));
    }
    let current = items(object.remove_path(&["status", "currentMetrics"]));
    for metric in current.iter().filter(|metric| is_cpu(metric)) {
        if let Some(now) = metric.get_path(&["resource", "current", "averageUtilization"]) {
            object.set_path(&["status", "currentCPUUtilizationPercentage"], now.clone());
        }
    }
    if !current.is_empty() {
        let current: Vec<String> = current.iter().map(metrics::current_to_v1).collect();
        say(object, CURRENT_METRICS, format!("[{}]", current.join(",")));
    }
    if let Some(behavior) = object.remove_path(&["spec", "behavior"]) {
        say(object, BEHAVIOR, show_behavior(&behavior));
    }
    let conditions = items(object.remove_path(&["status", "conditions"]));
    if !conditions.is_empty() {
        const FIELDS: &[&str] = &["type", "status", "lastTransitionTime", "reason", "message"];
        let conditions: Vec<String> = conditions.iter().map(|c| in_order(c, FIELDS)).collect();
        say(object, CONDITIONS, format!("[{}]", conditions.join(",")));
    }
}

/// The JSON of these fields of a value, in this order; those that are not there are left out.
fn in_order(value: &Value, fields: &[&str]) -> String {
    let there = fields.iter().filter(|field| !value[**field].is_null());
    let shown: Vec<String> = there.map(|f| format!("\"{f}\":{}", go_json(&value[*f]))).collect();
    format!("{{{}}}", shown.join(","))
}

/// Upstream writes its internal type, which has other names.
fn show_behavior(behavior: &Value) -> String {
    let or_null = |value: &Value, shown: String| {
        if value.is_null() { "null".to_owned() } else { shown }
    };
    let rules = |rules: &Value| {
        let policies = rules["policies"].as_array().map(|policies| {
            let shown = policies.iter().map(|policy| {
                format!(
                    "{{\"Type\":{},\"Value\":{},\"PeriodSeconds\":{}}}",
                    policy["type"], policy["value"], policy["periodSeconds"]
                )
            });
            format!("[{}]", shown.collect::<Vec<_>>().join(","))
        });
        let shown = format!(
            "{{\"StabilizationWindowSeconds\":{},\"SelectPolicy\":{},\"Policies\":{},\"Tolerance\":{}}}",
            rules["stabilizationWindowSeconds"],
            rules["selectPolicy"],
            policies.unwrap_or_else(|| "null".into()),
            rules["tolerance"]
        );
        or_null(rules, shown)
    };
    format!(
        "{{\"ScaleUp\":{},\"ScaleDown\":{}}}",
        rules(&behavior["scaleUp"]),
        rules(&behavior["scaleDown"])
    )
}

/// The same with names that begin small, as objects have them; nulls are nothing.
fn small_names(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let small = |name: &str| {
                let mut letters = name.chars();
                let first = letters.next().map(|c| c.to_ascii_lowercase());
                first.into_iter().chain(letters).collect::<String>()
            };
            let there = map.iter().filter(|(_, value)| !value.is_null());
            there.map(|(k, v)| (small(k), small_names(v))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(small_names).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_keeps_everything() {
        let v2 = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"annotations": {"a": "b"}},
            "spec": {
                "maxReplicas": 3,
                "metrics": [
                    {"type": "Pods", "pods": {
                        "metric": {"name": "x"},
                        "target": {"type": "AverageValue", "averageValue": "1"},
                    }},
                    {"type": "Object", "object": {
                        "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                        "metric": {"name": "y", "selector": {"matchLabels": {"a": "b"}}},
                        "target": {"type": "Value", "value": "2"},
                    }},
                    {"type": "External", "external": {
                        "metric": {"name": "z"},
                        "target": {"type": "AverageValue", "averageValue": "3"},
                    }},
                    {"type": "ContainerResource", "containerResource": {
                        "name": "memory", "container": "c",
                        "target": {"type": "Utilization", "averageUtilization": 60},
                    }},
                    {"type": "Resource", "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70},
                    }},
                ],
                "behavior": {"scaleUp": {
                    "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
                    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}],
                }},
            },
            "status": {
                "currentMetrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "current": {"averageUtilization": 5, "averageValue": "10m"},
                }}],
                "conditions": [{"type": "ScalingActive", "status": "True"}],
            },
        });
        let mut object = v2.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}));
        assert_eq!(object["status"], json!({"currentCPUUtilizationPercentage": 5}));
        assert_eq!(
            object.annotation(CURRENT_METRICS),
            Some(
                r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":5,"currentAverageValue":"10m"}}]"#
            )
        );
        assert_eq!(
            object.annotation(BEHAVIOR),
            Some(concat!(
                r#"{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","Policies":"#,
                r#"[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}"#
            ))
        );
        to_v2(&mut object);
        assert_eq!(object, v2);
    }
}
