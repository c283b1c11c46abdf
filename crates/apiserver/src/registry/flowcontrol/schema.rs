//! FlowSchema: the assignment of requests to priority levels.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use super::check_conditions;
use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{ALL_METADATA, Context, Strategy, clear_status, ensure};

pub(super) struct FlowSchema;

const LOWEST_PRECEDENCE: i64 = 1000;
const MAX_PRECEDENCE: i64 = 10_000;
const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// The required specs of two schemas.
fn mandatory(name: &str) -> Option<Value> {
    let subject = |group: &str| json!({"kind": "Group", "group": {"name": group}});
    let rule = |subjects: &[Value]| {
        json!({
            "subjects": subjects,
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                "clusterScope": true,
            }],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        })
    };
    match name {
        "exempt" => Some(json!({
            "priorityLevelConfiguration": {"name": "exempt"},
            "matchingPrecedence": 1,
            "rules": [rule(&[subject("system:masters")])],
        })),
        "catch-all" => Some(json!({
            "priorityLevelConfiguration": {"name": "catch-all"},
            "matchingPrecedence": MAX_PRECEDENCE,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [rule(&[subject("system:unauthenticated"), subject("system:authenticated")])],
        })),
        _ => None,
    }
}

impl Strategy for FlowSchema {
    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        if spec["matchingPrecedence"].as_i64().unwrap_or(0) == 0 {
            spec["matchingPrecedence"] = LOWEST_PRECEDENCE.into();
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let name = object.value().name();
            let spec = object.at("spec");
            check_spec(&spec, name);
            if mandatory(name).is_some_and(|fixed| fixed != *spec.value()) {
                let detail = format!("spec of '{name}' must equal the fixed value");
                spec.invalid_as("FlowSchemaSpec", detail);
            }
            check_conditions(object);
        })
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, check_conditions)
    }
}

fn check_spec(spec: &Field<'_>, name: &str) {
    let precedence = spec.int("matchingPrecedence").unwrap_or(0);
    let at = spec.at("matchingPrecedence");
    if precedence <= 0 {
        at.invalid("must be a positive value");
    }
    if precedence > MAX_PRECEDENCE {
        at.invalid(format!("must not be greater than {MAX_PRECEDENCE}"));
    }
    if precedence == 1 && name != "exempt" {
        at.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if let Some(method) = spec.opt("distinguisherMethod") {
        const METHODS: &[&str] = &["ByNamespace", "ByUser"];
        if !METHODS.contains(&method.str("type")) {
            let shown = json!({"Type": method.str("type")});
            method.at("type").instead(&shown).not_supported(METHODS);
        }
    }
    let level = spec.at("priorityLevelConfiguration");
    if level.str("name").is_empty() {
        level.at("name").required("must reference a priority level");
    } else {
        level.valid("name", names::dns1123_subdomain);
    }
    for rule in spec.items("rules") {
        if rule.len("subjects") == 0 {
            rule.at("subjects").required("subjects must contain at least one value");
        }
        rule.items("subjects").for_each(|subject| check_subject(&subject));
        if rule.len("resourceRules") == 0 && rule.len("nonResourceRules") == 0 {
            rule.required("at least one of resourceRules and nonResourceRules has to be non-empty");
        }
        rule.items("resourceRules").for_each(|rule| check_resource_rule(&rule));
        rule.items("nonResourceRules").for_each(|rule| check_non_resource_rule(&rule));
    }
}

fn check_subject(subject: &Field<'_>) {
    const KINDS: &[(&str, &str)] =
        &[("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = subject.str("kind");
    let Some((_, own)) = KINDS.iter().find(|(of, _)| *of == kind) else {
        return subject.at("kind").not_supported(&["Group", "ServiceAccount", "User"]);
    };
    match subject.opt(own) {
        None => {
            subject.at(own).required(format!("{own} is required when subject kind is '{kind}'"))
        }
        Some(named) if *own == "serviceAccount" => check_account(&named),
        Some(named) => drop(named.needs("name")),
    }
    for (of, other) in KINDS.iter().filter(|(of, other)| *of != kind && subject.has(other)) {
        subject
            .at(other)
            .forbidden(format!("{other} is forbidden when subject kind is not '{of}'"));
    }
}

fn check_account(account: &Field<'_>) {
    if account.needs("name") && account.str("name") != "*" {
        account.valid("name", names::dns1123_subdomain);
    }
    if account.str("namespace").is_empty() {
        account.at("namespace").required("must specify namespace for service account");
    } else {
        account.valid("namespace", names::dns1123_label);
    }
}

/// Requires a non-empty list in which `*` is alone. Returns true if items remain to be checked.
fn lists(rule: &Field<'_>, field: &str, missing: &str, others: &str) -> bool {
    let items = rule.at(field);
    let wildcard = rule.strings(field).any(|item| item == "*");
    if rule.len(field) == 0 {
        items.required(missing);
    } else if wildcard && rule.len(field) > 1 {
        items.invalid(format!("if '*' is present, must not specify other {others}"));
    }
    !wildcard && rule.len(field) > 0
}

fn check_verbs(rule: &Field<'_>) {
    if lists(rule, "verbs", "verbs must contain at least one value", "verbs")
        && rule.strings("verbs").any(|verb| !VERBS.contains(&verb))
    {
        rule.at("verbs").not_supported(VERBS);
    }
}

fn check_resource_rule(rule: &Field<'_>) {
    check_verbs(rule);
    for (field, one, others) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        lists(rule, field, &format!("resource rules must supply at least one {one}"), others);
    }
    if rule.len("namespaces") == 0 && rule.flag("clusterScope") {
        return;
    }
    const MISSING: &str =
        "resource rules that are not cluster scoped must supply at least one namespace";
    if lists(rule, "namespaces", MISSING, "namespaces") {
        for namespace in rule.items("namespaces") {
            for message in names::dns1123_label(namespace.text()) {
                namespace.invalid(format!(
                    "each member of this list must be '*' or a DNS-1123 label; {message}"
                ));
            }
        }
    }
}

fn check_non_resource_rule(rule: &Field<'_>) {
    check_verbs(rule);
    const MISSING: &str = "nonResourceURLs must contain at least one value";
    if lists(rule, "nonResourceURLs", MISSING, "non-resource URLs") {
        for path in rule.items("nonResourceURLs") {
            if let Some(why) = wrong_path(path.text()) {
                path.invalid(why);
            }
        }
    }
}

fn wrong_path(path: &str) -> Option<&'static str> {
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        path if !path.starts_with('/') => Some("must start with slash"),
        path if path.contains(' ') => Some("must not contain white-space"),
        path if path.contains("//") => Some("must not contain double slash"),
        path => match path.matches('*').count() {
            0 => None,
            1 if path.ends_with("/*") => None,
            _ => Some("wildcard can only do suffix matching"),
        },
    }
}
