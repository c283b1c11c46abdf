//! The schema of a kind, from the OpenAPI document of its group version.

use kube::Client;
use serde_json::{Map, Value};

use super::kinds::GroupVersionKind;
use crate::Error;

/// Types that are nested more deeply, or refer to themselves, have no schema.
const MAX_DEPTH: usize = 64;
/// Nor have those that are larger as a tree: each may refer to others many times.
const MAX_NODES: usize = 200_000;
const KINDS: &str = "x-kubernetes-group-version-kind";

/// The schema without references; `None` if there is none.
///
/// # Errors
/// The document cannot be fetched.
pub(super) async fn of(client: &Client, kind: &GroupVersionKind) -> Result<Option<Value>, Error> {
    let root = if kind.group.is_empty() { "api" } else { "apis" };
    let path = format!("/openapi/v3/{root}/{}", kind.api_version());
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
    let document: Value = match client.request(request?).await {
        Err(error) if client::helpers::is_not_found(&error) => return Ok(None),
        document => document?,
    };
    let Some(schemas) = document["components"]["schemas"].as_object() else { return Ok(None) };
    let is_it = |schema: &&Value| {
        let mut kinds = schema[KINDS].as_array().into_iter().flatten();
        kinds.any(|own| {
            own["group"] == kind.group.as_str()
                && own["version"] == kind.version.as_str()
                && own["kind"] == kind.kind.as_str()
        })
    };
    let Some(schema) = schemas.values().find(is_it) else { return Ok(None) };
    Ok(Resolver { schemas, left: MAX_NODES }.resolve(schema, MAX_DEPTH))
}

struct Resolver<'a> {
    schemas: &'a Map<String, Value>,
    left: usize,
}

impl Resolver<'_> {
    fn resolve(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        if let Some(name) = referred(schema) {
            let schemas = self.schemas;
            return self.resolve(schemas.get(name)?, depth);
        }
        let mut resolved = schema.as_object()?.clone();
        // A built-in kind says by its format what a custom one says by an extension.
        if resolved.get("format").is_some_and(|format| format == "int-or-string") {
            resolved.insert("x-kubernetes-int-or-string".to_owned(), true.into());
        }
        for field in ["items", "additionalProperties"] {
            if let Some(inner) = resolved.get_mut(field).filter(|inner| inner.is_object()) {
                *inner = self.resolve(inner, depth)?;
            }
        }
        if let Some(properties) = resolved.get_mut("properties").and_then(Value::as_object_mut) {
            for property in properties.values_mut() {
                *property = self.resolve(property, depth)?;
            }
        }
        Some(Value::Object(resolved))
    }
}

/// The name of the schema to which another refers, itself or as its only part.
fn referred(schema: &Value) -> Option<&str> {
    let reference = match schema["allOf"].as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => schema,
    };
    reference["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve(schemas: &Value, name: &str) -> Option<Value> {
        let schemas = schemas.as_object().unwrap();
        Resolver { schemas, left: MAX_NODES }.resolve(&schemas[name], MAX_DEPTH)
    }

    #[test]
    fn references_are_followed_but_not_for_ever() {
        let to = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let schemas = json!({
            "text": {"type": "string"},
            "port": {"format": "int-or-string", "oneOf": []},
            "list": {"type": "array", "items": {"allOf": [to("text")], "default": ""}},
            "all": {"type": "object", "properties": {"l": to("list"), "p": to("port")}},
            "own": {"type": "object", "properties": {"again": to("own")}},
            "wide": {"type": "object", "properties": {"a": to("w1"), "b": to("w1"), "c": to("w1")}},
        });
        let all = resolve(&schemas, "all").unwrap();
        assert_eq!(all["properties"]["l"]["items"], json!({"type": "string"}));
        assert_eq!(all["properties"]["p"]["x-kubernetes-int-or-string"], true);
        assert_eq!(resolve(&schemas, "own"), None);
        assert_eq!(resolve(&schemas, "wide"), None);
        // Each refers ten times to the next.
        let mut tower = Map::new();
        for level in 0..40 {
            let properties: Map<String, Value> =
                (0..10).map(|i| (i.to_string(), to(&format!("t{}", level + 1)))).collect();
            tower.insert(format!("t{level}"), json!({"properties": properties}));
        }
        tower.insert("t40".to_owned(), json!({}));
        assert_eq!(resolve(&Value::Object(tower), "t0"), None);
    }
}
