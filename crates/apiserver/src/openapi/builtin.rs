//! The published documents of the kinds of the table: they never change, so each is made once.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apimachinery::openapi::{Dialect, schemas};
use apimachinery::schema::{Registry, Type};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::piece::{Piece, tag};
use super::{describe, document, gnostic_v3, paths};
use crate::registry::{Access, GROUPS, Group, Kind, kinds};

/// The type of `/version`.
pub(super) const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// A v3 document, in both encodings under one tag.
pub(super) struct Document {
    pub(super) json: Bytes,
    pub(super) tag: String,
    protobuf: OnceLock<Bytes>,
}

impl Document {
    fn new(document: &Value) -> Self {
        let json = Piece::new(document.to_string().into_bytes());
        let tag = tag([&json].into_iter());
        Self { json: json.bytes, tag, protobuf: OnceLock::new() }
    }

    pub(super) fn protobuf(&self) -> &Bytes {
        self.protobuf.get_or_init(|| {
            let document = serde_json::from_slice(&self.json).unwrap_or_default();
            gnostic_v3::encode(&document).into()
        })
    }
}

/// The types that a kind's operations use.
fn roots(kind: &Kind) -> impl Iterator<Item = &'static Arc<Type>> {
    let registry = Registry::builtin();
    let list = format!("{}List", kind.kind);
    // Streams have options, which are parameters.
    let subs =
        kind.subs.iter().filter_map(|s| s.own_kind()).filter(|of| !of.2.ends_with("Options"));
    [
        registry.lookup(kind.group, kind.version, kind.kind),
        registry.lookup(kind.group, kind.version, &list),
    ]
    .into_iter()
    .chain(subs.map(|(g, v, k)| registry.lookup(g, v, k)))
    .chain([
        registry.lookup("", "v1", "DeleteOptions"),
        registry.lookup("", "v1", "Status"),
        registry.lookup("", "v1", "WatchEvent"),
        registry.type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.Patch"),
    ])
    .flatten()
    // A create-only kind answers with itself.
    .filter(move |ty| {
        kind.access != Access::Virtual || !ty.name.starts_with("io.k8s.apimachinery.")
    })
}

/// A type of meta.k8s.io.
pub(super) fn meta(kind: &str) -> Option<&'static Arc<Type>> {
    Registry::builtin().type_by_name(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"))
}

/// The document of `/version`, which has no type of its own here.
fn version_info(dialect: Dialect) -> Value {
    let mut text = json!({"type": "string"});
    if dialect == Dialect::V3 {
        text["default"] = "".into();
    }
    let plain = [
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ];
    let mut properties: Map<String, Value> =
        plain.into_iter().map(|name| (name.to_owned(), text.clone())).collect();
    let of = [
        ("major", "Major is the major version of the binary version"),
        ("minor", "Minor is the minor version of the binary version"),
        ("emulationMajor", "EmulationMajor is the major version of the emulation version"),
        ("emulationMinor", "EmulationMinor is the minor version of the emulation version"),
        (
            "minCompatibilityMajor",
            "MinCompatibilityMajor is the major version of the minimum compatibility version",
        ),
        (
            "minCompatibilityMinor",
            "MinCompatibilityMinor is the minor version of the minimum compatibility version",
        ),
    ];
    for (name, said) in of {
        let mut property = match name {
            "major" | "minor" => text.clone(),
            _ => json!({"type": "string"}),
        };
        property["description"] = said.into();
        properties.insert(name.to_owned(), property);
    }
    let required = [&["major", "minor"][..], &plain[..]].concat();
    json!({
        "description": "Info contains versioning information. how we'll want to distribute that information.",
        "type": "object", "properties": properties,
        "required": required,
    })
}

pub(super) fn described(
    dialect: Dialect,
    types: impl Iterator<Item = &'static Arc<Type>>,
    descriptions: &Map<String, Value>,
) -> BTreeMap<String, Value> {
    let mut found = schemas(dialect, types);
    for (name, schema) in &mut found {
        if let Some(described) = descriptions.get(name) {
            describe::add(schema, described, dialect == Dialect::V3);
        }
    }
    found
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": crate::discovery::VERSION})
}

/// The v2 document.
pub(super) fn swagger() -> Value {
    let dialect = Dialect::V2;
    let mut all = Map::new();
    for kind in kinds() {
        all.extend(paths::of(dialect, kind));
    }
    for group in GROUPS {
        all.extend([paths::group(dialect, group.name, None)]);
        all.extend(group.versions.iter().map(|v| paths::group(dialect, group.name, Some(v))));
    }
    all.extend(paths::bare(dialect).into_iter().map(|(path, item)| (path.to_owned(), item)));
    let documents = ["APIVersions", "APIGroup", "APIGroupList", "APIResourceList"];
    let types = kinds().flat_map(roots).chain(documents.into_iter().filter_map(meta));
    let mut definitions = described(dialect, types, &describe::definitions());
    definitions.insert(VERSION_INFO.to_owned(), version_info(dialect));
    json!({
        "swagger": "2.0", "info": info(), "paths": all,
        "definitions": definitions,
        "parameters": document::shared_parameters(),
        "securityDefinitions": {"BearerToken": bearer()},
        "security": [{"BearerToken": []}],
    })
}

fn bearer() -> Value {
    json!({
        "description": "Bearer Token authentication",
        "type": "apiKey", "name": "authorization", "in": "header",
    })
}

/// The v3 documents, by path.
pub(super) fn documents() -> BTreeMap<String, Document> {
    let dialect = Dialect::V3;
    let descriptions = describe::definitions();
    let mut documents = BTreeMap::new();
    let mut add = |name: String, paths: Map<String, Value>, schemas: BTreeMap<String, Value>| {
        let mut components = json!({"securitySchemes": {"BearerToken": bearer()}});
        if !schemas.is_empty() {
            components["schemas"] = json!(schemas);
        }
        let document = json!({
            "openapi": "3.0.0", "info": info(), "paths": paths, "components": components,
        });
        documents.insert(name, Document::new(&document));
    };
    for group in GROUPS {
        for version in group.versions {
            let own = || group.kinds.iter().filter(|k| k.version == *version);
            let mut all = Map::from_iter([paths::group(dialect, group.name, Some(version))]);
            own().for_each(|kind| all.extend(paths::of(dialect, kind)));
            let types = own().flat_map(roots).chain(meta("APIResourceList"));
            let mut schemas = described(dialect, types, &descriptions);
            only_own_kinds(&mut schemas, group.name, version);
            add(document_name(group, version), all, schemas);
        }
        let (path, item) = paths::group(dialect, group.name, None);
        let answer = if group.name.is_empty() { "APIVersions" } else { "APIGroup" };
        let schemas = described(dialect, meta(answer).into_iter(), &descriptions);
        let name = path.trim_matches('/').to_owned();
        add(name, Map::from_iter([(path, item)]), schemas);
    }
    for (path, item) in paths::bare(dialect) {
        let name = path.trim_matches('/').to_owned();
        let schemas = match path {
            "/apis/" => described(dialect, meta("APIGroupList").into_iter(), &descriptions),
            "/version/" => BTreeMap::from([(VERSION_INFO.to_owned(), version_info(dialect))]),
            _ => BTreeMap::new(),
        };
        add(name, Map::from_iter([(path.to_owned(), item)]), schemas);
    }
    documents
}

/// Types that every group version has name all its kinds: leaves those of this one.
fn only_own_kinds(schemas: &mut BTreeMap<String, Value>, group: &str, version: &str) {
    for schema in schemas.values_mut() {
        let kinds = schema.get_mut("x-kubernetes-group-version-kind");
        if let Some(kinds) = kinds.and_then(Value::as_array_mut)
            && kinds.len() > 1
        {
            let own = json!([group, version]);
            kinds.retain(|kind| {
                kind["group"] == "" || json!([kind["group"], kind["version"]]) == own
            });
        }
    }
}

fn document_name(group: &Group, version: &str) -> String {
    if group.name.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{}/{version}", group.name)
    }
}
