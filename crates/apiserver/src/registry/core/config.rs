//! ConfigMap, Secret, ServiceAccount, ResourceQuota, ComponentStatus.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, names};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::registry::column::{AGE, Column, NAME, join};
use crate::registry::strategy::{Context, Strategy, set_default};

/// Largest sum of values in a ConfigMap or Secret, in bytes.
const MAX_DATA: usize = 1 << 20;

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

pub(super) const SERVICE_ACCOUNT_COLUMNS: &[Column] = &[
    NAME,
    Column {
        of: "integer",
        ..Column::make("Secrets", |o| o["secrets"].as_array().map_or(0, Vec::len).into())
    },
    AGE,
];

/// `used/hard` pairs of the resources whose name does, or does not, begin with `limits.`.
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

/// Checks the keys of `object[field]` and returns the bytes of its values.
fn check_keys(errors: &mut ErrorList, object: &Value, field: &str, encoded: bool) -> usize {
    let mut bytes = 0;
    for (key, value) in object[field].as_object().into_iter().flatten() {
        errors.invalid_all(&Path::new(field).key(key), key, names::config_map_key(key));
        let text = value.as_str().unwrap_or_default();
        bytes += if encoded {
            STANDARD.decode(text).map_or(text.len(), |d| d.len())
        } else {
            text.len()
        };
    }
    bytes
}

/// A set immutable field may not be unset, and freezes the data.
fn check_immutable(errors: &mut ErrorList, object: &Object, old: &Object, fields: &[&str]) {
    if old["immutable"] != true {
        return;
    }
    if object["immutable"] != true {
        errors.0.push(FieldError::forbidden(
            &Path::new("immutable"),
            "field is immutable when `immutable` is set",
        ));
    }
    for field in fields {
        if object.get(*field) != old.get(*field) {
            errors.0.push(FieldError::forbidden(
                &Path::new(field),
                "field is immutable when `immutable` is set",
            ));
        }
    }
}

pub(super) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let total = check_keys(&mut errors, object, "data", false)
            + check_keys(&mut errors, object, "binaryData", true);
        for key in object["data"].as_object().into_iter().flatten().map(|(k, _)| k) {
            if object["binaryData"].get(key).is_some() {
                let path = Path::new("data").key(key);
                errors.0.push(FieldError::invalid(
                    &path,
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
        }
        if total > MAX_DATA {
            errors.0.push(FieldError::too_long(&Path::new(""), MAX_DATA));
        }
        errors
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        check_immutable(&mut errors, object, old, &["data", "binaryData"]);
        errors
    }
}

pub(super) struct Secret;

/// Keys that a secret type demands.
fn required_keys(of: &str) -> &'static [&'static str] {
    match of {
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        _ => &[],
    }
}

impl Strategy for Secret {
    fn default(&self, object: &mut Object) {
        set_default(object, "type", "Opaque");
        // stringData is write-only: it becomes data.
        let Some(Value::Object(plain)) =
            object.as_object_mut().and_then(|o| o.remove("stringData"))
        else {
            return;
        };
        for (key, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            object.set_path(&["data", &key], encoded.into());
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let total = check_keys(&mut errors, object, "data", true);
        if total > MAX_DATA {
            errors.0.push(FieldError::too_long(&Path::new("data"), MAX_DATA));
        }
        let of = object.str_at(&["type"]);
        for key in required_keys(of) {
            if object["data"].get(*key).is_none() {
                errors.0.push(FieldError::required(&Path::new("data").key(key), ""));
            }
        }
        if of == "kubernetes.io/service-account-token"
            && object
                .annotation("kubernetes.io/service-account.name")
                .unwrap_or_default()
                .is_empty()
        {
            let path = Path::new("metadata")
                .child("annotations")
                .key("kubernetes.io/service-account.name");
            errors.0.push(FieldError::required(&path, ""));
        }
        if of == "kubernetes.io/basic-auth"
            && object["data"].get("username").is_none()
            && object["data"].get("password").is_none()
        {
            errors.0.push(FieldError::required(&Path::new("data").key("username"), ""));
            errors.0.push(FieldError::required(&Path::new("data").key("password"), ""));
        }
        errors
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        if object["type"] != old["type"] {
            errors.0.push(FieldError::invalid(
                &Path::new("type"),
                object["type"].clone(),
                "field is immutable",
            ));
        }
        check_immutable(&mut errors, object, old, &["data"]);
        errors
    }
}
