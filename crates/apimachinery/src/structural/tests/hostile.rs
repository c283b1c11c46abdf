//! Schemas and objects that are made to be expensive.

use super::*;
use std::time::{Duration, Instant};

/// Far more than linear work takes without optimization, far less than quadratic work would.
const LONG: Duration = Duration::from_secs(30);

fn timed<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    assert!(start.elapsed() < LONG, "took {:?}", start.elapsed());
    done
}

#[test]
fn lists_are_compared_in_linear_time() {
    let items: Vec<Value> = (0..50_000).map(|i| json!({"k": i.to_string()})).collect();
    let mut object = json!({"s": items, "m": items, "u": items});
    object["m"][49_999]["k"] = "0".into();
    let item = json!({"type": "object", "properties": {"k": {"type": "string", "maxLength": 1}}});
    let schema = Schema::parse(&json!({"type": "object", "properties": {
        "s": {"type": "array", "items": item, "x-kubernetes-list-type": "set"},
        "m": {
            "type": "array",
            "items": item,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
        },
        "u": {"type": "array", "items": {"type": "object"}, "uniqueItems": true},
    }}));
    let mut old = object.clone();
    old["m"][49_999]["k"] = "1".into();
    let errors = timed(|| schema.validate(&object, None));
    assert!(errors.iter().any(|e| e.to_string() == "m[49999]: Duplicate value: {\"k\":\"0\"}"));
    timed(|| schema.validate(&object, Some(&old)));
    timed(|| schema.validate(&object, Some(&object)));
}

#[test]
fn many_values_are_looked_up_in_linear_time() {
    let values: Vec<String> = (0..100_000).map(|i| format!("v{i}")).collect();
    let mut wrong = values.clone();
    wrong[99_999] = "x".to_owned();
    let schema = Schema::parse(&json!({"type": "array", "items": {"enum": values}}));
    assert_eq!(timed(|| schema.validate(&json!(values), None)).len(), 0);
    assert_eq!(timed(|| schema.validate(&json!(wrong), None)).len(), 1);
}

#[test]
fn messages_about_a_long_path_are_bounded() {
    let long = "k".repeat(100_000);
    let items: Vec<Value> = (0..100_000).map(|_| json!({"x": 1})).collect();
    let object = json!({ long.as_str(): items });
    let item = json!({"type": "object", "required": ["a"], "anyOf": [{"required": ["b"]}]});
    let schema = Schema::parse(&json!({
        "type": "object",
        "additionalProperties": {"type": "array", "items": item},
    }));
    let errors = timed(|| schema.validate(&object, None));
    let size: usize = errors.iter().map(|e| e.to_string().len()).sum();
    assert!(!errors.is_empty() && size < 3 * MAX_MESSAGE_BYTES, "{size}");
    let unknown = timed(|| schema.prune(&mut object.clone()));
    let size: usize = unknown.iter().map(String::len).sum();
    assert!(!unknown.is_empty() && size < 2 * MAX_MESSAGE_BYTES, "{size}");
}

#[test]
fn a_long_path_is_not_printed_without_need() {
    let long = "k".repeat(2_000_000);
    let item = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "x": 1});
    let items: Vec<Value> = (0..100_000).map(|_| item.clone()).collect();
    let object = json!({ long.as_str(): items });
    let schema = Schema::parse(&json!({"type": "object", "additionalProperties": {
        "type": "array",
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "object",
            "x-kubernetes-embedded-resource": true,
            "properties": {"x": {"type": "integer", "maximum": 0}},
        },
    }}));
    assert!(timed(|| schema.validate(&object, None)).len() < 10);
    assert_eq!(timed(|| schema.decode(&mut object.clone())).unwrap().len(), 0);
}

#[test]
fn a_text_is_matched_in_linear_time() {
    let schema = Schema::parse(&json!({"type": "string", "pattern": "^(a|aa|a*)*$"}));
    let text = json!(format!("{}b", "a".repeat(1_000_000)));
    assert_eq!(timed(|| schema.validate(&text, None)).len(), 1);
}

#[test]
fn depth_is_bounded_by_that_of_any_stored_object() {
    let mut schema = json!({"type": "integer"});
    let mut object = json!("x");
    for _ in 0..300 {
        schema = json!({"type": "object", "properties": {"a": schema}, "allOf": [{}]});
        object = json!({ "a": object });
    }
    let parsed = Schema::parse(&schema);
    assert_eq!(parsed.validate(&object, None).len(), 0);
    assert_eq!(parsed.prune(&mut object.clone()).len(), 0);
    parsed.default(&mut object);

    let mut alternatives = json!({"type": "integer", "minimum": 1});
    for _ in 0..100 {
        alternatives = json!({"anyOf": [alternatives], "allOf": [{}]});
    }
    let errors = timed(|| Schema::parse(&alternatives).validate(&json!(0), None));
    assert_eq!(errors.len(), 2);
}

#[test]
fn what_is_no_schema_or_no_object_is_survived() {
    let odd = [
        json!(null),
        json!([]),
        json!({"properties": [], "items": 1, "required": {}, "enum": "x", "type": 3}),
        json!({"x-kubernetes-list-map-keys": [1], "x-kubernetes-list-type": "map", "items": {}}),
        json!({"maxLength": 1.5, "minItems": "x", "multipleOf": 0, "pattern": "("}),
    ];
    let values =
        [json!(null), json!([null, [null]]), json!({"metadata": null, "a": [{}]}), json!("x")];
    for schema in &odd {
        let schema = Schema::parse(schema);
        for value in &values {
            let mut value = value.clone();
            let _ = schema.validate(&value, None);
            let _ = schema.validate(&value, Some(&value));
            let _ = schema.decode(&mut value);
            schema.default(&mut value);
        }
    }
}
