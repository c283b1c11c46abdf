//! The flow schemas and priority levels that every cluster has.

use serde_json::{Value, json};

/// Facts of upstream's bootstrap configuration (apiserver/pkg/apis/flowcontrol/bootstrap).
const FACTS: &str = include_str!("flow_control.json");

/// Upstream's field manager for them.
pub(super) const MANAGER: &str = "api-priority-and-fairness-config-producer-v1";

pub(super) fn objects() -> impl Iterator<Item = Value> {
    let facts: Vec<Value> = serde_json::from_str(FACTS).unwrap_or_default();
    facts.into_iter().map(|fact| {
        let mut object = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": fact["kind"],
            "metadata": {
                "name": fact["name"],
                "annotations": {"apf.kubernetes.io/autoupdate-spec": fact["autoupdate"]},
            },
            "spec": fact["spec"],
        });
        if fact["kind"] == "FlowSchema" {
            let level = fact["spec"]["priorityLevelConfiguration"]["name"].as_str();
            object["status"]["conditions"] = json!([{
                "type": "Dangling", "status": "False", "reason": "Found",
                "lastTransitionTime": apimachinery::time::now_rfc3339(),
                "message": format!(
                    "This FlowSchema references the PriorityLevelConfiguration object named \
                     \"{}\" and it exists",
                    level.unwrap_or_default()
                ),
            }]);
        }
        object
    })
}

/// Those that a server obeys also when their objects are gone.
pub(crate) fn mandatory() -> impl Iterator<Item = Value> {
    objects().filter(|object| {
        matches!(object["metadata"]["name"].as_str(), Some("exempt" | "catch-all"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_its_level() {
        let objects: Vec<Value> = objects().collect();
        assert_eq!(objects.len(), 19);
        for schema in objects.iter().filter(|o| o["kind"] == "FlowSchema") {
            let level = &schema["spec"]["priorityLevelConfiguration"]["name"];
            let is_it = |o: &&Value| {
                o["kind"] == "PriorityLevelConfiguration" && o["metadata"]["name"] == *level
            };
            assert!(objects.iter().any(|o| is_it(&o)), "{level}");
        }
    }
}
