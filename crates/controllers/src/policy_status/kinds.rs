//! The kinds that a policy names without wildcards.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::{
    NamedRuleWithOperations, ValidatingAdmissionPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Client;

use crate::Error;

/// As many kinds are looked at for one rule (upstream's `maxTypesToCheck`).
const MAX_KINDS: usize = 10;

/// Group, version and kind, in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupVersionKind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
}

impl GroupVersionKind {
    /// `apps/v1`, or `v1` for the group without a name.
    pub(super) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    pub(super) fn parse(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }
}

/// As Go prints it.
impl std::fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// The names of a rule, in order, or none if there is a wildcard among them.
fn exact(names: Option<&Vec<String>>) -> BTreeSet<&str> {
    let names: BTreeSet<&str> = names.into_iter().flatten().map(String::as_str).collect();
    if names.iter().any(|name| name.contains('*')) { BTreeSet::new() } else { names }
}

/// The resources of a rule but for subresources and wildcards.
fn resources(rule: &NamedRuleWithOperations) -> BTreeSet<&str> {
    let names = rule.resources.iter().flatten().map(String::as_str);
    names.filter(|name| !name.contains(['*', '/'])).collect()
}

/// The kinds that the rules of a policy name.
pub(super) async fn of(
    client: &Client,
    spec: &ValidatingAdmissionPolicySpec,
) -> Result<BTreeSet<GroupVersionKind>, Error> {
    let mut found = BTreeSet::new();
    let constraints = spec.match_constraints.as_ref();
    for rule in constraints.into_iter().flat_map(|c| c.resource_rules.iter().flatten()) {
        let mut count = 0;
        let wanted = resources(rule);
        let (groups, versions) =
            (exact(rule.api_groups.as_ref()), exact(rule.api_versions.as_ref()));
        for group in groups {
            for version in &versions {
                let gv = GroupVersionKind::parse(version, "");
                let gv = GroupVersionKind { group: group.to_owned(), ..gv }.api_version();
                let listed = served(client, group, &gv).await?;
                for name in &wanted {
                    let kinds = listed.resources.iter().filter(|resource| {
                        resource.name == *name || resource.singular_name == *name
                    });
                    for resource in kinds {
                        found.insert(GroupVersionKind::parse(&gv, &resource.kind));
                        count += 1;
                        if count == MAX_KINDS {
                            return Ok(found);
                        }
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The resources of a group version; none if it is not served.
async fn served(client: &Client, group: &str, gv: &str) -> Result<APIResourceList, Error> {
    let listed = match group {
        "" => client.list_core_api_resources(gv).await,
        _ => client.list_api_group_resources(gv).await,
    };
    match listed {
        Err(error) if client::helpers::is_not_found(&error) => Ok(APIResourceList::default()),
        listed => Ok(listed?),
    }
}
