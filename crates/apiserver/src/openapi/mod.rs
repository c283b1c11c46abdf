//! OpenAPI: `/openapi/v2` as JSON and gnostic protobuf, `/openapi/v3` by group version.
//!
//! Everything is generated from the registry's rows and the schema on first request, and cached.

mod describe;
mod document;
mod gnostic;
mod gnostic_v3;
mod paths;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apimachinery::Status;
use apimachinery::openapi::{Dialect, schemas};
use apimachinery::schema::{Registry, Type};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::body::{Body, full};
use crate::encode::respond;
use crate::negotiate::JSON;
use crate::registry::{Access, GROUPS, Group, Kind, kinds};
use crate::request::Query;

/// Media type of the v2 document in gnostic's protobuf.
const GNOSTIC: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const GNOSTIC_LATEST: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Media type of the v3 documents.
const GNOSTIC_3: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
const GNOSTIC_3_LATEST: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// A finished document.
struct Document {
    bytes: Bytes,
    etag: String,
}

impl Document {
    fn new(bytes: Vec<u8>) -> Self {
        let etag = hex::encode_upper(Sha256::digest(&bytes));
        Self { bytes: bytes.into(), etag }
    }

    fn respond(&self, media_type: &'static str, headers: &HeaderMap) -> Response<Body> {
        let quoted = format!("\"{}\"", self.etag);
        let known = headers.get(IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == quoted.as_bytes());
        let mut response = if known {
            respond(StatusCode::NOT_MODIFIED, media_type, full(""))
        } else {
            respond(StatusCode::OK, media_type, full(self.bytes.clone()))
        };
        if let Ok(etag) = HeaderValue::from_str(&quoted) {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }
}

/// The documents, each generated on first request.
#[derive(Default)]
pub(crate) struct Documents {
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3: OnceLock<BTreeMap<String, Document3>>,
}

/// A v3 document, in both encodings under one tag.
struct Document3 {
    json: Document,
    protobuf: OnceLock<Document>,
}

impl Document3 {
    fn new(document: &Value) -> Self {
        let json = Document::new(document.to_string().into_bytes());
        Self { json, protobuf: OnceLock::new() }
    }

    fn protobuf(&self) -> &Document {
        self.protobuf.get_or_init(|| {
            let document = serde_json::from_slice(&self.json.bytes).unwrap_or_default();
            let bytes = gnostic_v3::encode(&document).into();
            Document { bytes, etag: self.json.etag.clone() }
        })
    }
}

impl Documents {
    pub(crate) fn v2(&self, accept: &str, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        if !takes(accept, &[JSON, GNOSTIC, GNOSTIC_LATEST]) {
            return Ok(not_acceptable());
        }
        if accept.contains(GNOSTIC) || accept.contains(GNOSTIC_LATEST) {
            let document =
                self.v2_protobuf.get_or_init(|| Document::new(gnostic::encode(&swagger())));
            return Ok(document.respond(GNOSTIC_LATEST, headers));
        }
        let document =
            self.v2_json.get_or_init(|| Document::new(swagger().to_string().into_bytes()));
        Ok(document.respond(JSON, headers))
    }

    /// The names of the v3 documents.
    pub(crate) fn v3_index(&self) -> Response<Body> {
        let documents = self.v3.get_or_init(components);
        let paths: Map<String, Value> = documents
            .iter()
            .map(|(name, document)| {
                let url = format!("/openapi/v3/{name}?hash={}", document.json.etag);
                (name.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        let index = json!({"paths": paths}).to_string();
        // Upstream's content type, which Go guesses.
        respond(StatusCode::OK, "text/plain; charset=utf-8", full(index))
    }

    /// One of the v3 documents.
    pub(crate) fn v3(&self, name: &str, query: &Query, headers: &HeaderMap) -> Response<Body> {
        let bare = |code| {
            let mut response = Response::new(full(""));
            *response.status_mut() = code;
            response
        };
        let Some(document) = self.v3.get_or_init(components).get(name) else {
            return bare(StatusCode::NOT_FOUND);
        };
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
        if !takes(accept, &[JSON, GNOSTIC_3, GNOSTIC_3_LATEST]) {
            return bare(StatusCode::NOT_ACCEPTABLE);
        }
        let binary = accept.contains(GNOSTIC_3) || accept.contains(GNOSTIC_3_LATEST);
        let mut response = if binary {
            document.protobuf().respond(GNOSTIC_3_LATEST, headers)
        } else {
            document.json.respond(JSON, headers)
        };
        // A URL with the current hash never changes.
        if query.get("hash") == Some(&document.json.etag) {
            response.headers_mut().insert(
                CACHE_CONTROL,
                HeaderValue::from_static("public, immutable, max-age=31536000"),
            );
        }
        response
    }
}

/// Returns true if a client accepts one of the media types.
fn takes(accept: &str, types: &[&str]) -> bool {
    let mut clauses = accept.split(',').map(|clause| clause.split(';').next().unwrap_or("").trim());
    accept.is_empty()
        || clauses.any(|own| matches!(own, "*/*" | "application/*") || types.contains(&own))
}

fn not_acceptable() -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    response
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
fn meta(kind: &str) -> Option<&'static Arc<Type>> {
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

fn described(
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
fn swagger() -> Value {
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
fn components() -> BTreeMap<String, Document3> {
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
        documents.insert(name, Document3::new(&document));
    };
    for group in GROUPS {
        for version in group.versions {
            let own = || group.kinds.iter().filter(|k| k.version == *version);
            let mut all = Map::from_iter([paths::group(dialect, group.name, Some(version))]);
            own().for_each(|kind| all.extend(paths::of(dialect, kind)));
            let types = own().flat_map(roots).chain(meta("APIResourceList"));
            add(document_name(group, version), all, described(dialect, types, &descriptions));
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

fn document_name(group: &Group, version: &str) -> String {
    if group.name.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{}/{version}", group.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let swagger = swagger();
        let definitions = swagger["definitions"].as_object().unwrap();
        let text = swagger.to_string();
        for reference in text.split("\"#/definitions/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(definitions.contains_key(name), "{name} is not defined");
        }
        let parameters = swagger["parameters"].as_object().unwrap();
        for reference in text.split("\"#/parameters/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(parameters.contains_key(name), "{name} is not defined");
        }
        let pod = &definitions["io.k8s.api.core.v1.Pod"];
        assert!(pod["description"].as_str().unwrap().contains("containers"));
        assert!(pod["properties"]["spec"]["description"].is_string());
        for (name, document) in components() {
            let text = String::from_utf8(document.json.bytes.to_vec()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            for reference in text.split("\"#/components/schemas/").skip(1) {
                let wanted = reference.split('"').next().unwrap();
                assert!(value["components"]["schemas"].get(wanted).is_some(), "{name}: {wanted}");
            }
        }
    }

    #[test]
    fn operations_are_named_as_upstream_names_them() {
        let swagger = swagger();
        let pods = "/api/v1/namespaces/{namespace}/pods";
        let slices = "/apis/discovery.k8s.io/v1";
        for (path, method, id) in [
            (pods.to_owned(), "delete", "deleteCoreV1CollectionNamespacedPod"),
            (format!("{pods}/{{name}}/exec"), "post", "connectCoreV1PostNamespacedPodExec"),
            (
                format!("{pods}/{{name}}/proxy/{{path}}"),
                "head",
                "connectCoreV1HeadNamespacedPodProxyWithPath",
            ),
            (format!("{pods}/{{name}}/log"), "get", "readCoreV1NamespacedPodLog"),
            (
                format!("{slices}/watch/endpointslices"),
                "get",
                "watchDiscoveryV1EndpointSliceListForAllNamespaces",
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}".to_owned(),
                "put",
                "replaceRbacAuthorizationV1ClusterRole",
            ),
            (format!("{slices}/"), "get", "getDiscoveryV1APIResources"),
            ("/version/".to_owned(), "get", "getCodeVersion"),
        ] {
            assert_eq!(swagger["paths"][&path][method]["operationId"], id, "{path}");
        }
        assert!(swagger["paths"]["/api/v1/namespaces"].get("delete").is_none());
        let scale =
            &swagger["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"];
        assert_eq!(scale["parameters"][1]["description"], "name of the Scale");
        let endpoints = &swagger["paths"]["/api/v1/namespaces/{namespace}/endpoints"];
        assert_eq!(endpoints["post"]["description"], "create Endpoints");
        let documents = components();
        for name in ["api", "apis", "apis/apps", "version", "openid/v1/jwks"] {
            assert!(documents.contains_key(name), "{name}");
        }
        let json: HeaderMap =
            [(ACCEPT, HeaderValue::from_static("text/plain"))].into_iter().collect();
        let answer = Documents::default().v2("text/plain", &json).unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
    }
}
