//! RBAC: roles and bindings compiled from the caches, anew when one of them changed.

use std::sync::Arc;

use apimachinery::ObjectExt;
use arc_swap::ArcSwapOption;
use serde_json::{Value, json};

use super::Attributes;
use crate::cache::Collection;
use crate::server::Server;
use crate::user::User;

pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// A PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) paths: Vec<String>,
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// Whether a list of a rule has the item, or everything.
pub(super) fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|i| i == "*" || i == item)
}

impl Rule {
    pub(crate) fn parse(value: &Value) -> Self {
        Self {
            verbs: strings(&value["verbs"]),
            groups: strings(&value["apiGroups"]),
            resources: strings(&value["resources"]),
            names: strings(&value["resourceNames"]),
            paths: strings(&value["nonResourceURLs"]),
        }
    }

    pub(super) fn everything() -> Self {
        let star = || vec!["*".to_owned()];
        Self { verbs: star(), groups: star(), resources: star(), ..Self::default() }
    }

    pub(super) fn every_path() -> Self {
        Self { verbs: vec!["*".into()], paths: vec!["*".into()], ..Self::default() }
    }

    pub(super) fn to_resource_rule(&self) -> Value {
        let mut rule =
            json!({"verbs": self.verbs, "apiGroups": self.groups, "resources": self.resources});
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        rule
    }

    pub(super) fn to_path_rule(&self) -> Value {
        json!({"verbs": self.verbs, "nonResourceURLs": self.paths})
    }

    /// `pods/log` is matched by itself, `*/log` and `*`.
    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|rule| {
            rule == "*"
                || if subresource.is_empty() {
                    rule == resource
                } else {
                    rule.split_once('/')
                        .is_some_and(|(r, s)| s == subresource && (r == resource || r == "*"))
                }
        })
    }

    pub(super) fn has_path(&self, path: &str) -> bool {
        self.paths.iter().any(|rule| match rule.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => rule == path,
        })
    }

    pub(super) fn allows(&self, a: &Attributes<'_>) -> bool {
        has(&self.verbs, a.verb)
            && if a.is_resource {
                has(&self.groups, a.group)
                    && self.has_resource(a.resource, a.subresource)
                    && (self.names.is_empty() || self.names.iter().any(|n| n == a.name))
            } else {
                self.has_path(a.path)
            }
    }
}

/// A binding with its role's rules looked up.
struct Binding {
    /// How the reason names it.
    title: String,
    role: String,
    subjects: Vec<Subject>,
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    rules: Vec<Rule>,
}

struct Subject {
    kind: String,
    name: String,
}

impl Subject {
    fn parse(value: &Value, binding_namespace: &str) -> Self {
        let (kind, name) = (value.str_at(&["kind"]), value.str_at(&["name"]));
        if kind != "ServiceAccount" {
            return Self { kind: kind.to_owned(), name: name.to_owned() };
        }
        let namespace = match value.str_at(&["namespace"]) {
            "" => binding_namespace,
            namespace => namespace,
        };
        Self { kind: kind.to_owned(), name: format!("system:serviceaccount:{namespace}:{name}") }
    }

    fn is(&self, user: &User) -> bool {
        match self.kind.as_str() {
            "Group" => user.in_group(&self.name),
            _ => user.name == self.name,
        }
    }
}

/// Compiled bindings and the revisions they were made of.
struct Compiled {
    of: [u64; 4],
    bindings: Vec<Binding>,
}

/// The RBAC authorizer.
#[derive(Default)]
pub(crate) struct Rbac(ArcSwapOption<Compiled>);

const RESOURCES: [&str; 4] = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];

fn collections(server: &Server) -> Option<[&Arc<Collection>; 4]> {
    let get = |resource| server.cache.collection(GROUP, resource);
    Some([get(RESOURCES[0])?, get(RESOURCES[1])?, get(RESOURCES[2])?, get(RESOURCES[3])?])
}

impl Rbac {
    fn compiled(&self, server: &Server) -> Option<Arc<Compiled>> {
        let [roles, cluster_roles, bindings, cluster_bindings] =
            collections(server)?.map(|c| c.snapshot());
        let of = [&roles, &cluster_roles, &bindings, &cluster_bindings].map(|s| s.revision);
        if let Some(compiled) = self.0.load_full().filter(|c| c.of == of) {
            return Some(compiled);
        }
        let rules = |namespace: &str, reference: &Value| -> Vec<Rule> {
            let name = reference.str_at(&["name"]);
            let entry = match reference.str_at(&["kind"]) {
                "Role" => roles.entries.get(format!("{namespace}/{name}").as_str()),
                _ => cluster_roles.entries.get(name),
            };
            let object = entry.map(|e| e.object()).unwrap_or_default();
            object["rules"].as_array().into_iter().flatten().map(Rule::parse).collect()
        };
        let mut all = Vec::new();
        for entry in cluster_bindings.range("", "").chain(bindings.range("", "")) {
            let object = entry.object();
            let namespace = entry.namespace();
            let reference = &object["roleRef"];
            let subjects = object["subjects"].as_array().into_iter().flatten();
            let title = match namespace {
                "" => format!("ClusterRoleBinding \"{}\"", entry.name()),
                _ => format!("RoleBinding \"{}/{}\"", entry.name(), namespace),
            };
            all.push(Binding {
                title,
                role: format!(
                    "{} \"{}\"",
                    reference.str_at(&["kind"]),
                    reference.str_at(&["name"])
                ),
                subjects: subjects.map(|s| Subject::parse(s, namespace)).collect(),
                namespace: namespace.to_owned(),
                rules: rules(namespace, reference),
            });
        }
        let compiled = Arc::new(Compiled { of, bindings: all });
        self.0.store(Some(compiled.clone()));
        Some(compiled)
    }

    /// The reason why it is allowed, if it is.
    pub(super) fn allows(&self, server: &Server, a: &Attributes<'_>) -> Option<String> {
        let compiled = self.compiled(server)?;
        compiled.bindings.iter().find_map(|binding| {
            let applies =
                binding.namespace.is_empty() || (a.is_resource && binding.namespace == a.namespace);
            let subject = applies.then(|| binding.subjects.iter().find(|s| s.is(a.user)))??;
            binding.rules.iter().any(|rule| rule.allows(a)).then(|| {
                format!(
                    "RBAC: allowed by {} of {} to {} \"{}\"",
                    binding.title, binding.role, subject.kind, subject.name
                )
            })
        })
    }

    /// Every rule that applies to the user in the namespace.
    pub(super) fn rules(&self, server: &Server, user: &User, namespace: &str) -> Vec<Rule> {
        let Some(compiled) = self.compiled(server) else { return Vec::new() };
        let bindings = compiled.bindings.iter().filter(|b| {
            (b.namespace.is_empty() || b.namespace == namespace)
                && b.subjects.iter().any(|s| s.is(user))
        });
        bindings.flat_map(|b| b.rules.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_cover_what_upstream_says() {
        let user = User::new("u", &[]);
        let rule = |resources: &[&str], names: &[&str]| Rule {
            verbs: vec!["get".into()],
            groups: vec!["".into()],
            resources: resources.iter().map(|r| (*r).to_owned()).collect(),
            names: names.iter().map(|r| (*r).to_owned()).collect(),
            paths: Vec::new(),
        };
        let asks =
            |resource: &'static str, subresource: &'static str, name: &'static str| Attributes {
                subresource,
                namespace: "ns",
                name,
                ..Attributes::on_resource(&user, "get", "", resource)
            };
        assert!(rule(&["pods"], &[]).allows(&asks("pods", "", "a")));
        assert!(!rule(&["pods"], &[]).allows(&asks("pods", "log", "a")));
        assert!(rule(&["pods/log"], &[]).allows(&asks("pods", "log", "a")));
        assert!(rule(&["*/log"], &[]).allows(&asks("pods", "log", "a")));
        assert!(rule(&["*"], &[]).allows(&asks("pods", "log", "a")));
        assert!(rule(&["pods"], &["a"]).allows(&asks("pods", "", "a")));
        assert!(!rule(&["pods"], &["a"]).allows(&asks("pods", "", "b")));
        let paths =
            Rule { verbs: vec!["get".into()], paths: vec!["/healthz/*".into()], ..Rule::default() };
        let path = |path: &'static str| Attributes { path, is_resource: false, ..asks("", "", "") };
        assert!(paths.allows(&path("/healthz/ping")));
        assert!(!paths.allows(&path("/metrics")));
    }
}
