//! HorizontalPodAutoscaler v1 ↔ v2: the CPU target moves between a field and the metrics list.

use apimachinery::ObjectExt;
use serde_json::{Value, json};

/// Metrics that v1 cannot say travel in this annotation.
pub(super) const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

pub(super) fn to_v2(object: &mut Value) {
    object["apiVersion"] = "autoscaling/v2".into();
    let mut metrics: Vec<Value> = object
        .remove_path(&["metadata", "annotations", METRICS])
        .and_then(|text| serde_json::from_str(text.as_str()?).ok())
        .unwrap_or_default();
    if let Some(target) = object.remove_path(&["spec", "targetCPUUtilizationPercentage"]) {
        metrics.insert(
            0,
            json!({"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target},
            }}),
        );
    }
    if !metrics.is_empty() {
        object.set_path(&["spec", "metrics"], metrics.into());
    }
    if let Some(now) = object.remove_path(&["status", "currentCPUUtilizationPercentage"]) {
        let current = json!([{"type": "Resource", "resource": {
            "name": "cpu", "current": {"averageUtilization": now},
        }}]);
        object.set_path(&["status", "currentMetrics"], current);
    }
}

pub(super) fn to_v1(object: &mut Value) {
    object["apiVersion"] = "autoscaling/v1".into();
    let metrics = object.remove_path(&["spec", "metrics"]);
    let mut others = Vec::new();
    for metric in metrics.iter().filter_map(Value::as_array).flatten() {
        match metric.get_path(&["resource", "target", "averageUtilization"]) {
            Some(target) if is_cpu(metric) => {
                object.set_path(&["spec", "targetCPUUtilizationPercentage"], target.clone());
            }
            _ => others.push(metric.clone()),
        }
    }
    if !others.is_empty() {
        let text = Value::Array(others).to_string();
        object.set_path(&["metadata", "annotations", METRICS], text.into());
    }
    let current = object.remove_path(&["status", "currentMetrics"]);
    let cpu = current.iter().filter_map(Value::as_array).flatten().find(|m| is_cpu(m));
    if let Some(now) = cpu.and_then(|m| m.get_path(&["resource", "current", "averageUtilization"]))
    {
        object.set_path(&["status", "currentCPUUtilizationPercentage"], now.clone());
    }
    object.remove_path(&["status", "conditions"]);
    object.remove_path(&["spec", "behavior"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_keeps_every_metric() {
        let v2 = json!({
            "apiVersion": "autoscaling/v2", "metadata": {"annotations": {}},
            "spec": {"maxReplicas": 3, "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
                {"type": "Pods", "pods": {"metric": {"name": "x"}}},
            ]},
        });
        let mut object = v2.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}));
        to_v2(&mut object);
        assert_eq!(object, v2);
    }
}
