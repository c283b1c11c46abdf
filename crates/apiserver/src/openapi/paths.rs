//! Operations, which clients look up before they send a parameter.

use apimachinery::openapi::Dialect;
use serde_json::{Map, Value, json};

use super::document::{answers, id_part, meta, parameter, path_parameters, reference, roots, text};
use crate::discovery::sub_kind;
use crate::registry::{Access, Kind, Sub};

const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Methods that a proxy forwards.
const PROXIED: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

/// One operation.
struct Operation<'a> {
    dialect: Dialect,
    kind: &'a Kind,
    /// Action on the object, as in `x-kubernetes-action`.
    action: &'static str,
    /// The rest of the operation's id.
    id: String,
    /// Group, version and kind of the operation.
    of: (&'a str, &'a str, &'a str),
    /// Set of its query parameters.
    takes: &'static str,
    description: String,
}

/// The group's name in ids: `RbacAuthorization`.
pub(super) fn group_word(group: &str) -> String {
    if group.is_empty() {
        return "Core".into();
    }
    id_part(group.strip_suffix(".k8s.io").unwrap_or(group), true)
}

fn capital(word: &str) -> String {
    word.get(..1).map_or_else(String::new, |first| first.to_uppercase() + &word[1..])
}

impl Operation<'_> {
    fn write(&self) -> Value {
        let (dialect, action) = (self.dialect, self.action);
        let schema = reference(dialect, self.of.0, self.of.1, self.of.2);
        let (answer, codes): (Value, &[&str]) = match action {
            "list" => {
                let list = format!("{}List", self.of.2);
                (reference(dialect, self.of.0, self.of.1, &list), &["200"])
            }
            "watch" | "watchlist" => (reference(dialect, "", "v1", "WatchEvent"), &["200"]),
            "deletecollection" => (reference(dialect, "", "v1", "Status"), &["200"]),
            "delete" if self.kind.returns_deleted() => (schema.clone(), &["200", "202"]),
            "delete" => (reference(dialect, "", "v1", "Status"), &["200", "202"]),
            "connect" => (text(), &["200"]),
            "get" if self.takes == "log" => (text(), &["200"]),
            "post" => (schema.clone(), &["200", "201", "202"]),
            "put" | "patch" => (schema.clone(), &["200", "201"]),
            _ => (schema.clone(), &["200"]),
        };
        let produces: &[&str] = match (action, self.takes) {
            ("list" | "watch" | "watchlist", _) => &[
                "application/json",
                "application/json;stream=watch",
                "application/vnd.kubernetes.protobuf",
                "application/vnd.kubernetes.protobuf;stream=watch",
                "application/yaml",
            ],
            ("connect", _) => &["*/*"],
            (_, "log") => &[
                "application/json",
                "application/vnd.kubernetes.protobuf",
                "application/yaml",
                "text/plain",
            ],
            _ => &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"],
        };
        let sent = match action {
            "post" | "put" => Some(schema),
            "patch" => Some(meta(dialect, "Patch")),
            "delete" | "deletecollection" => Some(reference(dialect, "", "v1", "DeleteOptions")),
            _ => None,
        };
        let group = group_word(self.kind.group);
        let tag = group[..1].to_lowercase() + &group[1..];
        let (group, version, kind) = self.of;
        let mut operation = answers(dialect, &answer, codes, produces);
        operation["description"] = self.description.as_str().into();
        operation["operationId"] = self.id.as_str().into();
        operation["tags"] = json!([format!("{tag}_{}", self.kind.version)]);
        operation["x-kubernetes-action"] = action.into();
        operation["x-kubernetes-group-version-kind"] =
            json!({"group": group, "version": version, "kind": kind});
        let mut query: Vec<Value> = super::document::taken(self.takes)
            .map(|described| parameter(dialect, described))
            .collect();
        let types = if action == "patch" { PATCHES } else { &["*/*"] };
        let required = !action.starts_with("delete");
        if dialect == Dialect::V2 {
            operation["consumes"] = types.into();
            if let Some(schema) = sent {
                let mut body = json!({"in": "body", "name": "body", "schema": schema});
                if required {
                    body["required"] = true.into();
                }
                query.push(body);
            }
        } else if let Some(schema) = sent {
            let content: Map<String, Value> =
                types.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect();
            operation["requestBody"] = json!({"content": content});
            if required {
                operation["requestBody"]["required"] = true.into();
            }
        }
        if !query.is_empty() {
            operation["parameters"] = query.into();
        }
        operation
    }
}

/// Writes the paths of one kind.
struct Writer<'a> {
    dialect: Dialect,
    kind: &'a Kind,
    scope: &'static str,
    found: Map<String, Value>,
}

impl<'a> Writer<'a> {
    fn operation(&self, action: &'static str, id: &str, description: String) -> Operation<'a> {
        let kind = self.kind;
        let word = format!("{}{}", group_word(kind.group), capital(kind.version));
        Operation {
            dialect: self.dialect,
            kind,
            action,
            id: id.replace("{}", &word),
            of: (kind.group, kind.version, kind.kind),
            takes: if action.starts_with("watch") { "list" } else { action },
            description,
        }
    }

    /// The operation on an object or on all objects of a scope.
    fn plain(&self, action: &'static str) -> Value {
        let (scope, name) = (self.scope, self.kind.kind);
        let of = format!("{scope}{name}");
        let (id, description) = match action {
            "get" => (format!("read{{}}{of}"), format!("read the specified {name}")),
            "put" => (format!("replace{{}}{of}"), format!("replace the specified {name}")),
            "patch" => (format!("patch{{}}{of}"), format!("partially update the specified {name}")),
            "post" => (format!("create{{}}{of}"), format!("create {}{name}", article(name))),
            "delete" => (format!("delete{{}}{of}"), format!("delete {}{name}", article(name))),
            "deletecollection" => {
                (format!("delete{{}}Collection{of}"), format!("delete collection of {name}"))
            }
            "watch" => (
                format!("watch{{}}{of}"),
                format!(
                    "watch changes to an object of kind {name}. deprecated: use the 'watch' \
                     parameter with a list operation instead, filtered to a single item with the \
                     'fieldSelector' parameter."
                ),
            ),
            "watchlist" => (format!("watch{{}}{of}List"), watched(name)),
            _ => (format!("list{{}}{of}"), listed(self.kind)),
        };
        self.operation(action, &id, description).write()
    }

    /// The operation on a subresource.
    fn on_sub(&self, sub: Sub, action: &'static str) -> Value {
        let (scope, name) = (self.scope, self.kind.kind);
        let of = format!("{scope}{name}{}", capital(sub.name()));
        let (word, description) = match action {
            "get" => ("read", format!("read {} of the specified {name}", sub.name())),
            "put" => ("replace", format!("replace {} of the specified {name}", sub.name())),
            "patch" => {
                ("patch", format!("partially update {} of the specified {name}", sub.name()))
            }
            _ => ("create", format!("create {} of a {name}", sub.name())),
        };
        let mut operation = self.operation(action, &format!("{word}{{}}{of}"), description);
        if sub == Sub::Log {
            operation.takes = "log";
        }
        operation.of = sub.own_kind().unwrap_or(operation.of);
        operation.write()
    }

    /// The operations that are forwarded.
    fn connect(&mut self, path: &str, sub: Sub, suffix: &str, methods: &[&'static str]) {
        let (scope, name) = (self.scope, self.kind.kind);
        let options = format!("{name}ProxyOptions");
        let mut item = Map::new();
        for method in methods {
            let of = format!("{}{scope}{name}{}{suffix}", capital(method), connect_word(sub));
            let description =
                format!("connect {} requests to {} of {name}", method.to_uppercase(), sub.name());
            let mut operation = self.operation("connect", &format!("connect{{}}{of}"), description);
            operation.of = sub.own_kind().unwrap_or(("", "v1", &options));
            operation.takes = sub.name();
            item.insert((*method).to_owned(), operation.write());
        }
        self.add(path.to_owned(), "connect", item);
    }

    /// The kind of the objects at a path: one at a subresource is named after the type that the
    /// subresource takes.
    fn named_at(&self, path: &str) -> &'a str {
        let sub = path.split("{name}/").nth(1).and_then(|rest| rest.split('/').next());
        let sub = sub.and_then(|name| self.kind.subs.iter().find(|sub| sub.name() == name));
        sub.map_or(self.kind.kind, |sub| sub_kind(self.kind, *sub).2)
    }

    fn add(&mut self, path: String, action: &str, item: Map<String, Value>) {
        let mut item = Value::Object(item);
        let mut parameters = path_parameters(self.dialect, self.named_at(&path), &path);
        if action != "connect" {
            parameters.extend(
                super::document::taken("any").map(|pretty| parameter(self.dialect, pretty)),
            );
        }
        if !parameters.is_empty() {
            item["parameters"] = parameters.into();
        }
        self.found.insert(path, item);
    }

    fn add_plain(&mut self, path: String, actions: &[(&str, &'static str)]) {
        let item = actions
            .iter()
            .map(|(method, action)| ((*method).to_owned(), self.plain(action)))
            .collect();
        self.add(path, "", item);
    }

    fn subresources(&mut self, one: &str) {
        for &sub in self.kind.subs {
            let path = format!("{one}/{}", sub.name());
            let actions: &[&str] = match sub {
                Sub::Exec | Sub::Attach | Sub::PortForward => {
                    self.connect(&path, sub, "", &["get", "post"]);
                    continue;
                }
                Sub::Proxy => {
                    self.connect(&path, sub, "", PROXIED);
                    self.connect(&format!("{path}/{{path}}"), sub, "WithPath", PROXIED);
                    continue;
                }
                Sub::Binding | Sub::Eviction | Sub::Token => &["post"],
                Sub::Finalize => &["put"],
                Sub::Log => &["get"],
                _ => &["get", "patch", "put"],
            };
            let item = actions
                .iter()
                .map(|action| ((*action).to_owned(), self.on_sub(sub, action)))
                .collect();
            self.add(path, "", item);
        }
    }
}

fn connect_word(sub: Sub) -> String {
    capital(sub.name())
}

fn listed(kind: &Kind) -> String {
    let watched = if kind.access == Access::Stored { " or watch" } else { "" };
    format!("list{watched} objects of kind {}", kind.kind)
}

/// The article before a name, which may be a plural.
pub(super) fn article(name: &str) -> &'static str {
    if name.ends_with('s') && !name.ends_with("ss") {
        ""
    } else if name.starts_with(|c: char| "AEIOUaeiou".contains(c)) {
        "an "
    } else {
        "a "
    }
}

fn watched(name: &str) -> String {
    format!(
        "watch individual changes to a list of {name}. deprecated: use the 'watch' parameter with a \
         list operation instead."
    )
}

/// The paths of a kind with their operations.
pub(super) fn of(dialect: Dialect, kind: &Kind) -> Map<String, Value> {
    let root = format!("{}/", roots(kind.group, kind.version));
    let resource = kind.resource;
    let (place, scope) =
        if kind.namespaced { ("namespaces/{namespace}/", "Namespaced") } else { ("", "") };
    let mut writer = Writer { dialect, kind, scope, found: Map::new() };
    let all = format!("{root}{place}{resource}");
    let one = format!("{all}/{{name}}");
    let collective: &[_] = match kind.access {
        Access::Stored if kind.kind == "Namespace" => &[("get", "list"), ("post", "post")],
        Access::Stored => &[("delete", "deletecollection"), ("get", "list"), ("post", "post")],
        Access::Virtual => &[("post", "post")],
        Access::Found => &[("get", "list")],
    };
    writer.add_plain(all, collective);
    if kind.access == Access::Found {
        writer.add_plain(one.clone(), &[("get", "get")]);
    }
    if kind.access == Access::Stored {
        let single = [("delete", "delete"), ("get", "get"), ("patch", "patch"), ("put", "put")];
        writer.add_plain(one.clone(), &single);
        let watch = format!("{root}watch/");
        writer.add_plain(format!("{watch}{place}{resource}"), &[("get", "watchlist")]);
        writer.add_plain(format!("{watch}{place}{resource}/{{name}}"), &[("get", "watch")]);
        if kind.namespaced {
            let everywhere = [
                (root, "list", format!("list{{}}{}ForAllNamespaces", kind.kind), listed(kind)),
                (
                    watch,
                    "watchlist",
                    format!("watch{{}}{}ListForAllNamespaces", kind.kind),
                    watched(kind.kind),
                ),
            ];
            for (root, action, id, description) in everywhere {
                let operation = writer.operation(action, &id, description).write();
                let item = Map::from_iter([("get".to_owned(), operation)]);
                writer.add(format!("{root}{resource}"), "", item);
            }
        }
    }
    writer.subresources(&one);
    writer.found
}

/// The path of the document that describes a group, or a version of it.
pub(super) fn group(dialect: Dialect, group: &str, version: Option<&str>) -> (String, Value) {
    let word = group_word(group);
    let tag = word[..1].to_lowercase() + &word[1..];
    let (path, id, tag, description, kind) = match version {
        Some(version) => (
            format!("{}/", roots(group, version)),
            format!("get{word}{}APIResources", capital(version)),
            format!("{tag}_{version}"),
            "get available resources",
            "APIResourceList",
        ),
        None if group.is_empty() => (
            "/api/".to_owned(),
            "getCoreAPIVersions".to_owned(),
            tag,
            "get available API versions",
            "APIVersions",
        ),
        None => (
            format!("/apis/{group}/"),
            format!("get{word}APIGroup"),
            tag,
            "get information of a group",
            "APIGroup",
        ),
    };
    (path, super::document::found(dialect, &id, &tag, description, meta(dialect, kind)))
}

/// Paths outside of any group.
pub(super) fn bare(dialect: Dialect) -> Vec<(&'static str, Value)> {
    let info = super::document::named(dialect, super::builtin::VERSION_INFO);
    let of = |id, tag, description, answer| {
        super::document::found(dialect, id, tag, description, answer)
    };
    vec![
        (
            "/.well-known/openid-configuration/",
            of(
                "getServiceAccountIssuerOpenIDConfiguration",
                "WellKnown",
                "get service account issuer OpenID configuration, also known as the 'OIDC \
                 discovery doc'",
                text(),
            ),
        ),
        (
            "/apis/",
            of(
                "getAPIVersions",
                "apis",
                "get available API versions",
                meta(dialect, "APIGroupList"),
            ),
        ),
        (
            "/openid/v1/jwks/",
            of(
                "getServiceAccountIssuerOpenIDKeyset",
                "openid",
                "get service account issuer OpenID JSON Web Key Set (contains public token \
                 verification keys)",
                text(),
            ),
        ),
        (
            "/version/",
            of("getCodeVersion", "version", "get the version information for this server", info),
        ),
    ]
}
