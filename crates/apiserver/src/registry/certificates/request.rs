//! CertificateSigningRequest.

use std::collections::HashSet;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::registry::Sub;
use crate::registry::check::{Field, check, check_signer_name};
use crate::registry::strategy::{Context, Strategy, clear_status, items_mut};

/// The cell of the column `Condition`.
pub(super) fn condition(object: &Value) -> Value {
    let conditions = object.get_path(&["status", "conditions"]).and_then(Value::as_array);
    let has = |of: &str| conditions.into_iter().flatten().any(|c| c["type"] == of);
    let mut text = if has("Denied") {
        "Denied".to_owned()
    } else if has("Approved") {
        "Approved".to_owned()
    } else {
        "Pending".to_owned()
    };
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !object.str_at(&["status", "certificate"]).is_empty() {
        text.push_str(",Issued");
    }
    text.into()
}

pub(super) struct Request;

const SIGNER_UNKNOWN: &str = "kubernetes.io/legacy-unknown";
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// Minimum requested lifetime, in seconds.
const MIN_SECONDS: i64 = 600;

impl Strategy for Request {
    /// The requester is taken from the authenticated request, never from the object.
    fn prepare_for_create(&self, ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        let user = ctx.user;
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            for (field, value) in [
                ("username", json!(user.name)),
                ("uid", json!(user.uid)),
                ("groups", json!(user.groups)),
                ("extra", json!(user.extra)),
            ] {
                let empty = value.as_str().is_some_and(str::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty);
                if empty {
                    spec.remove(field);
                } else {
                    spec.insert(field.to_owned(), value);
                }
            }
        }
        ErrorList::new()
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_request(object, None))
    }

    fn validate_change(&self, sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            check_request(object, Some(old));
            check_change(object, old, sub);
        })
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        self.validate_change(Some(Sub::Status), object, old)
    }

    fn prepare_for_status(&self, object: &mut Object, old: &Object) {
        if let Some(status) = object.get_mut("status") {
            date_conditions(status, &old["status"]);
        }
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        match sub {
            None => &["spec", "status"],
            Some(_) => &["spec"],
        }
    }

    fn kept_on_update(&self) -> &'static [&'static [&'static str]] {
        // The request is immutable; only its metadata may change.
        &[&["spec"]]
    }
}

fn of_type<'a>(object: &'a Value, of: &str) -> Vec<&'a Value> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(|condition| condition["type"] == of).collect()
}

/// Sets the transition times of conditions.
fn date_conditions(status: &mut Value, old: &Value) {
    let now = Value::from(time::now_rfc3339());
    for condition in items_mut(status, "conditions").filter(|condition| condition.is_object()) {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.clone();
        }
        if condition["lastTransitionTime"].is_null() {
            let mut before = old["conditions"].as_array().into_iter().flatten();
            let same = before.find(|was| {
                was["type"] == condition["type"]
                    && was["status"] == condition["status"]
                    && !was["lastTransitionTime"].is_null()
            });
            let since = same.map_or_else(|| now.clone(), |was| was["lastTransitionTime"].clone());
            condition["lastTransitionTime"] = since;
        }
    }
}

fn check_request(object: &Field<'_>, old: Option<&Object>) {
    let spec = object.at("spec");
    if let Err(why) = pki::Request::from_pem(&pem_text(spec.str("request"))) {
        spec.at("request").invalid_value(spec.get("request").clone(), why.to_string());
    }
    spec.needs("usages");
    // Values that were accepted before are kept.
    let was = |field: &str| old.is_some_and(|old| &old["spec"][field] == spec.get(field));
    if !was("usages") {
        let mut seen = HashSet::new();
        for usage in spec.items("usages").filter(|usage| !USAGES.contains(&usage.text())) {
            usage.not_supported(USAGES);
        }
        for usage in spec.items("usages").filter(|usage| !seen.insert(usage.text())) {
            usage.duplicate();
        }
    }
    let signer = spec.at("signerName");
    if signer.text() == SIGNER_UNKNOWN && !was("signerName") {
        signer.invalid("the legacy signerName is not allowed via this API version");
    } else {
        check_signer_name(&signer);
    }
    if spec.int("expirationSeconds").is_some_and(|seconds| seconds < MIN_SECONDS) {
        spec.at("expirationSeconds")
            .invalid("may not specify a duration less than 600 seconds (10 minutes)");
    }
    check_conditions(&object.at("status"));
    let certificate = object.at("status").at("certificate");
    let same = old.is_some_and(|old| &old["status"]["certificate"] == certificate.value());
    if !same
        && !certificate.text().is_empty()
        && let Err(why) = pki::pem::check_certificates(&pem_text(certificate.text()))
    {
        certificate.invalid_value("<certificate data>", why.to_string());
    }
}

fn check_conditions(status: &Field<'_>) {
    let (mut seen, mut decided) = (HashSet::new(), HashSet::new());
    for condition in status.items("conditions") {
        condition.needs("type");
        let of = condition.str("type");
        let only_true = matches!(of, "Approved" | "Denied" | "Failed");
        let allowed: &[&str] = if only_true { &["True"] } else { &["False", "True", "Unknown"] };
        condition.needs_one_of("status", allowed);
        if matches!(of, "Approved" | "Denied") {
            decided.insert(of);
            if decided.len() > 1 {
                status
                    .at("conditions")
                    .invalid_value(of, "Approved and Denied conditions are mutually exclusive");
            }
        }
        if !seen.insert(of) {
            condition.at("type").duplicate();
        }
    }
}

fn check_change(object: &Field<'_>, old: &Object, sub: Option<Sub>) {
    let status = object.at("status");
    let conditions = status.at("conditions");
    for of in ["Approved", "Denied", "Failed"] {
        if of_type(object.value(), of).len() < of_type(old, of).len() {
            conditions.forbidden(format!("updates may not remove a condition of type \"{of}\""));
        }
    }
    if sub != Some(Sub::Approval) {
        for of in ["Approved", "Denied"] {
            let (now, was) = (of_type(object.value(), of), of_type(old, of));
            if now.len() > was.len() {
                conditions.forbidden(format!("updates may not add a condition of type \"{of}\""));
            } else if now.len() == was.len() && now != was {
                conditions
                    .forbidden(format!("updates may not modify a condition of type \"{of}\""));
            }
        }
    }
    let before = old.str_at(&["status", "certificate"]);
    if status.str("certificate") != before {
        let certificate = status.at("certificate");
        if sub != Some(Sub::Status) {
            certificate.forbidden("updates may not set certificate content");
        } else if !before.is_empty() {
            certificate.forbidden("updates may not modify existing certificate content");
        }
    }
}

/// Decodes PEM text from base64.
fn pem_text(base64: &str) -> String {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
