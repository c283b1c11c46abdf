//! HorizontalPodAutoscaler v1 ↔ v2: the CPU target moves between a field and the metrics list, and
//! data that v1 has no fields for is kept in annotations with their own format.

use apimachinery::ObjectExt;
use serde_json::{Value, json};

use super::annotations::{self, Form};

pub(super) const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

/// Removes an annotation that a conversion wrote.
fn take(object: &mut Value, name: &str) -> Option<Value> {
    let text = object.remove_path(&["metadata", "annotations", name])?;
    serde_json::from_str(text.as_str()?).ok()
}

pub(super) fn to_v2(object: &mut Value) {
    object["apiVersion"] = "autoscaling/v2".into();
    let metrics = take(object, METRICS);
    let mut metrics: Vec<Value> = metrics
        .iter()
        .filter_map(Value::as_array)
        .flatten()
        .map(|metric| annotations::read(metric, Form::Wanted))
        .collect();
    if let Some(target) = object.remove_path(&["spec", "targetCPUUtilizationPercentage"]) {
        metrics.push(json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target},
        }}));
    }
    if !metrics.is_empty() {
        object.set_path(&["spec", "metrics"], metrics.into());
    }
    if let Some(behavior) = take(object, BEHAVIOR).filter(Value::is_object) {
        object.set_path(&["spec", "behavior"], annotations::read_behavior(&behavior));
    }
    if let Some(now) = object.remove_path(&["status", "currentCPUUtilizationPercentage"]) {
        let current = json!([{"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": now},
        }}]);
        object.set_path(&["status", "currentMetrics"], current);
    }
    // The annotation has more detail than the field.
    if let Some(Value::Array(current)) = take(object, CURRENT) {
        let current = current.iter().map(|metric| annotations::read(metric, Form::Current));
        object.set_path(&["status", "currentMetrics"], current.collect());
    }
    if let Some(conditions) = take(object, CONDITIONS).filter(Value::is_array) {
        object.set_path(&["status", "conditions"], conditions);
    }
    if object["metadata"]["annotations"].as_object().is_some_and(serde_json::Map::is_empty) {
        object.remove_path(&["metadata", "annotations"]);
    }
}

pub(super) fn to_v1(object: &mut Value) {
    object["apiVersion"] = "autoscaling/v1".into();
    // Annotations set by a client would be mistaken for ours.
    for name in [METRICS, CURRENT, CONDITIONS, BEHAVIOR] {
        object.remove_path(&["metadata", "annotations", name]);
    }
    let annotate = |object: &mut Value, name: &str, text: String| {
        object.set_path(&["metadata", "annotations", name], text.into());
    };
    let metrics = object.remove_path(&["spec", "metrics"]);
    let mut others = Vec::new();
    for metric in metrics.iter().filter_map(Value::as_array).flatten() {
        match metric.get_path(&["resource", "target", "averageUtilization"]) {
            Some(target) if is_cpu(metric) => {
                let path = ["spec", "targetCPUUtilizationPercentage"];
                if object.get_path(&path).is_none() {
                    object.set_path(&path, target.clone());
                }
            }
            _ => others.push(annotations::write(metric, Form::Wanted)),
        }
    }
    if !others.is_empty() {
        annotate(object, METRICS, format!("[{}]", others.join(",")));
    }
    let current = object.remove_path(&["status", "currentMetrics"]);
    let current = current.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let cpu = current.iter().find(|metric| is_cpu(metric));
    if let Some(now) = cpu.and_then(|m| m.get_path(&["resource", "current", "averageUtilization"]))
    {
        object.set_path(&["status", "currentCPUUtilizationPercentage"], now.clone());
    }
    if !current.is_empty() {
        let texts: Vec<String> =
            current.iter().map(|metric| annotations::write(metric, Form::Current)).collect();
        annotate(object, CURRENT, format!("[{}]", texts.join(",")));
    }
    if let Some(behavior) = object.remove_path(&["spec", "behavior"]).filter(Value::is_object) {
        annotate(object, BEHAVIOR, annotations::write_behavior(&behavior));
    }
    let conditions = object.remove_path(&["status", "conditions"]);
    if let Some(Value::Array(conditions)) = conditions.filter(|c| *c != json!([])) {
        let texts: Vec<String> = conditions.iter().map(annotations::write_condition).collect();
        annotate(object, CONDITIONS, format!("[{}]", texts.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_keeps_everything() {
        let v2 = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": [
                {"type": "Pods", "pods": {
                    "metric": {"name": "x", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "AverageValue", "averageValue": "1"},
                }},
                {"type": "Object", "object": {
                    "describedObject": {"kind": "K", "name": "n", "apiVersion": "v1"},
                    "metric": {"name": "x"}, "target": {"type": "Value", "value": "2"},
                }},
                {"type": "External", "external": {
                    "metric": {"name": "q"}, "target": {"type": "Value", "value": "3"},
                }},
                {"type": "ContainerResource", "containerResource": {
                    "name": "memory", "container": "c",
                    "target": {"type": "AverageValue", "averageValue": "10M"},
                }},
                {"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70},
                }},
            ], "behavior": {"scaleDown": {
                "stabilizationWindowSeconds": 5, "selectPolicy": "Max",
                "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
            }}},
            "status": {
                "conditions": [{"type": "AbleToScale", "status": "True", "reason": "r"}],
                "currentMetrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "current": {"averageUtilization": 3, "averageValue": "1m"},
                }}],
            },
        });
        let mut object = v2.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}));
        let said = &object["metadata"]["annotations"];
        assert_eq!(
            said[CURRENT],
            r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":3,"currentAverageValue":"1m"}}]"#
        );
        assert_eq!(
            said[BEHAVIOR],
            r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":5,"SelectPolicy":"Max","Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":null}}"#
        );
        assert!(said[METRICS].as_str().unwrap().starts_with(
            r#"[{"type":"Pods","pods":{"metricName":"x","targetAverageValue":"1","selector":{"matchLabels":{"a":"b"}}}},{"type":"Object","object":{"target":{"kind":"K","name":"n","apiVersion":"v1"},"metricName":"x","targetValue":"2"}}"#
        ));
        to_v2(&mut object);
        assert_eq!(object, v2);
    }
}
