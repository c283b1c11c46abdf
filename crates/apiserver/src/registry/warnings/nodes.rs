//! Nodes, and objects that select them by deprecated labels.

use apimachinery::field::Path;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::addresses::warn_cidr;
use super::{entries, items};

const DEPRECATED: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// The replacement for a deprecated node label.
pub(super) fn deprecated(label: &str) -> Option<&'static str> {
    DEPRECATED.iter().find(|(known, _)| *known == label).map(|(_, message)| *message)
}

pub(super) fn warn_node(object: &Object, found: &mut Vec<String>) {
    let spec = &object["spec"];
    if spec["configSource"].is_object() {
        found.push("spec.configSource: the feature is removed".to_owned());
    }
    if !spec.str_at(&["externalID"]).is_empty() {
        let what = "spec.externalID: this field is deprecated, and is unused by Kubernetes";
        found.push(what.to_owned());
    }
    for (i, range) in items(spec, &["podCIDRs"]).enumerate() {
        let path = Path::new("spec").child("podCIDRs").index(i);
        warn_cidr(&path, range.as_str().unwrap_or_default(), found);
    }
}

pub(super) fn warn_class(object: &Object, found: &mut Vec<String>) {
    for (label, _) in entries(object, &["scheduling", "nodeSelector"]) {
        if let Some(message) = deprecated(label) {
            found.push(format!("scheduling.nodeSelector: {message}"));
        }
    }
}

pub(super) fn warn_topologies(object: &Object, found: &mut Vec<String>) {
    for (i, topology) in items(object, &["allowedTopologies"]).enumerate() {
        for (j, expression) in items(topology, &["matchLabelExpressions"]).enumerate() {
            if let Some(message) = deprecated(expression.str_at(&["key"])) {
                let path = Path::new("allowedTopologies").index(i);
                let path = path.child("matchLabelExpressions").index(j).child("key");
                found.push(format!("{path}: {message}"));
            }
        }
    }
}

pub(super) fn warn_selector(path: &Path, selector: &Value, found: &mut Vec<String>) {
    warn_term(path, selector, false, found);
    for (label, _) in entries(selector, &["matchLabels"]) {
        if let Some(message) = deprecated(label) {
            found.push(format!("{}: {message}", path.child("matchLabels").child(label)));
        }
    }
}

/// Warns about labels, and for preferences about values, that make a term select nothing.
pub(super) fn warn_term(path: &Path, term: &Value, values: bool, found: &mut Vec<String>) {
    for (i, expression) in items(term, &["matchExpressions"]).enumerate() {
        let path = path.child("matchExpressions").index(i);
        let key = expression.str_at(&["key"]);
        if let Some(message) = deprecated(key) {
            found.push(format!("{}: {key} is {message}", path.child("key")));
        }
        for (j, value) in items(expression, &["values"]).enumerate().filter(|_| values) {
            let value = value.as_str().unwrap_or_default();
            for wrong in names::label_value(value) {
                let path = path.child("values").index(j);
                found.push(format!("{path}: {value} is invalid, {wrong}"));
            }
        }
    }
}
