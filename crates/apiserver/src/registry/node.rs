//! The node.k8s.io group.

use std::collections::HashSet;

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, names};

use super::check::{Field, check, check_labels, internal};
use super::column::{AGE, Column, NAME};
use super::core::{check_overhead, check_tolerations};
use super::kind::Kind;
use super::strategy::Strategy;

pub(super) static KINDS: &[Kind] =
    &[Kind::new("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass")
        .any_finalizer()
        .strategy(&RuntimeClass)
        .columns(&[NAME, Column::text_or("Handler", &["handler"], ""), AGE])];

struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |class| {
            class.maybe_valid("handler", names::dns1123_label);
            if let Some(overhead) = class.opt("overhead") {
                check_overhead(&overhead.instead(overhead.get("podFixed")));
            }
            if let Some(scheduling) = class.opt("scheduling") {
                check_labels(&scheduling.at("nodeSelector"));
                check_tolerations(&scheduling);
                check_unique(&scheduling);
            }
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |class| class.immutable("handler", old))
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

/// Tolerations that only differ in their seconds are duplicates.
fn check_unique(scheduling: &Field<'_>) {
    let mut seen = HashSet::new();
    for toleration in scheduling.items("tolerations") {
        let key = ["key", "operator", "value", "effect"].map(|field| toleration.str(field));
        if !seen.insert(key) {
            let error = FieldError::duplicate(toleration.path(), "");
            toleration.push(error.showing(internal(toleration.value(), "Toleration")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn runtime_classes() {
        let class = subject("node.k8s.io", "v1", "RuntimeClass", json!({"handler": "h"}));
        let toleration = json!({"key": "a", "operator": "Exists"});
        class.creates(&[
            (
                json!({"overhead": {"podFixed": {"cpu": "100m", "memory": "1Gi"}},
                    "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [toleration]}}),
                &[],
            ),
            (
                json!({"handler": "H"}),
                &["handler: Invalid value: \"H\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"],
            ),
            (
                json!({"overhead": {"podFixed": {"cpu": "-1"}}, "scheduling": {
                    "nodeSelector": {"a": "b c"}, "tolerations": [toleration, toleration]}}),
                &[
                    "overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                    "scheduling.nodeSelector: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
                    "scheduling.tolerations[1]: Duplicate value: {\"Key\":\"a\",\"Operator\":\"Exists\",\"Value\":\"\",\"Effect\":\"\",\"TolerationSeconds\":null}",
                ],
            ),
        ]);
        class.updates(&[(
            json!({}),
            json!({"handler": "other"}),
            &["handler: Invalid value: \"other\": field is immutable"],
        )]);
    }
}
