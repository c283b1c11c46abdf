//! Nobody may grant what they do not have (upstream's escalation check).

use apimachinery::{Object, ObjectExt, Status};
use serde_json::Value;

use super::rbac::GROUP;
use super::{Attributes, Decision, Rule, decide};
use crate::registry;
use crate::server::Server;
use crate::user::{MASTERS, User};

/// Whether `rules` grant one thing that `held` do not; gives a description of it.
fn uncovered(held: &[Rule], rules: &[Rule]) -> Option<String> {
    for rule in rules {
        for verb in &rule.verbs {
            for path in &rule.paths {
                let covered = held.iter().any(|h| {
                    covers(&h.verbs, verb)
                        && h.paths.iter().any(|p| {
                            p == path
                                || p.strip_suffix('*')
                                    .is_some_and(|prefix| path.starts_with(prefix))
                        })
                });
                if !covered {
                    return Some(format!("{{NonResourceURLs:[\"{path}\"], Verbs:[\"{verb}\"]}}"));
                }
            }
            for group in &rule.groups {
                for resource in &rule.resources {
                    if !covers_resource(held, verb, group, resource, &rule.names) {
                        return Some(format!(
                            "{{APIGroups:[\"{group}\"], Resources:[\"{resource}\"], Verbs:[\"{verb}\"]}}"
                        ));
                    }
                }
            }
        }
    }
    None
}

fn covers(list: &[String], item: &str) -> bool {
    list.iter().any(|i| i == "*" || i == item)
}

fn covers_resource(
    held: &[Rule],
    verb: &str,
    group: &str,
    resource: &str,
    names: &[String],
) -> bool {
    let by = |name: Option<&String>| {
        held.iter().any(|h| {
            let resources = covers(&h.resources, resource)
                || resource
                    .split_once('/')
                    .is_some_and(|(_, sub)| h.resources.contains(&format!("*/{sub}")));
            covers(&h.verbs, verb)
                && covers(&h.groups, group)
                && resources
                && (h.names.is_empty() || name.is_some_and(|n| h.names.contains(n)))
        })
    };
    if names.is_empty() { by(None) } else { names.iter().all(|n| by(Some(n))) }
}

fn rules_of(object: &Object) -> Vec<Rule> {
    object["rules"].as_array().into_iter().flatten().map(Rule::parse).collect()
}

/// Checks a write of a role or binding by `user`.
pub(crate) fn check(
    server: &Server,
    user: &User,
    object: &Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    if user.in_group(MASTERS) || !object.api_version().starts_with(GROUP) {
        return Ok(());
    }
    let namespace = object.namespace();
    let asks = |verb: &'static str, resource: &str, name: &str| {
        let attributes = Attributes {
            user,
            verb,
            group: GROUP,
            resource,
            subresource: "",
            namespace,
            name,
            path: "",
            is_resource: true,
        };
        matches!(decide(server, &attributes), Decision::Allow(_))
    };
    let (resource, granted) = match object.kind() {
        "Role" | "ClusterRole" => {
            let resource = if object.kind() == "Role" { "roles" } else { "clusterroles" };
            let unchanged = old.is_some_and(|o| o["rules"] == object["rules"]);
            if unchanged || asks("escalate", resource, object.name()) {
                return Ok(());
            }
            (resource, rules_of(object))
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            let own =
                if object.kind() == "RoleBinding" { "rolebindings" } else { "clusterrolebindings" };
            let unchanged = old.is_some_and(|o| {
                o["subjects"] == object["subjects"] && o["roleRef"] == object["roleRef"]
            });
            let name = object.str_at(&["roleRef", "name"]);
            let role = if object.str_at(&["roleRef", "kind"]) == "Role" {
                "roles"
            } else {
                "clusterroles"
            };
            if unchanged || asks("bind", role, name) {
                return Ok(());
            }
            let kind =
                registry::find(GROUP, "v1", role).ok_or_else(|| Status::internal("no roles"))?;
            let found = server
                .entry(kind, namespace, name)
                .ok_or_else(|| Status::not_found(GROUP, role, name))?;
            (own, rules_of(&found.object()))
        }
        _ => return Ok(()),
    };
    let held = server.rbac.rules(server, user, namespace);
    match uncovered(&held, &granted) {
        None => Ok(()),
        Some(missing) => {
            let groups: Vec<Value> = user.groups.iter().map(|g| g.as_str().into()).collect();
            Err(Status::forbidden(
                GROUP,
                resource,
                object.name(),
                format!(
                    "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{missing}",
                    apimachinery::text::quote(&user.name),
                    Value::Array(groups)
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str]) -> Rule {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Rule {
            verbs: own(verbs),
            groups: vec!["".into()],
            resources: own(resources),
            ..Rule::default()
        }
    }

    #[test]
    fn what_is_granted_must_be_held() {
        let held = [rule(&["get", "list"], &["pods"]), rule(&["*"], &["*/status"])];
        assert_eq!(uncovered(&held, &[rule(&["get"], &["pods"])]), None);
        assert_eq!(uncovered(&held, &[rule(&["patch"], &["pods/status"])]), None);
        assert!(uncovered(&held, &[rule(&["delete"], &["pods"])]).is_some());
        assert!(uncovered(&held, &[rule(&["get"], &["secrets"])]).is_some());
        assert!(uncovered(&held, &[rule(&["*"], &["pods"])]).is_some());
    }
}
