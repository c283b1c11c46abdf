//! OpenAPI: `/openapi/v2` as JSON and gnostic protobuf, `/openapi/v3` by group version.
//!
//! Everything is made from the registry's rows and the schema on first request, and remembered.

mod describe;
mod gnostic;
mod paths;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apimachinery::Status;
use apimachinery::openapi::{Dialect, schemas};
use apimachinery::schema::{Registry, Type};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::body::{Body, full};
use crate::encode::respond;
use crate::negotiate::JSON;
use crate::registry::{GROUPS, Group, Kind, kinds};
use crate::request::Query;

/// Media type of the v2 document in gnostic's protobuf.
const GNOSTIC: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const GNOSTIC_LATEST: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A finished document.
struct Document {
    bytes: Bytes,
    etag: String,
}

impl Document {
    fn new(bytes: Vec<u8>) -> Self {
        let etag = format!("{:X}", Sha256::digest(&bytes));
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

/// The documents, each made on first request.
#[derive(Default)]
pub(crate) struct Documents {
    v2_json: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
    v3: OnceLock<BTreeMap<String, Document>>,
}

impl Documents {
    pub(crate) fn v2(&self, accept: &str, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        if accept.contains(GNOSTIC) || accept.contains(GNOSTIC_LATEST) {
            let document =
                self.v2_protobuf.get_or_init(|| Document::new(gnostic::encode(&swagger())));
            return Ok(document.respond(GNOSTIC_LATEST, headers));
        }
        let document =
            self.v2_json.get_or_init(|| Document::new(swagger().to_string().into_bytes()));
        Ok(document.respond(JSON, headers))
    }

    pub(crate) fn v3(
        &self,
        path: &str,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Status> {
        let documents = self.v3.get_or_init(components);
        let name = path.trim_start_matches("/openapi/v3").trim_start_matches('/');
        if name.is_empty() {
            let paths: Map<String, Value> = documents
                .iter()
                .map(|(name, document)| {
                    let url = format!("/openapi/v3/{name}?hash={}", document.etag);
                    (name.clone(), json!({"serverRelativeURL": url}))
                })
                .collect();
            let index = json!({"paths": paths}).to_string();
            return Ok(respond(StatusCode::OK, JSON, full(index)));
        }
        let document = documents.get(name).ok_or_else(|| {
            Status::not_found("", "", "")
                .with_message("the server could not find the requested resource")
        })?;
        let mut response = document.respond(JSON, headers);
        // A URL that carries the right hash never changes.
        if query.get("hash") == Some(&document.etag) {
            response.headers_mut().insert(
                CACHE_CONTROL,
                HeaderValue::from_static("public, immutable, max-age=31536000"),
            );
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        Ok(response)
    }
}

/// The types a kind's operations speak of.
fn roots(kind: &Kind) -> impl Iterator<Item = &'static Arc<Type>> {
    let registry = Registry::builtin();
    let list = format!("{}List", kind.kind);
    let subs = kind.subs.iter().filter_map(|s| s.own_kind());
    [
        registry.lookup(kind.group, kind.version, kind.kind),
        registry.lookup(kind.group, kind.version, &list),
    ]
    .into_iter()
    .chain(subs.map(|(g, v, k)| registry.lookup(g, v, k)))
    .chain([
        registry.lookup("", "v1", "DeleteOptions"),
        registry.lookup("", "v1", "Status"),
        registry.type_by_name("io.k8s.apimachinery.pkg.apis.meta.v1.Patch"),
    ])
    .flatten()
}

fn described(
    dialect: Dialect,
    kinds: impl Iterator<Item = &'static Kind>,
) -> BTreeMap<String, Value> {
    let mut found = schemas(dialect, kinds.flat_map(roots));
    let descriptions = describe::definitions();
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
    let mut all = Map::new();
    for kind in kinds() {
        all.extend(paths::of(Dialect::V2, kind));
    }
    json!({
        "swagger": "2.0", "info": info(), "paths": all,
        "definitions": described(Dialect::V2, kinds()),
    })
}

/// The v3 documents, by path.
fn components() -> BTreeMap<String, Document> {
    let mut documents = BTreeMap::new();
    for (group, version) in GROUPS.iter().flat_map(|g| g.versions.iter().map(move |v| (g, *v))) {
        let own = || group.kinds.iter().filter(move |k| k.version == version);
        let mut all = Map::new();
        own().for_each(|kind| all.extend(paths::of(Dialect::V3, kind)));
        let document = json!({
            "openapi": "3.0.0", "info": info(), "paths": all,
            "components": {"schemas": described(Dialect::V3, own())},
        });
        documents.insert(
            document_name(group, version),
            Document::new(document.to_string().into_bytes()),
        );
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
        let pod = &definitions["io.k8s.api.core.v1.Pod"];
        assert!(pod["description"].as_str().unwrap().contains("containers"));
        assert!(pod["properties"]["spec"]["description"].is_string());
        for (name, document) in components() {
            let text = String::from_utf8(document.bytes.to_vec()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            for reference in text.split("\"#/components/schemas/").skip(1) {
                let wanted = reference.split('"').next().unwrap();
                assert!(value["components"]["schemas"].get(wanted).is_some(), "{name}: {wanted}");
            }
        }
    }
}
