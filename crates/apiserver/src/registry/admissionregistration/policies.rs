//! ValidatingAdmissionPolicy and its binding.

use std::collections::HashSet;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use cel::{Env, Type};

use cel::admission::{Compiled, environment, with_variables};

use super::expressions::{check_compiled, check_expression};
use super::rules::{
    FAILURE_POLICIES, check_match_conditions, check_match_resources, check_new_name,
    default_match_resources, warn_name,
};
use crate::registry::Sub;
use crate::registry::check::{Field, check, check_conditions, check_label_selector, json_path};
use crate::registry::strategy::{
    ALL_METADATA, Context, Strategy, clear_status, ensure, set_default,
};

const MAX_ANNOTATIONS: usize = 20;
const MAX_ANNOTATION_EXPRESSION: usize = 5 << 10;
/// Words reserved by CEL.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(super) struct Policy;

impl Strategy for Policy {
    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "failurePolicy", "Fail");
        default_match_resources(spec.get_mut("matchConstraints"));
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_policy(object, true);
            check_new_name(object);
        })
    }

    fn warnings_on_update(&self, object: &Object, _old: &Object) -> Vec<String> {
        warn_name(object)
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let same = |field: &str| object["spec"][field] == old["spec"][field];
        let conditions = !(same("paramKind") && same("matchConditions"));
        check(object, |object| check_policy(object, conditions))
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| {
            let status = object.at("status");
            for warning in status.at("typeChecking").items("expressionWarnings") {
                warning.needs("warning");
                let (field, text) = (warning.at("fieldRef"), warning.str("fieldRef").trim());
                if text.is_empty() {
                    field.required("");
                } else if let Err(why) = json_path::read(&format!("{{{text}}}")) {
                    field.invalid_value(text, format!("invalid JSONPath: {why}"));
                }
            }
            check_conditions(&status);
        })
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_policy(object: &Field<'_>, conditions: bool) {
    let spec = object.at("spec");
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
        }
    }
    if conditions {
        check_match_conditions(&spec, spec.has("paramKind"));
    }
    let env = environment(spec.has("paramKind"));
    let (env, variables) = with_variables(&env, spec.items("variables").map(|v| v.value()));
    for (variable, (_, compiled)) in spec.items("variables").zip(&variables) {
        check_variable(&variable, compiled);
    }
    if spec.len("validations") == 0 && spec.len("auditAnnotations") == 0 {
        for field in ["validations", "auditAnnotations"] {
            spec.at(field)
                .required("validations or auditAnnotations must contain at least one item");
        }
        return;
    }
    spec.items("validations").for_each(|validation| check_validation(&validation, &env));
    let annotations = spec.at("auditAnnotations");
    if spec.len("auditAnnotations") > MAX_ANNOTATIONS {
        annotations.invalid(format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations"));
    }
    let mut seen = HashSet::new();
    for annotation in spec.items("auditAnnotations") {
        check_annotation(&annotation, object.value().name(), &env);
        if !seen.insert(annotation.str("key")) {
            annotation.at("key").duplicate();
        }
    }
}

pub(super) fn check_param_kind(of: &Field<'_>) {
    let (version, text) = (of.at("apiVersion"), of.str("apiVersion"));
    match text.matches('/').count() {
        _ if text.is_empty() => version.required(""),
        0 | 1 => {
            let (group, name) = match text {
                "/" => ("", ""),
                text => text.split_once('/').unwrap_or(("", text)),
            };
            let wrong = if group.is_empty() { vec![] } else { names::dns1123_subdomain(group) };
            if !wrong.is_empty() {
                version.invalid_value(group, wrong.join(","));
            }
            let wrong = names::dns1035_label(name);
            if name.is_empty() {
                version.invalid("version must be specified");
            } else if !wrong.is_empty() {
                version.invalid_value(name, wrong.join(","));
            }
        }
        _ => version.invalid(format!("unexpected GroupVersion string: {text}")),
    }
    if of.needs("kind") {
        let wrong = names::dns1035_label(&of.str("kind").to_lowercase());
        if !wrong.is_empty() {
            of.at("kind").invalid(format!(
                "may have mixed case, but should otherwise match: {}",
                wrong.join(",")
            ));
        }
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && !RESERVED.contains(&name)
}

pub(super) fn check_variable(variable: &Field<'_>, compiled: &Compiled) {
    if variable.str("name").trim().is_empty() {
        variable.at("name").required("name is not specified");
    } else if !is_identifier(variable.str("name")) {
        variable.at("name").invalid("must be a valid CEL identifier");
    }
    if variable.str("expression").trim().is_empty() {
        variable.at("expression").required("expression is not specified");
    } else {
        check_compiled(&variable.at("expression"), compiled, &[]);
    }
}

fn check_validation(validation: &Field<'_>, env: &Env) {
    if validation.str("expression").trim().is_empty() {
        validation.at("expression").required("expression is not specified");
    }
    check_expression(&validation.at("expression"), env, &[Type::Bool]);
    check_expression(&validation.at("messageExpression"), env, &[Type::String]);
    for field in ["messageExpression", "message"] {
        let text = validation.str(field);
        if !text.is_empty() && text.trim().is_empty() {
            validation.at(field).invalid("must be non-empty if specified");
        } else if field == "message" && text.trim().contains(['\n', '\r']) {
            validation.at(field).invalid("must not contain line breaks");
        }
    }
    validation.maybe_one_of("reason", &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
}

fn check_annotation(annotation: &Field<'_>, policy: &str, env: &Env) {
    let key = annotation.at("key");
    if policy.is_empty() {
        key.invalid("requires metadata.name be non-empty");
    } else {
        let full = format!("{policy}/{}", key.text());
        for message in names::qualified_name(&full) {
            key.invalid_value(full.as_str(), message);
        }
    }
    let value = annotation.at("valueExpression");
    match value.text().trim().len() {
        0 => value.required("valueExpression is not specified"),
        length if length > MAX_ANNOTATION_EXPRESSION => {
            value.required(format!("must not exceed {MAX_ANNOTATION_EXPRESSION} bytes in length"));
        }
        _ => check_expression(&value, env, &[Type::String, Type::Null]),
    }
}

/// A binding of either sort of policy.
pub(super) struct Binding {
    /// Checks of the spec that are of this sort alone.
    pub(super) own: fn(&Field<'_>),
}

impl Strategy for Binding {
    fn default(&self, object: &mut Object) {
        default_match_resources(object.get_mut("spec").and_then(|s| s.get_mut("matchResources")));
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            self.check(&object.at("spec"));
            check_new_name(object);
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| self.check(&object.at("spec")))
    }

    fn warnings_on_update(&self, object: &Object, _old: &Object) -> Vec<String> {
        warn_name(object)
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

impl Binding {
    fn check(&self, spec: &Field<'_>) {
        spec.needs_valid("policyName", names::dns1123_subdomain);
        if let Some(reference) = spec.opt("paramRef") {
            check_param_ref(&reference);
        }
        if let Some(resources) = spec.opt("matchResources") {
            check_match_resources(&resources);
        }
        (self.own)(spec);
    }
}

fn check_param_ref(reference: &Field<'_>) {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let named = !reference.str("name").is_empty();
    let selector = reference.opt("selector");
    if named {
        reference.valid("name", names::path_segment_name);
        if selector.is_some() {
            reference.at("name").forbidden(EXCLUSIVE);
        }
    }
    if let Some(selector) = &selector {
        check_label_selector(selector);
        if named {
            selector.forbidden(EXCLUSIVE);
        }
    }
    if !named && selector.is_none() {
        reference.required("one of name or selector must be specified");
    }
    reference.needs_one_of("parameterNotFoundAction", &["Deny", "Allow"]);
}

pub(super) fn check_actions(spec: &Field<'_>) {
    const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
    let mut seen = HashSet::new();
    for action in spec.items("validationActions") {
        if !ACTIONS.contains(&action.text()) {
            action.not_supported(ACTIONS);
        }
        if !seen.insert(action.text()) {
            action.duplicate();
        }
    }
    let actions = spec.at("validationActions");
    if seen.contains("Deny") && seen.contains("Warn") {
        actions.invalid(
            "must not contain both Deny and Warn (repeating the same validation failure \
             information in the API response and headers serves no purpose)",
        );
    }
    if seen.is_empty() {
        actions.required("at least one validation action is required");
    }
}
