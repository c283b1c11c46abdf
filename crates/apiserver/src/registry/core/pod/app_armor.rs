//! AppArmor profiles by annotation, which a new pod gets as fields too (KEP-24).

use apimachinery::field::Path;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use crate::registry::strategy::items_mut;

/// Prefix of the deprecated annotations; the name of a container follows.
pub(in crate::registry) const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
/// Longest name of a profile, in bytes.
pub(super) const MAX_NAME: usize = 4095;

/// The profile that an annotation means.
pub(in crate::registry) fn profile_of(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        _ => {
            let name = annotation.strip_prefix("localhost/").filter(|name| !name.is_empty())?;
            Some(json!({"type": "Localhost", "localhostProfile": name}))
        }
    }
}

/// The warning about an annotation where the field should be used.
pub(in crate::registry) fn deprecation(annotations: &Path, key: &str) -> String {
    let at = annotations.key(key);
    format!("{at}: deprecated since v1.30; use the \"appArmorProfile\" field instead")
}

/// Copies the annotations of a new pod into the fields of containers that have none, unless the
/// pod's own profile says the same. Returns warnings about those that say what no field does.
pub(super) fn copy_annotations(pod: &mut Object) -> Vec<String> {
    let mut warnings = Vec::new();
    if pod.str_at(&["spec", "os", "name"]) == "windows" {
        return warnings;
    }
    let annotations = pod.get_path(&["metadata", "annotations"]).and_then(Value::as_object);
    let given = annotations.into_iter().flatten().filter_map(|(key, text)| {
        Some((
            key.strip_prefix(ANNOTATION)?.to_owned(),
            text.as_str().unwrap_or_default().to_owned(),
        ))
    });
    let given: Vec<_> = given.collect();
    if given.is_empty() {
        return warnings;
    }
    let own = pod["spec"]["securityContext"]["appArmorProfile"].clone();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(&mut pod["spec"], list) {
            let Some((name, text)) = given.iter().find(|(name, _)| container["name"] == **name)
            else {
                continue;
            };
            if container.get_path(&["securityContext", "appArmorProfile"]).is_some() {
                continue;
            }
            let profile = profile_of(text).filter(is_valid);
            if profile.as_ref() == Some(&own) {
                continue;
            }
            let path = Path::new("metadata").child("annotations");
            warnings.push(deprecation(&path, &format!("{ANNOTATION}{name}")));
            if let Some(profile) = profile {
                container["securityContext"]["appArmorProfile"] = profile;
            }
        }
    }
    warnings
}

fn is_valid(profile: &Value) -> bool {
    profile["localhostProfile"]
        .as_str()
        .is_none_or(|name| !name.is_empty() && name.trim() == name && name.len() <= MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_become_fields_once() {
        let named = |name: &str| json!({"name": name});
        let mut pod: Object = json!({
            "metadata": {"annotations": {
                format!("{ANNOTATION}a"): "unconfined", format!("{ANNOTATION}b"): "localhost/x",
                format!("{ANNOTATION}c"): "localhost/ x", format!("{ANNOTATION}d"): "runtime/default",
                format!("{ANNOTATION}i"): "unconfined", "other": "unconfined",
            }},
            "spec": {
                "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}},
                "initContainers": [{"name": "i",
                    "securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}],
                "containers": [named("a"), named("b"), named("c"), named("d"), named("e")],
            },
        });
        let warnings = copy_annotations(&mut pod);
        let profiles: Vec<_> = pod["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|container| container.get("securityContext").cloned())
            .collect();
        let of = |profile: Value| Some(json!({"appArmorProfile": profile}));
        let local = json!({"type": "Localhost", "localhostProfile": "x"});
        assert_eq!(profiles, [of(json!({"type": "Unconfined"})), of(local), None, None, None]);
        let warned: Vec<String> = ["a", "b", "c"]
            .map(|name| {
                deprecation(
                    &Path::new("metadata").child("annotations"),
                    &format!("{ANNOTATION}{name}"),
                )
            })
            .into();
        assert_eq!(warnings, warned);

        let before = pod.clone();
        pod["spec"]["os"] = json!({"name": "windows"});
        pod["spec"]["containers"][0].as_object_mut().unwrap().remove("securityContext");
        assert!(copy_annotations(&mut pod).is_empty());
        assert_ne!(pod["spec"]["containers"], before["spec"]["containers"]);
    }
}
