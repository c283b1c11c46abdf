//! Rules of Ingress and IngressClass.

use apimachinery::{Object, names};
use serde_json::Value;

use crate::registry::check::{Field, check_domain_path};

fn host_name(field: &Field<'_>) {
    let host = field.text();
    field.invalid_all(if host.contains('*') {
        names::wildcard_dns1123_subdomain(host)
    } else {
        names::dns1123_subdomain(host)
    });
}

/// Defects that an update may keep because the old object has them.
#[derive(Clone, Copy, Default)]
pub(super) struct Old {
    secret_names: bool,
    wildcard_rules: bool,
}

impl Old {
    /// The defects of a stored ingress.
    pub(super) fn of(ingress: &Object) -> Self {
        let spec = &ingress["spec"];
        let list = |field: &str| spec[field].as_array().into_iter().flatten();
        let bad_secret = |tls: &Value| !secret_name(tls["secretName"].as_str()).is_empty();
        let bad_rule = |rule: &Value| {
            rule["host"].as_str().is_some_and(|host| host.contains('*'))
                && !crate::registry::check::check(rule, check_rule_paths).is_empty()
        };
        Self {
            secret_names: list("tls").any(bad_secret),
            wildcard_rules: list("rules").any(bad_rule),
        }
    }
}

fn secret_name(name: Option<&str>) -> Vec<String> {
    name.filter(|n| !n.is_empty()).map(names::dns1123_subdomain).unwrap_or_default()
}

pub(super) fn check_ingress(spec: &Field<'_>, old: Old) {
    if spec.len("rules") == 0 && !spec.has("defaultBackend") {
        spec.invalid_value(Value::Null, "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(backend) = spec.opt("defaultBackend") {
        check_backend(&backend);
    }
    for rule in spec.items("rules") {
        let host = rule.at("host");
        if !host.text().is_empty() {
            if host.text().parse::<std::net::IpAddr>().is_ok() {
                host.invalid("must be a DNS name, not an IP address");
            }
            host_name(&host);
        }
        if !(host.text().contains('*') && old.wildcard_rules) {
            check_rule_paths(&rule);
        }
    }
    for tls in spec.items("tls") {
        for host in tls.items("hosts") {
            host_name(&host);
        }
        if !old.secret_names {
            tls.at("secretName").invalid_all(secret_name(tls.get("secretName").as_str()));
        }
    }
    if spec.has("ingressClassName") {
        spec.valid("ingressClassName", names::dns1123_subdomain);
    }
}

fn check_rule_paths(rule: &Field<'_>) {
    let Some(http) = rule.opt("http") else { return };
    http.needs("paths");
    for path in http.items("paths") {
        check_path(&path);
    }
}

fn check_path(path: &Field<'_>) {
    if !path.has("pathType") {
        return path.at("pathType").required("pathType must be specified");
    }
    let (text, at) = (path.str("path"), path.at("path"));
    const ABSOLUTE: &str = "must be an absolute path";
    match path.str("pathType") {
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                at.invalid(ABSOLUTE);
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(part) {
                    at.invalid(format!("must not contain '{part}'"));
                }
            }
            for end in ["/..", "/."] {
                if text.ends_with(end) {
                    at.invalid(format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !text.starts_with('/') {
                at.invalid(ABSOLUTE);
            }
        }
        _ => path.at("pathType").not_supported(&["Exact", "ImplementationSpecific", "Prefix"]),
    }
    check_backend(&path.at("backend"));
}

fn check_backend(backend: &Field<'_>) {
    match (backend.has("service"), backend.has("resource")) {
        (true, true) => {
            backend.invalid_value("", "cannot set both resource and service backends");
        }
        (false, true) => check_reference(&backend.at("resource")),
        (true, false) => {
            let service = backend.at("service");
            service.needs_valid("name", names::dns1123_label);
            let port = service.at("port");
            match (port.str("name").is_empty(), port.int("number").unwrap_or(0)) {
                (true, 0) => backend.required("port name or number is required"),
                (true, number) => port.at("number").invalid_all(names::port_number(number)),
                (false, 0) => port.valid("name", names::port_name),
                (false, _) => backend.invalid_value("", "cannot set both port name & port number"),
            }
        }
        (false, false) => {
            backend.invalid_value("", "resource or service backend is required");
        }
    }
}

fn check_reference(reference: &Field<'_>) {
    if reference.has("apiGroup") {
        reference.valid("apiGroup", names::dns1123_subdomain);
    }
    reference.needs_valid("kind", names::path_segment_name);
    reference.needs_valid("name", names::path_segment_name);
}

const MAX_CONTROLLER: usize = 250;

pub(super) fn check_class(spec: &Field<'_>) {
    if spec.str("controller").len() > MAX_CONTROLLER {
        spec.at("controller").too_long(MAX_CONTROLLER);
    }
    check_domain_path(&spec.at("controller"));
    let Some(parameters) = spec.opt("parameters") else { return };
    check_reference(&parameters);
    let namespace = parameters.at("namespace");
    match parameters.get("scope").as_str() {
        None => parameters.at("scope").required(""),
        Some("Namespace") if !parameters.has("namespace") => {
            namespace.required("`parameters.scope` is set to 'Namespace'");
        }
        Some("Namespace") => parameters.valid("namespace", names::dns1123_label),
        Some("Cluster") => {
            if parameters.has("namespace") {
                namespace.forbidden("`parameters.scope` is set to 'Cluster'");
            }
        }
        Some(_) => parameters.at("scope").not_supported(&["Cluster", "Namespace"]),
    }
}

/// Checks the status that an ingress controller reports.
pub(super) fn check_status(object: &Field<'_>, old: &Object) {
    let was = old["status"]["loadBalancer"]["ingress"].as_array();
    for ingress in object.at("status").at("loadBalancer").items("ingress") {
        let ip = ingress.str("ip");
        let known = was.is_some_and(|was| was.iter().any(|old| old["ip"] == ip));
        if !ip.is_empty() && !known {
            ingress.at("ip").ip();
        }
        let hostname = ingress.at("hostname");
        if !hostname.text().is_empty() {
            hostname.invalid_all(names::dns1123_subdomain(hostname.text()));
            if hostname.text().parse::<std::net::IpAddr>().is_ok() {
                hostname.invalid("must be a DNS name, not an IP address");
            }
        }
    }
}
