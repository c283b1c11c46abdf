//! Flow schemas: to which priority level a request belongs, and to which flow.

use apimachinery::{Object, ObjectExt};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::request::RequestInfo;
use crate::user::User;

/// The value that stands for all.
const ALL: &str = "*";

/// A flow schema as requests are matched with it.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) uid: String,
    /// Name of its priority level.
    pub(super) level: String,
    precedence: i64,
    distinguisher: Option<Distinguisher>,
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Distinguisher {
    ByUser,
    ByNamespace,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Spec {
    matching_precedence: i64,
    priority_level_configuration: Reference,
    distinguisher_method: Option<Method>,
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Method {
    r#type: Distinguisher,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    #[serde(rename = "nonResourceRules")]
    path_rules: Vec<PathRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    kind: String,
    user: Option<Reference>,
    group: Option<Reference>,
    service_account: Option<Account>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
}

impl Schema {
    /// Reads a FlowSchema object.
    ///
    /// # Errors
    /// It is not one; the API has let none in.
    pub(super) fn read(object: &Object) -> Result<Self, serde_json::Error> {
        let spec = Spec::deserialize(&object["spec"])?;
        Ok(Self {
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            level: spec.priority_level_configuration.name,
            precedence: spec.matching_precedence,
            distinguisher: spec.distinguisher_method.map(|method| method.r#type),
            rules: spec.rules,
        })
    }

    /// The order in which schemas are tried.
    pub(super) fn order(&self) -> (i64, &str) {
        (self.precedence, &self.name)
    }

    pub(super) fn matches(&self, user: &User, info: &RequestInfo) -> bool {
        self.rules.iter().any(|rule| {
            rule.subjects.iter().any(|subject| subject.is(user))
                && if info.is_resource {
                    rule.resource_rules.iter().any(|rule| rule.matches(info))
                } else {
                    rule.path_rules.iter().any(|rule| rule.matches(info))
                }
        })
    }

    /// The part of the request by which flows of this schema differ.
    pub(super) fn distinguish<'a>(&self, user: &'a User, info: &'a RequestInfo) -> &'a str {
        match self.distinguisher {
            None => "",
            Some(Distinguisher::ByUser) => &user.name,
            Some(Distinguisher::ByNamespace) => &info.namespace,
        }
    }

    /// The hash of a flow, which nobody can choose so that it meets another's.
    pub(super) fn hash(&self, flow: &str) -> u64 {
        let digest =
            Sha256::new().chain_update(&self.name).chain_update([0]).chain_update(flow).finalize();
        digest.iter().take(8).rev().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match &*self.kind {
            "User" => {
                self.user.as_ref().is_some_and(|own| own.name == ALL || own.name == user.name)
            }
            "Group" => {
                self.group.as_ref().is_some_and(|own| own.name == ALL || user.in_group(&own.name))
            }
            "ServiceAccount" => self.service_account.as_ref().is_some_and(|own| own.is(user)),
            _ => false,
        }
    }
}

impl Account {
    fn is(&self, user: &User) -> bool {
        let account = user.name.strip_prefix("system:serviceaccount:");
        let parts = account.and_then(|account| account.split_once(':'));
        parts.is_some_and(|(namespace, name)| {
            namespace == self.namespace && (self.name == ALL || name == self.name)
        })
    }
}

/// The value for all stands alone; validation sees to that.
fn has(list: &[String], value: &str) -> bool {
    matches!(list, [only] if only == ALL) || list.iter().any(|one| one == value)
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let resource = || {
            if info.subresource.is_empty() || matches!(&*self.resources, [only] if only == ALL) {
                return has(&self.resources, &info.resource);
            }
            self.resources.iter().any(|one| {
                one.split_once('/').is_some_and(|(resource, subresource)| {
                    resource == info.resource && subresource == info.subresource
                })
            })
        };
        has(&self.verbs, info.verb)
            && has(&self.api_groups, &info.group)
            && resource()
            && if info.namespace.is_empty() {
                self.cluster_scope
            } else {
                has(&self.namespaces, &info.namespace)
            }
    }
}

impl PathRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let path = |own: &String| {
            if own == ALL || *own == info.path {
                return true;
            }
            // `/healthz` and `/healthz/*` also mean what is below.
            let below = own.strip_suffix('*').unwrap_or(own).trim_end_matches('/');
            info.path.strip_prefix(below).is_some_and(|rest| rest.starts_with('/'))
        };
        has(&self.verbs, info.verb) && self.paths.iter().any(path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(verb: &'static str, resource: &str, sub: &str, namespace: &str) -> RequestInfo {
        RequestInfo {
            is_resource: true,
            verb,
            resource: resource.into(),
            subresource: sub.into(),
            namespace: namespace.into(),
            ..RequestInfo::default()
        }
    }

    #[test]
    fn requests_are_matched_by_subject_and_rule() {
        let schema = Schema::read(&json!({
            "metadata": {"name": "s"},
            "spec": {
                "priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 7,
                "distinguisherMethod": {"type": "ByNamespace"},
                "rules": [{
                    "subjects": [
                        {"kind": "User", "user": {"name": "u"}},
                        {"kind": "Group", "group": {"name": "g"}},
                        {"kind": "ServiceAccount",
                         "serviceAccount": {"namespace": "ns", "name": "*"}},
                    ],
                    "resourceRules": [
                        {"verbs": ["get", "list"], "apiGroups": [""],
                         "resources": ["pods", "pods/log"], "namespaces": ["ns"]},
                        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["nodes"],
                         "clusterScope": true},
                    ],
                    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a", "/b/*"]}],
                }],
            },
        }))
        .unwrap();
        let user = |name: &str| User::new(name, &[]);
        let pods = resource("get", "pods", "", "ns");
        for (name, wanted) in [
            ("u", true),
            ("v", false),
            ("system:serviceaccount:ns:a", true),
            ("system:serviceaccount:nsa:a", false),
            ("system:serviceaccount:n", false),
        ] {
            assert_eq!(schema.matches(&user(name), &pods), wanted, "{name}");
        }
        assert!(schema.matches(&User::new("x", &["g"]), &pods));
        for (info, wanted) in [
            (resource("delete", "pods", "", "ns"), false),
            (resource("get", "pods", "log", "ns"), true),
            (resource("get", "pods", "exec", "ns"), false),
            (resource("list", "pods", "", ""), false),
            (resource("list", "pods", "", "other"), false),
            (resource("delete", "nodes", "", ""), true),
            (resource("delete", "nodes", "status", ""), false),
        ] {
            assert_eq!(schema.matches(&user("u"), &info), wanted, "{info:?}");
        }
        for (path, wanted) in [
            ("/a", true),
            ("/a/x", true),
            ("/ab", false),
            ("/b/x", true),
            ("/b", false),
            ("/", false),
        ] {
            let info = RequestInfo { verb: "get", path: path.into(), ..RequestInfo::default() };
            assert_eq!(schema.matches(&user("u"), &info), wanted, "{path}");
        }
        assert_eq!(schema.distinguish(&user("u"), &pods), "ns");
        assert_ne!(schema.hash("a"), schema.hash("b"));
    }
}
