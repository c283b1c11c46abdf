//! Drops pod fields of disabled features, unless the object already had them.

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::kind::Kind;
use super::strategy::items_mut;

/// Drops them from a pod or from an object's pod template; `old` is the previous object.
pub(crate) fn drop_disabled(kind: &Kind, object: &mut Object, old: Option<&Object>) {
    let Some(path) = kind.pod_spec else { return };
    let was = old.and_then(|old| old.get_path(path)).unwrap_or(&Value::Null);
    let mut spec = Some(object);
    for name in path {
        spec = spec.and_then(|value| value.get_mut(*name));
    }
    if let Some(spec) = spec {
        of_spec(spec, was);
    }
}

const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

fn of_spec(spec: &mut Value, was: &Value) {
    if was["workloadRef"].is_null() {
        spec.remove_path(&["workloadRef"]);
    }
    let has_signal = |container: &Value| !container["lifecycle"]["stopSignal"].is_null();
    if !LISTS.iter().any(|list| any(&was[*list], has_signal)) {
        LISTS.iter().for_each(|list| items_mut(spec, list).for_each(drop_stop_signal));
    }
    for projection in ["clusterTrustBundle", "podCertificate"] {
        let uses = |volume: &Value| {
            any(&volume["projected"]["sources"], |source| !source[projection].is_null())
        };
        if any(&was["volumes"], uses) {
            continue;
        }
        for volume in items_mut(spec, "volumes") {
            let Some(projected) = volume.get_mut("projected") else { continue };
            for source in items_mut(projected, "sources") {
                source.remove_path(&[projection]);
            }
        }
    }
}

fn any(list: &Value, is: impl Fn(&Value) -> bool) -> bool {
    list.as_array().is_some_and(|items| items.iter().any(is))
}

/// Removes a lifecycle that contains nothing else.
fn drop_stop_signal(container: &mut Value) {
    let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_object_mut) else {
        return;
    };
    if lifecycle.remove("stopSignal").is_some() && lifecycle.is_empty() {
        container.remove_path(&["lifecycle"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_there_before_stays() {
        let kind = super::super::find("apps", "v1", "deployments").unwrap();
        let pod = json!({
            "workloadRef": {"name": "w"},
            "containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGTERM"}}],
            "volumes": [{"projected": {"sources": [{"clusterTrustBundle": {"name": "b"}}]}}],
        });
        let old = json!({"spec": {"template": {"spec": pod}}});
        let mut object = old.clone();
        drop_disabled(kind, &mut object, Some(&old));
        assert_eq!(object, old);
        drop_disabled(kind, &mut object, None);
        let left = json!({
            "containers": [{"name": "c"}], "volumes": [{"projected": {"sources": [{}]}}],
        });
        assert_eq!(object["spec"]["template"]["spec"], left);
    }
}
