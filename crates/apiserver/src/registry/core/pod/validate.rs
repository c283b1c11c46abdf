//! Validation of pods and pod templates.

use std::collections::HashSet;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{ObjectExt, names};
use serde_json::Value;

use crate::registry::strategy::Context;

/// Checks a pod template at `path`.
pub(crate) fn validate_template(_ctx: &Context<'_>, template: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in template.labels() {
        let at = path.child("metadata").child("labels");
        errors.invalid_all(&at, key, names::qualified_name(key));
        errors.invalid_all(&at, value, names::label_value(value));
    }
    validate_spec(&mut errors, &template["spec"], &path.child("spec"));
    errors
}

/// Checks a pod spec at `path`.
pub(super) fn validate_spec(errors: &mut ErrorList, spec: &Value, path: &Path) {
    let list = |field: &str| spec[field].as_array().into_iter().flatten();
    let mut volumes = HashSet::new();
    for (i, volume) in list("volumes").enumerate() {
        let at = path.child("volumes").index(i).child("name");
        let name = volume.str_at(&["name"]);
        if name.is_empty() {
            errors.0.push(FieldError::required(&at, ""));
        } else {
            errors.invalid_all(&at, name, names::dns1123_label(name));
        }
        if !volumes.insert(name.to_owned()) {
            errors.0.push(FieldError::duplicate(&at, name));
        }
    }
    if list("containers").next().is_none() {
        errors.0.push(FieldError::required(&path.child("containers"), ""));
    }
    let mut seen = HashSet::new();
    for field in ["containers", "initContainers"] {
        for (i, container) in list(field).enumerate() {
            let at = path.child(field).index(i);
            let name = container.str_at(&["name"]);
            if name.is_empty() {
                errors.0.push(FieldError::required(&at.child("name"), ""));
            } else {
                errors.invalid_all(&at.child("name"), name, names::dns1123_label(name));
            }
            if !seen.insert(name.to_owned()) {
                errors.0.push(FieldError::duplicate(&at.child("name"), name));
            }
            if container.str_at(&["image"]).is_empty() {
                errors.0.push(FieldError::required(&at.child("image"), ""));
            }
            for (j, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate()
            {
                let volume = mount.str_at(&["name"]);
                if !volumes.contains(volume) {
                    let at = at.child("volumeMounts").index(j).child("name");
                    errors.0.push(FieldError::not_found(&at, volume));
                }
            }
        }
    }
    const POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
    let policy = spec.str_at(&["restartPolicy"]);
    if !POLICIES.contains(&policy) {
        errors.0.push(FieldError::not_supported(&path.child("restartPolicy"), policy, POLICIES));
    }
}
