//! The environment of expressions in admission: webhooks' match conditions and admission policies
//! (upstream's `k8s.io/apiserver/pkg/admission/plugin/cel`).

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use crate::schema::{Field, Kind, ObjectType, Schema};
use crate::types::{AUTHORIZER, RESOURCE_CHECK, Type};
use crate::{CompileError, Env, Program, escape};

/// An expression as it was compiled.
pub type Compiled = Result<Program, CompileError>;

/// The types of what upstream leaves open until an expression is evaluated; `None` for any.
#[derive(Debug, Clone, Default)]
pub struct Types {
    /// That of `object` and `oldObject`.
    pub object: Option<Arc<Schema>>,
    /// That of `params`, if the policy has any.
    pub params: Option<Arc<Schema>>,
}

/// The shape of `namespaceObject`: of a Namespace, the fields that upstream shows. Values are
/// not of its types: times are strings there.
static NAMESPACE: LazyLock<Option<Arc<Schema>>> = LazyLock::new(|| {
    let text = || json!({"type": "string"});
    let time = || json!({"type": "string", "format": "date-time"});
    let number = || json!({"type": "integer"});
    let texts = || json!({"type": "array", "items": text()});
    let map = || json!({"type": "object", "additionalProperties": text()});
    let object = |fields: &[(&str, Value)]| {
        let fields = fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone()));
        json!({"type": "object", "properties": fields.collect::<serde_json::Map<_, _>>()})
    };
    let condition = object(&[
        ("status", text()),
        ("type", text()),
        ("lastTransitionTime", time()),
        ("message", text()),
        ("reason", text()),
    ]);
    let metadata = object(&[
        ("name", text()),
        ("generateName", text()),
        ("namespace", text()),
        ("labels", map()),
        ("annotations", map()),
        ("UID", text()),
        ("creationTimestamp", time()),
        ("deletionGracePeriodSeconds", number()),
        ("deletionTimestamp", time()),
        ("generation", number()),
        ("resourceVersion", text()),
        ("finalizers", texts()),
    ]);
    let status =
        object(&[("conditions", json!({"type": "array", "items": condition})), ("phase", text())]);
    let namespace = object(&[
        ("metadata", metadata),
        ("spec", object(&[("finalizers", texts())])),
        ("status", status),
    ]);
    Schema::from_openapi(&namespace, "kubernetes.Namespace", false).map(Arc::new)
});

static REQUEST: LazyLock<Option<Arc<Schema>>> = LazyLock::new(|| {
    Schema::from_openapi(&request(), "kubernetes.AdmissionRequest", false).map(Arc::new)
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
pub fn environment(params: bool) -> Env {
    typed_environment(params, &Types::default())
}

/// The same with types, to find expressions that cannot be right for any object of a kind.
pub fn typed_environment(params: bool, types: &Types) -> Env {
    let declare = |env: Env, name: &str, schema: &Option<Arc<Schema>>| match schema {
        Some(schema) => env.variable(name, schema.ty()),
        None => env.variable(name, Type::Dyn),
    };
    let mut env = Env::new()
        .variable("authorizer", AUTHORIZER)
        .variable("authorizer.requestResource", RESOURCE_CHECK);
    for name in ["object", "oldObject"] {
        env = declare(env, name, &types.object);
    }
    env = declare(env, "namespaceObject", &NAMESPACE);
    env = declare(env, "request", &REQUEST);
    match params {
        true => declare(env, "params", &types.params),
        false => env,
    }
}

/// Compiles the variables of a policy (objects with `name` and `expression`), each of which sees
/// those before it, and returns what sees all of them.
pub fn with_variables<'a>(
    env: &Env,
    variables: impl Iterator<Item = &'a Value>,
) -> (Env, Vec<(String, Compiled)>) {
    let mut known = Arc::new(ObjectType::new("kubernetes.variables", []));
    let mut compiled = Vec::new();
    let with =
        |known: &Arc<ObjectType>| env.clone().variable("variables", Type::Object(known.clone()));
    for variable in variables {
        let text = |field: &str| variable[field].as_str().unwrap_or_default();
        let name = text("name").to_owned();
        let program = with(&known).compile(text("expression"));
        let kind = match &program {
            Ok(program) => Kind::Value(program.result_type().clone()),
            Err(_) => Kind::Dyn,
        };
        let schema = Arc::new(Schema::new(kind));
        let field = Field { name: name.clone(), schema, required: true };
        // Only a variable that is all variables keeps the type as it was.
        let fields = &mut Arc::make_mut(&mut known).fields;
        fields.extend(escape(&name).map(|escaped| (escaped, field)));
        compiled.push((name, program));
    }
    (with(&known), compiled)
}
