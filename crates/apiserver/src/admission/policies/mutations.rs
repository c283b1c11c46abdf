//! Evaluates the mutations of a policy on one object.

use apimachinery::apply::{Unmergeable, merge_unowned};
use apimachinery::patch::{Undone, carry_out};
use apimachinery::{Object, ObjectExt};
use cel::admission::Compiled;
use cel::value::{Fields, Map, Struct};
use cel::{Env, EvalError, Value as Cel};
use serde_json::{Value, json};

use super::source::{Action, Policy};
use super::variables::Variables;
use crate::admission::expressions::{Input, Scope, evaluate};
use crate::registry::Kind;

/// How the value of an expression changes the object.
#[derive(Clone, Copy)]
enum PatchType {
    /// A list of `JSONPatch` operations (RFC 6902).
    Json,
    /// An `Object`, merged as by server-side apply.
    ApplyConfiguration,
}

/// One mutation of a policy.
pub(super) struct Mutation {
    patch: PatchType,
    expression: String,
    program: Compiled,
}

/// The mutations of a policy.
pub(super) struct Mutations {
    pub(super) mutations: Vec<Mutation>,
    /// The policy sees the object again when others have changed it.
    pub(super) reinvoked: bool,
}

impl Action for Mutations {
    const POLICIES: &'static str = "mutatingadmissionpolicies";
    const BINDINGS: &'static str = "mutatingadmissionpolicybindings";

    fn read(spec: &Value, env: &Env) -> Self {
        let env = env.clone().open_objects();
        let mutations = spec["mutations"].as_array().into_iter().flatten();
        let mutations = mutations.map(|mutation| {
            let (patch, field) = match mutation.str_at(&["patchType"]) {
                "JSONPatch" => (PatchType::Json, "jsonPatch"),
                _ => (PatchType::ApplyConfiguration, "applyConfiguration"),
            };
            let expression = mutation.str_at(&[field, "expression"]).to_owned();
            Mutation { patch, program: env.compile(&expression), expression }
        });
        Self { mutations: mutations.collect(), reinvoked: spec["reinvocationPolicy"] == "IfNeeded" }
    }
}

/// The reason why an object could not be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Compilation(String),
    #[error("expression '{expression}' resulted in error: {why}")]
    Evaluation { expression: String, why: EvalError },
    #[error("type mismatch: {0}")]
    TypeNames(EvalError),
    #[error("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {0}")]
    NoJson(EvalError),
    #[error("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")]
    NoPatch,
    #[error("unsupported return type from ApplyConfiguration expression: {0}")]
    NoConfiguration(String),
    #[error("JSON Patch: {0}")]
    Patch(Undone),
    #[error("error applying patch: {0}")]
    Merge(#[from] Unmergeable),
    #[error("the kind {0} has no schema")]
    NoSchema(&'static str),
}

impl Mutation {
    /// Returns true if the schema of the object must know every field of the result.
    pub(super) fn is_strict(&self) -> bool {
        matches!(self.patch, PatchType::Json)
    }

    /// The object as the mutation changes it; `None` if it stays as it is.
    pub(super) fn evaluate(
        &self,
        policy: &Policy<Mutations>,
        seen: &Kind,
        input: &Input,
        params: Option<&Value>,
    ) -> Result<Option<Object>, Failure> {
        let program = match &self.program {
            Ok(program) => program,
            Err(why) => return Err(Failure::Compilation(why.in_full())),
        };
        let variables = Variables::new(&policy.variables, input, params);
        let variables: &dyn Fields = &variables;
        let scope = Scope { input, params, variables: Some(variables) };
        let mut left = cel::TOTAL_LIMIT;
        let value = evaluate(program, &scope, &mut left)
            .map_err(|why| Failure::Evaluation { expression: self.expression.clone(), why })?;
        match self.patch {
            PatchType::Json => patched(input.object(), &operations(&value)?),
            PatchType::ApplyConfiguration => configured(seen, input.object(), &value).map(Some),
        }
    }
}

/// The object after a JSON patch; `None` if a test of the patch does not hold.
fn patched(object: &Object, patch: &Value) -> Result<Option<Object>, Failure> {
    let mut object = object.clone();
    match carry_out(&mut object, patch) {
        Ok(()) => Ok(Some(object)),
        Err(Undone::Test(_)) => Ok(None),
        Err(undone) => Err(Failure::Patch(undone)),
    }
}

/// A list of `JSONPatch` objects as a JSON patch.
fn operations(value: &Cel<'_>) -> Result<Value, Failure> {
    let Cel::List(list) = value else { return Err(Failure::NoPatch) };
    let mut operations = Vec::new();
    for at in 0..list.len() {
        let Some(Ok(Cel::Map(Map::Struct(operation)))) = list.get(at) else {
            return Err(Failure::NoPatch);
        };
        operations.push(json_operation(&operation)?);
    }
    Ok(Value::Array(operations))
}

fn json_operation(operation: &Struct<'_>) -> Result<Value, Failure> {
    if let Some(Cel::Map(Map::Struct(value))) = operation.fields.get("value") {
        value.check_type_names().map_err(Failure::TypeNames)?;
    }
    let mut json = json!({"op": "", "path": ""});
    for (name, value) in &operation.fields {
        let value = value.to_json().map_err(Failure::NoJson)?;
        // An empty `from` is none.
        if &**name != "from" || value != "" {
            json[&**name] = value;
        }
    }
    Ok(json)
}

/// The object with an `Object` merged into it.
fn configured(seen: &Kind, object: &Object, value: &Cel<'_>) -> Result<Object, Failure> {
    let Cel::Map(Map::Struct(made)) = value else {
        return Err(Failure::NoConfiguration(value.ty().to_string()));
    };
    made.check_type_names().map_err(Failure::TypeNames)?;
    let mut configuration = value.to_json().map_err(Failure::NoJson)?;
    configuration["apiVersion"] = object["apiVersion"].clone();
    configuration["kind"] = object["kind"].clone();
    let ty = seen.schema().ok_or(Failure::NoSchema(seen.kind))?;
    Ok(merge_unowned(ty, object, &configuration)?)
}
