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

/// The fields of each feature that is off. A step is a field, some fields, or every item of a list.
const OFF: &[&[&str]] = &[
    &["schedulingGroup"],
    &["evictionResponders"],
    &["volumes/*/emptyDir/mode"],
    &["containers|initContainers|ephemeralContainers/*/volumeMounts/*/bindMountOptions"],
    &[
        "containers|initContainers|ephemeralContainers/*/livenessProbe|readinessProbe|startupProbe\
         /httpGet/protocol",
        "containers|initContainers|ephemeralContainers/*/lifecycle/postStart|preStop/httpGet/protocol",
    ],
    &["containers|initContainers|ephemeralContainers/*/livenessProbe|readinessProbe|startupProbe\
       /grpc/mode"],
    &[
        "volumes/*/secret|configMap|downwardAPI|projected/defaultUser",
        "volumes/*/secret|configMap|downwardAPI/items/*/user",
        "volumes/*/projected/sources/*/secret|configMap|downwardAPI/items/*/user",
        "volumes/*/projected/sources/*/serviceAccountToken|clusterTrustBundle|podCertificate/user",
    ],
];

fn of_spec(spec: &mut Value, was: &Value) {
    for fields in OFF {
        if !fields.iter().any(|path| is_used(was, path)) {
            fields.iter().for_each(|path| remove(spec, path));
        }
    }
    let has_signal = |container: &Value| !container["lifecycle"]["stopSignal"].is_null();
    if !LISTS.iter().any(|list| any(&was[*list], has_signal)) {
        LISTS.iter().for_each(|list| items_mut(spec, list).for_each(drop_stop_signal));
    }
}

/// The first step of a path, and the others.
fn step(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

fn is_used(value: &Value, path: &str) -> bool {
    let (first, rest) = step(path);
    let goes_on = |value: &Value| match rest {
        Some(rest) => is_used(value, rest),
        None => !value.is_null(),
    };
    match first {
        "*" => any(value, goes_on),
        fields => fields.split('|').any(|field| goes_on(&value[field])),
    }
}

fn remove(value: &mut Value, path: &str) {
    match (step(path), value) {
        (("*", Some(rest)), Value::Array(items)) => {
            items.iter_mut().for_each(|item| remove(item, rest));
        }
        ((fields, rest), Value::Object(map)) => {
            for field in fields.split('|') {
                match (rest, map.get_mut(field)) {
                    (Some(rest), Some(inner)) => remove(inner, rest),
                    (None, Some(_)) => drop(map.remove(field)),
                    (_, None) => {}
                }
            }
        }
        _ => {}
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
        let probe = json!({"httpGet": {"port": 80, "protocol": "HTTP1"}});
        let pod = json!({
            "schedulingGroup": {"podGroupName": "g"},
            "containers": [{
                "name": "c", "lifecycle": {"stopSignal": "SIGTERM"}, "livenessProbe": probe,
            }],
            "volumes": [{"emptyDir": {"mode": 1}}, {"projected": {"sources": [
                {"clusterTrustBundle": {"name": "b", "user": 1}},
                {"secret": {"items": [{"key": "k", "user": 1}]}},
            ]}}],
        });
        let old = json!({"spec": {"template": {"spec": pod}}});
        let mut object = old.clone();
        drop_disabled(kind, &mut object, Some(&old));
        assert_eq!(object, old);
        drop_disabled(kind, &mut object, None);
        let left = json!({
            "containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 80}}}],
            "volumes": [{"emptyDir": {}}, {"projected": {"sources": [
                {"clusterTrustBundle": {"name": "b"}}, {"secret": {"items": [{"key": "k"}]}},
            ]}}],
        });
        assert_eq!(object["spec"]["template"]["spec"], left);
    }
}
