//! Expressions of webhooks and admission policies: what they see, and that they compile.

use std::sync::{Arc, LazyLock};

use cel::schema::{Kind, ObjectType};
use cel::types::{AUTHORIZER, RESOURCE_CHECK};
use cel::{CompileError, Env, Program, Schema, Type};
use serde_json::{Value, json};

use apimachinery::ObjectExt;

use crate::registry::check::Field;

/// An expression as it was compiled.
pub(crate) type Compiled = Result<Program, CompileError>;

/// The variables of every expression.
static BASE: LazyLock<Env> = LazyLock::new(|| {
    let env = ["object", "oldObject", "namespaceObject"]
        .into_iter()
        .fold(Env::new(), |env, name| env.variable(name, Type::Dyn))
        .variable("authorizer", AUTHORIZER)
        .variable("authorizer.requestResource", RESOURCE_CHECK);
    let request = Schema::from_openapi(&request(), "kubernetes.AdmissionRequest", false);
    match request {
        Some(request) => env.variable("request", request.ty()),
        None => env.variable("request", Type::Dyn),
    }
});

/// The shape of an AdmissionRequest but for its objects (upstream's `BuildRequestType`).
fn request() -> Value {
    let text = json!({"type": "string"});
    let object = |fields: &[&str]| {
        let fields = fields.iter().map(|name| ((*name).to_owned(), text.clone()));
        json!({"type": "object", "properties": fields.collect::<serde_json::Map<_, _>>()})
    };
    let list = json!({"type": "array", "items": text});
    let (kind, resource) =
        (object(&["group", "version", "kind"]), object(&["group", "version", "resource"]));
    json!({"type": "object", "properties": {
        "kind": kind, "resource": resource, "subResource": text,
        "requestKind": kind, "requestResource": resource, "requestSubResource": text,
        "name": text, "namespace": text, "operation": text,
        "userInfo": {"type": "object", "properties": {
            "username": text, "uid": text, "groups": list,
            "extra": {"type": "object", "additionalProperties": list},
        }},
        "dryRun": {"type": "boolean"},
        "options": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }})
}

/// The variables that every expression sees; those of policies may have parameters.
pub(crate) fn environment(params: bool) -> Env {
    match params {
        true => BASE.clone().variable("params", Type::Dyn),
        false => BASE.clone(),
    }
}

/// Compiles the variables of a policy, each of which sees those before it, and returns what sees
/// all of them.
pub(crate) fn with_variables<'a>(
    env: &Env,
    variables: impl Iterator<Item = &'a Value>,
) -> (Env, Vec<(String, Compiled)>) {
    let mut known = Arc::new(ObjectType::new("kubernetes.variables", []));
    let mut compiled = Vec::new();
    let with =
        |known: &Arc<ObjectType>| env.clone().variable("variables", Type::Object(known.clone()));
    for variable in variables {
        let name = variable.str_at(&["name"]).to_owned();
        let program = with(&known).compile(variable.str_at(&["expression"]));
        let kind = match &program {
            Ok(program) => Kind::Value(program.result_type().clone()),
            Err(_) => Kind::Dyn,
        };
        let schema = Arc::new(Schema::new(kind));
        let field = cel::schema::Field { name: name.clone(), schema, required: true };
        // Only a variable that is all variables keeps the type as it was.
        let fields = &mut Arc::make_mut(&mut known).fields;
        fields.extend(cel::escape(&name).map(|escaped| (escaped, field)));
        compiled.push((name, program));
    }
    (with(&known), compiled)
}

/// Checks that the expression in a field compiles, and is of one of these types if there are any.
pub(super) fn check_expression(field: &Field<'_>, env: &Env, wanted: &[Type]) {
    let text = field.text().trim();
    if !text.is_empty() {
        check_compiled(field, &env.compile(text), wanted);
    }
}

/// The same for one that was compiled already.
pub(super) fn check_compiled(field: &Field<'_>, compiled: &Compiled, wanted: &[Type]) {
    let text = field.text().trim();
    let found = match compiled {
        Ok(program) => program.result_type(),
        Err(why) => return field.invalid_value(text, why.in_full()),
    };
    match wanted {
        [] => {}
        wanted if wanted.contains(found) => {}
        wanted => {
            let names: Vec<String> = wanted.iter().map(name).collect();
            let names = match names.as_slice() {
                [one] => one.clone(),
                several => format!("one of [{}]", several.join(" ")),
            };
            let why = format!("must evaluate to {names} but got {}", name(found));
            field.invalid_value(text, why);
        }
    }
}

/// A type as cel-go names it outside of its own messages.
fn name(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".to_owned(),
        other => other.to_string(),
    }
}
