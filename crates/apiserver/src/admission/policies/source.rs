//! Policies with their bindings, compiled once for each change of them.

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::{Object, ObjectExt};
use cel::Env;
use cel::admission::{Compiled, environment, with_variables};
use serde_json::Value;

use crate::admission::derived::Derived;
use crate::admission::expressions::Conditions;
use crate::admission::matching::Selection;
use crate::server::Server;

/// The effect of policies of a kind on the requests that they are about.
pub(super) trait Action: Sized {
    /// The resource of the policies.
    const POLICIES: &'static str;
    /// The resource of their bindings.
    const BINDINGS: &'static str;

    /// Compiles the expressions of a policy, which see what `env` has.
    fn read(spec: &Value, env: &Env) -> Self;
}

/// A policy.
pub(super) struct Policy<A> {
    pub(super) name: String,
    pub(super) selection: Selection,
    pub(super) conditions: Conditions,
    pub(super) variables: Vec<(String, Compiled)>,
    pub(super) action: A,
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
    /// All of its actions.
    pub(super) actions: Value,
}

/// All policies of a kind.
pub(super) struct Source<A>(Derived<Vec<Policy<A>>, 2>);

impl<A> Default for Source<A> {
    fn default() -> Self {
        Self(Derived::default())
    }
}

impl<A: Action> Source<A> {
    /// The policies that have bindings.
    pub(super) fn all(&self, server: &Server) -> Arc<Vec<Policy<A>>> {
        self.0.get(server, [A::POLICIES, A::BINDINGS], |[policies, bindings]| {
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

impl<A: Action> Policy<A> {
    fn read(object: &Object, bindings: Vec<Binding>) -> Self {
        let spec = &object["spec"];
        let param_kind = spec.get("paramKind").filter(|kind| kind.is_object());
        let env = environment(param_kind.is_some());
        let conditions = Conditions::compile(&spec["matchConditions"], &env);
        let (env, variables) =
            with_variables(&env, spec["variables"].as_array().into_iter().flatten());
        Self {
            name: object.name().to_owned(),
            selection: Selection::of_policy(&spec["matchConstraints"], false),
            variables,
            action: A::read(spec, &env),
            conditions,
            ignores_failures: spec["failurePolicy"] == "Ignore",
            param_kind: param_kind.map(|kind| {
                (kind.str_at(&["apiVersion"]).to_owned(), kind.str_at(&["kind"]).to_owned())
            }),
            bindings,
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
            actions: spec["validationActions"].clone(),
        }
    }
}
