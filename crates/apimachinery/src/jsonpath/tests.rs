//! `tests.json` holds what upstream v1.35 finds at each path in an object of ours.

use super::*;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn finds_what_upstream_finds() {
    let cases: Value = serde_json::from_str(include_str!("tests.json")).unwrap();
    let object = &cases["object"];
    let paths = cases["paths"].as_object().unwrap();
    assert!(paths.len() > 100);
    for (path, found) in paths {
        match JsonPath::parse(path) {
            Err(error) => assert_eq!(*found, "invalid", "{path}: {error}"),
            Ok(parsed) => assert_eq!(json!(parsed.find(object)), *found, "{path}"),
        }
    }
}

#[test]
fn texts_read_like_upstream() {
    let table = [
        (json!(null), "<no value>"),
        (json!("a\"b"), "a\"b"),
        (json!(1), "1"),
        (json!(1.5), "1.5"),
        (json!(1e21), "1e+21"),
        (json!(true), "true"),
        (json!({"a": ["<"]}), r#"{"a":["\u003c"]}"#),
    ];
    for (value, expected) in table {
        assert_eq!(text(&value), expected);
    }
}

#[test]
fn work_is_bounded() {
    let mut object = json!("x");
    for _ in 0..100 {
        object = json!({"a": object, "b": [{}]});
    }
    let start = Instant::now();
    for path in ["....a", "..a..a..a..a..a..a", "..*..*..*", "..[?(@..a..a..a)]"] {
        if let Ok(path) = JsonPath::parse(path) {
            assert!(path.find(&object).len() <= MAX_VISITS);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(20));

    let nested = format!(".{}a{}", "[?(@.a".repeat(10_000), ")]".repeat(10_000));
    assert_eq!(JsonPath::parse(&nested), Err(Error::Filter));
    let long = ".a".repeat(100_000);
    assert_eq!(JsonPath::parse(&long).unwrap().find(&json!({"a": {"a": 1}})).len(), 0);
}
