//! Ingress and NetworkPolicy.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use crate::registry::column::{AGE, Column, NAME, join};
use crate::registry::strategy::{Context, Strategy, items_mut, set_default};

fn list<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.get_path(path).and_then(Value::as_array).into_iter().flatten()
}

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::text("Class", &["spec", "ingressClassName"]),
    Column::make("Hosts", |o| {
        let hosts =
            list(o, &["spec", "rules"]).map(|r| r.str_at(&["host"])).filter(|h| !h.is_empty());
        let text = join(hosts.map(str::to_owned));
        if text == "<none>" { "*".into() } else { text }
    }),
    Column::make("Address", |o| {
        let ingress = list(o, &["status", "loadBalancer", "ingress"]);
        let text = join(
            ingress.filter_map(|i| i["ip"].as_str().or(i["hostname"].as_str()).map(str::to_owned)),
        );
        if text == "<none>" { "".into() } else { text }
    }),
    Column::make("Ports", |o| {
        if list(o, &["spec", "tls"]).next().is_some() { "80, 443".into() } else { "80".into() }
    }),
    AGE,
];

pub(super) struct Ingress;

fn check_backend(errors: &mut ErrorList, backend: &Value, path: &Path) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_null(), resource.is_null()) {
        (true, true) => {
            errors.0.push(FieldError::required(path, "resource or service backend is required"))
        }
        (false, false) => errors.0.push(FieldError::invalid(
            path,
            "",
            "cannot set both resource and service backends",
        )),
        (true, false) => {}
        (false, true) => {
            let at = path.child("service");
            let name = service.str_at(&["name"]);
            if name.is_empty() {
                errors.0.push(FieldError::required(&at.child("name"), ""));
            } else {
                errors.invalid_all(&at.child("name"), name, names::dns1035_label(name));
            }
            let port = &service["port"];
            if port["name"].is_null() && port["number"].is_null() {
                errors.0.push(FieldError::required(&at, "port name or number is required"));
            }
        }
    }
}

impl Strategy for Ingress {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"loadBalancer": {}});
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let spec = Path::new("spec");
        let default = &object["spec"]["defaultBackend"];
        if !default.is_null() {
            check_backend(&mut errors, default, &spec.child("defaultBackend"));
        }
        if default.is_null() && list(object, &["spec", "rules"]).next().is_none() {
            errors.0.push(FieldError::invalid(
                &spec,
                Value::Array(Vec::new()),
                "either `defaultBackend` or `rules` must be specified",
            ));
        }
        for (i, rule) in list(object, &["spec", "rules"]).enumerate() {
            let at = spec.child("rules").index(i);
            let host = rule.str_at(&["host"]);
            if !host.is_empty() {
                let messages = if host.contains('*') {
                    names::wildcard_dns1123_subdomain(host)
                } else {
                    names::dns1123_subdomain(host)
                };
                errors.invalid_all(&at.child("host"), host, messages);
            }
            let paths = list(rule, &["http", "paths"]);
            for (j, path) in paths.enumerate() {
                let at = at.child("http").child("paths").index(j);
                const TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
                match path["pathType"].as_str() {
                    None => errors.0.push(FieldError::required(
                        &at.child("pathType"),
                        "pathType must be specified",
                    )),
                    Some(of) if !TYPES.contains(&of) => {
                        errors.0.push(FieldError::not_supported(&at.child("pathType"), of, TYPES));
                    }
                    Some("ImplementationSpecific") => {}
                    Some(_) if !path.str_at(&["path"]).starts_with('/') => {
                        errors.0.push(FieldError::invalid(
                            &at.child("path"),
                            path.str_at(&["path"]),
                            "must be an absolute path",
                        ))
                    }
                    Some(_) => {}
                }
                check_backend(&mut errors, &path["backend"], &at.child("backend"));
            }
        }
        errors
    }
}

pub(super) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
        if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
            let mut types = vec!["Ingress"];
            if spec["egress"].as_array().is_some_and(|e| !e.is_empty()) {
                types.push("Egress");
            }
            spec["policyTypes"] = json!(types);
        }
        for direction in ["ingress", "egress"] {
            for rule in items_mut(spec, direction) {
                for port in items_mut(rule, "ports") {
                    set_default(port, "protocol", "TCP");
                }
            }
        }
    }
}
