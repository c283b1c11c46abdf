//! All kinds that the server supports: one folder or file per group, one row per kind. `kinds` is what
//! is served now, with the kinds of custom resources.

pub(crate) mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
pub(crate) mod check;
mod column;
mod columns;
mod coordination;
mod core;
mod custom;
mod declared;
mod deletion;
mod disabled;
mod discovery;
mod events;
mod flowcontrol;
mod kind;
mod kinds;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod reviews;
mod scheduling;
mod storage;
mod storagemigration;
mod strategy;
#[cfg(test)]
mod testing;
mod warnings;
mod workload;

/// Annotation of mirror pods: the kubelet runs the pod from its own file.
pub(crate) const MIRROR_POD: &str = "kubernetes.io/config.mirror";

pub(crate) use self::core::tolerations_at;
pub(crate) use apiextensions::{CLEANUP, set_condition};
pub(crate) use column::Column;
pub(crate) use columns::column_definitions;
pub(crate) use custom::{Custom, Definition, ScalePaths, openapi_name};
pub(crate) use declared::merge as declared;
pub(crate) use deletion::DefaultPolicy;
pub(crate) use disabled::drop_disabled;
pub(crate) use kind::{Access, Kind, Rechecks, SCALE, Selectable, Sub, api_version};
pub(crate) use kinds::{KindRef, Kinds, ServedGroup};
pub(crate) use reviews::check_access_review;
pub(crate) use strategy::{Context, items_mut};
pub(crate) use warnings::warnings;

/// One group of the table.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Its versions, preferred first.
    pub(crate) versions: &'static [&'static str],
    pub(crate) kinds: &'static [Kind],
}

/// All groups, in the order discovery lists them.
pub(crate) static GROUPS: &[Group] = &[
    Group { name: "", versions: &["v1"], kinds: core::KINDS },
    Group { name: "apiregistration.k8s.io", versions: &["v1"], kinds: apiregistration::KINDS },
    Group { name: "apps", versions: &["v1"], kinds: apps::KINDS },
    Group { name: "events.k8s.io", versions: &["v1"], kinds: events::KINDS },
    Group { name: "authentication.k8s.io", versions: &["v1"], kinds: authentication::KINDS },
    Group { name: "authorization.k8s.io", versions: &["v1"], kinds: authorization::KINDS },
    Group { name: "autoscaling", versions: &["v2", "v1"], kinds: autoscaling::KINDS },
    Group { name: "batch", versions: &["v1"], kinds: batch::KINDS },
    Group { name: "certificates.k8s.io", versions: &["v1"], kinds: certificates::KINDS },
    Group { name: "networking.k8s.io", versions: &["v1"], kinds: networking::KINDS },
    Group { name: "policy", versions: &["v1"], kinds: policy::KINDS },
    Group { name: "rbac.authorization.k8s.io", versions: &["v1"], kinds: rbac::KINDS },
    Group { name: "storage.k8s.io", versions: &["v1"], kinds: storage::KINDS },
    Group {
        name: "admissionregistration.k8s.io",
        versions: &["v1"],
        kinds: admissionregistration::KINDS,
    },
    Group { name: "apiextensions.k8s.io", versions: &["v1"], kinds: apiextensions::KINDS },
    Group { name: "scheduling.k8s.io", versions: &["v1"], kinds: scheduling::KINDS },
    Group { name: "coordination.k8s.io", versions: &["v1"], kinds: coordination::KINDS },
    Group { name: "node.k8s.io", versions: &["v1"], kinds: node::KINDS },
    Group { name: "discovery.k8s.io", versions: &["v1"], kinds: discovery::KINDS },
    Group { name: "resource.k8s.io", versions: &["v1"], kinds: resource::KINDS },
    Group { name: "flowcontrol.apiserver.k8s.io", versions: &["v1"], kinds: flowcontrol::KINDS },
    Group { name: "storagemigration.k8s.io", versions: &["v1"], kinds: storagemigration::KINDS },
];

/// Every row of the table.
pub(crate) fn kinds() -> impl Iterator<Item = &'static Kind> {
    GROUPS.iter().flat_map(|group| group.kinds)
}

/// The row of a resource.
pub(crate) fn find(group: &str, version: &str, resource: &str) -> Option<&'static Kind> {
    let group = GROUPS.iter().find(|g| g.name == group)?;
    group.kinds.iter().find(|k| k.version == version && k.resource == resource)
}

/// The row of a kind.
pub(crate) fn find_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    let group = GROUPS.iter().find(|g| g.name == group)?;
    group.kinds.iter().find(|k| k.version == version && k.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored kinds that upstream does not validate.
    const WITHOUT_RULES: &[&str] = &["componentstatuses"];

    #[test]
    fn a_row_without_a_strategy_is_one_that_upstream_does_not_validate() {
        for kind in kinds().filter(|k| k.access == Access::Stored) {
            assert_eq!(
                kind.policy().is_plain(),
                WITHOUT_RULES.contains(&kind.resource),
                "{}",
                kind.resource
            );
        }
    }

    #[test]
    fn every_row_has_a_schema_and_is_served_once() {
        let mut seen = std::collections::HashSet::new();
        for kind in kinds() {
            assert!(
                seen.insert((kind.group, kind.version, kind.resource)),
                "{} twice",
                kind.resource
            );
            let schema = apimachinery::schema::Registry::builtin();
            assert!(
                schema.lookup(kind.group, kind.version, kind.kind).is_some(),
                "no schema for {}",
                kind.kind
            );
        }
    }
}
