//! Table tests: a fragment of a pod and upstream's exact error messages.

mod containers;
mod specs;
mod updates;
mod volumes;

use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError};
use apimachinery::patch::merge_patch;
use serde_json::{Value, json};

use super::super::Pod;
use super::validate_create;
use crate::registry::strategy::Strategy;

/// A valid pod with the fragment merged into its spec, and defaults applied.
fn pod(spec: &Value) -> Object {
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    merge_patch(&mut pod["spec"], spec);
    Pod.default(&mut pod);
    pod
}

/// The same for its only container.
fn container(fragment: &Value) -> Object {
    let mut container = json!({"name": "c", "image": "i"});
    merge_patch(&mut container, fragment);
    pod(&json!({"containers": [container]}))
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(FieldError::to_string).collect()
}

/// Checks the messages of creating each pod.
fn creates(table: &[(Object, &[&str])]) {
    for (pod, want) in table {
        assert_eq!(messages(&validate_create(pod)), *want, "{}", pod["spec"]);
    }
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                     characters or '-', and must start and end with an alphanumeric character \
                     (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
