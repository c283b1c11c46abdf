//! The certificates.k8s.io group.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::Sub;
use super::column::{AGE, Column, NAME, human_duration};
use super::kind::{Kind, Selectable};
use super::strategy::{Context, Strategy};

pub(super) static KINDS: &[Kind] = &[Kind::new(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
)
.short(&["csr"])
.subs(&[Sub::Approval, Sub::Status])
.selectable(&[Selectable::new("spec.signerName", &["spec", "signerName"])])
.strategy(&Request)
.columns(&[
    NAME,
    AGE,
    Column::text("SignerName", &["spec", "signerName"]),
    Column::text_or("Requestor", &["spec", "username"], ""),
    Column::make("RequestedDuration", |o| match o["spec"]["expirationSeconds"].as_i64() {
        Some(seconds) => human_duration(seconds).into(),
        None => "<none>".into(),
    }),
    Column::make("Condition", condition),
])];

fn condition(object: &Value) -> Value {
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

struct Request;

impl Strategy for Request {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({});
        ErrorList::new()
    }

    fn kept_on_update(&self) -> &'static [&'static [&'static str]] {
        // The request is what was asked for; only its metadata may change.
        &[&["spec"]]
    }
}
