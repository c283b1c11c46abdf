//! The scheduling.k8s.io group.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};

use super::column::{AGE, Column, NAME};
use super::kind::Kind;
use super::strategy::{Context, Strategy, set_default};

pub(super) static KINDS: &[Kind] =
    &[Kind::new("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass")
        .short(&["pc"])
        .strategy(&Class)
        .generation()
        .columns(&[
            NAME,
            Column::number("Value", &["value"]),
            Column::flag("Global-Default", &["globalDefault"]),
            AGE,
            Column::text_or("PreemptionPolicy", &["preemptionPolicy"], ""),
        ])];

/// Larger values and this prefix are the system's.
const HIGHEST_USER: i64 = 1_000_000_000;
const SYSTEM: &str = "system-";
const SYSTEM_CLASSES: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

struct Class;

impl Strategy for Class {
    fn default(&self, object: &mut Object) {
        set_default(object, "preemptionPolicy", "PreemptLowerPriority");
        set_default(object, "value", 0);
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let value = object["value"].as_i64().unwrap_or(0);
        let known = SYSTEM_CLASSES.iter().any(|(n, v)| *n == object.name() && *v == value);
        if object.name().starts_with(SYSTEM) && !known {
            errors.0.push(FieldError::forbidden(
                &Path::new("metadata").child("name"),
                "priority class names with 'system-' prefix are reserved for system use only",
            ));
        }
        if value > HIGHEST_USER && !known {
            errors.0.push(FieldError::forbidden(
                &Path::new("value"),
                format!("maximum allowed value of a user defined priority is {HIGHEST_USER}"),
            ));
        }
        errors
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        for (field, what) in [("value", "Value"), ("preemptionPolicy", "PreemptionPolicy")] {
            if object[field] != old[field] {
                let detail = format!("may not be changed in an update: {what}");
                errors.0.push(FieldError::invalid(
                    &Path::new(field),
                    object[field].clone(),
                    detail,
                ));
            }
        }
        errors
    }
}
