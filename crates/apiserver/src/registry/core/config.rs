//! Columns of ConfigMap, Secret, ServiceAccount, ResourceQuota, ComponentStatus.

use apimachinery::ObjectExt;
use serde_json::Value;

use crate::registry::column::{AGE, Column, NAME, join};

fn len(object: &Value, field: &str) -> usize {
    object[field].as_object().map_or(0, serde_json::Map::len)
}

pub(super) const CONFIG_MAP_DATA: Column = Column {
    of: "integer",
    ..Column::make("Data", |o| (len(o, "data") + len(o, "binaryData")).into())
};

pub(super) const SECRET_COLUMNS: &[Column] = &[
    NAME,
    Column::text_or("Type", &["type"], ""),
    Column { of: "integer", ..Column::make("Data", |o| len(o, "data").into()) },
    AGE,
];

pub(super) const SERVICE_ACCOUNT_COLUMNS: &[Column] = &[NAME, AGE];

/// `used/hard` pairs of the resources with or without the prefix `limits.`.
fn quota(object: &Value, limits: bool) -> Value {
    let hard = object.get_path(&["status", "hard"]).and_then(Value::as_object);
    join(hard.into_iter().flatten().filter(|(name, _)| name.starts_with("limits.") == limits).map(
        |(name, hard)| {
            let used = object.str_at(&["status", "used", name]);
            format!(
                " {name}: {}/{}",
                if used.is_empty() { "0" } else { used },
                hard.as_str().unwrap_or("0")
            )
        },
    ))
    .as_str()
    .map_or(Value::Null, |text| if text == "<none>" { "".into() } else { text.trim_start().into() })
}

pub(super) const QUOTA_COLUMNS: &[Column] = &[
    NAME,
    Column::make("Request", |o| quota(o, false)),
    Column::make("Limit", |o| quota(o, true)),
    AGE,
];

fn component(object: &Value, field: &str) -> Value {
    let conditions = object["conditions"].as_array();
    let healthy = conditions.into_iter().flatten().find(|c| c["type"] == "Healthy");
    healthy.map_or("".into(), |c| c[field].as_str().unwrap_or_default().into())
}

pub(super) fn component_health(object: &Value) -> Value {
    match component(object, "status").as_str() {
        Some("True") => "Healthy".into(),
        Some("False") => "Unhealthy".into(),
        _ => "Unknown".into(),
    }
}

pub(super) fn component_message(object: &Value) -> Value {
    component(object, "message")
}

pub(super) fn component_error(object: &Value) -> Value {
    component(object, "error")
}
