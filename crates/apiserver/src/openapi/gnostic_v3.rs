//! The v3 documents in gnostic's protobuf (`OpenAPIv3.proto`).

use serde_json::Value;

use super::gnostic::{Message, entries};

/// `SchemaOrReference`.
fn schema(value: &Value) -> Message {
    let mut wrapped = Message::default();
    match &value["$ref"] {
        Value::String(_) => {
            let mut reference = Message::default();
            reference.text(1, &value["$ref"]);
            wrapped.message(2, reference);
        }
        _ => wrapped.message(1, own_schema(value)),
    }
    wrapped
}

fn own_schema(value: &Value) -> Message {
    let mut m = Message::default();
    m.flag(1, &value["nullable"]);
    m.text(9, &value["title"]);
    m.limits(10, value);
    m.texts(23, &value["required"]);
    for item in value["enum"].as_array().into_iter().flatten() {
        m.message(24, Message::any(item));
    }
    m.text(25, &value["type"]);
    for (name, field) in [("allOf", 26), ("oneOf", 27), ("anyOf", 28)] {
        for part in value[name].as_array().into_iter().flatten() {
            m.message(field, schema(part));
        }
    }
    if value["not"].is_object() {
        m.message(29, own_schema(&value["not"]));
    }
    if !value["items"].is_null() {
        let mut item = Message::default();
        item.message(1, schema(&value["items"]));
        m.message(30, item);
    }
    if value["properties"].is_object() {
        let mut properties = Message::default();
        for (name, property) in entries(&value["properties"]) {
            properties.named(1, name, schema(property));
        }
        m.message(31, properties);
    }
    match &value["additionalProperties"] {
        Value::Null => {}
        Value::Bool(allowed) => {
            let mut item = Message::default();
            item.number(2, u64::from(*allowed));
            m.message(32, item);
        }
        of => {
            let mut item = Message::default();
            item.message(1, schema(of));
            m.message(32, item);
        }
    }
    if !value["default"].is_null() {
        m.message(33, default(&value["default"]));
    }
    m.text(34, &value["description"]);
    m.text(35, &value["format"]);
    if let Some(object) = value.as_object() {
        m.extensions(36, object);
    }
    m
}

/// `DefaultType`, which can only hold scalars.
fn default(value: &Value) -> Message {
    let mut m = Message::default();
    match value {
        Value::Number(number) => m.double(1, number.as_f64().unwrap_or_default()),
        Value::Bool(flag) => m.number(2, u64::from(*flag)),
        Value::String(text) => m.bytes(3, text.as_bytes()),
        _ => {}
    }
    m
}

/// `MediaTypes`.
fn content(value: &Value) -> Message {
    let mut m = Message::default();
    for (name, of) in entries(value) {
        let mut media_type = Message::default();
        if !of["schema"].is_null() {
            media_type.message(1, schema(&of["schema"]));
        }
        m.named(1, name, media_type);
    }
    m
}

/// `ParameterOrReference`s.
fn parameters(m: &mut Message, field: u64, value: &Value) {
    for item in value.as_array().into_iter().flatten() {
        let mut own = Message::default();
        own.text(1, &item["name"]);
        own.text(2, &item["in"]);
        own.text(3, &item["description"]);
        own.flag(4, &item["required"]);
        if !item["schema"].is_null() {
            own.message(10, schema(&item["schema"]));
        }
        let mut wrapped = Message::default();
        wrapped.message(1, own);
        m.message(field, wrapped);
    }
}

fn operation(value: &Value) -> Message {
    let mut m = Message::default();
    m.texts(1, &value["tags"]);
    m.text(3, &value["description"]);
    m.text(5, &value["operationId"]);
    parameters(&mut m, 6, &value["parameters"]);
    if value["requestBody"].is_object() {
        let body = &value["requestBody"];
        let mut own = Message::default();
        own.text(1, &body["description"]);
        own.message(2, content(&body["content"]));
        own.flag(3, &body["required"]);
        let mut wrapped = Message::default();
        wrapped.message(1, own);
        m.message(7, wrapped);
    }
    let mut responses = Message::default();
    for (code, response) in entries(&value["responses"]) {
        let mut own = Message::default();
        own.text(1, &response["description"]);
        if response["content"].is_object() {
            own.message(3, content(&response["content"]));
        }
        let mut wrapped = Message::default();
        wrapped.message(1, own);
        responses.named(2, code, wrapped);
    }
    m.message(8, responses);
    if let Some(object) = value.as_object() {
        m.extensions(13, object);
    }
    m
}

const METHODS: [(&str, u64); 7] = [
    ("get", 4),
    ("put", 5),
    ("post", 6),
    ("delete", 7),
    ("options", 8),
    ("head", 9),
    ("patch", 10),
];

/// Encodes a v3 document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut m = Message::default();
    m.text(1, &document["openapi"]);
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]);
    info.text(6, &document["info"]["version"]);
    m.part(2, info);
    let mut paths = Message::default();
    for (path, item) in entries(&document["paths"]) {
        let mut own = Message::default();
        for (method, field) in METHODS {
            if item[method].is_object() {
                own.message(field, operation(&item[method]));
            }
        }
        parameters(&mut own, 13, &item["parameters"]);
        paths.named(1, path, own);
    }
    m.part(4, paths);
    let mut schemas = Message::default();
    for (name, value) in entries(&document["components"]["schemas"]) {
        schemas.named(1, name, schema(value));
    }
    let mut components = Message::default();
    components.part(1, schemas);
    let mut schemes = Message::default();
    for (name, value) in entries(&document["components"]["securitySchemes"]) {
        let mut own = Message::default();
        for (field, of) in [(1, "type"), (2, "description"), (3, "name"), (4, "in")] {
            own.text(field, &value[of]);
        }
        let mut wrapped = Message::default();
        wrapped.message(1, own);
        schemes.named(1, name, wrapped);
    }
    components.part(7, schemes);
    m.part(5, components);
    m.into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_written_field_by_field() {
        let value = json!({
            "type": "object", "default": {}, "x-a": 1,
            "properties": {"b": {"$ref": "#/c"}, "d": {"type": "string", "default": ""}},
        });
        let written = schema(&value).into_bytes();
        // SchemaOrReference.schema, then the type.
        assert_eq!(written[0], 1 << 3 | 2);
        let own = &written[2..];
        assert!(own.starts_with(b"\xca\x01\x06object"), "{own:?}");
        // An empty DefaultType represents a value that it cannot hold.
        assert!(own.windows(3).any(|part| part == b"\x8a\x02\x00"), "{own:?}");
        // SchemaOrReference.reference, and a default that is an empty string.
        assert!(own.windows(7).any(|part| part == b"\x12\x05\x0a\x03#/c"), "{own:?}");
        assert!(own.windows(5).any(|part| part == b"\x8a\x02\x02\x1a\x00"), "{own:?}");
    }
}
