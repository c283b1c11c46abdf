//! Table cells for an autoscaler's metrics.

use apimachinery::ObjectExt;
use serde_json::Value;

/// Maximum number of metrics in a cell.
const SHOWN: usize = 2;
const UNKNOWN: &str = "<unknown>";

/// Current and target value of each metric.
pub(super) fn targets(object: &Value) -> Value {
    let list = |path: &[&str]| object.get_path(path).and_then(Value::as_array);
    let wanted = list(&["spec", "metrics"]).map(Vec::as_slice).unwrap_or_default();
    let current = list(&["status", "currentMetrics"]).map(Vec::as_slice).unwrap_or_default();
    if wanted.is_empty() {
        return "<none>".into();
    }
    let texts: Vec<String> = wanted
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(at, metric)| one(metric, current.get(at).unwrap_or(&Value::Null)))
        .collect();
    let more = wanted.len().saturating_sub(SHOWN);
    let shown = texts.join(", ");
    if more > 0 { format!("{shown} + {more} more...").into() } else { shown.into() }
}

/// Formats a metric with its entry in the status.
fn one(metric: &Value, status: &Value) -> String {
    let field = match metric.str_at(&["type"]) {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".into(),
    };
    let (target, now) = (&metric[field]["target"], &status[field]["current"]);
    let quantity = |of: &Value, name: &str| match &of[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let percent = |of: &Value| of["averageUtilization"].as_i64().map(|n| format!("{n}%"));
    // A status that is present has a value, which defaults to zero.
    let there = status[field].is_object().then_some("0");
    let average = |absent: Option<&str>| {
        let now = quantity(now, "averageValue").or(absent.map(str::to_owned));
        (now.unwrap_or(UNKNOWN.into()), quantity(target, "averageValue").unwrap_or("0".into()))
    };
    let averaged = !target["averageValue"].is_null();
    match field {
        "resource" | "containerResource" => {
            let (now, wanted) = if averaged {
                average(there)
            } else {
                let wanted = percent(target).unwrap_or("<auto>".into());
                (percent(now).unwrap_or(UNKNOWN.into()), wanted)
            };
            format!("{}: {now}/{wanted}", metric[field].str_at(&["name"]))
        }
        "pods" => {
            let (now, wanted) = average(there);
            format!("{now}/{wanted}")
        }
        _ if averaged => {
            let (now, wanted) = average(None);
            format!("{now}/{wanted} (avg)")
        }
        _ => {
            let now = quantity(now, "value").or(there.map(str::to_owned));
            let wanted = quantity(target, "value").unwrap_or("0".into());
            format!("{}/{wanted}", now.unwrap_or(UNKNOWN.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_shown_with_their_state() {
        let cpu = json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50},
        }});
        let queue = json!({"type": "External", "external": {"target": {"averageValue": "4"}}});
        let object = |metrics: Value, current: Value| json!({"spec": {"metrics": metrics}, "status": {"currentMetrics": current}});
        let now = json!({"resource": {"name": "x", "current": {"averageUtilization": 3}}});
        for (metrics, current, want) in [
            (json!([]), json!([]), "<none>"),
            (json!([cpu]), json!([]), "cpu: <unknown>/50%"),
            // Statuses are matched by position.
            (json!([cpu]), json!([now]), "cpu: 3%/50%"),
            (json!([queue]), json!([]), "<unknown>/4 (avg)"),
            (
                json!([{"type": "Pods", "pods": {"target": {"averageValue": "1"}}}]),
                json!([{"pods": {"current": {}}}]),
                "0/1",
            ),
            (
                json!([cpu, cpu, queue]),
                json!([]),
                "cpu: <unknown>/50%, cpu: <unknown>/50% + 1 more...",
            ),
        ] {
            assert_eq!(targets(&object(metrics, current)), want);
        }
    }
}
