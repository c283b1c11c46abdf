//! The admissionregistration.k8s.io group.

mod expressions;
mod policies;
mod rules;
mod webhooks;

use apimachinery::ObjectExt;
use serde_json::Value;

pub(crate) use expressions::{Compiled, environment, with_variables};
pub(super) use rules::check_client_config;

use super::Sub;
use super::column::{AGE, Column, NAME};
use super::kind::Kind;

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("admissionregistration.k8s.io", "v1", kind, resource, singular).generation()
}

fn count(object: &Value, path: &[&str]) -> Value {
    object.get_path(path).and_then(Value::as_array).map_or(0, Vec::len).into()
}

const WEBHOOKS: &[Column] =
    &[NAME, Column { of: "integer", ..Column::make("Webhooks", |o| count(o, &["webhooks"])) }, AGE];

pub(super) static KINDS: &[Kind] = &[
    row(
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
    )
    .rechecks(1, 0)
    .any_finalizer()
    .categories(&["api-extensions"])
    .strategy(&webhooks::Webhooks { mutating: true })
    .columns(WEBHOOKS),
    row("ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicy")
        .rechecks(1, 0)
        .any_finalizer()
        .categories(&["api-extensions"])
        .subs(&[Sub::Status])
        .strategy(&policies::Policy)
        .columns(&[
            NAME,
            Column {
                of: "integer",
                ..Column::make("Validations", |o| count(o, &["spec", "validations"]))
            },
            Column::make("ParamKind", |o| match o.get_path(&["spec", "paramKind"]) {
                Some(p) => format!("{}/{}", p.str_at(&["apiVersion"]), p.str_at(&["kind"])).into(),
                None => "<unset>".into(),
            }),
            AGE,
        ]),
    row(
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
    )
    .rechecks(1, 0)
    .any_finalizer()
    .categories(&["api-extensions"])
    .strategy(&policies::Binding)
    .columns(&[
        NAME,
        Column::text_or("PolicyName", &["spec", "policyName"], ""),
        Column::make("ParamRef", |o| match o.get_path(&["spec", "paramRef"]) {
            Some(p) if p.str_at(&["namespace"]).is_empty() => p.str_at(&["name"]).into(),
            Some(p) => format!("{}/{}", p.str_at(&["namespace"]), p.str_at(&["name"])).into(),
            None => "<unset>".into(),
        }),
        AGE,
    ]),
    row(
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
    )
    .rechecks(1, 0)
    .any_finalizer()
    .categories(&["api-extensions"])
    .strategy(&webhooks::Webhooks { mutating: false })
    .columns(WEBHOOKS),
];
