//! Configurations that own nothing: those that mutating admission policies apply (KEP-3962).

use serde_json::Value;
use std::sync::Arc;

use super::view::{View, view};
use super::{check, merge, misfits, shape};
use crate::schema::{Shape, Type};

/// The reason why a configuration cannot be merged into an object.
#[derive(Debug, thiserror::Error)]
pub enum Unmergeable {
    /// It does not fit the schema.
    #[error("failed to convert patch object to typed object: {0}")]
    Configuration(String),
    /// It has lists, maps or structs that are replaced whole: fields that it leaves out would be
    /// lost.
    #[error("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {0}")]
    Atomic(String),
    /// The object does not fit the schema.
    #[error("failed to convert original object to typed object")]
    Object,
}

/// Merges a configuration into an object as server-side apply does, for no manager.
///
/// # Errors
/// One of them does not fit the schema, or the configuration has something atomic.
pub fn merge_unowned(
    ty: &Arc<Type>,
    object: &Value,
    configuration: &Value,
) -> Result<Value, Unmergeable> {
    let shape = shape(ty);
    if let Some(why) = misfits(&shape, configuration) {
        return Err(Unmergeable::Configuration(why));
    }
    let mut found = Vec::new();
    find_atomic(&shape, configuration, &mut String::new(), &mut found);
    if !found.is_empty() {
        return Err(Unmergeable::Atomic(found.join(", ")));
    }
    if !check::is_typed(&shape, object) {
        return Err(Unmergeable::Object);
    }
    Ok(merge::merge(&shape, object, configuration))
}

/// The paths of all lists, maps and structs that are atomic; items are named by their place.
fn find_atomic(shape: &Shape, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let parts = view(shape, value);
    if matches!(parts, View::Leaf) && (value.is_object() || value.is_array()) {
        found.push(path.clone());
    }
    let length = path.len();
    match value {
        Value::Object(fields) => {
            for (name, below) in fields {
                let Some(shape) = field(shape, name) else { continue };
                path.push('.');
                path.push_str(name);
                find_atomic(shape, below, path, found);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let Shape::List(list) = shape else { return };
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                find_atomic(&list.item, item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// The shape of a declared field. Upstream does not look into the entries of maps.
fn field<'a>(shape: &'a Shape, name: &str) -> Option<&'a Shape> {
    let Shape::Object(ty) = shape else { return None };
    ty.field(name).map(|field| &field.shape)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Registry;

    #[test]
    fn what_is_atomic_cannot_be_merged() {
        let pod = Registry::builtin().lookup("", "v1", "Pod").expect("pods");
        let object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
            "containers": [{"name": "a", "image": "x"}, {"name": "b"}],
            "nodeSelector": {"a": "b"},
        }});
        let merged = |spec| {
            let configuration = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
            merge_unowned(pod, &object, &configuration).map_err(|why| why.to_string())
        };
        let changed = merged(json!({"containers": [{"name": "b", "image": "y"}]})).unwrap();
        assert_eq!(
            changed["spec"]["containers"],
            json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}])
        );
        let atomic = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ";
        assert_eq!(
            merged(json!({"nodeSelector": {"c": "d"}})),
            Err(format!("{atomic}.spec.nodeSelector"))
        );
        assert_eq!(
            merged(json!({"containers": [{"name": "a", "args": ["x"]}]})),
            Err(format!("{atomic}.spec.containers[0].args"))
        );
        assert_eq!(
            merged(json!({"none": 1})),
            Err("failed to convert patch object to typed object: .spec.none: field not declared in \
                 schema"
                .to_owned())
        );
    }
}
