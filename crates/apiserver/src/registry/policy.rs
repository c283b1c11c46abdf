//! The policy group.

use super::Sub;
use super::column::{AGE, Column, NAME};
use super::kind::Kind;
use apimachinery::ObjectExt;
use serde_json::Value;

fn amount(object: &Value, field: &str) -> Value {
    match object.get_path(&["spec", field]) {
        Some(Value::String(s)) => s.clone().into(),
        Some(n @ Value::Number(_)) => n.to_string().into(),
        _ => "N/A".into(),
    }
}

pub(super) static KINDS: &[Kind] = &[Kind::new(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
)
.namespaced()
.short(&["pdb"])
.subs(&[Sub::Status])
.generation()
.columns(&[
    NAME,
    Column::make("Min Available", |o| amount(o, "minAvailable")),
    Column::make("Max Unavailable", |o| amount(o, "maxUnavailable")),
    Column::number("Allowed Disruptions", &["status", "disruptionsAllowed"]),
    AGE,
])];
