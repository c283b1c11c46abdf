//! Shapes from structural OpenAPI schemas.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::schema::{Kind, ListKind, ObjectType, Schema};

/// Deeper schemas have no shape.
const MAX_DEPTH: usize = 128;

impl Schema {
    /// The shape that a structural schema declares, or None for one that expressions cannot reach.
    /// Its objects are named in messages after `name` and their path. A root has the fields that
    /// every object has.
    pub fn from_openapi(schema: &Json, name: &str, root: bool) -> Option<Schema> {
        from(schema, name, root, MAX_DEPTH)
    }
}

fn is_set(schema: &Json, field: &str) -> bool {
    schema.get(field).and_then(Json::as_bool).unwrap_or(false)
}

fn from(schema: &Json, name: &str, root: bool, depth: usize) -> Option<Schema> {
    let depth = depth.checked_sub(1)?;
    let root = root || is_set(schema, "x-kubernetes-embedded-resource");
    let text = |field: &str| schema.get(field).and_then(Json::as_str).unwrap_or_default();
    let max = |field: &str| schema.get(field).and_then(Json::as_i64).map(|max| max.max(0) as u64);
    let made = if is_set(schema, "x-kubernetes-int-or-string") {
        limited(Schema::new(Kind::IntOrString), max("maxLength"))
    } else {
        match text("type") {
            "array" => {
                let items = from(schema.get("items")?, &format!("{name}.@idx"), false, depth)?;
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
                let kind = match text("x-kubernetes-list-type") {
                    "set" => ListKind::Set,
                    "map" => ListKind::Map(
                        keys.into_iter()
                            .flatten()
                            .filter_map(|key| key.as_str().map(str::to_owned))
                            .collect(),
                    ),
                    _ => ListKind::Atomic,
                };
                limited(Schema::new(Kind::List(Arc::new(items), kind)), max("maxItems"))
            }
            "object" => match schema.get("additionalProperties").filter(|more| more.is_object()) {
                Some(values) => {
                    let values = from(values, &format!("{name}.@elem"), false, depth)?;
                    limited(Schema::new(Kind::Map(Arc::new(values))), max("maxProperties"))
                }
                None => object(schema, name, root, depth),
            },
            "string" => {
                let kind = match text("format") {
                    "byte" => Kind::Bytes,
                    "duration" => Kind::Duration,
                    "date" => Kind::Date,
                    "date-time" => Kind::DateTime,
                    _ => Kind::String,
                };
                let timed = matches!(kind, Kind::Duration | Kind::Date | Kind::DateTime);
                let made = Schema::new(kind);
                match (max("maxLength").filter(|_| !timed), schema.get("enum")) {
                    (None, Some(Json::Array(values))) if matches!(made.kind, Kind::String) => {
                        let lengths = values.iter().filter_map(Json::as_str).map(str::len);
                        Schema { max_size: lengths.max().unwrap_or(0) as u64, ..made }
                    }
                    (max, _) => limited(made, max),
                }
            }
            "boolean" => Schema::new(Kind::Bool),
            "number" => Schema::new(Kind::Double),
            "integer" => Schema::new(Kind::Int),
            _ => return None,
        }
    };
    Some(if is_set(schema, "nullable") { made.or_null() } else { made })
}

fn limited(schema: Schema, max: Option<u64>) -> Schema {
    match max {
        Some(max) => schema.with_max(max),
        None => schema,
    }
}

fn object(schema: &Json, name: &str, root: bool, depth: usize) -> Schema {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .map(|names| names.iter().filter_map(Json::as_str).collect())
        .unwrap_or_default();
    let mut fields = Vec::new();
    if let Some(Json::Object(properties)) = schema.get("properties") {
        for (field, property) in properties {
            if let Some(shape) = from(property, &format!("{name}.{field}"), false, depth) {
                let required = required.contains(&&**field) && property.get("default").is_none();
                fields.push((field.clone(), Arc::new(shape), required));
            }
        }
    }
    if root {
        let text = || Arc::new(Schema::new(Kind::String));
        let mut add = |name: &str, shape: Arc<Schema>| {
            if !fields.iter().any(|(known, ..)| known == name && known != "metadata") {
                fields.retain(|(known, ..)| known != name);
                fields.push((name.to_owned(), shape, false));
            }
        };
        add("apiVersion", text());
        add("kind", text());
        let names = ["name", "generateName"].map(|name| (name.to_owned(), text(), false));
        let metadata = ObjectType::new(&format!("{name}.metadata"), names);
        add("metadata", Arc::new(Schema::new(Kind::Object(Arc::new(metadata)))));
    }
    Schema::new(Kind::Object(Arc::new(ObjectType::new(name, fields))))
}
