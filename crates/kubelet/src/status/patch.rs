//! From one status to the next as a strategic merge patch.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

use crate::resize::mark::{IN_PROGRESS, PENDING};

/// Lists that a strategic merge would merge by key, and that we replace.
const REPLACED: [&str; 2] = ["podIPs", "hostIPs"];

/// The patch that makes `old` into `new`; `None` when they say the same.
pub(crate) fn between(pod: &Pod, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (Ok(Value::Object(mut old)), Ok(Value::Object(mut new))) =
        (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return None;
    };
    prune(&mut old);
    prune(&mut new);
    let mut changes = Map::new();
    for (key, value) in &new {
        if old.get(key) == Some(value) {
            continue;
        }
        let change = match (key.as_str(), value) {
            ("conditions", Value::Array(list)) => conditions(old.get(key), list),
            (key, Value::Array(list)) if REPLACED.contains(&key) && old.contains_key(key) => {
                let directive = json!({"$patch": "replace"});
                Value::Array(std::iter::once(directive).chain(list.iter().cloned()).collect())
            }
            _ => value.clone(),
        };
        changes.insert(key.clone(), change);
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    if changes.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": pod.metadata.uid}, "status": changes}))
}

/// Drops what says nothing, so that an empty list equals an absent one.
fn prune(map: &mut Map<String, Value>) {
    map.retain(|_, value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
}

/// Conditions that changed, with fields that are gone set to null, and those of a resize that is
/// over. Others that are missing are others' to remove.
fn conditions(old: Option<&Value>, new: &[Value]) -> Value {
    let old: &[Value] = old.and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let changed = new.iter().filter(|condition| !old.contains(condition)).map(|condition| {
        let before = old.iter().find(|before| before["type"] == condition["type"]);
        let mut condition = condition.clone();
        let gone = before.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        for key in gone {
            if condition.get(key).is_none() {
                condition[key] = Value::Null;
            }
        }
        condition
    });
    let over = old.iter().filter(|before| {
        let kind = before["type"].as_str().unwrap_or_default();
        [PENDING, IN_PROGRESS].contains(&kind) && !new.iter().any(|c| c["type"] == kind)
    });
    let remove = over.map(|before| json!({"$patch": "delete", "type": before["type"]}));
    Value::Array(changed.chain(remove).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_changed() {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("u".into());
        let old = status(json!({
            "phase": "Pending", "message": "m", "podIPs": [{"ip": "1"}],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "R"},
                {"type": "PodScheduled", "status": "True"},
                {"type": "PodResizeInProgress", "status": "True"},
                {"type": "Foreign", "status": "True"},
            ],
        }));
        let new = status(json!({
            "phase": "Running", "podIPs": [{"ip": "2"}], "containerStatuses": [],
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "PodScheduled", "status": "True"},
            ],
        }));
        assert_eq!(
            between(&pod, &old, &new).unwrap(),
            json!({"metadata": {"uid": "u"}, "status": {
                "phase": "Running", "message": null,
                "podIPs": [{"$patch": "replace"}, {"ip": "2"}],
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": null},
                    {"$patch": "delete", "type": "PodResizeInProgress"},
                ],
            }})
        );
        assert_eq!(between(&pod, &new, &new), None);
    }
}
