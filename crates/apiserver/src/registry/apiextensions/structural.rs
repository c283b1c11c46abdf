//! Structural schemas (upstream's `ValidateStructural`): described fields are declared once,
//! outside of `allOf`, `anyOf`, `oneOf` and `not`.

use apimachinery::field::ErrorList;
use regex::Regex;
use serde_json::{Value, json};

use crate::registry::check::{Field, check_at};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Reports why a schema is not structural, sorted by message.
pub(super) fn check_structural(schema: &Field<'_>) {
    let ErrorList(mut errors) = check_at(schema.value(), schema.path().clone(), |schema| {
        check_invariants(schema, Level::Root);
        check_complete(schema);
    });
    errors.sort_by_key(ToString::to_string);
    schema.extend(ErrorList(errors));
}

fn check_invariants(schema: &Field<'_>, level: Level) {
    let of = schema.str("type");
    if of == "array" && !schema.has("items") {
        schema.at("items").required("must be specified");
    }
    if let Some(items) = schema.opt("items").filter(|items| items.value().is_object()) {
        check_invariants(&items, Level::Item);
    }
    for (_, property) in schema.entries("properties") {
        check_invariants(&property, Level::Field);
    }
    let (open, embedded, number_or_text) = (
        schema.flag("x-kubernetes-preserve-unknown-fields"),
        schema.flag("x-kubernetes-embedded-resource"),
        schema.flag("x-kubernetes-int-or-string"),
    );
    if let Some(additional) = schema.opt("additionalProperties") {
        if level == Level::Root {
            additional.forbidden("must not be used at the root");
        }
        if additional.value().is_object() {
            check_invariants(&additional, Level::Field);
        }
    }
    for (field, set) in [
        ("x-kubernetes-preserve-unknown-fields", open),
        ("x-kubernetes-embedded-resource", embedded),
    ] {
        if number_or_text && set {
            schema.at(field).invalid("must be false if x-kubernetes-int-or-string is true");
        }
    }
    check_value(schema, level);
    const EMBEDDED: &str = "must be object if x-kubernetes-embedded-resource is true";
    let at = schema.at("type");
    if embedded && of != "object" {
        if of.is_empty() { at.required(EMBEDDED) } else { at.invalid(EMBEDDED) }
    } else if of.is_empty() && !number_or_text && !open {
        at.required(match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        });
    }
    if embedded && schema.has("additionalProperties") {
        schema
            .at("additionalProperties")
            .forbidden("must not be used if x-kubernetes-embedded-resource is set");
    }
    if level == Level::Root && !of.is_empty() && of != "object" {
        at.invalid("must be object at the root");
    }
    check_meta(schema, level, embedded);
    if embedded && !open && schema.len("properties") == 0 {
        schema.at("properties").required(
            "must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields",
        );
    }
}

/// Fields that every object has cannot be redefined.
fn check_meta(schema: &Field<'_>, level: Level, embedded: bool) {
    let object = level == Level::Root || embedded;
    let properties = schema.at("properties");
    for field in ["kind", "apiVersion"] {
        let property = properties.key(field);
        if object && !property.value().is_null() && property.str("type") != "string" {
            property.at("type").invalid("must be string");
        }
    }
    let metadata = properties.key("metadata");
    if metadata.value().is_null() {
        return;
    }
    if object && metadata.str("type") != "object" {
        metadata.at("type").invalid("must be object");
    }
    if level == Level::Root {
        let known = ["type", "default", "properties"];
        let mut fields = metadata.value().as_object().into_iter().flatten();
        let other = fields.any(|(name, _)| !known.contains(&name.as_str()));
        let mut named = metadata.entries("properties");
        if other || named.any(|(name, _)| !matches!(name, "name" | "generateName")) {
            metadata.forbidden(
                "must not specify anything other than name and generateName, but metadata is \
                 implicitly specified",
            );
        }
    }
}

fn number_or_text() -> Value {
    json!([{"type": "integer"}, {"type": "string"}])
}

fn check_value(schema: &Field<'_>, level: Level) {
    let skip_any = *schema.get("anyOf") == number_or_text();
    let skip_first = schema.get("allOf")[0]["anyOf"] == number_or_text();
    check_junctors(schema, skip_any, skip_first, level);
}

fn check_junctors(schema: &Field<'_>, skip_any: bool, skip_first: bool, level: Level) {
    if !skip_any {
        schema.items("anyOf").for_each(|nested| check_nested(&nested, false, level));
    }
    for (i, nested) in schema.items("allOf").enumerate() {
        check_nested(&nested, skip_first && i == 0, level);
    }
    schema.items("oneOf").for_each(|nested| check_nested(&nested, false, level));
    if let Some(not) = schema.opt("not") {
        check_nested(&not, false, level);
    }
    let pattern = schema.at("pattern");
    if !pattern.text().is_empty()
        && let Err(why) = Regex::new(pattern.text())
    {
        pattern.invalid(format!("must be a valid regular expression, but isn't: {why}"));
    }
}

/// Checks a schema below `allOf` and the like, which may only restrict.
fn check_nested(nested: &Field<'_>, skip_any: bool, level: Level) {
    check_junctors(nested, skip_any, false, level);
    if let Some(items) = nested.opt("items").filter(|items| items.value().is_object()) {
        check_nested(&items, false, level);
    }
    for (_, property) in nested.entries("properties") {
        check_nested(&property, false, Level::Field);
    }
    for (field, must) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ] {
        let set = match nested.get(field) {
            Value::Bool(set) => *set || field == "additionalProperties" || field == "default",
            Value::Object(_) | Value::Number(_) => true,
            _ => nested.filled(field),
        };
        if set {
            nested.at(field).forbidden(format!("must be {must} to be structural"));
        }
    }
    let metadata = nested.at("properties").key("metadata");
    if !metadata.value().is_null() {
        metadata.forbidden("must not be specified in a nested context");
    }
}

/// Fields mentioned by `allOf` and the like must be declared outside of them.
fn check_complete(schema: &Field<'_>) {
    for field in ["allOf", "anyOf", "oneOf"] {
        schema.items(field).for_each(|nested| check_described(&nested, schema));
    }
    if let Some(not) = schema.opt("not") {
        check_described(&not, schema);
    }
    for (_, property) in schema.entries("properties") {
        check_complete(&property);
    }
    for field in ["items", "additionalProperties"] {
        if let Some(below) = schema.opt(field).filter(|below| below.value().is_object()) {
            check_complete(&below);
        }
    }
}

fn check_described(nested: &Field<'_>, by: &Field<'_>) {
    for field in ["allOf", "anyOf", "oneOf"] {
        nested.items(field).for_each(|deeper| check_described(&deeper, by));
    }
    if let Some(not) = nested.opt("not") {
        check_described(&not, by);
    }
    let missing = |at: &Field<'_>, nested: &Field<'_>| {
        at.required(format!("because it is defined in {}", nested.path()));
    };
    if let Some(items) = nested.opt("items").filter(|items| items.value().is_object()) {
        match by.opt("items") {
            None => missing(&by.at("items"), &items),
            Some(by) => check_described(&items, &by),
        }
    }
    for (name, property) in nested.entries("properties") {
        let own = by.at("properties").key(name);
        if own.value().is_null() {
            missing(&own, &property);
        } else {
            check_described(&property, &own);
        }
    }
}
