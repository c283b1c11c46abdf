//! ConfigMap, Secret and ServiceAccount.

use apimachinery::Object;
use apimachinery::ObjectExt;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::names;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::registry::check::{Field, check};
use crate::registry::strategy::{Strategy, items_mut, set_default};

/// Maximum total size of the values of a ConfigMap or Secret, in bytes.
const MAX_DATA: usize = 1 << 20;
const FROZEN: &str = "field is immutable when `immutable` is set";

/// Checks the keys of a map and returns the size of its values.
fn check_keys(object: &Field<'_>, field: &str, encoded: bool) -> usize {
    let mut bytes = 0;
    for (key, entry) in object.entries(field) {
        for message in names::config_map_key(key) {
            entry.invalid_value(key, message);
        }
        if field == "data" && object.get("binaryData").get(key).is_some() {
            entry.invalid_value(key, "duplicate of key present in binaryData");
        }
        let text = entry.text();
        let decoded = encoded.then(|| STANDARD.decode(text).ok()).flatten();
        bytes += decoded.map_or(text.len(), |d| d.len());
    }
    bytes
}

/// Once set, `immutable` may not be unset, and freezes the data.
fn check_frozen(object: &Field<'_>, old: &Object, fields: &[&str]) {
    if old["immutable"] != true {
        return;
    }
    if !object.flag("immutable") {
        object.at("immutable").forbidden(FROZEN);
    }
    let data = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for field in fields.iter().filter(|f| data(object.get(f)) != data(&old[**f])) {
        object.at(field).forbidden(FROZEN);
    }
}

pub(super) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let total = check_keys(object, "data", false) + check_keys(object, "binaryData", true);
            if total > MAX_DATA {
                object.push(FieldError::too_long(&Path::new("[]"), MAX_DATA));
            }
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_frozen(object, old, &["data", "binaryData"]))
    }
}

pub(super) struct Secret;

impl Strategy for Secret {
    fn default(&self, object: &mut Object) {
        set_default(object, "type", "Opaque");
        // stringData is write-only: it is merged into data.
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
        check(object, |object| {
            if check_keys(object, "data", true) > MAX_DATA {
                object.at("data").too_long(MAX_DATA);
            }
            check_type(object);
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            object.immutable("type", old);
            check_frozen(object, old, &["data"]);
        })
    }
}

pub(super) struct ServiceAccount;

impl Strategy for ServiceAccount {
    /// References to secrets keep only the name.
    fn prepare(&self, object: &mut Object) {
        for secret in items_mut(object, "secrets") {
            *secret = match secret.str_at(&["name"]) {
                "" => json!({}),
                name => json!({ "name": name }),
            };
        }
    }
}

/// Checks the keys that each type of secret requires.
fn check_type(secret: &Field<'_>) {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let data = secret.at("data");
    let needs = |key: &str| {
        if data.get(key).is_null() {
            data.key(key).required("");
        }
    };
    match secret.str("type") {
        "kubernetes.io/service-account-token" => {
            let annotations = secret.at("metadata").at("annotations");
            if annotations.str(ACCOUNT).is_empty() {
                annotations.key(ACCOUNT).required("");
            }
        }
        "kubernetes.io/dockercfg" => check_json(&data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => check_json(&data, ".dockerconfigjson"),
        "kubernetes.io/basic-auth"
            if data.get("username").is_null() && data.get("password").is_null() =>
        {
            needs("username");
            needs("password");
        }
        "kubernetes.io/ssh-auth" if data.str("ssh-privatekey").is_empty() => {
            data.key("ssh-privatekey").required("");
        }
        "kubernetes.io/tls" => {
            needs("tls.crt");
            needs("tls.key");
        }
        _ => {}
    }
}

fn check_json(data: &Field<'_>, key: &str) {
    let at = data.key(key);
    if at.value().is_null() {
        return at.required("");
    }
    let bytes = STANDARD.decode(at.text()).unwrap_or_default();
    let wrong = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(_) => "json: cannot unmarshal value into Go value of type map[string]interface {}",
        Err(e) if e.is_eof() => "unexpected end of JSON input",
        Err(_) => "invalid character looking for beginning of value",
    };
    at.invalid_value("<secret contents redacted>", wrong);
}
