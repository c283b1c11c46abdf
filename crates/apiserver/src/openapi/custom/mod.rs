//! Custom resources in OpenAPI: one part of the documents for each group version, made of its kinds
//! when it is first asked for.

mod paths;
mod schema;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use apimachinery::openapi::Dialect;
use apimachinery::schema::Registry;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::builtin::{self, described};
use super::piece::{Piece, tag};
use super::{describe, gnostic, gnostic_v3};
use crate::registry::{Custom, GROUPS, Kind, KindRef, Kinds, openapi_name};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// Roots of the names of upstream's own types, which no definition may replace.
const RESERVED: &[&str] = &[
    "io.k8s.api.",
    "io.k8s.apimachinery.",
    "io.k8s.apiextensions-apiserver.",
    "io.k8s.kube-aggregator.",
];

/// A kind and the names of its types.
pub(super) struct Names<'a> {
    kind: &'a Kind,
    custom: &'a Custom,
    object: String,
    list: String,
}

impl<'a> Names<'a> {
    fn new(kind: &'a Kind) -> Option<Self> {
        let custom = &**kind.custom.as_ref()?;
        let object = openapi_name(kind.group, kind.version, kind.kind);
        let list = openapi_name(kind.group, kind.version, custom.list_kind);
        Some(Self { kind, custom, object, list })
    }
}

/// Definitions and paths, each in two pieces of a JSON object.
struct Parts {
    definitions: Piece,
    paths: Piece,
}

/// The published part of one group version.
pub(super) struct Version {
    kinds: Vec<Arc<Kind>>,
    v2_json: OnceLock<Parts>,
    v2_protobuf: OnceLock<Piece>,
    v3_json: OnceLock<Parts>,
    v3_protobuf: OnceLock<Piece>,
    v3_tag: OnceLock<String>,
}

/// The group versions of custom resources by the names of their v3 documents. Those whose kinds are
/// the same are taken over from `known`.
pub(super) fn versions(
    kinds: &Kinds,
    known: &BTreeMap<String, Arc<Version>>,
) -> BTreeMap<String, Arc<Version>> {
    let mut found: BTreeMap<(&str, &str), Vec<Arc<Kind>>> = BTreeMap::new();
    for kind in kinds.all() {
        if let KindRef::Custom(kind) = kind
            && is_published(kind)
        {
            found.entry((kind.group, kind.version)).or_default().push(kind.clone());
        }
    }
    let versions = found.into_iter().map(|((group, version), kinds)| {
        let name = format!("apis/{group}/{version}");
        let same = known.get(&name).filter(|known| known.is_of(&kinds)).cloned();
        (name, same.unwrap_or_else(|| Arc::new(Version::new(kinds))))
    });
    versions.collect()
}

/// Returns false for a kind in a version of the table, where upstream serves no definition, and for
/// one that would be named as a type of upstream's.
fn is_published(kind: &Kind) -> bool {
    let name = openapi_name(kind.group, kind.version, "");
    !RESERVED.iter().any(|root| name.starts_with(root))
        && !GROUPS.iter().any(|g| g.name == kind.group && g.versions.contains(&kind.version))
}

impl Version {
    fn new(kinds: Vec<Arc<Kind>>) -> Self {
        Self {
            kinds,
            v2_json: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
            v3_json: OnceLock::new(),
            v3_protobuf: OnceLock::new(),
            v3_tag: OnceLock::new(),
        }
    }

    fn is_of(&self, kinds: &[Arc<Kind>]) -> bool {
        self.kinds.len() == kinds.len()
            && self.kinds.iter().zip(kinds).all(|(own, other)| Arc::ptr_eq(own, other))
    }

    /// The definitions and the paths.
    fn write(&self, dialect: Dialect) -> (Map<String, Value>, Map<String, Value>) {
        let (mut definitions, mut all) = (Map::new(), Map::new());
        for names in self.kinds.iter().filter_map(|kind| Names::new(kind)) {
            definitions.insert(names.object.clone(), schema::object(dialect, &names));
            definitions.insert(names.list.clone(), schema::list(dialect, &names));
            all.extend(paths::of(dialect, &names));
        }
        (definitions, all)
    }

    fn parts(&self, dialect: Dialect) -> Parts {
        let (definitions, paths) = self.write(dialect);
        Parts {
            definitions: Piece::new(entries(&definitions.into()).into_bytes()),
            paths: Piece::new(entries(&paths.into()).into_bytes()),
        }
    }

    fn v2_json(&self) -> &Parts {
        self.v2_json.get_or_init(|| self.parts(Dialect::V2))
    }

    /// Definitions and paths of the v2 document.
    pub(super) fn v2_json_pieces(&self) -> [&Piece; 2] {
        let parts = self.v2_json();
        [&parts.definitions, &parts.paths]
    }

    /// A part of the v2 document in protobuf.
    pub(super) fn v2_protobuf(&self) -> &Piece {
        self.v2_protobuf.get_or_init(|| {
            let (definitions, paths) = self.write(Dialect::V2);
            let part = json!({"definitions": definitions, "paths": paths});
            Piece::new(gnostic::encode(&part))
        })
    }

    fn has_scale(&self) -> bool {
        self.kinds.iter().any(|kind| kind.custom.as_ref().is_some_and(|own| own.scale.is_some()))
    }

    /// The tag of the v3 document. Its bytes are not kept for it: whoever reads the index wants few
    /// of the documents.
    pub(super) fn v3_tag(&self) -> &str {
        self.v3_tag.get_or_init(|| match self.v3_json.get() {
            Some(parts) => self.v3_tag_of(parts),
            None => self.v3_tag_of(&self.parts(Dialect::V3)),
        })
    }

    fn v3_tag_of(&self, parts: &Parts) -> String {
        let scale = self.has_scale().then_some(&SHARED.scale);
        tag([&SHARED.head, &parts.definitions, &parts.paths].into_iter().chain(scale))
    }

    /// The v3 document.
    pub(super) fn v3_json(&self) -> Vec<Bytes> {
        let parts = self.v3_json.get_or_init(|| self.parts(Dialect::V3));
        let comma = || Bytes::from_static(b",");
        let mut pieces = vec![SHARED.head.bytes.clone()];
        if self.has_scale() {
            pieces.extend([comma(), SHARED.scale.bytes.clone()]);
        }
        pieces.extend([comma(), parts.definitions.bytes.clone()]);
        pieces.extend([Bytes::from_static(b"}},\"paths\":{"), parts.paths.bytes.clone()]);
        pieces.push(Bytes::from_static(b"}}"));
        pieces
    }

    /// The v3 document in protobuf, where messages that come in parts are merged.
    pub(super) fn v3_protobuf(&self) -> Vec<Bytes> {
        let own = self.v3_protobuf.get_or_init(|| {
            let (definitions, paths) = self.write(Dialect::V3);
            let part = json!({"paths": paths, "components": {"schemas": definitions}});
            Piece::new(gnostic_v3::encode(&part))
        });
        let scale = self.has_scale().then(|| SHARED.scale_protobuf.clone());
        [SHARED.head_protobuf.clone()].into_iter().chain(scale).chain([own.bytes.clone()]).collect()
    }
}

/// The entries of an object, to be written among others.
pub(super) fn entries(object: &Value) -> String {
    let mut text = object.to_string();
    text.pop();
    text.drain(..1.min(text.len()));
    text
}

/// The parts that the v3 documents of all custom resources have in common.
struct Shared {
    /// The document up to the last of the common schemas.
    head: Piece,
    /// The schemas of the scale subresource.
    scale: Piece,
    head_protobuf: Bytes,
    scale_protobuf: Bytes,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let types = ["DeleteOptions", "Status", "Patch", "ObjectMeta", "ListMeta"];
    let descriptions = describe::definitions();
    let schemas_of = |types: &mut dyn Iterator<Item = &'static Arc<_>>| {
        described(Dialect::V3, types, &descriptions)
    };
    let mut common = schemas_of(&mut types.into_iter().filter_map(builtin::meta));
    if let Some(options) = common.get_mut("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions") {
        only_client_kinds(options);
    }
    let mut scale = schemas_of(&mut Registry::builtin().type_by_name(SCALE).into_iter());
    scale.retain(|name, _| !common.contains_key(name));
    let info = json!({"title": "Kubernetes CRD Swagger", "version": "v0.1.0"});
    let head = format!(
        r#"{{"openapi":"3.0.0","info":{info},"components":{{"schemas":{{{}"#,
        entries(&json!(common))
    );
    let document = json!({"openapi": "3.0.0", "info": info, "components": {"schemas": common}});
    Shared {
        head: Piece::new(head.into_bytes()),
        scale: Piece::new(entries(&json!(scale)).into_bytes()),
        head_protobuf: gnostic_v3::encode(&document).into(),
        scale_protobuf: gnostic_v3::encode(&json!({"components": {"schemas": scale}})).into(),
    }
});

/// Leaves the kinds of the groups that clients have types for, as upstream's server of definitions
/// does.
fn only_client_kinds(schema: &mut Value) {
    const NOT: &[&str] = &[
        "admission.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "imagepolicy.k8s.io",
    ];
    if let Some(kinds) = schema["x-kubernetes-group-version-kind"].as_array_mut() {
        kinds.retain(|kind| kind["group"].as_str().is_none_or(|group| !NOT.contains(&group)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::Documents;
    use super::*;
    use crate::registry::Definition;

    fn definition(at: usize, field: &str) -> Value {
        let spec: Map<String, Value> = (0..60)
            .map(|n| {
                let described =
                    json!({"type": "string", "description": "One of many fields. ".repeat(4)});
                (format!("{field}{n}"), described)
            })
            .collect();
        json!({
            "metadata": {"name": format!("widgets.g{at}.example.com"), "uid": at.to_string()},
            "spec": {
                "group": format!("g{at}.example.com"), "scope": "Namespaced",
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": spec},
                    }}},
                }],
            },
            "status": {
                "acceptedNames": {
                    "plural": "widgets", "singular": "widget", "kind": "Widget",
                    "listKind": "WidgetList",
                },
                "conditions": [{"type": "Established", "status": "True"}],
            },
        })
    }

    /// With a thousand definitions, the times of this test are those of a large cluster:
    /// `COXSWAIN_DEFINITIONS=1000 cargo test -p apiserver --lib a_change_makes -- --nocapture`.
    #[test]
    fn a_change_makes_one_part_again() {
        let count: usize = std::env::var("COXSWAIN_DEFINITIONS")
            .map_or(20, |count| count.parse().expect("a number"));
        let mut all: BTreeMap<String, Arc<Definition>> = (0..count)
            .map(|at| {
                let read = Definition::read(&definition(at, "field"), None).unwrap();
                (format!("widgets.g{at}.example.com"), read)
            })
            .collect();
        let documents = Documents::default();
        let timed = |label: &str, what: &mut dyn FnMut()| {
            let begun = Instant::now();
            what();
            println!("{label}: {:?}", begun.elapsed());
        };
        timed("index of the table", &mut || drop(documents.v3_index()));
        timed("publish", &mut || documents.publish(&Kinds::new(all.clone())));
        timed("first index", &mut || drop(documents.v3_index()));
        timed("second index", &mut || drop(documents.v3_index()));
        let headers = http::HeaderMap::new();
        for accept in ["application/json", super::super::GNOSTIC] {
            documents.publish(&Kinds::new(BTreeMap::new()));
            timed("v2 of the table", &mut || drop(documents.v2(accept, &headers)));
            documents.publish(&Kinds::new(all.clone()));
            timed("first v2", &mut || drop(documents.v2(accept, &headers)));
            timed("second v2", &mut || drop(documents.v2(accept, &headers)));
        }
        documents.v3_index();
        drop(documents.v2("application/json", &headers));
        let before = documents.custom.load_full();
        assert_eq!(before.len(), count);
        let changed = "widgets.g7.example.com";
        let read = Definition::read(&definition(7, "other"), all.get(changed)).unwrap();
        all.insert(changed.to_owned(), read);
        timed("publish a change", &mut || documents.publish(&Kinds::new(all.clone())));
        timed("index after a change", &mut || drop(documents.v3_index()));
        timed("v2 after a change", &mut || drop(documents.v2("application/json", &headers)));
        let after = documents.custom.load_full();
        for (name, version) in &*after {
            let same = Arc::ptr_eq(version, &before[name]);
            assert_eq!(same, name != "apis/g7.example.com/v1", "{name}");
            assert_eq!(same, version.v3_tag() == before[name].v3_tag(), "{name}");
            // The index has left no document in memory.
            assert!(version.v3_json.get().is_none());
        }
        // A snapshot that is no longer current is nobody's but this test's.
        let old = Arc::downgrade(&before["apis/g7.example.com/v1"]);
        drop(before);
        assert!(old.upgrade().is_none());
    }

    #[test]
    fn no_definition_takes_the_name_of_a_type_or_the_version_of_a_table() {
        for group in ["meta.apis.pkg.apimachinery.k8s.io", "networking.k8s.io"] {
            let mut object = definition(0, "field");
            object["spec"]["group"] = group.into();
            object["metadata"]["name"] = format!("widgets.{group}").into();
            object["status"]["acceptedNames"]["kind"] = "ObjectMeta".into();
            let read = Definition::read(&object, None).unwrap();
            let kinds = Kinds::new(BTreeMap::from([("a".to_owned(), read)]));
            assert!(kinds.find(group, "v1", "widgets").is_some());
            assert!(versions(&kinds, &BTreeMap::new()).is_empty(), "{group}");
        }
    }
}
