//! Shared parts of webhooks and policies: rules that select requests, conditions, addresses.

use std::collections::HashSet;

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, names};
use cel::admission::environment;
use serde_json::{Value, json};

use super::expressions::check_expression;
use crate::registry::check::url::{Url, unreadable};
use crate::registry::check::{Field, check_label_selector};
use crate::registry::strategy::{items_mut, set_default};

pub(super) const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MAX_CONDITIONS: usize = 64;

/// Rules match objects of any scope by default.
pub(super) fn default_rules(of: &mut Value, field: &str) {
    items_mut(of, field).for_each(|rule| set_default(rule, "scope", "*"));
}

/// The default policy and selectors, which match everything.
pub(super) fn default_matching(of: &mut Value) {
    set_default(of, "matchPolicy", "Equivalent");
    set_default(of, "namespaceSelector", json!({}));
    set_default(of, "objectSelector", json!({}));
}

pub(super) fn default_match_resources(of: Option<&mut Value>) {
    let Some(of) = of.filter(|of| of.is_object()) else { return };
    default_matching(of);
    default_rules(of, "resourceRules");
    default_rules(of, "excludeResourceRules");
}

/// A name of at least three labels.
pub(super) fn check_qualified_name(name: &Field<'_>) {
    if name.text().is_empty() {
        return name.required("");
    }
    let messages = names::dns1123_subdomain(name.text());
    if !messages.is_empty() {
        return name.invalid(messages.join(","));
    }
    if name.text().split('.').count() < 3 {
        name.invalid("should be a domain with at least three segments separated by dots");
    }
}

/// `*` excludes other items.
fn alone(rule: &Field<'_>, field: &str, others: &str) {
    if rule.len(field) > 1 && rule.strings(field).any(|item| item == "*") {
        rule.at(field).invalid(format!("if '*' is present, must not specify other {others}"));
    }
}

/// The end of the names of configurations that stand in files.
const STATIC: &str = ".static.k8s.io";
/// Requests that no webhook sees: it could lock everybody out.
const UNSEEN: &[(&str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

/// Returns true if no webhook may see requests about this.
pub(crate) fn is_unseen(group: &str, resource: &str) -> bool {
    UNSEEN.contains(&(group, resource))
}

fn reserved() -> String {
    format!(
        "names ending with {} are reserved for static manifest-based configurations and cannot be \
         managed via the API",
        quote(STATIC)
    )
}

/// Refuses a new object of a name that is reserved.
pub(super) fn check_new_name(object: &Field<'_>) {
    let name = object.at("metadata").at("name");
    if name.text().ends_with(STATIC) {
        name.invalid(reserved());
    }
}

/// Warns about an object that has such a name already.
pub(super) fn warn_name(object: &Object) -> Vec<String> {
    let is_reserved = object.name().ends_with(STATIC);
    is_reserved.then(|| format!("metadata.name: {}", reserved())).into_iter().collect()
}

/// Warns about rules of webhooks for requests that none sees.
pub(super) fn warn_unseen(object: &Object) -> Vec<String> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for (i, hook) in list(object, "webhooks").iter().enumerate() {
        for (j, rule) in list(hook, "rules").iter().enumerate() {
            let (groups, resources) = (list(rule, "apiGroups"), list(rule, "resources"));
            if groups.iter().chain(&resources).any(|name| name == "*") {
                continue;
            }
            let texts = |of: &[Value]| -> Vec<String> {
                of.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
            };
            let (groups, resources) = (texts(&groups), texts(&resources));
            let place = |list: &[String], name: &str| list.iter().position(|own| own == name);
            let mut unseen: Vec<_> = UNSEEN
                .iter()
                .filter_map(|pair| {
                    Some((place(&groups, pair.0)?, place(&resources, pair.1)?, pair))
                })
                .collect();
            unseen.sort_unstable();
            for (_, _, (group, resource)) in unseen {
                found.push(format!(
                    "webhooks[{i}].rules[{j}]: {resource}.{group} is excluded from admission \
                     webhooks; this rule will have no effect"
                ));
            }
        }
    }
    found
}

/// Checks a rule with its operations.
pub(super) fn check_rule(rule: &Field<'_>) {
    rule.needs("operations");
    alone(rule, "operations", "operations");
    for operation in rule.items("operations") {
        if !OPERATIONS.contains(&operation.text()) {
            operation.not_supported(OPERATIONS);
        }
    }
    rule.needs("apiGroups");
    alone(rule, "apiGroups", "API groups");
    rule.needs("apiVersions");
    alone(rule, "apiVersions", "API versions");
    for version in rule.items("apiVersions").filter(|v| v.text().is_empty()) {
        version.required("");
    }
    check_resources(rule);
    rule.maybe_one_of("scope", &["*", "Cluster", "Namespaced"]);
}

fn check_resources(rule: &Field<'_>) {
    rule.needs("resources");
    let (mut any_sub, mut any_resource) = (HashSet::new(), HashSet::new());
    let (mut everything, mut all, mut plain) = (false, false, false);
    for item in rule.items("resources") {
        let text = item.text();
        if text.is_empty() {
            item.required("");
            continue;
        }
        everything |= text == "*/*";
        all |= text == "*";
        let Some((resource, sub)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        for (covered, by) in [
            (any_sub.contains(resource), format!("{resource}/*")),
            (any_resource.contains(sub), format!("*/{sub}")),
        ] {
            if covered {
                item.invalid(format!("if '{by}' is present, must not specify {text}"));
            }
        }
        if sub == "*" {
            any_sub.insert(resource);
        }
        if resource == "*" {
            any_resource.insert(sub);
        }
    }
    let resources = rule.at("resources");
    if rule.len("resources") > 1 && everything {
        resources.invalid("if '*/*' is present, must not specify other resources");
    }
    if all && plain {
        resources
            .invalid("if '*' is present, must not specify other resources without subresources");
    }
}

/// Checks the requests that a policy or binding matches.
pub(super) fn check_match_resources(resources: &Field<'_>) {
    match resources.opt("matchPolicy") {
        None => resources.at("matchPolicy").required(""),
        Some(_) => resources.one_of("matchPolicy", MATCH_POLICIES),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match resources.opt(field) {
            None => resources.at(field).required(""),
            Some(selector) => check_label_selector(&selector),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in resources.items(field) {
            let mut seen = HashSet::new();
            for name in rule.items("resourceNames") {
                name.invalid_all(names::path_segment_name(name.text()));
                if !seen.insert(name.text()) {
                    name.duplicate();
                }
            }
            check_rule(&rule);
        }
    }
}

/// Checks conditions that a request must meet.
pub(super) fn check_match_conditions(of: &Field<'_>, params: bool) {
    let count = of.len("matchConditions");
    if count > MAX_CONDITIONS {
        of.at("matchConditions").too_many(count, MAX_CONDITIONS);
    }
    let mut seen = HashSet::new();
    let env = environment(params);
    for condition in of.items("matchConditions") {
        if condition.str("expression").trim().is_empty() {
            condition.at("expression").required("");
        }
        check_expression(&condition.at("expression"), &env, &[cel::Type::Bool]);
        condition.needs_valid("name", names::qualified_name);
        let name = condition.str("name");
        if !name.is_empty() && !seen.insert(name) {
            condition.at("name").duplicate();
        }
    }
}

/// The address of a webhook: either a URL or a service.
pub(in crate::registry) fn check_client_config(config: &Field<'_>) {
    match (config.opt("url"), config.opt("service")) {
        (Some(url), None) => check_url(&url),
        (None, Some(service)) => check_service(&service),
        _ => config.required("exactly one of url or service is required"),
    }
}

const FORM: &str = "; desired format: https://host[/path]";

fn check_url(url: &Field<'_>) {
    let text = url.text();
    if let Some(why) = unreadable(text) {
        return url
            .required(format!("url must be a valid URL: parse {}: {why}{FORM}", quote(text)));
    }
    let Url { scheme, user, host, query, fragment } = Url::split(text);
    if scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        url.invalid_value(scheme, detail);
    }
    if host.is_empty() {
        url.invalid_value("", format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        url.invalid_value(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        url.invalid_value(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        url.invalid_value(query, "query parameters are not permitted in the URL");
    }
}

fn check_service(service: &Field<'_>) {
    // Upstream confuses the two.
    for (field, empty) in [("name", "namespace"), ("namespace", "name")] {
        if service.str(empty).is_empty() {
            service.at(field).required("");
        }
    }
    let port = service.int("port").unwrap_or(0);
    let messages = names::port_number(port);
    if !messages.is_empty() {
        let detail = format!("port is not valid: {}", messages.join(", "));
        service.at("port").invalid_value(port, detail);
    }
    let path = service.at("path");
    match path.text() {
        "" | "/" => {}
        "//" => path.invalid("segment[0] may not be empty"),
        text => {
            if !text.starts_with('/') {
                path.invalid("must start with a '/'");
            }
            let inner: String = text.chars().skip(1).collect();
            let inner = inner.strip_suffix('/').unwrap_or(&inner);
            for (i, step) in inner.split('/').enumerate() {
                if step.is_empty() {
                    path.invalid(format!("segment[{i}] may not be empty"));
                    continue;
                }
                for message in names::dns1123_subdomain(step) {
                    path.invalid(format!("segment[{i}]: {message}"));
                }
            }
        }
    }
}
