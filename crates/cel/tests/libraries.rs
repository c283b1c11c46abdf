//! Things that upstream's environment alone does not show: the authorizer, fields that are found
//! when they are asked for, objects of mutating policies, and roots of resources.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use cel::schema::{Kind, ObjectType};
use cel::types::{AUTHORIZER, RESOURCE_CHECK};
use cel::value::{Authorizer, Check, Decision, Fields, Map, Opaque, Subject};
use cel::{Budget, Env, EvalError, Schema, Type, Value, Variables};
use serde_json::json;

fn eval<'a>(
    program: &'a cel::Program,
    variables: &dyn Variables<'a>,
) -> (Result<String, String>, u64) {
    let mut budget = Budget::default();
    let outcome = program.eval(variables, &mut budget);
    (outcome.map(|value| value.to_string()).map_err(|error| error.to_string()), budget.cost())
}

/// Allows whatever is asked about pods, and remembers what was asked.
#[derive(Default)]
struct Pods(Mutex<Vec<(Check, String)>>);

impl Authorizer for Pods {
    fn authorize(&self, check: &Check, verb: &str) -> Decision {
        self.0.lock().unwrap().push((check.clone(), verb.to_owned()));
        match check.resource.as_deref() {
            Some("pods") => Decision { allowed: true, reason: "pods".into(), error: None },
            Some("broken") => Decision { error: Some("broken".into()), ..Decision::default() },
            _ => Decision::default(),
        }
    }
}

#[test]
fn authorizer_is_asked_with_what_was_put_together() {
    let env = Env::new()
        .variable("authorizer", AUTHORIZER)
        .variable("authorizer.requestResource", RESOURCE_CHECK);
    let pods = Pods::default();
    let subject = |check| {
        Value::Opaque(Opaque::Authorization(Arc::new(Subject { authorizer: &pods, check })))
    };
    let request = Check {
        group: Some(String::new()),
        resource: Some("pods".into()),
        namespace: "ns".into(),
        ..Check::default()
    };
    let variables = [
        ("authorizer", subject(Check::default())),
        ("authorizer.requestResource", subject(request.clone())),
    ];
    for (expr, expected, cost) in [
        (
            "authorizer.group('').resource('pods').namespace('ns').check('get').allowed()",
            Ok("true"),
            350_005,
        ),
        ("authorizer.group('').resource('nodes').check('get').allowed()", Ok("false"), 350_004),
        ("authorizer.group('').resource('pods').check('get').reason()", Ok("pods"), 350_004),
        ("authorizer.group('').resource('broken').check('get').errored()", Ok("true"), 350_004),
        ("authorizer.group('').resource('broken').check('get').error()", Ok("broken"), 350_004),
        ("authorizer.path('/healthz').check('get').allowed()", Ok("false"), 350_003),
        ("authorizer.path(' ')", Err("path must not be empty"), 2),
        (
            "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('list').allowed()",
            Ok("true"),
            350_005,
        ),
        ("authorizer.serviceAccount('NS', 'sa')", Err("Invalid service account namespace"), 2),
        ("authorizer.serviceAccount('ns', '-')", Err("Invalid service account name"), 2),
        ("authorizer.requestResource.check('delete').allowed()", Ok("true"), 350_002),
        (
            "authorizer.group('').resource('pods').labelSelector('a=b').check('list').allowed()",
            Ok("true"),
            350_115,
        ),
        (
            "authorizer.path('/a').check('get') == authorizer.path('/a').check('get')",
            Err("no such overload"),
            700_005,
        ),
    ] {
        let program = env.compile(expr).unwrap_or_else(|error| panic!("{error}"));
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(eval(&program, &variables), (expected, cost), "{expr}");
    }
    let asked = pods.0.lock().unwrap();
    assert!(asked.contains(&(request.clone(), "get".into())));
    assert!(asked.contains(&(request, "delete".into())));
    let account = Some(("ns".to_owned(), "sa".to_owned()));
    assert!(asked.iter().any(|(check, _)| check.service_account == account));
    assert!(asked.iter().any(|(check, _)| check.label_selector == "a=b"));
}

/// An expression can ask twice; the third time it would cost too much, and is not asked.
#[test]
fn authorizer_is_not_asked_beyond_the_budget() {
    let env = Env::new().variable("authorizer", AUTHORIZER);
    let once = "authorizer.path('/a').check('get').allowed()";
    let program = env.compile(&format!("{once} || {once} || {once}")).unwrap();
    let pods = Pods::default();
    let subject = Subject { authorizer: &pods, check: Check::default() };
    let variables = [("authorizer", Value::Opaque(Opaque::Authorization(Arc::new(subject))))];
    let error = program.eval(&variables, &mut Budget::default()).unwrap_err();
    assert_eq!(error, EvalError::COST);
    assert_eq!(pods.0.lock().unwrap().len(), 2);
}

/// Variables of a policy, one of which fails.
struct Lazy;

impl Fields for Lazy {
    fn field<'a>(&'a self, name: &str, _: &mut Budget) -> Option<Result<Value<'a>, EvalError>> {
        match name {
            "count" => Some(Ok(Value::Int(3))),
            "bad" => Some(Err(EvalError::Failed("composited variable \"bad\" fails".into()))),
            _ => None,
        }
    }
}

#[test]
fn fields_are_found_when_they_are_asked_for() {
    let field = |name: &str, ty| (name.to_owned(), Arc::new(Schema::new(Kind::Value(ty))), true);
    let fields = [
        field("count", Type::Int),
        field("bad", Type::Bool),
        field("none", Type::optional(Type::Int)),
    ];
    let ty = ObjectType::new("kubernetes.variables", fields);
    let env = Env::new().variable("variables", Type::Object(Arc::new(ty)));
    let variables = [("variables", Value::Map(Map::Fields(&Lazy)))];
    for (expr, expected) in [
        ("variables.count == 3", Ok("true")),
        ("variables.count == 3 || variables.bad", Ok("true")),
        ("variables.bad == true", Err("composited variable \"bad\" fails")),
        ("has(variables.none)", Ok("false")),
        ("variables.none", Err("no such key: none")),
    ] {
        let program = env.compile(expr).unwrap();
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(eval(&program, &variables).0, expected, "{expr}");
    }
    let error = env.compile("variables.other").unwrap_err().to_string();
    assert!(error.contains("undefined field 'other'"), "{error}");
    let error = env.compile("variables.count == 'a'").unwrap_err().to_string();
    assert!(error.contains("found no matching overload for '_==_' applied to '(int, string)'"));
}

#[test]
fn objects_of_mutating_policies() {
    let env = Env::new().variable("object", Type::Dyn).open_objects();
    let object = json!({"spec": {"replicas": 3}});
    let variables = [("object", cel::value::from_json(&object, None).unwrap())];
    let program = env
        .compile(
            "Object{spec: Object.spec{replicas: object.spec.replicas + 1, ?x: optional.none()}}",
        )
        .unwrap();
    assert_eq!(program.result_type().to_string(), "Object");
    assert_eq!(eval(&program, &variables).0.unwrap(), "{spec: {replicas: 4}}");
    let made = program.eval(&variables, &mut Budget::default()).unwrap();
    assert_eq!(made.to_json().unwrap(), json!({"spec": {"replicas": 4}}));
    let program = env.compile("jsonpatch.escapeKey('a/b~c')").unwrap();
    assert_eq!(eval(&program, &variables).0.unwrap(), "a~1b~0c");
    let names = |expr: &str| {
        let program = env.compile(expr).unwrap();
        match program.eval(&variables, &mut Budget::default()).unwrap() {
            Value::Map(Map::Struct(object)) => object.check_type_names().map_err(|e| e.to_string()),
            other => panic!("{other}"),
        }
    };
    assert_eq!(names("Object{spec: Object.spec{list: [Object.spec.list{a: 1}]}}"), Ok(()));
    assert_eq!(
        names("Object{spec: Object.status{}}").unwrap_err(),
        "unexpected type name \"Object.status\", expected \"Object.spec\", which matches field \
         name path from root Object type"
    );
    let program = env.compile("[JSONPatch{op: 'add', path: '/a', value: object.spec}]").unwrap();
    assert_eq!(program.result_type().to_string(), "list(JSONPatch)");
    let made = program.eval(&variables, &mut Budget::default()).unwrap();
    assert_eq!(
        made.to_json().unwrap(),
        json!([{"op": "add", "path": "/a", "value": {"replicas": 3}}])
    );
    let error = env.compile("JSONPatch{op: 1}").unwrap_err().to_string();
    assert!(error.contains("expected type of field 'op' is 'string' but provided type is 'int'"));
    let error = env.compile("Other{a: 1}").unwrap_err().to_string();
    assert!(error.contains("undeclared reference to 'Other' (in container '')"), "{error}");
}

/// The fields of every object can be named although no schema declares them.
#[test]
fn roots_have_names_and_kinds() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object"}}});
    let schema = Arc::new(Schema::from_openapi(&schema, "selfType", true).unwrap());
    let env = Env::new().declare("self", schema.clone());
    let object = json!({"kind": "Web", "metadata": {"name": "a", "labels": {}}});
    let root = cel::value::from_json(&object, Some(&schema)).unwrap();
    let program = env.compile("self.metadata.name == 'a' && self.kind == 'Web'").unwrap();
    assert_eq!(eval(&program, &[("self", root)]).0.unwrap(), "true");
    assert!(env.compile("self.metadata.labels").is_err());
    assert!(env.compile("self.spec.x").is_err());
}

#[test]
fn untyped_data_has_the_types_of_json() {
    let env = Env::new().variable("object", Type::Dyn);
    let object = json!({"a": 1, "b": 1.5, "c": [1, "x", null], "d": {"e": true}, "in": 2});
    let variables = [("object", cel::value::from_json(&object, None).unwrap())];
    for (expr, expected) in [
        ("object.a + 1", Ok("2")),
        ("type(object.b) == double", Ok("true")),
        ("object.c.size() == 3 && object.c[2] == null", Ok("true")),
        ("object.d.e && has(object.d) && !has(object.x) && !has(object.d.e.f)", Ok("true")),
        ("object.x", Err("no such key: x")),
        ("object.c[7]", Err("index out of bounds: 7")),
        ("object.a + 'x'", Err("no such overload")),
        ("object['in'] == 2", Ok("true")),
        ("object.c.all(i, i == 1)", Ok("false")),
        ("object == object", Ok("true")),
    ] {
        let program = env.compile(expr).unwrap_or_else(|error| panic!("{error}"));
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(eval(&program, &variables).0, expected, "{expr}");
    }
}
