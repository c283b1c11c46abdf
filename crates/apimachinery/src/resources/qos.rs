//! Quality of service class (upstream's `ComputePodQOS`).

use serde_json::Value;

use crate::ObjectExt;
use crate::quantity::Quantity;

const COMPUTE: &[&str] = &["cpu", "memory"];

/// A positive amount at `container.resources.<list>.<name>`.
fn amount(container: &Value, list: &str, name: &str) -> Option<Quantity> {
    let text = container.str_at(&["resources", list, name]);
    let quantity = Quantity::parse(text).ok()?;
    (quantity > Quantity::default()).then_some(quantity)
}

/// The class of a pod by what it asks for: `Guaranteed`, `Burstable` or `BestEffort`.
#[must_use]
pub fn qos_class(pod: &Value) -> &'static str {
    let spec = &pod["spec"];
    // Resources of the pod as a whole decide alone (KEP-2837).
    let whole = spec["resources"].is_object().then_some(spec);
    let containers = || {
        let lists = ["containers", "initContainers"].map(|list| spec[list].as_array());
        let each = lists.into_iter().flatten().flatten().filter(|_| whole.is_none());
        whole.into_iter().chain(each)
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
            assert_eq!(qos_class(&pod(resources.clone())), want, "{resources}");
            let whole = json!({"spec": {"containers": [{}], "resources": resources}});
            assert_eq!(qos_class(&whole), want, "{whole}");
        }
    }
}
