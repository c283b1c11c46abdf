//! MutatingAdmissionPolicy and its binding.

use apimachinery::Object;
use apimachinery::field::ErrorList;
use cel::admission::{environment, with_variables};
use cel::schema::ObjectType;
use cel::{Env, Type};

use super::expressions::check_expression;
use super::policies::{check_param_kind, check_variable};
use super::rules::{
    FAILURE_POLICIES, check_match_conditions, check_match_resources, check_new_name,
    default_match_resources, warn_name,
};
use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{Strategy, ensure, set_default};

/// Operations whose objects a policy can change.
const OPERATIONS: &[&str] = &["CREATE", "UPDATE"];
const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const PATCH_TYPES: &[&str] = &["ApplyConfiguration", "JSONPatch"];

pub(super) struct Policy;

impl Strategy for Policy {
    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "failurePolicy", "Fail");
        default_match_resources(spec.get_mut("matchConstraints"));
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_policy(&object.at("spec"), true);
            check_new_name(object);
        })
    }

    fn warnings_on_update(&self, object: &Object, _old: &Object) -> Vec<String> {
        warn_name(object)
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let same = |field: &str| object["spec"][field] == old["spec"][field];
        let conditions = !(same("paramKind") && same("matchConditions"));
        check(object, |object| check_policy(&object.at("spec"), conditions))
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_policy(spec: &Field<'_>, conditions: bool) {
    match spec.opt("failurePolicy") {
        None => spec.at("failurePolicy").required(""),
        Some(_) => spec.one_of("failurePolicy", FAILURE_POLICIES),
    }
    if let Some(kind) = spec.opt("paramKind") {
        check_param_kind(&kind);
    }
    match spec.opt("matchConstraints") {
        None => spec.at("matchConstraints").required(""),
        Some(constraints) => {
            check_match_resources(&constraints);
            constraints.needs("resourceRules");
            check_operations(&constraints);
        }
    }
    if conditions {
        check_match_conditions(spec, spec.has("paramKind"));
    }
    let env = environment(spec.has("paramKind"));
    let (env, variables) = with_variables(&env, spec.items("variables").map(|v| v.value()));
    for (variable, (_, compiled)) in spec.items("variables").zip(&variables) {
        check_variable(&variable, compiled);
    }
    if spec.len("mutations") == 0 {
        spec.at("mutations").required("mutations must contain at least one item");
    }
    let env = env.open_objects();
    spec.items("mutations").for_each(|mutation| check_mutation(&mutation, &env));
    spec.needs_one_of("reinvocationPolicy", REINVOCATION_POLICIES);
}

/// Upstream's path names no rule and no operation by its number.
fn check_operations(resources: &Field<'_>) {
    let at = resources.at("resourceRules").at("operations");
    for rule in resources.items("resourceRules") {
        for operation in rule.items("operations") {
            if !OPERATIONS.contains(&operation.text()) {
                at.instead(operation.value()).not_supported(OPERATIONS);
            }
        }
    }
}

fn check_mutation(mutation: &Field<'_>, env: &Env) {
    let made = |name: &str| Type::Object(ObjectType::new(name, []).into());
    let (field, other, wanted) = match mutation.str("patchType") {
        "" => return mutation.at("patchType").required(""),
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Type::list(made("JSONPatch"))),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", made("Object")),
        _ => return mutation.at("patchType").not_supported(PATCH_TYPES),
    };
    let of = mutation.str("patchType");
    match mutation.opt(field) {
        None => {
            mutation.at(field).required(format!("must be specified when patchType is {of}"));
        }
        Some(patch) if patch.str("expression").trim().is_empty() => {
            patch.at("expression").required("");
        }
        Some(patch) => check_expression(&patch.at("expression"), env, &[wanted]),
    }
    if mutation.has(other) {
        mutation.at(other).invalid_value(
            format!("{{{other}}}"),
            format!("must not be specified when patchType is {of}"),
        );
    }
}

/// The operations of a binding's own resources.
pub(super) fn check_binding(spec: &Field<'_>) {
    if let Some(resources) = spec.opt("matchResources") {
        check_operations(&resources);
    }
}
