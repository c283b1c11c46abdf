//! The admissionregistration.k8s.io group.

mod expressions;
mod mutating;
mod policies;
mod rules;
mod webhooks;

use apimachinery::ObjectExt;
use serde_json::Value;

pub(super) use rules::check_client_config;
pub(crate) use rules::is_unseen;

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

const PARAM_KIND: Column =
    Column::make("ParamKind", |o| match o.get_path(&["spec", "paramKind"]) {
        Some(p) => format!("{}/{}", p.str_at(&["apiVersion"]), p.str_at(&["kind"])).into(),
        None => "<unset>".into(),
    });

/// A label selector as Go prints it.
fn go_selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels: String =
        labels.map(|(k, v)| format!("{k}: {},", v.as_str().unwrap_or_default())).collect();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let expressions: String = expressions
        .map(|e| {
            let values: Vec<&str> =
                e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
                e.str_at(&["key"]),
                e.str_at(&["operator"]),
                values.join(" ")
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

const BINDING: &[Column] = &[
    NAME,
    Column::text_or("PolicyName", &["spec", "policyName"], ""),
    Column::make("ParamRef", |o| match o.get_path(&["spec", "paramRef"]) {
        Some(p) if p.str_at(&["name"]).is_empty() => go_selector(&p["selector"]).into(),
        // Without a namespace, the scope of the parameters is unknown here.
        Some(p) => match p.str_at(&["namespace"]) {
            "" => format!("*/{}", p.str_at(&["name"])).into(),
            namespace => format!("{namespace}/{}", p.str_at(&["name"])).into(),
        },
        None => "<unset>".into(),
    }),
    AGE,
];

pub(super) static KINDS: &[Kind] = &[
    row("MutatingAdmissionPolicy", "mutatingadmissionpolicies", "mutatingadmissionpolicy")
        .rechecks(1, 0)
        .any_finalizer()
        .categories(&["api-extensions"])
        .strategy(&mutating::Policy)
        .columns(&[
            NAME,
            Column {
                of: "integer",
                ..Column::make("Mutations", |o| count(o, &["spec", "mutations"]))
            },
            PARAM_KIND,
            AGE,
        ]),
    row(
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        "mutatingadmissionpolicybinding",
    )
    .rechecks(1, 0)
    .any_finalizer()
    .categories(&["api-extensions"])
    .strategy(&policies::Binding { own: mutating::check_binding })
    .columns(BINDING),
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
            PARAM_KIND,
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
    .strategy(&policies::Binding { own: policies::check_actions })
    .columns(BINDING),
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
