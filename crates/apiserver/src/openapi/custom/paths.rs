//! The operations of a custom kind, as upstream's `builder.go` makes them.

use apimachinery::openapi::Dialect;
use serde_json::{Map, Value, json};

use super::super::document::{
    answers, id_part, meta, named, parameter, path_parameters, roots, taken,
};
use super::super::paths::article;
use super::{Names, SCALE};
use crate::registry::Sub;

const TYPES: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];

struct Writer<'a> {
    dialect: Dialect,
    names: &'a Names<'a>,
    found: Map<String, Value>,
}

/// The paths of the kind.
pub(super) fn of(dialect: Dialect, names: &Names<'_>) -> Map<String, Value> {
    let kind = names.kind;
    let mut writer = Writer { dialect, names, found: Map::new() };
    let root = roots(kind.group, kind.version);
    let all = if kind.namespaced {
        writer.everywhere(format!("{root}/{}", kind.resource));
        format!("{root}/namespaces/{{namespace}}/{}", kind.resource)
    } else {
        format!("{root}/{}", kind.resource)
    };
    let collective = [("get", "list"), ("post", "post"), ("delete", "deletecollection")];
    writer.add(all.clone(), None, &collective);
    let one = format!("{all}/{{name}}");
    for sub in kind.subs {
        let path = format!("{one}/{}", sub.name());
        writer.add(path, Some(*sub), &[("get", "get"), ("put", "put"), ("patch", "patch")]);
    }
    let single = [("get", "get"), ("put", "put"), ("patch", "patch"), ("delete", "delete")];
    writer.add(one, None, &single);
    writer.found
}

/// The parameters of an action.
fn query(dialect: Dialect, action: &str) -> Vec<Value> {
    let all = match action {
        "get" | "list" | "deletecollection" => taken("list"),
        _ => taken(action),
    };
    let all = all.filter(|of| action != "get" || of.is("resourceVersion"));
    all.map(|described| parameter(dialect, described)).collect()
}

impl Writer<'_> {
    fn add(&mut self, path: String, sub: Option<Sub>, actions: &[(&str, &str)]) {
        let scope = if self.names.kind.namespaced { "Namespaced" } else { "" };
        let mut item = Map::new();
        for (method, action) in actions {
            let mut operation = self.operation(action, sub, scope, "");
            let mut parameters = query(self.dialect, action);
            self.send(&mut operation, &mut parameters, action, sub);
            if !parameters.is_empty() {
                operation["parameters"] = parameters.into();
            }
            item.insert((*method).to_owned(), operation);
        }
        let shared = self.shared(&path);
        item.insert("parameters".to_owned(), shared.into());
        self.found.insert(path, item.into());
    }

    /// The list of all namespaces: all parameters of its only operation are the path's.
    fn everywhere(&mut self, path: String) {
        let mut operation = self.operation("list", None, "", "ForAllNamespaces");
        self.send(&mut operation, &mut Vec::new(), "list", None);
        let mut parameters = query(self.dialect, "list");
        parameters.extend(self.shared(&path));
        self.found.insert(path, json!({"get": operation, "parameters": parameters}));
    }

    /// The parameters of all operations of a path.
    fn shared(&self, path: &str) -> Vec<Value> {
        let mut all = path_parameters(self.dialect, self.names.kind.kind, path);
        all.extend(taken("any").map(|pretty| parameter(self.dialect, pretty)));
        all
    }

    /// An operation without what is sent.
    fn operation(&self, action: &str, sub: Option<Sub>, scope: &str, suffix: &str) -> Value {
        let Names { kind, .. } = self.names;
        let name = kind.kind;
        let of = sub.map_or_else(String::new, |sub| format!("{} of ", sub.name()));
        let (verb, description) = match action {
            "list" => ("list", format!("list objects of kind {name}")),
            "get" => ("read", format!("read {of}the specified {name}")),
            "put" => ("replace", format!("replace {of}the specified {name}")),
            "patch" => ("patch", format!("partially update {of}the specified {name}")),
            "post" => ("create", format!("create {}{name}", article(name))),
            "delete" => ("delete", format!("delete {}{name}", article(name))),
            _ => ("delete", format!("delete collection of {name}")),
        };
        let group = kind.group.strip_suffix(".k8s.io").unwrap_or(kind.group);
        let collection = if action == "deletecollection" { "Collection" } else { "" };
        let sub_word = sub.map_or_else(String::new, |sub| id_part(sub.name(), true));
        let id = format!(
            "{verb}{}{}{collection}{}",
            id_part(group, true),
            id_part(kind.version, true),
            id_part(&format!("{scope}{name}{sub_word}{suffix}"), true),
        );
        let codes: &[&str] = match action {
            "post" => &["200", "201", "202"],
            "put" => &["200", "201"],
            "delete" => &["200", "202"],
            _ => &["200"],
        };
        let answer = match action {
            "list" => named(self.dialect, &self.names.list),
            "delete" | "deletecollection" => meta(self.dialect, "Status"),
            _ => self.object(sub),
        };
        let mut operation = answers(self.dialect, &answer, codes, TYPES);
        operation["description"] = description.into();
        operation["operationId"] = id.into();
        operation["tags"] =
            json!([format!("{}_{}", id_part(group, false), id_part(kind.version, false))]);
        operation["x-kubernetes-action"] = action.into();
        operation["x-kubernetes-group-version-kind"] =
            json!({"group": kind.group, "version": kind.version, "kind": name});
        operation
    }

    /// The object at a path.
    fn object(&self, sub: Option<Sub>) -> Value {
        match sub {
            Some(Sub::Scale) => named(self.dialect, SCALE),
            _ => named(self.dialect, &self.names.object),
        }
    }

    /// Adds the body that an operation takes.
    fn send(&self, operation: &mut Value, query: &mut Vec<Value>, action: &str, sub: Option<Sub>) {
        let types = if action == "patch" { PATCHES } else { TYPES };
        if self.dialect == Dialect::V2 {
            operation["consumes"] = types.into();
        }
        let schema = match action {
            "post" | "put" => self.object(sub),
            "patch" => meta(self.dialect, "Patch"),
            "delete" => meta(self.dialect, "DeleteOptions"),
            _ => return,
        };
        let required = action != "delete";
        if self.dialect == Dialect::V2 {
            let mut body = json!({"in": "body", "name": "body", "schema": schema});
            if required {
                body["required"] = true.into();
            }
            query.insert(0, body);
            return;
        }
        let content: Map<String, Value> =
            types.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect();
        operation["requestBody"] = json!({"content": content});
        if required {
            operation["requestBody"]["required"] = true.into();
        }
    }
}
