//! Policies with their bindings, compiled once for each change of them.

use std::sync::Arc;

use apimachinery::{Object, ObjectExt};
use arc_swap::ArcSwapOption;
use cel::{Env, Program};
use serde_json::Value;

use crate::admission::expressions::Conditions;
use crate::admission::matching::Selection;
use crate::registry;
use crate::registry::admissionregistration::{Compiled, environment, with_variables};
use crate::server::Server;

const GROUP: &str = "admissionregistration.k8s.io";

/// One validation of a policy.
pub(super) struct Validation {
    pub(super) expression: String,
    pub(super) program: Compiled,
    pub(super) message: String,
    pub(super) message_expression: Option<Program>,
    pub(super) reason: Option<&'static str>,
}

/// A policy.
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) selection: Selection,
    pub(super) conditions: Conditions,
    pub(super) variables: Vec<(String, Compiled)>,
    pub(super) validations: Vec<Validation>,
    pub(super) ignores_failures: bool,
    /// `apiVersion` and `kind` of its parameters.
    pub(super) param_kind: Option<(String, String)>,
    pub(super) bindings: Vec<Binding>,
}

/// A binding of a policy.
pub(super) struct Binding {
    pub(super) name: String,
    policy: String,
    pub(super) selection: Selection,
    pub(super) param_ref: Option<Value>,
    pub(super) denies: bool,
    pub(super) warns: bool,
    pub(super) audits: bool,
}

type Known = ([u64; 2], Vec<Policy>);

/// All policies.
#[derive(Default)]
pub(crate) struct Policies(ArcSwapOption<Known>);

impl Policies {
    /// The policies that have bindings.
    pub(super) fn all(&self, server: &Server) -> Arc<Known> {
        let snapshot = |resource| {
            let kind = registry::find(GROUP, "v1", resource)?;
            Some(server.collection(kind).ok()?.snapshot())
        };
        let (Some(policies), Some(bindings)) = (
            snapshot("validatingadmissionpolicies"),
            snapshot("validatingadmissionpolicybindings"),
        ) else {
            return Arc::default();
        };
        let of = [policies.revision, bindings.revision];
        if let Some(known) = &*self.0.load()
            && known.0 == of
        {
            return known.clone();
        }
        let mut bindings: Vec<Binding> =
            bindings.range("", "").map(|entry| Binding::read(&entry.object())).collect();
        let mut all = Vec::new();
        for entry in policies.range("", "") {
            let (own, others) = bindings.into_iter().partition(|b| b.policy == entry.name());
            bindings = others;
            if !own.is_empty() {
                all.push(Policy::read(&entry.object(), own));
            }
        }
        let known = Arc::new((of, all));
        self.0.store(Some(known.clone()));
        known
    }
}

impl Policy {
    fn read(object: &Object, bindings: Vec<Binding>) -> Self {
        let spec = &object["spec"];
        let list = |field: &str| spec[field].as_array().into_iter().flatten();
        let param_kind = spec.get("paramKind").filter(|kind| kind.is_object());
        let env = environment(param_kind.is_some());
        let conditions = Conditions::compile(&spec["matchConditions"], &env);
        let (env, variables) = with_variables(&env, list("variables"));
        Self {
            name: object.name().to_owned(),
            selection: Selection::of_policy(&spec["matchConstraints"], false),
            variables,
            validations: list("validations").map(|v| Validation::read(v, &env)).collect(),
            conditions,
            ignores_failures: spec["failurePolicy"] == "Ignore",
            param_kind: param_kind.map(|kind| {
                (kind.str_at(&["apiVersion"]).to_owned(), kind.str_at(&["kind"]).to_owned())
            }),
            bindings,
        }
    }
}

impl Validation {
    fn read(validation: &Value, env: &Env) -> Self {
        let text = |field: &str| validation.str_at(&[field]).to_owned();
        let message = text("messageExpression");
        Self {
            program: env.compile(&text("expression")),
            expression: text("expression"),
            message: text("message"),
            message_expression: (!message.is_empty()).then(|| env.compile(&message).ok()).flatten(),
            reason: match validation.str_at(&["reason"]) {
                "Forbidden" => Some("Forbidden"),
                "Unauthorized" => Some("Unauthorized"),
                "RequestEntityTooLarge" => Some("RequestEntityTooLarge"),
                _ => None,
            },
        }
    }
}

impl Binding {
    fn read(object: &Object) -> Self {
        let spec = &object["spec"];
        let acts = |action: &str| {
            let mut actions = spec["validationActions"].as_array().into_iter().flatten();
            actions.any(|own| own == action)
        };
        Self {
            name: object.name().to_owned(),
            policy: spec.str_at(&["policyName"]).to_owned(),
            selection: Selection::of_policy(&spec["matchResources"], true),
            param_ref: spec.get("paramRef").filter(|param| param.is_object()).cloned(),
            denies: acts("Deny"),
            warns: acts("Warn"),
            audits: acts("Audit"),
        }
    }
}
