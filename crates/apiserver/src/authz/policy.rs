//! The roles and bindings every cluster starts with.

use serde_json::{Value, json};

use super::rbac::GROUP;

/// Roles and bindings in the form of a table. A line is one of
///
/// ```text
/// role NAME [LABEL …]              a ClusterRole aggregated to others; rules follow, indented
/// role NAME [LABEL …] <- LABEL     a ClusterRole aggregated from those with the last label
///   VERBS | GROUPS | RESOURCES [| NAMES]
///   VERBS | /paths …
/// bind ROLE KIND:NAME …            a ClusterRoleBinding of the role's name
/// local NAMESPACE/NAME             a Role; rules follow
/// localbind NAMESPACE/NAME ROLE KIND:NAME …
/// ```
/// where the core group is written `core` and `rw` stands for every verb on objects.
const POLICY: &str = include_str!("policy.txt");

const RW: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        match word {
            "rw" => all.extend(RW.iter().map(|v| (*v).to_owned())),
            "r" => all.extend(["get", "list", "watch"].map(str::to_owned)),
            "core" => all.push(String::new()),
            other => all.push(other.to_owned()),
        }
    }
    all
}

fn rule(line: &str) -> Value {
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    match parts.as_slice() {
        [verbs, paths] => json!({"verbs": words(verbs), "nonResourceURLs": words(paths)}),
        [verbs, groups, resources] => {
            json!({"verbs": words(verbs), "apiGroups": words(groups), "resources": words(resources)})
        }
        [verbs, groups, resources, names, ..] => json!({
            "verbs": words(verbs), "apiGroups": words(groups), "resources": words(resources),
            "resourceNames": words(names),
        }),
        _ => json!({"verbs": words(line)}),
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn subject(text: &str) -> Value {
    let (kind, name) = text.split_once(':').unwrap_or(("User", text));
    match kind {
        "sa" => {
            let (namespace, name) = name.split_once('/').unwrap_or(("kube-system", name));
            json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
        }
        "group" => json!({"kind": "Group", "name": name, "apiGroup": GROUP}),
        _ => json!({"kind": "User", "name": name, "apiGroup": GROUP}),
    }
}

fn binding(kind: &str, namespace: &str, name: &str, role: &str, subjects: &[&str]) -> Value {
    let mut object = object(kind, namespace, name);
    let role_kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
    if !subjects.is_empty() {
        object["subjects"] = subjects.iter().map(|s| subject(s)).collect();
    }
    object
}

/// The objects of the bootstrap policy.
pub(crate) fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in POLICY.lines() {
        let text = line.split('#').next().unwrap_or_default().trim_end();
        if text.is_empty() {
            continue;
        }
        if text.starts_with(' ') {
            if let Some(rules) = objects.last_mut().and_then(|o| o["rules"].as_array_mut()) {
                rules.push(rule(text.trim()));
            }
            continue;
        }
        let mut parts = text.split_whitespace();
        match (parts.next(), parts.next()) {
            (Some("role"), Some(name)) => {
                let mut role = object("ClusterRole", "", name);
                role["rules"] = json!([]);
                let aggregate = |label| format!("rbac.authorization.k8s.io/aggregate-to-{label}");
                while let Some(word) = parts.next() {
                    if let ("<-", Some(label)) = (word, parts.clone().next()) {
                        let labels = json!({aggregate(label): "true"});
                        role["aggregationRule"] =
                            json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
                        break;
                    }
                    role["metadata"]["labels"][aggregate(word)] = "true".into();
                }
                objects.push(role);
            }
            (Some("bind"), Some(role)) => {
                let subjects: Vec<&str> = parts.collect();
                objects.push(binding("ClusterRoleBinding", "", role, role, &subjects));
            }
            (Some("local"), Some(name)) => {
                let (namespace, name) = name.split_once('/').unwrap_or(("kube-system", name));
                let mut role = object("Role", namespace, name);
                role["rules"] = json!([]);
                objects.push(role);
            }
            (Some("localbind"), Some(name)) => {
                let (namespace, name) = name.split_once('/').unwrap_or(("kube-system", name));
                let role = parts.next().unwrap_or(name);
                let subjects: Vec<&str> = parts.collect();
                objects.push(binding("RoleBinding", namespace, name, role, &subjects));
            }
            _ => {}
        }
    }
    // Controllers act as service accounts of their role's name.
    let controllers: Vec<Value> = objects
        .iter()
        .filter(|o| o["kind"] == "ClusterRole")
        .filter_map(|o| o["metadata"]["name"].as_str()?.strip_prefix("system:controller:"))
        .map(|name| {
            let role = format!("system:controller:{name}");
            binding("ClusterRoleBinding", "", &role, &role, &[&format!("sa:kube-system/{name}")])
        })
        .collect();
    objects.extend(controllers);
    aggregate(&mut objects);
    objects.push({
        let mut node = object("ClusterRole", "", "system:node");
        node["rules"] = super::node::rules().iter().map(|r| sorted(r.to_resource_rule())).collect();
        node
    });
    objects
}

/// A rule with its words in order, as upstream writes them.
fn sorted(mut rule: Value) -> Value {
    for list in rule.as_object_mut().into_iter().flatten().filter_map(|(_, v)| v.as_array_mut()) {
        list.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    rule
}

/// Fills the aggregated roles, lowest first, as the aggregation controller would.
fn aggregate(objects: &mut [Value]) {
    for target in ["view", "edit", "admin"] {
        let key = format!("rbac.authorization.k8s.io/aggregate-to-{target}");
        let rules: Vec<Value> = objects
            .iter()
            .filter(|o| o["metadata"]["labels"][&key] == "true")
            .flat_map(|o| o["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        for role in objects
            .iter_mut()
            .filter(|o| o["kind"] == "ClusterRole" && o["metadata"]["name"] == target)
        {
            role["rules"] = Value::Array(rules.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_reads_and_every_binding_has_its_role() {
        let objects = objects();
        let names = |kind: &str| -> Vec<(&str, &str)> {
            objects
                .iter()
                .filter(|o| o["kind"] == kind)
                .map(|o| {
                    let meta = &o["metadata"];
                    (meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap())
                })
                .collect()
        };
        let (cluster_roles, roles) = (names("ClusterRole"), names("Role"));
        for object in objects.iter().filter(|o| !o["roleRef"].is_null()) {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let role = object["roleRef"]["name"].as_str().unwrap();
            assert!(
                cluster_roles.contains(&("", role)) || roles.contains(&(namespace, role)),
                "{role} is bound but not defined"
            );
        }
        for object in objects.iter().filter(|o| o["kind"] == "ClusterRole") {
            let name = object["metadata"]["name"].as_str().unwrap();
            assert!(!object["rules"].as_array().unwrap().is_empty(), "{name} grants nothing");
        }
        let view = objects.iter().find(|o| o["metadata"]["name"] == "view").unwrap();
        assert!(!view["rules"].to_string().contains("secrets"), "view must not read secrets");
    }
}
