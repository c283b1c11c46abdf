//! Groups and versions of other API servers, as discovery shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Backend;
use crate::server::Server;

/// A group of which other servers serve some versions.
pub(crate) struct RemoteGroup {
    pub(crate) name: String,
    /// The most important first.
    pub(crate) versions: Vec<Arc<Backend>>,
}

/// The groups of other servers, the most important first.
pub(crate) fn groups(server: &Server) -> Vec<RemoteGroup> {
    let mut groups: BTreeMap<String, Vec<Arc<Backend>>> = BTreeMap::new();
    for backend in server.backends.all().values() {
        groups.entry(backend.group.clone()).or_default().push(backend.clone());
    }
    let mut groups: Vec<RemoteGroup> = groups
        .into_iter()
        .map(|(name, mut versions)| {
            versions.sort_by_key(|backend| -backend.version_priority);
            RemoteGroup { name, versions }
        })
        .collect();
    let priority = |group: &RemoteGroup| {
        group.versions.iter().map(|backend| backend.group_priority).max().unwrap_or(0)
    };
    groups.sort_by_key(|group| -priority(group));
    groups
}

/// The versions of a group that other servers serve.
pub(crate) fn versions_of(server: &Server, group: &str) -> Vec<Arc<Backend>> {
    let found = groups(server).into_iter().find(|found| found.name == group);
    found.map(|found| found.versions).unwrap_or_default()
}

impl Backend {
    /// The version in the aggregated form.
    pub(crate) fn aggregated(&self) -> Value {
        let list = self.resources.load_full();
        let current = self.is_available() && list.is_some();
        let freshness = if current { "Current" } else { "Stale" };
        let mut version = json!({"version": self.version, "freshness": freshness});
        let Some(list) = list else { return version };
        let mut resources: Vec<Value> = Vec::new();
        for resource in list["resources"].as_array().into_iter().flatten() {
            let text = |field: &str| resource[field].as_str().unwrap_or_default();
            let kind = json!({
                "group": text("group"), "version": text("version"), "kind": text("kind"),
            });
            let verbs = resource["verbs"].clone();
            if let Some((of, sub)) = text("name").split_once('/') {
                let made = resources.iter_mut().find(|made| made["resource"] == of);
                let sub = json!({"subresource": sub, "responseKind": kind, "verbs": verbs});
                if let Some(made) = made {
                    match made["subresources"].as_array_mut() {
                        Some(subs) => subs.push(sub),
                        None => made["subresources"] = json!([sub]),
                    }
                }
                continue;
            }
            let scope = if resource["namespaced"] == true { "Namespaced" } else { "Cluster" };
            let mut made = json!({
                "resource": text("name"), "responseKind": kind, "scope": scope,
                "singularResource": text("singularName"), "verbs": verbs,
            });
            for field in ["shortNames", "categories"] {
                if resource[field].is_array() {
                    made[field] = resource[field].clone();
                }
            }
            resources.push(made);
        }
        version["resources"] = resources.into();
        version
    }
}
