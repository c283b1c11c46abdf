//! The v2 document in gnostic's protobuf (`OpenAPIv2.proto`), which kubectl reads.

use serde_json::{Map, Value};

/// A message under construction.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str().filter(|t| !t.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    pub(super) fn texts(&mut self, field: u64, value: &Value) {
        for text in value.as_array().into_iter().flatten() {
            self.text(field, text);
        }
    }

    pub(super) fn flag(&mut self, field: u64, value: &Value) {
        if value == true {
            self.number(field, 1);
        }
    }

    pub(super) fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    pub(super) fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// The requirements of a schema on a value: thirteen fields that follow one another in both versions.
    pub(super) fn limits(&mut self, first: u64, schema: &Value) {
        const LIMITS: [&str; 13] = [
            "multipleOf",
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
            "maxProperties",
            "minProperties",
        ];
        for (name, field) in LIMITS.into_iter().zip(first..) {
            match (name, schema.get(name)) {
                ("multipleOf" | "maximum" | "minimum", Some(Value::Number(limit))) => {
                    self.double(field, limit.as_f64().unwrap_or_default());
                }
                (_, Some(Value::Number(limit))) => {
                    self.number(field, limit.as_i64().unwrap_or_default() as u64);
                }
                (_, Some(value)) => {
                    self.flag(field, value);
                    self.text(field, value);
                }
                _ => {}
            }
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn message(&mut self, field: u64, message: Self) {
        self.bytes(field, &message.0);
    }

    /// A message that a part of a document may lack.
    pub(super) fn part(&mut self, field: u64, message: Self) {
        if !message.0.is_empty() {
            self.message(field, message);
        }
    }

    /// `{name = 1, value = 2}`, as gnostic writes maps.
    pub(super) fn named(&mut self, field: u64, name: &str, value: Self) {
        let mut pair = Self::default();
        pair.bytes(1, name.as_bytes());
        pair.message(2, value);
        self.message(field, pair);
    }

    /// `Any`, whose text is YAML and may therefore be JSON.
    pub(super) fn any(value: &Value) -> Self {
        let mut any = Self::default();
        any.bytes(2, value.to_string().as_bytes());
        any
    }

    pub(super) fn extensions(&mut self, field: u64, object: &Map<String, Value>) {
        for (name, value) in object.iter().filter(|(name, _)| name.starts_with("x-")) {
            self.named(field, name, Self::any(value));
        }
    }
}

pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn schema(value: &Value) -> Message {
    let mut m = Message::default();
    m.text(1, &value["$ref"]);
    m.text(2, &value["format"]);
    m.text(3, &value["title"]);
    m.text(4, &value["description"]);
    if !value["default"].is_null() {
        m.message(5, Message::any(&value["default"]));
    }
    m.limits(6, value);
    m.texts(19, &value["required"]);
    for item in value["enum"].as_array().into_iter().flatten() {
        m.message(20, Message::any(item));
    }
    match &value["additionalProperties"] {
        Value::Null => {}
        Value::Bool(allowed) => {
            let mut item = Message::default();
            item.number(2, u64::from(*allowed));
            m.message(21, item);
        }
        of => {
            let mut item = Message::default();
            item.message(1, schema(of));
            m.message(21, item);
        }
    }
    if value["type"].is_string() {
        let mut item = Message::default();
        item.text(1, &value["type"]);
        m.message(22, item);
    }
    if !value["items"].is_null() {
        let mut item = Message::default();
        item.message(1, schema(&value["items"]));
        m.message(23, item);
    }
    if value["properties"].is_object() {
        let mut properties = Message::default();
        for (name, property) in entries(&value["properties"]) {
            properties.named(1, name, schema(property));
        }
        m.message(25, properties);
    }
    if let Some(object) = value.as_object() {
        m.extensions(31, object);
    }
    m
}

fn parameter(value: &Value) -> Message {
    let mut m = Message::default();
    let place = &value["in"];
    if place == "body" {
        let mut body = Message::default();
        body.text(1, &value["description"]);
        body.text(2, &value["name"]);
        body.text(3, place);
        body.flag(4, &value["required"]);
        body.message(5, schema(&value["schema"]));
        m.message(1, body);
        return m;
    }
    let mut own = Message::default();
    own.flag(1, &value["required"]);
    own.text(2, place);
    own.text(3, &value["description"]);
    own.text(4, &value["name"]);
    // A path parameter has no allowEmptyValue, so the fields after it have other numbers.
    let of = if place == "query" { 6 } else { 5 };
    own.text(of, &value["type"]);
    let mut non_body = Message::default();
    non_body.message(if place == "query" { 3 } else { 4 }, own);
    m.message(2, non_body);
    m
}

fn parameters(m: &mut Message, field: u64, value: &Value) {
    for item in value.as_array().into_iter().flatten() {
        let mut wrapped = Message::default();
        if item["$ref"].is_string() {
            let mut reference = Message::default();
            reference.text(1, &item["$ref"]);
            wrapped.message(2, reference);
        } else {
            wrapped.message(1, parameter(item));
        }
        m.message(field, wrapped);
    }
}

fn operation(value: &Value) -> Message {
    let mut m = Message::default();
    m.texts(1, &value["tags"]);
    m.text(3, &value["description"]);
    m.text(5, &value["operationId"]);
    m.texts(6, &value["produces"]);
    m.texts(7, &value["consumes"]);
    parameters(&mut m, 8, &value["parameters"]);
    let mut responses = Message::default();
    for (code, response) in entries(&value["responses"]) {
        let mut own = Message::default();
        own.text(1, &response["description"]);
        if !response["schema"].is_null() {
            let mut item = Message::default();
            item.message(1, schema(&response["schema"]));
            own.message(2, item);
        }
        let mut value = Message::default();
        value.message(1, own);
        responses.named(1, code, value);
    }
    m.message(9, responses);
    m.texts(10, &value["schemes"]);
    if let Some(object) = value.as_object() {
        m.extensions(13, object);
    }
    m
}

/// Encodes a v2 document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut m = Message::default();
    m.text(1, &document["swagger"]);
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]);
    info.text(2, &document["info"]["version"]);
    m.part(2, info);
    let mut paths = Message::default();
    for (path, item) in entries(&document["paths"]) {
        let mut own = Message::default();
        for (method, field) in [
            ("get", 2),
            ("put", 3),
            ("post", 4),
            ("delete", 5),
            ("options", 6),
            ("head", 7),
            ("patch", 8),
        ] {
            if item[method].is_object() {
                own.message(field, operation(&item[method]));
            }
        }
        parameters(&mut own, 9, &item["parameters"]);
        paths.named(2, path, own);
    }
    m.part(8, paths);
    let mut definitions = Message::default();
    for (name, definition) in entries(&document["definitions"]) {
        definitions.named(1, name, schema(definition));
    }
    m.part(9, definitions);
    let mut shared = Message::default();
    for (name, value) in entries(&document["parameters"]) {
        shared.named(1, name, parameter(value));
    }
    m.part(10, shared);
    m.0
}
