//! From a schema to its rules.

use std::sync::Arc;

use cel::{Env, Schema, Type};
use serde_json::Value;

use super::{Place, Rule, Rules};

/// Deeper schemas have no rules.
const MAX_DEPTH: usize = 128;
const RULES: &str = "x-kubernetes-validations";

impl Rules {
    /// Compiles the rules of a version's schema.
    pub(in crate::registry::custom) fn compile(schema: &Value) -> Self {
        of(schema, true, MAX_DEPTH).unwrap_or_default()
    }
}

/// The rules of a schema; `None` where there are none.
fn of(schema: &Value, root: bool, depth: usize) -> Option<Rules> {
    let depth = depth.checked_sub(1)?;
    let below = |schema: &Value| of(schema, false, depth);
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties: Vec<(String, Rules)> = properties
        .into_iter()
        .flatten()
        .filter_map(|(name, schema)| Some((name.clone(), below(schema)?)))
        .collect();
    let values = schema.get("additionalProperties").and_then(below).map(Box::new);
    let items = schema.get("items").and_then(below).map(Box::new);
    let declared = schema.get(RULES).and_then(Value::as_array).map(Vec::as_slice);
    let declared = declared.unwrap_or_default();
    if declared.is_empty() && properties.is_empty() && values.is_none() && items.is_none() {
        return None;
    }
    let shape = shape(schema, root);
    let rules = match &shape {
        Some(shape) => declared.iter().map(|rule| compile(rule, schema, shape)).collect(),
        None => Vec::new(),
    };
    let keys = (schema["x-kubernetes-list-type"] == "map").then(|| {
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        keys.filter_map(Value::as_str).map(str::to_owned).collect()
    });
    let of = schema["type"].as_str().unwrap_or_default().to_owned();
    Some(Rules { of, shape, rules, properties, values, items, keys })
}

fn compile(declared: &Value, schema: &Value, shape: &Arc<Schema>) -> Rule {
    let text = |field: &str| declared[field].as_str().unwrap_or_default().to_owned();
    let optional_old = declared["optionalOldSelf"] == true;
    let env = environment(shape, optional_old);
    let program = env.compile(&text("rule"));
    let uses_old = program
        .as_ref()
        .is_ok_and(|program| program.variables().iter().any(|name| name == "oldSelf"));
    let message = text("messageExpression");
    Rule {
        rule: text("rule"),
        message: text("message"),
        reason: text("reason"),
        place: Place::read(schema, &text("fieldPath")).unwrap_or_default(),
        program,
        message_expression: (!message.is_empty()).then(|| env.compile(&message).ok()).flatten(),
        uses_old,
        optional_old,
    }
}

/// The type of the values of a schema.
pub(in crate::registry) fn shape(schema: &Value, root: bool) -> Option<Arc<Schema>> {
    Schema::from_openapi(schema, "selfType", root).map(Arc::new)
}

/// The variables that a rule of a schema sees.
pub(in crate::registry) fn environment(shape: &Arc<Schema>, optional_old: bool) -> Env {
    let env = Env::new().declare("self", shape.clone());
    match optional_old {
        true => env.variable("oldSelf", Type::optional(shape.ty())),
        false => env.declare("oldSelf", shape.clone()),
    }
}
