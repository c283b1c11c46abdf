//! Mutated expressions over mutated data: nothing panics, takes long or takes much.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cel::{Budget, Env, Schema};
use serde_json::Value as Json;

const OWN: &str = include_str!("data/own.json");
const ANSWERS: &str = include_str!("data/answers.jsonl");

fn own() -> (Json, Arc<Schema>) {
    let own: Json = serde_json::from_str(OWN).unwrap();
    let schema = Schema::from_openapi(&own["schema"], "selfType", false).unwrap();
    (own["self"].clone(), Arc::new(schema))
}

fn expressions() -> Vec<String> {
    let line = |line: &str| serde_json::from_str::<Json>(line).unwrap();
    ANSWERS.lines().map(|text| line(text)["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn expressions_of_any_kind() {
    let (value, schema) = own();
    let env = Env::new().declare("self", schema.clone()).open_objects();
    let seeds = expressions();
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let words = [
        "self",
        ".",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "?",
        ":",
        ",",
        "'a'",
        "1",
        "0u",
        "1.5",
        "null",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&&",
        "||",
        "!",
        "==",
        "in",
        ".map(x, x)",
        ".all(x, y, true)",
        ".optMap(x, x)",
        ".?a",
        "[?0]",
        "has(",
        "b'\\xff'",
        "r'\\d'",
        "Object{a: 1}",
        "é",
        ".size()",
        "string(",
        "dyn(",
        "9223372036854775807",
        ".replace('', 'xx')",
        "lists.range(9)",
        ".flatten()",
        ".sortBy(x, x)",
        "duration('1h')",
        "timestamp('9999-12-31T23:59:59Z')",
        ".getHours('-99:99')",
        "quantity('1e99')",
        ".transformMapEntry(k, v, {v: k})",
        "optional.none()",
    ];
    fuzz::text(&seeds, &words, |expr| {
        let Ok(program) = env.compile(expr) else { return false };
        let variables = [("self", cel::value::from_json(&value, Some(&schema)).unwrap())];
        let mut budget = Budget::default().with_memory(64 << 20);
        if let Ok(value) = program.eval(&variables, &mut budget) {
            let _ = (value.to_string(), value.to_json());
        }
        true
    });
}

/// Data need not be as its schema declares it.
#[test]
fn data_that_is_not_as_declared() {
    let (value, schema) = own();
    let env = Env::new().declare("self", schema.clone());
    let programs: Vec<_> = expressions().iter().filter_map(|expr| env.compile(expr).ok()).collect();
    let mut turn = 0;
    fuzz::values(&[value], |value| {
        let Ok(root) = cel::value::from_json(value, Some(&schema)) else { return false };
        let variables = [("self", root)];
        for _ in 0..20 {
            turn = (turn + 1) % programs.len();
            let _ = programs[turn].eval(&variables, &mut Budget::default());
        }
        true
    });
}

#[test]
fn schemas_of_any_kind() {
    let own: Json = serde_json::from_str(OWN).unwrap();
    fuzz::values(&[own["schema"].clone()], |schema| {
        let Some(schema) = Schema::from_openapi(schema, "selfType", true) else { return false };
        let env = Env::new().declare("self", Arc::new(schema));
        env.compile("self.metadata.name == self.tags.map(t, t + 'x').join(',')").is_ok()
    });
}
