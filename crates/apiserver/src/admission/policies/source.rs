//! Policies with their bindings, compiled once for each change of them.

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::{Object, ObjectExt};
use cel::{Env, Program};
use serde_json::Value;

use crate::admission::derived::Derived;
use crate::admission::expressions::Conditions;
use crate::admission::matching::Selection;
use crate::registry::admissionregistration::{Compiled, environment, with_variables};
use crate::server::Server;

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
    pub(super) selection: Selection,
    pub(super) param_ref: Option<Value>,
    pub(super) denies: bool,
    pub(super) warns: bool,
    pub(super) audits: bool,
}

/// All policies.
#[derive(Default)]
pub(crate) struct Policies(Derived<Vec<Policy>, 2>);

impl Policies {
    /// The policies that have bindings.
    pub(super) fn all(&self, server: &Server) -> Arc<Vec<Policy>> {
        const OF: [&str; 2] = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
        self.0.get(server, OF, |[policies, bindings]| {
            let mut of_policy: HashMap<String, Vec<Binding>> = HashMap::new();
            for entry in bindings.range("", "") {
                let object = entry.object();
                let policy = object.str_at(&["spec", "policyName"]).to_owned();
                of_policy.entry(policy).or_default().push(Binding::read(&object));
            }
            let bound = policies.range("", "");
            let bound = bound.filter_map(|policy| Some((policy, of_policy.remove(policy.name())?)));
            bound.map(|(policy, own)| Policy::read(&policy.object(), own)).collect()
        })
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
            selection: Selection::of_policy(&spec["matchResources"], true),
            param_ref: spec.get("paramRef").filter(|param| param.is_object()).cloned(),
            denies: acts("Deny"),
            warns: acts("Warn"),
            audits: acts("Audit"),
        }
    }
}
