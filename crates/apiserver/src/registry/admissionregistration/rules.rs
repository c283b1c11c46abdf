//! Shared parts of webhooks and policies: rules that select requests, conditions, addresses.

use std::collections::HashSet;

use apimachinery::names;
use apimachinery::text::quote;
use serde_json::{Value, json};

use super::expressions::{check_expression, environment};
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
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => (String::new(), rest),
    };
    let authority = match rest.strip_prefix("//") {
        Some(rest) => rest.split('/').next().unwrap_or_default(),
        None => "",
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
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

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The reason why Go cannot parse a URL.
fn unreadable(text: &str) -> Option<String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Some("net/url: invalid control character in URL".to_owned());
    }
    if text.starts_with(':') {
        return Some("missing protocol scheme".to_owned());
    }
    let first = text.split('/').next().unwrap_or_default();
    if let Some((scheme, _)) = first.split_once(':')
        && !is_scheme(scheme)
    {
        return Some("first path segment in URL cannot contain colon".to_owned());
    }
    let authority = text.split_once("://")?.1.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?.1;
    let wrong = port.chars().any(|c| !c.is_ascii_digit());
    wrong.then(|| format!("invalid port {} after host", quote(&format!(":{port}"))))
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
