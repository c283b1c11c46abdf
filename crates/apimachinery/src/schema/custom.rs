//! Types of custom kinds, from the structural schema of their definition.

use super::model::{Field, Gvk, ListKind, ListShape, MapShape, Patch, Ref, Shape, Type};
use super::registry::Registry;
use serde_json::Value;
use std::sync::Arc;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Type {
    /// The type of a custom kind. `schema` is the `openAPIV3Schema` of one version, `name` its
    /// OpenAPI name, for example `com.example.v1.Widget`.
    #[must_use]
    pub fn custom(gvk: Gvk, name: &str, schema: &Value) -> Arc<Self> {
        Arc::new(Self { gvk: Some(gvk), ..resource(name, schema) })
    }

    /// The list type of a custom kind.
    #[must_use]
    pub fn custom_list(item: &Arc<Self>, list_kind: &str) -> Arc<Self> {
        let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
        let items = Shape::List(Box::new(ListShape {
            item: Shape::Object(Ref::to(item.clone())),
            kind: ListKind::Atomic,
            keys: Vec::new(),
            declared: false,
            wrapped: false,
        }));
        let mut fields = type_meta();
        fields.push(Field { required: true, ..field("items", items) });
        fields.extend(builtin(meta).map(|meta| field("metadata", meta)));
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let gvk = item.gvk.clone().map(|gvk| Gvk { kind: list_kind.to_owned(), ..gvk });
        Arc::new(Self { name: format!("{}List", item.name), gvk, fields, ..Self::default() })
    }
}

fn builtin(name: &str) -> Option<Shape> {
    Registry::builtin().type_by_name(name).map(|ty| Shape::Object(Ref::to(ty.clone())))
}

/// Go stores custom objects as maps: nothing is implied and nothing is dropped.
fn field(name: &str, shape: Shape) -> Field {
    Field {
        name: name.to_owned(),
        shape,
        required: false,
        pointer: true,
        omit_empty: true,
        go_type: None,
        listed: false,
        within: String::new(),
        values: Vec::new(),
        default: None,
        tag: 0,
        via: Vec::new(),
        patch: Patch::default(),
    }
}

fn type_meta() -> Vec<Field> {
    ["apiVersion", "kind"].map(|name| field(name, Shape::String)).into()
}

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

fn is(schema: &Value, name: &str, word: &str) -> bool {
    schema.get(name).and_then(Value::as_str) == Some(word)
}

/// A struct that is a whole object, at the root or embedded.
fn resource(name: &str, schema: &Value) -> Type {
    let mut ty = structure(name, schema);
    let meta = builtin(OBJECT_META).map(|meta| field("metadata", meta));
    for field in type_meta().into_iter().chain(meta) {
        ty.fields.retain(|f| f.name != field.name);
        ty.fields.push(field);
    }
    ty.fields.sort_by(|a, b| a.name.cmp(&b.name));
    ty
}

fn structure(name: &str, schema: &Value) -> Type {
    let required = |property: &str| {
        let required = schema.get("required").and_then(Value::as_array);
        required.is_some_and(|r| r.iter().any(|n| n.as_str() == Some(property)))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut fields: Vec<Field> = properties
        .into_iter()
        .flatten()
        .map(|(property, schema)| Field {
            required: required(property),
            default: schema.get("default").cloned(),
            ..field(property, shape(&format!("{name}.{property}"), schema))
        })
        .collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Type {
        name: name.to_owned(),
        fields,
        open: flag(schema, "x-kubernetes-preserve-unknown-fields"),
        atomic: is(schema, "x-kubernetes-map-type", "atomic"),
        ..Type::default()
    }
}

fn shape(name: &str, schema: &Value) -> Shape {
    if flag(schema, "x-kubernetes-int-or-string") {
        return Shape::IntOrString;
    }
    if flag(schema, "x-kubernetes-embedded-resource") {
        return Shape::Object(Ref::to(Arc::new(resource(name, schema))));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Shape::String,
        Some("boolean") => Shape::Bool,
        Some("integer") => Shape::Int64,
        Some("number") => Shape::Double,
        Some("array") => list(name, schema),
        Some("object") => match schema.get("additionalProperties") {
            Some(Value::Object(_)) => map(name, &schema["additionalProperties"], schema),
            Some(Value::Bool(true)) => map(name, &Value::Null, schema),
            _ if schema.get("properties").is_none()
                && flag(schema, "x-kubernetes-preserve-unknown-fields") =>
            {
                map(name, &Value::Null, schema)
            }
            _ => Shape::Object(Ref::to(Arc::new(structure(name, schema)))),
        },
        _ => Shape::Any,
    }
}

fn map(name: &str, values: &Value, schema: &Value) -> Shape {
    Shape::Map(Box::new(MapShape {
        value: shape(name, values),
        atomic: is(schema, "x-kubernetes-map-type", "atomic"),
        granular: is(schema, "x-kubernetes-map-type", "granular"),
    }))
}

fn list(name: &str, schema: &Value) -> Shape {
    let declared = schema.get("x-kubernetes-list-type").and_then(Value::as_str);
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    Shape::List(Box::new(ListShape {
        item: shape(name, schema.get("items").unwrap_or(&Value::Null)),
        kind: match declared {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map,
            _ => ListKind::Atomic,
        },
        keys: keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        declared: declared.is_some(),
        wrapped: false,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Writer, apply};
    use crate::validate::{FieldValidation, check};
    use serde_json::json;

    fn widget() -> Arc<Type> {
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "size": {"type": "integer"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "any": {"x-kubernetes-preserve-unknown-fields": true},
                "parts": {
                    "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {
                        "name": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true},
                    }},
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            }},
        }});
        let gvk = Gvk { group: "example.com".into(), version: "v1".into(), kind: "Widget".into() };
        Type::custom(gvk, "com.example.v1.Widget", &schema)
    }

    #[test]
    fn custom_objects_are_checked_and_pruned() {
        let good = json!({
            "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"},
            "spec": {
                "size": 0, "free": {"a": {"b": [1]}}, "any": "x", "labels": {"k": ""},
                "parts": [{"name": "", "port": "http"}],
            },
        });
        let mut object = good.clone();
        object["spec"]["parts"][0]["bad"] = json!(1);
        let warnings = check(&widget(), &mut object, FieldValidation::Warn, &[], None).unwrap();
        assert_eq!(warnings, ["unknown field \"spec.parts[0].bad\""]);
        assert_eq!(object, good);
    }

    #[test]
    fn custom_objects_are_applied_by_their_list_types() {
        let widget = widget();
        let part = |name: &str| {
            json!({
                "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "x"},
                "spec": {"parts": [{"name": name}], "any": {"a": name}},
            })
        };
        let writer = |manager| Writer {
            manager,
            api_version: "example.com/v1",
            now: "2024-01-01T00:00:00Z",
            ..Writer::default()
        };
        let one = apply(&widget, None, &part("a"), &writer("m"), false).unwrap();
        let fields = &one["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
        let expected = json!({
            "f:any": {"f:a": {}},
            "f:parts": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}}},
        });
        assert_eq!(*fields, expected);
        let two = apply(&widget, Some(&one), &part("b"), &writer("n"), true).unwrap();
        assert_eq!(two["spec"]["parts"], json!([{"name": "a"}, {"name": "b"}]));
    }
}
