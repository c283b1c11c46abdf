//! The same expressions as upstream's own environment was given (`MustBaseEnvSet` of 1.35 in
//! `k8s.io/apiserver` v0.35.0, with the types of a custom resource), and its answers: types,
//! values, messages, what an evaluation cost and what it could cost at most.
//!
//! Left out are expressions for which upstream's answer depends on the order of a map, and three
//! things that are not as upstream on purpose: sums of quantities can be compared, a list or a time
//! is no key of a map, and no argument that failed ends the evaluation with an internal error.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cel::value::{Map, Opaque};
use cel::{Budget, Env, EvalError, Schema, Type, Value};
use serde_json::Value as Json;

const OWN: &str = include_str!("data/own.json");
/// Questions of ours, and questions that were put together at random.
const ANSWERS: &str =
    concat!(include_str!("data/answers.jsonl"), include_str!("data/random.jsonl"));

/// A value as the answers write it.
fn show(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => format!("{value}u"),
        Value::String(text) => serde_json::to_string(&**text).unwrap(),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("b\"{hex}\"")
        }
        Value::Double(_) => format!("double({value})"),
        Value::Duration(_) => format!("duration({value})"),
        Value::Timestamp(_) => format!("timestamp({value})"),
        Value::Type(ty) => format!("type({})", go_type(&ty.to_string())),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(|item| show(&item.unwrap())).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => show_map(map),
        Value::Optional(None) => "optional.none()".to_owned(),
        Value::Optional(Some(value)) => format!("optional.of({})", show(value)),
        Value::Opaque(opaque) => match opaque {
            Opaque::Ip(_) => format!("ip({value})"),
            Opaque::Cidr(_) => format!("cidr({value})"),
            Opaque::Semver(_) => format!("semver({value})"),
            Opaque::Url(_) => format!("url({value})"),
            Opaque::Format(_) => format!("format({value})"),
            // No expression sees how a quantity is written.
            Opaque::Quantity(_) => "quantity".to_owned(),
            _ => opaque.type_name().to_owned(),
        },
    }
}

fn show_map(map: &Map<'_>) -> String {
    let mut budget = Budget::new(u64::MAX);
    let mut entries: Vec<String> = map
        .keys()
        .iter()
        .map(|key| {
            let value = map.find(key, &mut budget).map(Result::unwrap);
            format!("{}: {}", show(key), value.as_ref().map(show).unwrap_or_default())
        })
        .collect();
    entries.sort();
    format!("{{{}}}", entries.join(", "))
}

/// Types are named in full where no message names them.
fn go_type(ty: &str) -> String {
    let ty = ty.replace("timestamp", "google.protobuf.Timestamp");
    ty.replace("duration", "google.protobuf.Duration").replace("null", "null_type")
}

/// The answer of this crate, in the form of upstream's.
fn answer(
    env: &Env,
    expr: &str,
    own: Option<(&str, &Json, Option<&Schema>)>,
) -> serde_json::Map<String, Json> {
    let mut answer = serde_json::Map::new();
    let mut set = |name: &str, value: Json| answer.insert(name.to_owned(), value);
    let program = match env.compile(expr) {
        Ok(program) => program,
        Err(error) => {
            let prefix = if error.is_instantiation() { "PROGRAM " } else { "" };
            set("compile", format!("{prefix}{error}").into());
            return answer;
        }
    };
    set("type", go_type(&program.result_type().to_string()).into());
    set("min", program.estimated_cost().min.into());
    set("max", program.estimated_cost().max.into());
    let mut budget = Budget::default();
    let mut variables = Vec::new();
    if let Some((name, json, schema)) = own {
        variables.push((name, cel::value::from_json(json, schema).unwrap()));
    }
    let outcome = program.eval(&variables, &mut budget);
    match outcome {
        Ok(value) => set("value", show(&value).into()),
        Err(error) => set("error", error.to_string().into()),
    };
    if outcome_costs(&error_of(&answer)) {
        answer.insert("cost".to_owned(), budget.cost().into());
    }
    answer
}

fn error_of(answer: &serde_json::Map<String, Json>) -> String {
    text_of(answer, "error")
}

fn text_of(answer: &serde_json::Map<String, Json>, field: &str) -> String {
    answer.get(field).and_then(Json::as_str).unwrap_or_default().to_owned()
}

/// Where upstream stopped says nothing of where it must be stopped.
fn outcome_costs(error: &str) -> bool {
    error != EvalError::COST.to_string()
}

#[test]
fn answers_are_those_of_upstream() {
    // Other answers than those that are kept: `CEL_ANSWERS` names their file.
    let other = std::env::var("CEL_ANSWERS").map(|path| std::fs::read_to_string(path).unwrap());
    let count = compare(OWN, other.as_deref().unwrap_or(ANSWERS));
    assert!(count > 1000 || other.is_ok(), "{count}");
}

/// A custom resource that bounds hardly anything.
#[test]
fn estimates_without_bounds_are_those_of_upstream() {
    let own = include_str!("data/unbounded.json");
    assert!(compare(own, include_str!("data/unbounded.jsonl")) > 60);
}

/// Compares answers, and says how many they were.
fn compare(own: &str, answers: &str) -> usize {
    let own: Json = serde_json::from_str(own).unwrap();
    let schema = Arc::new(Schema::from_openapi(&own["schema"], "selfType", false).unwrap());
    let env = Env::new().declare("self", schema.clone());
    let bare = Env::new();
    let untyped = Env::new().variable("object", Type::Dyn);
    let (mut wrong, mut count) = (0, 0);
    for line in answers.lines() {
        let mut expected: serde_json::Map<String, Json> = serde_json::from_str(line).unwrap();
        let expr = expected.remove("expr").unwrap();
        let expr = expr.as_str().unwrap();
        let uses_own = expected.remove("own").is_some();
        let uses_object = expected.remove("dyn").is_some();
        if !outcome_costs(&error_of(&expected)) {
            expected.remove("cost");
        }
        let (env, own) = match (uses_own, uses_object) {
            (true, _) => (&env, Some(("self", &own["self"], Some(&*schema)))),
            (_, true) => (&untyped, Some(("object", &own["self"], None))),
            _ => (&bare, None),
        };
        if text_of(&expected, "compile").starts_with("PROGRAM") {
            expected.retain(|name, _| name == "compile");
        }
        if text_of(&expected, "value").starts_with("quantity(") {
            expected.insert("value".to_owned(), "quantity".into());
        }
        // Upstream's cost tracker fails where an argument of these failed.
        if error_of(&expected).starts_with("internal error: interface conversion") {
            continue;
        }
        let found = answer(env, expr, own);
        count += 1;
        if found != expected {
            wrong += 1;
            println!("{expr}");
            for (name, value) in &expected {
                if found.get(name) != Some(value) {
                    println!("  {name}: expected {value}");
                    println!("  {name}: found    {}", found.get(name).unwrap_or(&Json::Null));
                }
            }
            for (name, value) in &found {
                if !expected.contains_key(name) {
                    println!("  {name}: not expected {value}");
                }
            }
        }
    }
    assert_eq!(wrong, 0, "of {count}");
    count
}
