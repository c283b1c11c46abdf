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

#[test]
fn patterns_of_any_kind() {
    let env = Env::new();
    let seeds = ["^[a-z]+$", "(a|b)*?c{1,3}", r"[[:alpha:]_^]\d\Qx\E", "[^]a-z]|(?i:x)", r"\pL+\b"];
    let words =
        ["[", "]", "[:", ":]", "^", "-", "(", ")", "{", "}", "*", "?", r"\", "|", "é", "&&"];
    fuzz::text(&seeds, &words, |pattern| {
        let literal = serde_json::to_string(pattern).unwrap();
        let expr = format!(
            "'abc é'.findAll({literal}).size() + lists.range(2).filter(i, 'x'.matches({literal})).size()"
        );
        let Ok(program) = env.compile(&expr) else { return false };
        let none: [(&str, cel::Value<'_>); 0] = [];
        program.eval(&none, &mut Budget::default()).is_ok()
    });
}

#[test]
fn texts_of_any_kind() {
    let env = Env::new().variable("x", cel::Type::String);
    let functions = [
        "quantity(x)",
        "semver(x, true)",
        "semver(x)",
        "ip(x)",
        "cidr(x).masked()",
        "url(x).getQuery()",
        "duration(x)",
        "timestamp(x)",
        "double(x)",
        "x.format([x, 1])",
        "x.lastIndexOf('é')",
        "x.substring(1, 3)",
        "x.split(x)",
        "x.replace('', x)",
        "timestamp(0).getHours(x)",
        "format.qualifiedName().validate(x)",
        "format.datetime().validate(x)",
        "x.find(x)",
        "jsonpatch.escapeKey(x)",
        "strings.quote(x)",
        "bytes(x)",
        "'%s'.format([[x]])",
    ];
    let env = env.open_objects();
    let programs: Vec<_> = functions.iter().map(|f| env.compile(f).unwrap()).collect();
    let seeds = [
        "1.5Gi",
        "-3e-9",
        "v1.2.3-a.1+b",
        "::ffff:1.2.3.4",
        "10.0.0.0/8",
        "https://u@h:80/p?q=%20#f",
        "1h2.5ms",
        "2020-01-01T00:00:00.5+02:00",
        "%.3f%s%%",
        "日本語",
        "a/b",
        "[a-z]+",
        "0x1p-2",
    ];
    let words =
        ["é", "9999999999999999999", ".", "-", "+", "e", "%", ":", "/", "T", "Z", "[", "\u{0}"];
    fuzz::text(&seeds, &words, |text| {
        let variables = [("x", cel::Value::str(text))];
        let outcomes = programs.iter().map(|p| p.eval(&variables, &mut Budget::new(50_000)));
        outcomes.filter(Result::is_ok).count() > 10
    });
}
