//! Quality of service class (upstream's `ComputePodQOS`).

use apimachinery::ObjectExt;
use apimachinery::quantity::Quantity;
use serde_json::Value;

const COMPUTE: &[&str] = &["cpu", "memory"];

/// A positive amount at `container.resources.<list>.<name>`.
fn amount(container: &Value, list: &str, name: &str) -> Option<Quantity> {
    let text = container.str_at(&["resources", list, name]);
    let quantity = Quantity::parse(text).ok()?;
    (quantity > Quantity::default()).then_some(quantity)
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(pod: &Value) -> &'static str {
    let list = |field| pod.get_path(&["spec", field]).and_then(Value::as_array);
    let containers = || {
        list("containers").into_iter().flatten().chain(list("initContainers").into_iter().flatten())
    };
    let any = containers().any(|c| {
        COMPUTE
            .iter()
            .any(|r| amount(c, "requests", r).is_some() || amount(c, "limits", r).is_some())
    });
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers().all(|c| {
        COMPUTE.iter().all(|r| {
            let limit = amount(c, "limits", r);
            limit.is_some() && amount(c, "requests", r).is_none_or(|request| Some(request) == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_follow_requests_and_limits() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        let both = json!({"cpu": "1", "memory": "1Gi"});
        for (resources, want) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "0"}}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": both}), "Guaranteed"),
            (json!({"limits": both, "requests": {"cpu": "1000m", "memory": "1Gi"}}), "Guaranteed"),
            (json!({"limits": both, "requests": {"cpu": "1", "memory": "1Mi"}}), "Burstable"),
            (json!({"limits": {"memory": "1Gi"}}), "Burstable"),
        ] {
            assert_eq!(class(&pod(resources.clone())), want, "{resources}");
        }
    }
}
