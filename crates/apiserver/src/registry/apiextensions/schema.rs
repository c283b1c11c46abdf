//! Schemas of custom resources (upstream's `ValidateCustomResourceDefinitionOpenAPISchema`).

use std::collections::HashSet;

use serde_json::Value;

use super::rules::{Findings, Scope};
use super::structural::check_structural;
use crate::registry::check::Field;
use crate::registry::custom::rules;

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const META: &[&str] = &["metadata", "kind", "apiVersion"];
/// Fields that a root schema may have when the status is a subresource.
const AT_ROOT: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
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
    "required",
    "enum",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];
/// Formats that are validated.
const FORMATS: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "date-time",
    "int32",
    "int64",
    "float",
    "double",
    "k8s-short-name",
    "k8s-long-name",
];

/// Checks the schema of a version.
pub(super) fn check_validation(validation: &Field<'_>, status: bool) {
    let Some(schema) = validation.opt("openAPIV3Schema") else { return };
    if status {
        check_root(&schema);
    }
    if schema.flag("nullable") {
        schema.at("nullable").forbidden("nullable cannot be true at the root");
    }
    let before = schema.count();
    check_structural(&schema);
    let findings = Findings::default();
    // Rules of a schema that is not structural say nothing.
    let rules = (schema.count() == before).then(|| Scope::root(&findings));
    check_schema(&schema, Place { root: true, rules, ..Place::default() });
    findings.report(&schema);
}

fn check_root(schema: &Field<'_>) {
    if schema.str("type") != "object" && !schema.str("type").is_empty() {
        return schema.at("type").invalid(
            "only \"object\" is allowed as the type at the root of the schema if the status \
             subresource is enabled",
        );
    }
    let fields = schema.value().as_object().into_iter().flatten();
    let other = fields.map(|(name, _)| name.as_str()).find(|name| !AT_ROOT.contains(name));
    if other.is_some() {
        schema.invalid(
            "only [Description Type Format Title Maximum ExclusiveMaximum Minimum \
             ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf \
             Required Enum Items Properties ExternalDocs Example XPreserveUnknownFields \
             XValidations] fields are allowed at the root of the schema if the status subresource \
             is enabled",
        );
    }
}

/// The position of a schema.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    root: bool,
    /// Inside the metadata of an object.
    meta: bool,
    /// The reason why a default is forbidden.
    no_default: Option<&'a str>,
    /// Where rules are compiled.
    rules: Option<Scope<'a>>,
}

fn check_schema(schema: &Field<'_>, place: Place<'_>) {
    let before = schema.count();
    check_supported(schema, place);
    if schema.flag("uniqueItems") {
        schema.at("uniqueItems").forbidden(
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    let rules = place.rules.map(|rules| rules.below(schema));
    let below = Place { root: false, rules, ..place };
    let described = Place { rules: None, ..below };
    if let Some(additional) = schema.opt("additionalProperties") {
        if schema.len("properties") > 0 && additional.value() != true {
            additional.forbidden("additionalProperties and properties are mutual exclusive");
        }
        if additional.value().is_object() {
            let no_default = Some("inside additionalProperties applying to object metadata");
            let place = if place.meta { Place { no_default, ..below } } else { below };
            check_schema(&additional, place);
        }
    }
    for (name, property) in schema.entries("properties") {
        let embedded = schema.flag("x-kubernetes-embedded-resource");
        let meta = (place.root || embedded) && META.contains(&name);
        let why = format!("in top-level {name}");
        let no_default = if place.root && meta { Some(why.as_str()) } else { below.no_default };
        check_schema(&property, Place { meta: meta || below.meta, no_default, ..below });
    }
    if let Some(not) = schema.opt("not") {
        check_schema(&not, described);
    }
    for field in ["allOf", "oneOf", "anyOf"] {
        schema.items(field).for_each(|schema| check_schema(&schema, described));
    }
    if let Some(items) = schema.opt("items").filter(|items| items.value().is_object()) {
        let rules = place.rules.map(|rules| rules.items(schema, schema.path()));
        check_schema(&items, Place { rules, ..below });
    }
    check_extensions(schema);
    check_list_map(schema);
    check_keys(schema);
    schema.items("x-kubernetes-validations").for_each(|rule| check_rule(&rule, schema.value()));
    if let Some(rules) = place.rules.filter(|_| schema.count() == before) {
        rules.check(schema, place.root);
    }
}

/// Refuses features of JSON schema that structural schemas do not support.
fn check_supported(schema: &Field<'_>, place: Place<'_>) {
    let of = schema.str("type");
    if !of.is_empty() && !TYPES.contains(&of) {
        schema.at("type").not_supported(TYPES);
    }
    if schema.has("default")
        && let Some(why) = place.no_default
    {
        schema.at("default").forbidden(format!("must not be set {why}"));
    }
    for (field, name) in [
        ("id", "id"),
        ("additionalItems", "additionalItems"),
        ("patternProperties", "patternProperties"),
        ("definitions", "definitions"),
        ("dependencies", "dependencies"),
        ("$ref", "$ref"),
    ] {
        if schema.filled(field) {
            schema.at(field).forbidden(format!("{name} is not supported"));
        }
    }
    if of == "null" {
        schema.at("type").forbidden("type cannot be set to null, use nullable as an alternative");
    }
    if schema.get("items").is_array() {
        schema.at("items").forbidden("items must be a schema object and not an array");
    }
    if place.meta && schema.flag("x-kubernetes-embedded-resource") {
        schema
            .at("x-kubernetes-embedded-resource")
            .forbidden("must not be used inside of resource meta");
    }
}

fn check_extensions(schema: &Field<'_>) {
    if schema.get("x-kubernetes-preserve-unknown-fields") == &Value::Bool(false) {
        schema.at("x-kubernetes-preserve-unknown-fields").invalid("must be true or undefined");
    }
    let must_be = |of: &str, extension: &str| {
        let (at, detail) = (schema.at("type"), format!("must be {of} if {extension} is specified"));
        match schema.str("type") {
            "" => at.required(detail),
            given if given != of => at.invalid(detail),
            _ => return false,
        }
        true
    };
    if let Some(kind) = schema.opt("x-kubernetes-map-type") {
        must_be("object", "x-kubernetes-map-type");
        if !matches!(kind.text(), "atomic" | "granular") {
            kind.not_supported(&["atomic", "granular"]);
        }
    }
    let Some(kind) = schema.opt("x-kubernetes-list-type") else { return };
    if !must_be("array", "x-kubernetes-list-type") && kind.text() == "set" {
        let items = schema.at("items");
        const ATOMIC: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let list = items.at("x-kubernetes-list-type");
        match items.str("type") {
            "array" if !matches!(list.text(), "" | "atomic") => list.invalid(ATOMIC),
            "object" if items.str("x-kubernetes-map-type") != "atomic" => {
                let shown = list.value().clone();
                items.at("x-kubernetes-map-type").invalid_value(shown, ATOMIC);
            }
            _ => {}
        }
    }
    if !matches!(kind.text(), "atomic" | "set" | "map") {
        kind.not_supported(&["atomic", "set", "map"]);
    }
}

fn check_list_map(schema: &Field<'_>) {
    let (kind, keys) =
        (schema.at("x-kubernetes-list-type"), schema.at("x-kubernetes-list-map-keys"));
    if schema.len("x-kubernetes-list-map-keys") > 0 && kind.text() != "map" {
        const MAP: &str = "must be map if x-kubernetes-list-map-keys is non-empty";
        if kind.value().is_null() { kind.required(MAP) } else { kind.invalid(MAP) }
    }
    if kind.text() != "map" {
        return;
    }
    if schema.len("x-kubernetes-list-map-keys") == 0 {
        keys.required("must not be empty if x-kubernetes-list-type is map");
    }
    let items = schema.at("items");
    if items.value().is_null() {
        return items.required("must have a schema if x-kubernetes-list-type is map");
    }
    if items.value().is_array() {
        return items.invalid("must only have a single schema if x-kubernetes-list-type is map");
    }
    if items.str("type") != "object" {
        return items
            .at("type")
            .invalid("must be object if parent array's x-kubernetes-list-type is map");
    }
    let mut seen = HashSet::new();
    for key in schema.strings("x-kubernetes-list-map-keys") {
        let property = items.at("properties").key(key);
        if property.value().is_null() {
            keys.invalid("entries must all be names of item properties");
        } else if matches!(property.str("type"), "array" | "object") {
            property.at("type").invalid_value(
                items.str("type"),
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            );
        }
        if !seen.insert(key) {
            keys.invalid("must not contain duplicate entries");
        }
    }
}

/// Keys of a list of objects must always be present.
fn check_keys(schema: &Field<'_>) {
    let kind = schema.str("x-kubernetes-list-type");
    if !matches!(kind, "map" | "set") || !schema.get("items").is_object() {
        return;
    }
    let items = schema.at("items");
    if items.flag("nullable") {
        items
            .at("nullable")
            .forbidden(format!("cannot be nullable when x-kubernetes-list-type is {kind}"));
    }
    if kind == "set" {
        return;
    }
    for key in schema.strings("x-kubernetes-list-map-keys") {
        let property = items.at("properties").key(key);
        if property.value().is_null() {
            continue;
        }
        let required = items.strings("required").any(|name| name == key);
        if !required && !property.has("default") {
            property.at("default").required(
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be \
                 a required property",
            );
        }
        if property.flag("nullable") {
            property.at("nullable").forbidden(
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            );
        }
    }
}

fn check_rule(rule: &Field<'_>, schema: &Value) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let (text, message) = (rule.str("rule").trim(), rule.str("message").trim());
    if text.is_empty() {
        rule.at("rule").required("rule is not specified");
    } else if !rule.str("message").is_empty() && message.is_empty() {
        rule.at("message").invalid("must be non-empty if specified");
    } else if breaks(message) {
        rule.at("message").invalid("must not contain line breaks");
    } else if breaks(text) && message.is_empty() {
        rule.at("message").required("message must be specified if rule contains line breaks");
    }
    let expression = rule.str("messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        rule.at("messageExpression").required("messageExpression must be non-empty if specified");
    }
    rule.maybe_one_of(
        "reason",
        &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"],
    );
    let path = rule.at("fieldPath");
    if !path.text().is_empty() && path.text().trim().is_empty() {
        path.invalid("must be non-empty if specified");
    }
    if breaks(path.text()) {
        path.invalid("must not contain line breaks");
    }
    if rules::Place::read(schema, path.text()).is_none() {
        path.invalid("must be a valid path");
    }
}

/// Collects formats that are not validated, below a schema.
pub(super) fn unknown_formats(schema: &Value, found: &mut Vec<String>) {
    let Some(map) = schema.as_object() else { return };
    if let Some(format) = map.get("format").and_then(Value::as_str) {
        let plain = format.replace('-', "");
        let known = FORMATS.iter().any(|f| f.replace('-', "") == plain);
        if !format.is_empty() && !known {
            found.push(format.to_owned());
        }
    }
    for field in ["items", "additionalProperties", "not"] {
        unknown_formats(&schema[field], found);
    }
    for schema in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        unknown_formats(schema.1, found);
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        for schema in schema[field].as_array().into_iter().flatten() {
            unknown_formats(schema, found);
        }
    }
}
