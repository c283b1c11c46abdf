//! The scheduling.k8s.io group.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};

use super::Sub;
use super::check::check;
use super::column::{AGE, Column, NAME};
use super::kind::Kind;
use super::strategy::{Strategy, set_default};

pub(super) static KINDS: &[Kind] =
    &[Kind::new("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass")
        .rechecks(0, 1)
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

/// Larger values and this prefix are reserved for the system.
const HIGHEST_USER: i64 = 1_000_000_000;
const SYSTEM: &str = "system-";
const SYSTEM_CLASSES: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

struct Class;

/// The reason why a class of that name is invalid.
fn not_of_the_system(name: &str, value: i64, global: bool) -> Option<String> {
    match SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, must)) if *must != value => {
            Some(format!("value of {name} PriorityClass must be {must}"))
        }
        Some(_) if global => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}

impl Strategy for Class {
    fn raises_generation(&self, _object: &Object, _old: &Object) -> bool {
        false
    }

    fn default(&self, object: &mut Object) {
        set_default(object, "preemptionPolicy", "PreemptLowerPriority");
        set_default(object, "value", 0);
    }

    fn forbids_deletion(&self, name: &str) -> Option<&'static str> {
        let system = SYSTEM_CLASSES.iter().any(|(known, _)| *known == name);
        system.then_some("this is a system priority class and cannot be deleted")
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let (name, value) = (object.value().name(), object.int("value").unwrap_or(0));
            if name.starts_with(SYSTEM) {
                if let Some(why) = not_of_the_system(name, value, object.flag("globalDefault")) {
                    object.at("metadata").at("name").forbidden(format!(
                        "priority class names with '{SYSTEM}' prefix are reserved for system use \
                         only. error: {why}"
                    ));
                }
            } else if value > HIGHEST_USER {
                object.at("value").forbidden(format!(
                    "maximum allowed value of a user defined priority is {HIGHEST_USER}"
                ));
            }
            object.needs_one_of("preemptionPolicy", &["PreemptLowerPriority", "Never"]);
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            if object.get("value") != &old["value"] {
                object.at("value").forbidden("may not be changed in an update.");
            }
            object.immutable("preemptionPolicy", old);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn classes() {
        let class = subject("scheduling.k8s.io", "v1", "PriorityClass", json!({"value": 5}));
        class.creates(&[
            (json!({}), &[]),
            (
                json!({"value": 1_000_000_001, "preemptionPolicy": "Always"}),
                &[
                    "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
                    "preemptionPolicy: Unsupported value: \"Always\": supported values: \"PreemptLowerPriority\", \"Never\"",
                ],
            ),
            (
                json!({"metadata": {"name": "system-x"}}),
                &["metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"],
            ),
            (
                json!({"metadata": {"name": "system-node-critical"}}),
                &["metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000"],
            ),
        ]);
        class.updates(&[(
            json!({}),
            json!({"value": 6, "preemptionPolicy": "Never"}),
            &[
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: \"Never\": field is immutable",
            ],
        )]);
    }
}
