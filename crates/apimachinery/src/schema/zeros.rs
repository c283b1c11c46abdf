//! Fields that were never set: Go stores some of them by value and writes their zero, and omits the
//! others.

use serde_json::{Map, Value};

use super::model::{Alternative, Field, Shape, Type};

/// Groups whose objects upstream stores as JSON. The others are stored as protobuf, which cannot
/// distinguish an empty list from an absent one.
const STORED_AS_JSON: &[&str] = &["apiextensions.k8s.io", "apiregistration.k8s.io"];

/// Gives an object of type `ty` the zeros that Go would write, and the nulls that empty lists and
/// maps become when they are stored.
pub fn write_zeros(ty: &Type, object: &mut Value) {
    let as_json = ty.gvk.as_ref().is_some_and(|gvk| STORED_AS_JSON.contains(&gvk.group.as_str()));
    Zeros { keep_empty: as_json }.of_type(ty, object);
}

/// Gives an object the zeros only: empty values stay as written until the object is stored.
pub fn write_missing(ty: &Type, object: &mut Value) {
    Zeros { keep_empty: true }.of_type(ty, object);
}

/// Maps for which admission or validation distinguishes empty from absent. The difference exists
/// only until the object is stored.
const TOLD_FROM_NONE: &[(&str, &str)] = &[
    ("PodSpec", "overhead"),
    ("ResourceRequirements", "limits"),
    ("ResourceRequirements", "requests"),
];

pub(crate) fn is_told_from_none(ty: &Type, field: &Field) -> bool {
    TOLD_FROM_NONE.contains(&(ty.short_name(), field.name.as_str()))
}

/// Removes these maps where they are empty: they are neither stored nor owned.
pub fn leave_out_empty(ty: &Type, object: &mut Value) {
    let Value::Object(map) = object else { return };
    for field in &ty.fields {
        let Some(value) = map.get_mut(&field.name) else { continue };
        if is_told_from_none(ty, field) && value.as_object().is_some_and(Map::is_empty) {
            map.remove(&field.name);
            continue;
        }
        match (&field.shape, value) {
            (Shape::Object(ty), value) => leave_out_empty(ty, value),
            (Shape::List(list), Value::Array(items)) => {
                if let Shape::Object(ty) = &list.item {
                    items.iter_mut().for_each(|item| leave_out_empty(ty, item));
                }
            }
            _ => {}
        }
    }
}

/// Returns true if [`leave_out_empty`] would remove something.
#[must_use]
pub fn has_empty(ty: &Type, object: &Value) -> bool {
    let Value::Object(map) = object else { return false };
    ty.fields.iter().any(|field| match (map.get(&field.name), &field.shape) {
        (None, _) => false,
        (Some(Value::Object(map)), _) if map.is_empty() => is_told_from_none(ty, field),
        (Some(value), Shape::Object(ty)) => has_empty(ty, value),
        (Some(Value::Array(items)), Shape::List(list)) => match &list.item {
            Shape::Object(ty) => items.iter().any(|item| has_empty(ty, item)),
            _ => false,
        },
        _ => false,
    })
}

pub(crate) fn is_time_by_value(field: &Field) -> bool {
    matches!(field.shape, Shape::Time | Shape::MicroTime) && !field.omit_empty && !field.pointer
}

#[derive(Clone, Copy)]
struct Zeros {
    /// Keeps `[]` and `{}` as they are.
    keep_empty: bool,
}

impl Zeros {
    fn of_type(self, ty: &Type, object: &mut Value) {
        let Value::Object(map) = object else { return };
        for field in &ty.fields {
            match map.get_mut(&field.name) {
                Some(Value::Null) | None if field.omit_empty => {}
                Some(value) if !value.is_null() => self.of_field(field, value),
                slot => {
                    let value = if field.pointer { Value::Null } else { self.zero(&field.shape) };
                    match slot {
                        Some(slot) => *slot = value,
                        None => drop(map.insert(field.name.clone(), value)),
                    }
                }
            }
        }
    }

    fn of_field(self, field: &Field, value: &mut Value) {
        let empty = match (&field.shape, &*value) {
            (Shape::List(_), Value::Array(items)) => items.is_empty(),
            (Shape::Map(_), Value::Object(entries)) => entries.is_empty(),
            _ => false,
        };
        if !empty {
            self.descend(&field.shape, value);
        } else if !field.omit_empty && !self.keep_empty {
            *value = Value::Null;
        }
    }

    fn zero(self, shape: &Shape) -> Value {
        match shape {
            Shape::String => "".into(),
            Shape::Bool => false.into(),
            Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => 0.into(),
            Shape::Quantity => "0".into(),
            Shape::Duration => "0s".into(),
            Shape::Object(ty) => {
                let mut object = Value::Object(Map::new());
                self.of_type(ty, &mut object);
                object
            }
            _ => Value::Null,
        }
    }

    fn descend(self, shape: &Shape, value: &mut Value) {
        match (shape, value) {
            (Shape::Object(ty), value) => self.of_type(ty, value),
            (Shape::List(list), Value::Array(items)) if has_fields(&list.item) => {
                items.iter_mut().for_each(|item| self.descend(&list.item, item));
            }
            (Shape::Map(map), Value::Object(entries)) if has_fields(&map.value) => {
                entries.values_mut().for_each(|value| self.descend(&map.value, value));
            }
            (Shape::SchemaOr(_, ty), value @ Value::Object(_)) => self.of_type(ty, value),
            (Shape::SchemaOr(Alternative::Array, ty), Value::Array(items)) => {
                items.iter_mut().for_each(|item| self.of_type(ty, item));
            }
            _ => {}
        }
    }
}

/// Returns true if values of the shape may contain fields to write.
fn has_fields(shape: &Shape) -> bool {
    matches!(shape, Shape::Object(_) | Shape::List(_) | Shape::Map(_) | Shape::SchemaOr(..))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Registry;

    fn written(group: &str, version: &str, kind: &str, mut object: Value) -> Value {
        let ty = Registry::builtin().lookup(group, version, kind).unwrap();
        write_zeros(ty, &mut object);
        let once = object.clone();
        write_zeros(ty, &mut object);
        assert_eq!(object, once);
        object
    }

    #[test]
    fn fields_by_value_are_written() {
        let pod = json!({
            "metadata": {"name": "p", "managedFields": [{"manager": "m"}]},
            "spec": {"containers": [{"name": "c"}], "volumes": null},
            "status": {
                "conditions": [{"type": "Ready"}, {"type": "X", "lastProbeTime": "t", "status": "True"}],
                "containerStatuses": [{"name": "c", "state": {"running": {}}}],
            },
        });
        assert_eq!(
            written("", "v1", "Pod", pod),
            json!({
                "metadata": {"name": "p", "managedFields": [{"manager": "m"}]},
                "spec": {"containers": [{"name": "c", "resources": {}}], "volumes": null},
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": "", "lastProbeTime": null, "lastTransitionTime": null},
                        {"type": "X", "status": "True", "lastProbeTime": "t", "lastTransitionTime": null},
                    ],
                    "containerStatuses": [{
                        "name": "c", "image": "", "imageID": "", "lastState": {}, "ready": false,
                        "restartCount": 0, "state": {"running": {"startedAt": null}},
                    }],
                },
            })
        );
    }

    #[test]
    fn structs_and_pointers_that_are_not_left_out_are_written() {
        let deployment = written("apps", "v1", "Deployment", json!({}));
        assert_eq!(
            deployment,
            json!({
                "metadata": {}, "status": {},
                "spec": {
                    "selector": null, "strategy": {},
                    "template": {"metadata": {}, "spec": {"containers": null}},
                },
            })
        );
    }

    #[test]
    fn maps_that_are_told_from_none_are_not_stored() {
        let ty = Registry::builtin().lookup("apps", "v1", "Deployment").unwrap();
        let container = json!({"name": "c", "resources": {"limits": {}, "requests": {"cpu": "1"}}});
        let mut object = json!({"spec": {"template": {"spec": {
            "overhead": {}, "nodeSelector": {}, "containers": [container]}}}});
        leave_out_empty(ty, &mut object);
        let container = json!({"name": "c", "resources": {"requests": {"cpu": "1"}}});
        let left = json!({"nodeSelector": {}, "containers": [container]});
        assert_eq!(object["spec"]["template"]["spec"], left);
    }

    #[test]
    fn empty_lists_live_only_in_json() {
        let role = written("rbac.authorization.k8s.io", "v1", "Role", json!({"rules": []}));
        assert_eq!(role, json!({"metadata": {}, "rules": null}));
        let crd = json!({"spec": {"versions": []}});
        let crd = written("apiextensions.k8s.io", "v1", "CustomResourceDefinition", crd);
        assert_eq!(crd["spec"]["versions"], json!([]));
    }
}
