//! The schemas of a custom kind and of its lists, as upstream's `builder.go` and `conversion.go`
//! make them of a structural schema.

use apimachinery::openapi::Dialect;
use serde_json::{Map, Value, json};

use super::super::describe::{API_VERSION, KIND};
use super::super::document::{meta, named};
use super::Names;

const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA: &str = "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const EMBEDDED_API_VERSION: &str = "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND: &str = "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// The published part of a schema as it was declared.
const PLAIN: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
    "nullable",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "maxProperties",
    "minProperties",
    "enum",
    "required",
    "externalDocs",
    "example",
    PRESERVE,
    EMBEDDED,
    INT_OR_STRING,
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

/// The schema of the kind.
pub(super) fn object(dialect: Dialect, names: &Names<'_>) -> Value {
    let declared = &*names.custom.declared;
    // Where kubectl must not take other fields for unknown ones, no field may be named.
    let open = dialect == Dialect::V2 && declared[PRESERVE] == true;
    let mut schema = if open || declared["type"] != "object" {
        json!({"type": "object"})
    } else {
        let mut schema = Value::from(structural(dialect, declared));
        schema["properties"]["metadata"] = described(dialect, "ObjectMeta", METADATA);
        add_type(&mut schema, API_VERSION, KIND);
        schema
    };
    mark(&mut schema, names, names.kind.kind);
    schema
}

/// The schema of lists.
pub(super) fn list(dialect: Dialect, names: &Names<'_>) -> Value {
    let kind = names.kind;
    let items = format!(
        "List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
        kind.resource
    );
    let mut schema = json!({
        "description": format!("{} is a list of {}", names.custom.list_kind, kind.kind),
        "type": "object", "required": ["items"],
        "properties": {
            "items": {
                "description": items, "type": "array", "items": named(dialect, &names.object),
            },
            "metadata": described(dialect, "ListMeta", LIST_METADATA),
        },
    });
    add_type(&mut schema, API_VERSION, KIND);
    mark(&mut schema, names, names.custom.list_kind);
    schema
}

/// Adds the extensions that tie a schema to its kind.
fn mark(schema: &mut Value, names: &Names<'_>, name: &str) {
    let kind = names.kind;
    schema["x-kubernetes-group-version-kind"] =
        json!([{"group": kind.group, "version": kind.version, "kind": name}]);
    if !kind.selectable.is_empty() {
        let fields = kind.selectable.iter().map(|field| json!({"fieldPath": field.name}));
        schema["x-kubernetes-selectable-fields"] = fields.collect();
    }
}

fn add_type(schema: &mut Value, api_version: &str, kind: &str) {
    let text = |description: &str| json!({"description": description, "type": "string"});
    schema["properties"]["apiVersion"] = text(api_version);
    schema["properties"]["kind"] = text(kind);
}

/// A reference to a type of meta.k8s.io, with a description of its own.
fn described(dialect: Dialect, name: &str, description: &str) -> Value {
    let mut reference = meta(dialect, name);
    // In v3 a reference may not have siblings.
    if dialect == Dialect::V3 {
        reference = json!({"allOf": [reference]});
    }
    reference["description"] = description.into();
    reference
}

/// A structural schema as it is published.
fn structural(dialect: Dialect, declared: &Value) -> Map<String, Value> {
    let mut schema = plain(declared);
    let preserves = schema.contains_key(PRESERVE);
    let mut has_fields = true;
    if dialect == Dialect::V2 {
        // Without a type, kubectl takes anything, but only if nothing is said of what is within.
        let nullable = schema.remove("nullable").is_some();
        has_fields = !nullable && !preserves;
        let no_items = !has_fields || declared["items"].is_null();
        let of = |name: &str| declared["type"] == name;
        if nullable || (of("array") && no_items) || (of("object") && preserves) {
            schema.remove("type");
        }
        drop_nullable_fields(&mut schema, declared, has_fields);
    } else {
        if let Some(default) = declared.get("default").filter(|default| !default.is_null()) {
            schema.insert("default".into(), default.clone());
        }
        junctors(&mut schema, declared);
        if schema.contains_key(INT_OR_STRING) {
            unfold(&mut schema);
        }
    }
    if has_fields {
        if let Some(items) = declared.get("items").filter(|items| items.is_object()) {
            schema.insert("items".into(), structural(dialect, items).into());
        }
        if let Some(fields) = fields(declared) {
            let all = fields.iter().map(|(name, of)| (name.clone(), structural(dialect, of)));
            schema.insert("properties".into(), all.map(|(n, of)| (n, Value::from(of))).collect());
        }
    }
    match declared.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            schema.insert("additionalProperties".into(), (*allowed).into());
        }
        Some(of) if of.is_object() => {
            schema.insert("additionalProperties".into(), structural(dialect, of).into());
        }
        _ => {}
    }
    if schema.contains_key(EMBEDDED) && !(preserves && dialect == Dialect::V2) {
        return embed(dialect, schema);
    }
    schema
}

fn fields(declared: &Value) -> Option<&Map<String, Value>> {
    declared.get("properties").and_then(Value::as_object).filter(|fields| !fields.is_empty())
}

/// The declared fields, without those that say nothing.
fn plain(declared: &Value) -> Map<String, Value> {
    let all = PLAIN.iter().filter_map(|name| {
        let value = declared.get(*name)?;
        let empty = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        (!empty).then(|| ((*name).to_owned(), value.clone()))
    });
    all.collect()
}

/// In v2, what may be null is not required: its type is not published.
fn drop_nullable_fields(schema: &mut Map<String, Value>, declared: &Value, has_fields: bool) {
    let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) else { return };
    if declared["additionalProperties"]["nullable"] == true {
        required.clear();
    }
    if let Some(fields) = fields(declared).filter(|_| has_fields) {
        required.retain(|name| {
            name.as_str().and_then(|name| fields.get(name)).is_none_or(|of| of["nullable"] != true)
        });
    }
    if required.is_empty() {
        schema.remove("required");
    }
}

/// Copies what is required beside the structure.
fn junctors(schema: &mut Map<String, Value>, declared: &Value) {
    for name in ["allOf", "anyOf", "oneOf"] {
        if let Some(all) = declared[name].as_array().filter(|all| !all.is_empty()) {
            schema.insert(name.into(), all.iter().map(nested).collect());
        }
    }
    if declared["not"].is_object() {
        schema.insert("not".into(), nested(&declared["not"]));
    }
}

/// A schema below a junctor. Upstream does not publish its additionalProperties.
fn nested(declared: &Value) -> Value {
    let mut schema = plain(declared);
    if let Some(default) = declared.get("default").filter(|default| !default.is_null()) {
        schema.insert("default".into(), default.clone());
    }
    junctors(&mut schema, declared);
    if declared["items"].is_object() {
        schema.insert("items".into(), nested(&declared["items"]));
    }
    if let Some(fields) = fields(declared) {
        let all = fields.iter().map(|(name, of)| (name.clone(), nested(of)));
        schema.insert("properties".into(), all.collect());
    }
    schema.into()
}

/// Says in plain OpenAPI that a value is an integer or a string.
fn unfold(schema: &mut Map<String, Value>) {
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let is_either = |of: Option<&Value>| of == Some(&either);
    let first = schema.get("allOf").map(|all| &all[0]["anyOf"]);
    if is_either(schema.get("anyOf")) || is_either(first) {
        return;
    }
    if !schema.contains_key("anyOf") {
        schema.insert("anyOf".into(), either);
    } else if let Some(all) = schema.entry("allOf").or_insert_with(|| json!([])).as_array_mut() {
        all.insert(0, json!({"anyOf": either}));
    }
}

/// An object within an object.
fn embed(dialect: Dialect, schema: Map<String, Value>) -> Map<String, Value> {
    let mut schema = Value::from(schema);
    add_type(&mut schema, EMBEDDED_API_VERSION, EMBEDDED_KIND);
    schema["properties"]["metadata"] = described(dialect, "ObjectMeta", METADATA);
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    for name in ["kind", "apiVersion"] {
        if !required.iter().any(|known| known == name) {
            required.push(name.into());
        }
    }
    schema["required"] = required.into();
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
