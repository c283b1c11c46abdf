//! Users may only grant rights that they have (upstream's escalation check).

use apimachinery::text::aggregate;
use apimachinery::{Object, ObjectExt, Status};
use serde_json::Value;

use super::rbac::{GROUP, has};
use super::{Attributes, Rule, decide};
use crate::registry::{self, Kind};
use crate::server::Server;
use crate::user::{MASTERS, User};

/// The parts of `rules` that `held` does not grant, each one verb on one resource, name or path.
fn uncovered(held: &[Rule], rules: &[Rule]) -> Vec<Rule> {
    let mut missing = Vec::new();
    let mut check = |part: Rule, covered: bool| {
        if !covered && !missing.contains(&part) {
            missing.push(part);
        }
    };
    for (rule, verb) in rules.iter().flat_map(|r| r.verbs.iter().map(move |v| (r, v))) {
        for path in &rule.paths {
            let covered = held.iter().any(|h| has(&h.verbs, verb) && h.has_path(path));
            let part =
                Rule { verbs: vec![verb.clone()], paths: vec![path.clone()], ..Rule::default() };
            check(part, covered);
        }
        for (group, resource) in
            rule.groups.iter().flat_map(|g| rule.resources.iter().map(move |r| (g, r)))
        {
            let names: Vec<Option<&String>> = if rule.names.is_empty() {
                vec![None]
            } else {
                rule.names.iter().map(Some).collect()
            };
            for name in names {
                let part = Rule {
                    verbs: vec![verb.clone()],
                    groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    names: name.into_iter().cloned().collect(),
                    ..Rule::default()
                };
                check(part, covers_resource(held, verb, group, resource, name));
            }
        }
    }
    missing
}

/// Upstream's text of missing rules: verbs on the same resource are grouped, in order.
fn describe(missing: Vec<Rule>) -> String {
    let mut compact: Vec<Rule> = Vec::new();
    for rule in missing {
        let same = |other: &&mut Rule| {
            other.paths.is_empty()
                && rule.paths.is_empty()
                && (&other.groups, &other.resources, &other.names)
                    == (&rule.groups, &rule.resources, &rule.names)
        };
        match compact.iter_mut().find(same) {
            Some(other) => other.verbs.extend(rule.verbs),
            None => compact.push(rule),
        }
    }
    let list = |name: &str, items: &[String]| {
        let items: Vec<String> = items.iter().map(|i| apimachinery::text::quote(i)).collect();
        (!items.is_empty()).then(|| format!("{name}:[{}]", items.join(" ")))
    };
    let mut lines: Vec<String> = compact
        .iter()
        .map(|rule| {
            let parts = [
                list("APIGroups", &rule.groups),
                list("Resources", &rule.resources),
                list("ResourceNames", &rule.names),
                list("NonResourceURLs", &rule.paths),
                list("Verbs", &rule.verbs),
            ];
            format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn covers_resource(
    held: &[Rule],
    verb: &str,
    group: &str,
    resource: &str,
    name: Option<&String>,
) -> bool {
    held.iter().any(|h| {
        let resources = has(&h.resources, resource)
            || resource
                .split_once('/')
                .is_some_and(|(_, sub)| h.resources.contains(&format!("*/{sub}")));
        has(&h.verbs, verb)
            && has(&h.groups, group)
            && resources
            && (h.names.is_empty() || name.is_some_and(|n| h.names.contains(n)))
    })
}

fn rules_of(object: &Object) -> Vec<Rule> {
    object["rules"].as_array().into_iter().flatten().map(Rule::parse).collect()
}

/// A write of a role or binding.
pub(crate) struct Write<'a> {
    pub(crate) server: &'a Server,
    pub(crate) user: &'a User,
    /// The kind that is written, whatever the object says of itself.
    pub(crate) kind: &'a Kind,
    pub(crate) object: &'a Object,
    pub(crate) old: Option<&'a Object>,
    /// The name in the request's path: empty for a POST, for which `escalate` cannot be limited to
    /// names.
    pub(crate) path_name: &'a str,
}

/// Checks a write of a role or binding (upstream's `policybased` storages). Every change but the
/// garbage collector's is checked: a label may aggregate a role into another.
pub(crate) async fn check(write: &Write<'_>) -> Result<(), Status> {
    let Write { user, kind, object, .. } = *write;
    if user.in_group(MASTERS)
        || kind.group != GROUP
        || write.old.is_some_and(|old| is_only_garbage_collection(object, old))
    {
        return Ok(());
    }
    match kind.kind {
        "Role" => check_role(write, "roles").await,
        "ClusterRole" => check_role(write, "clusterroles").await,
        "RoleBinding" => check_binding(write, "rolebindings").await,
        "ClusterRoleBinding" => check_binding(write, "clusterrolebindings").await,
        _ => Ok(()),
    }
}

/// Returns true if an update changes no more than the garbage collector does.
pub(crate) fn is_only_garbage_collection(object: &Object, old: &Object) -> bool {
    let mut object = object.clone();
    for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
        let value = old.get_path(&["metadata", field]).cloned().unwrap_or(Value::Null);
        object.set_meta(field, value);
    }
    object == *old
}

fn has_aggregation_rule(role: &Object) -> bool {
    let selectors = role.get_path(&["aggregationRule", "clusterRoleSelectors"]);
    selectors.and_then(Value::as_array).is_some_and(|s| !s.is_empty())
}

async fn is_allowed(write: &Write<'_>, verb: &str, resource: &str, name: &str) -> bool {
    let attributes = Attributes {
        namespace: write.object.namespace(),
        name,
        ..Attributes::on_resource(write.user, verb, GROUP, resource)
    };
    decide(write.server, attributes).await.is_allowed()
}

async fn check_role(write: &Write<'_>, resource: &str) -> Result<(), Status> {
    let role = write.object;
    if is_allowed(write, "escalate", resource, write.path_name).await {
        return Ok(());
    }
    check_held(write, resource, &rules_of(role))?;
    // An aggregation rule can gather any rules, and removing it can keep rules that it gathered.
    if has_aggregation_rule(role) || write.old.is_some_and(has_aggregation_rule) {
        let everything = [Rule::everything(), Rule::every_path()];
        let held = write.server.rbac.held(write.server, write.user, role.namespace());
        if !uncovered(&held.rules, &everything).is_empty() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(Status::forbidden(GROUP, resource, role.name(), why));
        }
    }
    Ok(())
}

async fn check_binding(write: &Write<'_>, resource: &str) -> Result<(), Status> {
    let binding = write.object;
    let name = binding.str_at(&["roleRef", "name"]);
    let role =
        if binding.str_at(&["roleRef", "kind"]) == "Role" { "roles" } else { "clusterroles" };
    if is_allowed(write, "bind", role, name).await {
        return Ok(());
    }
    let kind = registry::find(GROUP, "v1", role).ok_or_else(|| Status::internal("no roles"))?;
    let found = write
        .server
        .entry(kind, binding.namespace(), name)
        // Upstream's error names the written resource.
        .ok_or_else(|| Status::not_found(GROUP, resource, name))?;
    check_held(write, resource, &rules_of(&found.object()))
}

/// Refuses to grant rights that the author does not hold.
fn check_held(write: &Write<'_>, resource: &str, granted: &[Rule]) -> Result<(), Status> {
    let user = write.user;
    let held = write.server.rbac.held(write.server, user, write.object.namespace());
    let missing = uncovered(&held.rules, granted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|g| apimachinery::text::quote(g)).collect();
    let unresolved = match held.unresolved.is_empty() {
        true => String::new(),
        false => {
            let said: Vec<String> =
                held.unresolved.iter().map(|unresolved| unresolved.to_storage()).collect();
            format!("; resolution errors: [{}]", aggregate(&said))
        }
    };
    let why = format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}{unresolved}",
        apimachinery::text::quote(&user.name),
        groups.join(" "),
        describe(missing)
    );
    Err(Status::forbidden(GROUP, resource, write.object.name(), why))
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
        let missing = |rule: Rule| describe(uncovered(&held, &[rule]));
        assert_eq!(missing(rule(&["get"], &["pods"])), "");
        assert_eq!(missing(rule(&["patch"], &["pods/status"])), "");
        for (verbs, resources, want) in [
            (
                &["delete", "get", "patch"][..],
                &["pods"][..],
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "patch"]}"#,
            ),
            (&["get"], &["secrets"], r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#),
            (&["*"], &["pods"], r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#),
        ] {
            assert_eq!(missing(rule(verbs, resources)), want);
        }
        let paths =
            Rule { verbs: vec!["get".into()], paths: vec!["/metrics".into()], ..Rule::default() };
        assert_eq!(missing(paths), r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#);
    }
}
