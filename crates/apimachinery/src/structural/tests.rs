//! `tests/cases.json` and `tests/formats.json` hold what the code of upstream v1.35 says of schemas
//! and objects of ours.

mod hostile;

use super::*;
use serde_json::json;

/// Numbers as Go keeps them when an object is written and read again.
fn normal(value: &Value) -> Value {
    serde_json::from_str(&crate::text::go_json(value)).unwrap()
}

#[test]
fn says_what_upstream_says() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("tests/cases.json")).unwrap();
    assert!(cases.len() > 90);
    for case in &cases {
        let name = &case["name"];
        let schema = Schema::parse(&case["schema"]);
        let old = case.get("old");
        let errors = match case.get("status") {
            Some(_) => schema.validate_status(&case["object"], old.unwrap()),
            None => schema.validate(&case["object"], old),
        };
        let mut errors: Vec<String> =
            errors.iter().map(|e| format!("{} {e}", e.kind.reason())).collect();
        // Upstream has no order of fields.
        errors.sort();
        assert_eq!(json!(errors), case["errors"], "{name}");

        let mut object = case["object"].clone();
        let unknown = match schema.decode(&mut object) {
            Ok(unknown) => unknown,
            Err(malformed) => {
                assert_eq!(malformed.to_string(), case["fails"], "{name}");
                continue;
            }
        };
        assert_eq!(case.get("fails"), None, "{name}");
        let expected = case["unknown"].as_array().unwrap();
        let expected: Vec<String> =
            expected.iter().map(|f| format!("unknown field \"{}\"", f.as_str().unwrap())).collect();
        assert_eq!(unknown, expected, "{name}");
        let pruned = case.get("pruned").unwrap_or(&case["object"]);
        assert_eq!(normal(&object), normal(pruned), "{name}");
        schema.default(&mut object);
        assert_eq!(normal(&object), normal(case.get("default").unwrap_or(pruned)), "{name}");
    }
}

#[test]
fn formats_admit_what_upstream_admits() {
    let formats: Value = serde_json::from_str(include_str!("tests/formats.json")).unwrap();
    let formats = formats.as_object().unwrap();
    assert!(formats.len() > 25);
    for (name, texts) in formats {
        let schema = Schema::parse(&json!({"type": "string", "format": name}));
        for (list, valid) in [("valid", true), ("invalid", false)] {
            for text in texts[list].as_array().unwrap() {
                assert_eq!(schema.validate(text, None).is_empty(), valid, "{name} {text}");
            }
        }
    }
}

#[test]
fn what_was_stored_is_repaired_where_a_request_is_refused() {
    let schema = Schema::parse(&json!({"type": "object", "properties": {"e": {
        "type": "object",
        "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true,
    }}}));
    let object = json!({
        "metadata": {"name": "n", "labels": 1, "foo": 1},
        "e": {"apiVersion": 1, "kind": "K", "metadata": {"name": "m", "labels": 1}},
    });
    assert!(schema.decode(&mut object.clone()).is_err());
    let mut stored = object;
    assert_eq!(schema.prune(&mut stored), ["unknown field \"metadata.foo\""]);
    assert_eq!(
        stored,
        json!({"metadata": {"name": "n"}, "e": {"kind": "K", "metadata": {"name": "m"}}})
    );
}

#[test]
fn knows_whether_it_has_defaults() {
    let with = |item: Value| {
        Schema::parse(&json!({"properties": {"a": {"items": {"additionalProperties": item}}}}))
    };
    assert!(with(json!({"default": 1})).has_defaults());
    assert!(!with(json!({"default": null})).has_defaults());
}
