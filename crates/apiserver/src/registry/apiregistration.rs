//! The apiregistration.k8s.io group: registrations are stored; aggregation comes later.

use apimachinery::ObjectExt;
use serde_json::Value;

use super::Sub;
use super::column::{AGE, Column, NAME};
use super::kind::Kind;

fn available(object: &Value) -> Value {
    let conditions = object.get_path(&["status", "conditions"]).and_then(Value::as_array);
    match conditions.into_iter().flatten().find(|c| c["type"] == "Available") {
        Some(c) if c["status"] == "True" => "True".into(),
        Some(c) => format!("{} ({})", c.str_at(&["status"]), c.str_at(&["reason"])).into(),
        None => "Unknown".into(),
    }
}

pub(super) static KINDS: &[Kind] =
    &[Kind::new("apiregistration.k8s.io", "v1", "APIService", "apiservices", "apiservice")
        .categories(&["api-extensions"])
        .subs(&[Sub::Status])
        .columns(&[
            NAME,
            Column::make("Service", |o| match o.get_path(&["spec", "service"]) {
                Some(s) if s.is_object() => {
                    format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])).into()
                }
                _ => "Local".into(),
            }),
            Column::make("Available", available),
            AGE,
        ])];
