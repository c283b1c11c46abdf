//! All types of one API, found by name or kind.

use super::facts;
use super::model::{Gvk, Type};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

const META: &str = "meta.k8s.io";

/// Kinds of `meta.k8s.io/v1` that every group version shares.
const SHARED_KINDS: &[&str] = &[
    "APIGroup",
    "APIGroupList",
    "APIResourceList",
    "APIVersions",
    "ApplyOptions",
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "Status",
    "UpdateOptions",
    "WatchEvent",
];

/// A set of types.
#[derive(Debug, Default)]
pub struct Registry {
    types: Vec<Arc<Type>>,
    kinds: HashMap<Gvk, Arc<Type>>,
}

impl Registry {
    /// The types of Kubernetes.
    ///
    /// # Panics
    /// Never: the facts are embedded and checked by a test.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Registry> = LazyLock::new(|| {
            let types = facts::parse(include_str!("kubernetes.facts"));
            Registry::new(types.expect("the embedded facts are well formed"))
        });
        &BUILTIN
    }

    fn new(types: Vec<Arc<Type>>) -> Self {
        let kinds = types
            .iter()
            .filter_map(|t| Some((t.gvk.clone()?, t.clone())))
            .collect::<HashMap<_, _>>();
        Self { types, kinds }
    }

    /// The type of a kind of object. Kinds that every group version shares, such as
    /// `DeleteOptions`, are found in all of them.
    #[must_use]
    pub fn lookup(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Type>> {
        let find = |group: &str, version: &str| {
            self.kinds.get(&Gvk {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: kind.to_owned(),
            })
        };
        find(group, version)
            .or_else(|| SHARED_KINDS.contains(&kind).then(|| find(META, "v1")).flatten())
    }

    /// The type of an object by its `apiVersion` and `kind`.
    #[must_use]
    pub fn lookup_api_version(&self, api_version: &str, kind: &str) -> Option<&Arc<Type>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.lookup(group, version, kind)
    }

    /// The type of that OpenAPI name, for example `io.k8s.api.core.v1.Pod`.
    #[must_use]
    pub fn type_by_name(&self, name: &str) -> Option<&Arc<Type>> {
        self.types.binary_search_by(|t| t.name.as_str().cmp(name)).ok().map(|i| &self.types[i])
    }

    /// All types, sorted by name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<Type>> {
        self.types.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{ListKind, Shape};
    use super::*;

    fn list_facts(group: &str, kind_or_type: &str, field: &str) -> (ListKind, Vec<String>, String) {
        let name = format!("io.k8s.api.{group}.v1.{kind_or_type}");
        let ty = Registry::builtin().type_by_name(&name).unwrap();
        let field = ty.field(field).unwrap();
        let Shape::List(list) = &field.shape else { panic!("{name} is no list") };
        (list.kind, list.keys.clone(), field.patch.merge_key.clone())
    }

    #[test]
    fn builtin_knows_kinds_and_shared_kinds() {
        let registry = Registry::builtin();
        assert_eq!(registry.lookup("apps", "v1", "Deployment").unwrap().short_name(), "Deployment");
        assert!(registry.lookup("", "v1", "PodList").unwrap().is_list());
        assert!(registry.lookup("apps", "v1", "DeleteOptions").is_some());
        assert!(registry.lookup("apps", "v1", "Pod").is_none());
        for (group, version, kind) in [
            ("policy", "v1", "Eviction"),
            ("authentication.k8s.io", "v1", "TokenRequest"),
            ("autoscaling", "v1", "Scale"),
            ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            ("apiregistration.k8s.io", "v1", "APIService"),
            ("meta.k8s.io", "v1", "Table"),
            ("meta.k8s.io", "v1", "PartialObjectMetadataList"),
            ("", "v1", "List"),
            ("", "v1", "Status"),
            ("events.k8s.io", "v1", "Event"),
        ] {
            assert!(registry.lookup(group, version, kind).is_some(), "{group}/{version} {kind}");
        }
    }

    #[test]
    fn fields_are_sorted_and_references_resolve() {
        for ty in Registry::builtin().types() {
            assert!(ty.fields.is_sorted_by(|a, b| a.name < b.name), "{}", ty.name);
        }
    }

    #[test]
    fn list_semantics_match_upstream() {
        use ListKind::{Atomic, Map, Set};
        let meta = Registry::builtin()
            .type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
            .unwrap();
        let Shape::List(finalizers) = &meta.field("finalizers").unwrap().shape else { panic!() };
        assert_eq!(finalizers.kind, Set);
        assert!(meta.field("finalizers").unwrap().patch.merge);
        assert_eq!(meta.field("ownerReferences").unwrap().patch.merge_key, "uid");
        let table = [
            ("core", "PodSpec", "containers", Map, "name", "name"),
            ("core", "PodSpec", "tolerations", Atomic, "", ""),
            ("core", "PodSpec", "hostAliases", Map, "ip", "ip"),
            ("core", "PodSpec", "imagePullSecrets", Map, "name", "name"),
            ("core", "Container", "env", Map, "name", "name"),
            ("core", "Container", "volumeMounts", Map, "mountPath", "mountPath"),
            ("core", "Container", "ports", Map, "containerPort,protocol", "containerPort"),
            ("core", "ServiceSpec", "ports", Map, "port,protocol", "port"),
            ("core", "PodStatus", "conditions", Map, "type", "type"),
            ("apps", "DeploymentStatus", "conditions", Map, "type", "type"),
        ];
        for (group, ty, field, kind, keys, merge_key) in table {
            let facts = list_facts(group, ty, field);
            assert_eq!(
                (facts.0, facts.1.join(","), facts.2.as_str()),
                (kind, keys.to_owned(), merge_key),
                "{ty}.{field}"
            );
        }
        let volumes = &Registry::builtin().type_by_name("io.k8s.api.core.v1.PodSpec").unwrap();
        let patch = &volumes.field("volumes").unwrap().patch;
        assert!(patch.merge && patch.retain_keys);
        let deployment = Registry::builtin().type_by_name("io.k8s.api.apps.v1.DeploymentSpec");
        assert!(deployment.unwrap().field("strategy").unwrap().patch.retain_keys);
    }
}
