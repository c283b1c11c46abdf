//! RBAC: roles and bindings compiled from the caches whenever one of them has changed.

use std::sync::Arc;

use apimachinery::ObjectExt;
use apimachinery::object::strings;
use apimachinery::text::{aggregate, quote};
use arc_swap::ArcSwapOption;
use serde_json::{Value, json};

use super::{Attributes, Opinion};
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

/// Returns true if a rule's list contains the item or `*`.
pub(crate) fn has(list: &[String], item: &str) -> bool {
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
    /// Title in the reason.
    title: String,
    role: String,
    subjects: Vec<Subject>,
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    rules: Vec<Rule>,
    /// The reason why there are no rules, if the role is missing.
    unresolved: Option<Unresolved>,
}

/// The reason why a bound role gives no rules.
#[derive(Clone, Debug)]
pub(crate) enum Unresolved {
    /// No role of this kind and name exists.
    NotFound(String, String),
    /// No roles of this kind exist.
    Unsupported(String),
}

impl Unresolved {
    /// In the words of upstream's authorizer, which names kinds.
    pub(crate) fn to_authorizer(&self) -> String {
        match self {
            Self::NotFound(kind, name) => {
                format!("{}.{GROUP} {} not found", kind.to_lowercase(), quote(name))
            }
            Self::Unsupported(kind) => {
                format!("unsupported role reference kind: {}", quote(kind))
            }
        }
    }

    /// In the words of upstream's storage, which names resources.
    pub(crate) fn to_storage(&self) -> String {
        match self {
            Self::NotFound(kind, name) => {
                format!("{}s.{GROUP} {} not found", kind.to_lowercase(), quote(name))
            }
            Self::Unsupported(_) => self.to_authorizer(),
        }
    }
}

impl Binding {
    /// The first of its subjects that matches the user.
    fn binds(&self, user: &User) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.is(user))
    }
}

/// A subject of a binding.
struct Subject {
    who: Who,
    /// Title in the reason.
    title: String,
}

enum Who {
    User(String),
    Group(String),
    Nobody,
}

impl Subject {
    fn parse(value: &Value, binding_namespace: &str) -> Self {
        let (kind, name) = (value.str_at(&["kind"]), value.str_at(&["name"]));
        let title = format!("{kind} {}", quote(name));
        match kind {
            "ServiceAccount" => {
                let namespace = match value.str_at(&["namespace"]) {
                    "" => binding_namespace,
                    namespace => namespace,
                };
                Self {
                    who: Who::User(format!("system:serviceaccount:{namespace}:{name}")),
                    title: format!("{kind} {}", quote(&format!("{name}/{namespace}"))),
                }
            }
            "User" => Self { who: Who::User(name.to_owned()), title },
            "Group" => Self { who: Who::Group(name.to_owned()), title },
            _ => Self { who: Who::Nobody, title },
        }
    }

    fn is(&self, user: &User) -> bool {
        match &self.who {
            Who::User(name) => user.name == *name,
            Who::Group(name) => user.in_group(name),
            Who::Nobody => false,
        }
    }
}

/// The rules that apply to a user.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) rules: Vec<Rule>,
    /// Bound roles that cannot be read, so that there may be more rules.
    pub(crate) unresolved: Vec<Unresolved>,
}

/// Compiled bindings and the revisions they were compiled from.
struct Compiled {
    of: [u64; 4],
    bindings: Vec<Binding>,
}

/// The RBAC authorizer.
#[derive(Default)]
pub(crate) struct Rbac(ArcSwapOption<Compiled>);

const RESOURCES: [&str; 4] = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];

fn collections(server: &Server) -> Option<[Arc<Collection>; 4]> {
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
        // The role, or the reason why it is missing.
        let role = |namespace: &str, kind: &str, name: &str| {
            let entry = match kind {
                "Role" => roles.entries.get(format!("{namespace}/{name}").as_str()),
                "ClusterRole" => cluster_roles.entries.get(name),
                _ => return (Value::Null, Some(Unresolved::Unsupported(kind.to_owned()))),
            };
            match entry {
                Some(entry) => (entry.object(), None),
                None => (Value::Null, Some(Unresolved::NotFound(kind.to_owned(), name.to_owned()))),
            }
        };
        let mut all = Vec::new();
        for entry in cluster_bindings.range("", "").chain(bindings.range("", "")) {
            let object = entry.object();
            let namespace = entry.namespace();
            let (kind, name) =
                (object.str_at(&["roleRef", "kind"]), object.str_at(&["roleRef", "name"]));
            let (role, unresolved) = role(namespace, kind, name);
            let subjects = object["subjects"].as_array().into_iter().flatten();
            let title = match namespace {
                "" => format!("ClusterRoleBinding \"{}\"", entry.name()),
                _ => format!("RoleBinding \"{}/{}\"", entry.name(), namespace),
            };
            all.push(Binding {
                title,
                role: format!("{kind} {}", quote(name)),
                subjects: subjects.map(|s| Subject::parse(s, namespace)).collect(),
                namespace: namespace.to_owned(),
                rules: role["rules"].as_array().into_iter().flatten().map(Rule::parse).collect(),
                unresolved,
            });
        }
        let compiled = Arc::new(Compiled { of, bindings: all });
        self.0.store(Some(compiled.clone()));
        Some(compiled)
    }

    /// The answer and its reason: for a refusal, the roles that are bound but missing.
    pub(super) fn decide(&self, server: &Server, a: &Attributes<'_>) -> Opinion {
        let Some(compiled) = self.compiled(server) else { return Opinion::none("") };
        let mut unresolved: Vec<&Unresolved> = Vec::new();
        for binding in &compiled.bindings {
            if !binding.namespace.is_empty() && binding.namespace != a.namespace {
                continue;
            }
            let Some(subject) = binding.binds(a.user) else { continue };
            unresolved.extend(&binding.unresolved);
            if binding.rules.iter().any(|rule| rule.allows(a)) {
                let Binding { title, role, .. } = binding;
                let to = &subject.title;
                return Opinion::Allow(format!("RBAC: allowed by {title} of {role} to {to}"));
            }
        }
        Opinion::none(match unresolved.is_empty() {
            true => String::new(),
            false => {
                let said: Vec<String> = unresolved.iter().map(|why| why.to_authorizer()).collect();
                format!("RBAC: {}", aggregate(&said))
            }
        })
    }

    /// Every rule that applies to the user in the namespace.
    pub(super) fn held(&self, server: &Server, user: &User, namespace: &str) -> Held {
        let mut held = Held::default();
        let Some(compiled) = self.compiled(server) else { return held };
        for binding in &compiled.bindings {
            let here = binding.namespace.is_empty() || binding.namespace == namespace;
            if here && binding.binds(user).is_some() {
                held.rules.extend(binding.rules.iter().cloned());
                held.unresolved.extend(binding.unresolved.clone());
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_as_upstream_names_it() {
        let role = Unresolved::NotFound("ClusterRole".into(), "r".into());
        let shown = |resource| format!("{resource}.rbac.authorization.k8s.io \"r\" not found");
        assert_eq!(role.to_authorizer(), shown("clusterrole"));
        assert_eq!(role.to_storage(), shown("clusterroles"));
        let odd = Unresolved::Unsupported("X".into());
        assert_eq!(odd.to_storage(), "unsupported role reference kind: \"X\"");
    }

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
