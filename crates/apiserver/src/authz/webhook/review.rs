//! SubjectAccessReview: the question to a webhook, and its answer.

use apimachinery::selector::Operator;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::authz::Attributes;

/// The part of a review that says what is asked, as the conditions see it: every field but the
/// selectors is there.
pub(super) fn spec(a: &Attributes<'_>) -> Value {
    let user = a.user;
    let mut spec = json!({
        "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
    });
    if !a.is_resource {
        spec["nonResourceAttributes"] = json!({"path": a.path, "verb": a.verb});
        return spec;
    }
    let mut resource = json!({
        "namespace": a.namespace, "verb": a.verb, "group": a.group, "version": a.version,
        "resource": a.resource, "subresource": a.subresource, "name": a.name,
    });
    for (field, requirements) in [("fieldSelector", fields(a)), ("labelSelector", labels(a))] {
        if !requirements.is_empty() {
            resource[field] = json!({"requirements": requirements});
        }
    }
    spec["resourceAttributes"] = resource;
    spec
}

fn fields(a: &Attributes<'_>) -> Vec<Value> {
    let terms = a.fields.map_or(&[][..], |fields| &fields.terms);
    let requirement = |(key, equal, value): (&str, bool, &str)| {
        let operator = if equal { "In" } else { "NotIn" };
        json!({"key": key, "operator": operator, "values": [value]})
    };
    terms.iter().map(|t| requirement((&t.field, t.equal, &t.value))).collect()
}

fn labels(a: &Attributes<'_>) -> Vec<Value> {
    let requirements = a.labels.map_or(&[][..], |labels| &labels.requirements);
    let known = requirements.iter().filter_map(|requirement| {
        let operator = match requirement.operator {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            // Left out, which only widens the question.
            _ => return None,
        };
        let mut shown = json!({"key": requirement.key, "operator": operator});
        if !requirement.values.is_empty() {
            shown["values"] = json!(requirement.values);
        }
        Some(shown)
    });
    known.collect()
}

/// The whole document in this version, without the fields that are empty.
pub(super) fn document(spec: Value, version: &str) -> Value {
    let mut spec = without_empty(spec);
    if version == "v1beta1"
        && let Some(spec) = spec.as_object_mut()
        && let Some(groups) = spec.remove("groups")
    {
        spec.insert("group".to_owned(), groups);
    }
    json!({
        "kind": super::KIND, "apiVersion": format!("{}/{version}", super::GROUP),
        "metadata": {}, "spec": spec, "status": {"allowed": false},
    })
}

fn without_empty(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    // The attributes say whether a resource is asked for, even if they say nothing else.
    let kept = fields.into_iter().filter(|(_, value)| !empty(value));
    let kept: Map<String, Value> = kept
        .map(|(key, value)| match key.as_str() {
            "extra" => (key, value),
            _ => (key, without_empty(value)),
        })
        .collect();
    Value::Object(kept)
}

/// The answer.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct Status {
    pub(super) allowed: bool,
    pub(super) denied: bool,
    pub(super) reason: String,
}
