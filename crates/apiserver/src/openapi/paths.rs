//! Operations: what clients look up before they send a parameter.

use apimachinery::openapi::Dialect;
use apimachinery::schema::Registry;
use serde_json::{Map, Value, json};

use crate::registry::{Access, Kind};

fn reference(dialect: Dialect, group: &str, version: &str, kind: &str) -> Value {
    let name = Registry::builtin().lookup(group, version, kind).map(|t| t.name.clone());
    let root = if dialect == Dialect::V2 { "#/definitions" } else { "#/components/schemas" };
    name.map_or_else(|| json!({"type": "object"}), |name| json!({"$ref": format!("{root}/{name}")}))
}

fn parameter(dialect: Dialect, name: &str, of: &str) -> Value {
    let mut parameter = json!({"name": name, "in": "query", "uniqueItems": true});
    if dialect == Dialect::V2 {
        parameter["type"] = of.into();
    } else {
        parameter =
            json!({"name": name, "in": "query", "schema": {"type": of, "uniqueItems": true}});
    }
    parameter
}

fn path_parameters(dialect: Dialect, path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|p| p.split('}').next());
    names
        .map(|name| match dialect {
            Dialect::V2 => json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true}),
            Dialect::V3 => json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}),
        })
        .collect()
}

/// Query parameters of each action, with their types.
fn parameters(action: &str) -> &'static [(&'static str, &'static str)] {
    match action {
        "list" | "deletecollection" => &[
            ("allowWatchBookmarks", "boolean"),
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
            ("watch", "boolean"),
        ],
        "post" | "put" => {
            &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")]
        }
        "patch" => &[
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
            ("force", "boolean"),
        ],
        "delete" => &[
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
        ],
        _ => &[],
    }
}

const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

fn operation(dialect: Dialect, kind: &Kind, scope: &str, action: &str) -> Value {
    let answer = match action {
        "list" => reference(dialect, kind.group, kind.version, &format!("{}List", kind.kind)),
        "delete" | "deletecollection" => reference(dialect, "", "v1", "Status"),
        _ => reference(dialect, kind.group, kind.version, kind.kind),
    };
    let sent = match action {
        "post" | "put" => Some(reference(dialect, kind.group, kind.version, kind.kind)),
        "patch" => Some(json!({"type": "object"})),
        "delete" | "deletecollection" => Some(reference(dialect, "", "v1", "DeleteOptions")),
        _ => None,
    };
    let mut query: Vec<Value> =
        parameters(action).iter().map(|(name, of)| parameter(dialect, name, of)).collect();
    let word = match action {
        "post" => "create",
        "put" => "replace",
        "get" => "read",
        other => other,
    };
    let group: String = kind
        .group
        .split('.')
        .next()
        .filter(|g| !g.is_empty())
        .map_or("Core".into(), |g| g[..1].to_uppercase() + &g[1..]);
    let version = kind.version[..1].to_uppercase() + &kind.version[1..];
    let mut operation = json!({
        "operationId": format!("{word}{group}{version}{scope}{}", kind.kind),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind":
            {"group": kind.group, "version": kind.version, "kind": kind.kind},
    });
    match dialect {
        Dialect::V2 => {
            if let Some(schema) = sent {
                query.push(json!({"name": "body", "in": "body", "required": action != "delete", "schema": schema}));
            }
            let consumes = if action == "patch" { json!(PATCHES) } else { json!(["*/*"]) };
            operation["consumes"] = consumes;
            operation["produces"] = json!([
                "application/json",
                "application/yaml",
                "application/vnd.kubernetes.protobuf"
            ]);
            operation["responses"] = json!({"200": {"description": "OK", "schema": answer}});
        }
        Dialect::V3 => {
            if let Some(schema) = sent {
                let types: Vec<&str> =
                    if action == "patch" { PATCHES.to_vec() } else { vec!["*/*"] };
                let content: Map<String, Value> =
                    types.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect();
                operation["requestBody"] = json!({"content": content});
            }
            operation["responses"] = json!({"200": {
                "description": "OK", "content": {"application/json": {"schema": answer}},
            }});
        }
    }
    operation["parameters"] = query.into();
    operation
}

/// The paths of a kind with their operations.
pub(super) fn of(dialect: Dialect, kind: &Kind) -> Map<String, Value> {
    let root = if kind.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    let (base, scope) = if kind.namespaced {
        (format!("{root}/namespaces/{{namespace}}/{}", kind.resource), "Namespaced")
    } else {
        (format!("{root}/{}", kind.resource), "")
    };
    let (collective, single): (&[_], &[&str]) = match kind.access {
        Access::Stored => (
            &[("post", "post"), ("get", "list"), ("delete", "deletecollection")],
            &["get", "put", "patch", "delete"],
        ),
        Access::Virtual => (&[("post", "post")], &[]),
        Access::Found => (&[("get", "list")], &["get"]),
    };
    let collection: Map<String, Value> = collective
        .iter()
        .map(|(method, action)| ((*method).to_owned(), operation(dialect, kind, scope, action)))
        .collect();
    let mut found = Map::new();
    let mut add = |path: String, mut item: Value| {
        let parameters = path_parameters(dialect, &path);
        if !parameters.is_empty() {
            item["parameters"] = parameters.into();
        }
        found.insert(path, item);
    };
    if !single.is_empty() {
        if kind.namespaced {
            let all = json!({"get": operation(dialect, kind, "ForAllNamespaces", "list")});
            add(format!("{root}/{}", kind.resource), all);
        }
        let item: Map<String, Value> = single
            .iter()
            .map(|action| ((*action).to_owned(), operation(dialect, kind, scope, action)))
            .collect();
        add(format!("{base}/{{name}}"), item.into());
    }
    add(base, collection.into());
    found
}
