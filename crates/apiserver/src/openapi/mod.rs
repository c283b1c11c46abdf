//! OpenAPI: `/openapi/v2` as JSON and gnostic protobuf, `/openapi/v3` by group version.
//!
//! The document of the table is generated on first request and kept. Custom resources add a
//! part for each group version (`custom`): a change of one definition leaves the parts of the others
//! as they are, and documents are put together of parts when they are sent.

mod builtin;
mod custom;
mod describe;
mod document;
mod gnostic;
mod gnostic_v3;
mod paths;
mod piece;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use apimachinery::Status;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::body::{Body, full};
use crate::encode::respond;
use crate::negotiate::JSON;
use crate::registry::Kinds;
use crate::request::Query;
use custom::{Version, entries};
use piece::{Piece, answer, tag};

/// Media type of the v2 document in gnostic's protobuf.
const GNOSTIC: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const GNOSTIC_LATEST: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Media type of the v3 documents.
const GNOSTIC_3: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
const GNOSTIC_3_LATEST: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";

/// The documents of the kinds that are served now.
#[derive(Default)]
pub(crate) struct Documents {
    v2_json: OnceLock<Swagger>,
    v2_protobuf: OnceLock<Piece>,
    v3: OnceLock<BTreeMap<String, builtin::Document>>,
    /// By the names of their v3 documents.
    custom: ArcSwap<BTreeMap<String, Arc<Version>>>,
}

/// The v2 document of the table, cut where custom resources are put in.
struct Swagger {
    /// To the last of the definitions.
    head: Piece,
    /// From there to the last of the paths.
    tail: Piece,
}

impl Swagger {
    fn new(mut document: Value) -> Self {
        let [definitions, paths] = ["definitions", "paths"].map(|name| {
            let object = document.as_object_mut().and_then(|document| document.remove(name));
            entries(&object.unwrap_or_default())
        });
        let head = format!(r#"{{{},"definitions":{{{definitions}"#, entries(&document));
        let tail = format!(r#"}},"paths":{{{paths}"#);
        Self { head: Piece::new(head.into_bytes()), tail: Piece::new(tail.into_bytes()) }
    }
}

impl Documents {
    /// Publishes these kinds from now on. What of them was published before stays as it is; the rest
    /// is made when it is asked for.
    pub(crate) fn publish(&self, kinds: &Kinds) {
        let known = self.custom.load();
        self.custom.store(Arc::new(custom::versions(kinds, &known)));
    }

    fn builtin_v3(&self) -> &BTreeMap<String, builtin::Document> {
        self.v3.get_or_init(builtin::documents)
    }

    pub(crate) fn v2(&self, accept: &str, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        if !takes(accept, &[JSON, GNOSTIC, GNOSTIC_LATEST]) {
            return Ok(not_acceptable());
        }
        let custom = self.custom.load_full();
        if accept.contains(GNOSTIC) || accept.contains(GNOSTIC_LATEST) {
            // Messages that come in parts are merged by those who read them.
            let own =
                self.v2_protobuf.get_or_init(|| Piece::new(gnostic::encode(&builtin::swagger())));
            let all: Vec<&Piece> =
                std::iter::once(own).chain(custom.values().map(|v| v.v2_protobuf())).collect();
            let tag = tag(all.iter().copied());
            return Ok(answer(&tag, GNOSTIC_LATEST, headers, || {
                let all: Vec<Bytes> = all.iter().map(|piece| piece.bytes.clone()).collect();
                all.into_iter()
            }));
        }
        let own = self.v2_json.get_or_init(|| Swagger::new(builtin::swagger()));
        let parts: Vec<[&Piece; 2]> = custom.values().map(|v| v.v2_json_pieces()).collect();
        let tag = tag([&own.head, &own.tail].into_iter().chain(parts.iter().flatten().copied()));
        Ok(answer(&tag, JSON, headers, || {
            let comma = Bytes::from_static(b",");
            let mut all = vec![own.head.bytes.clone()];
            all.extend(parts.iter().flat_map(|[own, _]| [comma.clone(), own.bytes.clone()]));
            all.push(own.tail.bytes.clone());
            all.extend(parts.iter().flat_map(|[_, own]| [comma.clone(), own.bytes.clone()]));
            all.push(Bytes::from_static(b"}}"));
            all.into_iter()
        }))
    }

    /// The names of the v3 documents.
    pub(crate) fn v3_index(&self) -> Response<Body> {
        let custom = self.custom.load_full();
        let builtin = self.builtin_v3().iter().map(|(name, document)| (name, &*document.tag));
        let paths: Map<String, Value> = builtin
            .chain(custom.iter().map(|(name, version)| (name, version.v3_tag())))
            .map(|(name, tag)| {
                let url = format!("/openapi/v3/{name}?hash={tag}");
                (name.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        let index = json!({"paths": paths}).to_string();
        // Upstream's content type, which Go guesses.
        respond(StatusCode::OK, "text/plain; charset=utf-8", full(index))
    }

    /// One of the v3 documents.
    pub(crate) fn v3(&self, name: &str, query: &Query, headers: &HeaderMap) -> Response<Body> {
        let custom = self.custom.load();
        let (builtin, custom) = (self.builtin_v3().get(name), custom.get(name));
        let tag = builtin.map(|own| &*own.tag).or_else(|| custom.map(|own| own.v3_tag()));
        let Some(tag) = tag else {
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        };
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
        if !takes(accept, &[JSON, GNOSTIC_3, GNOSTIC_3_LATEST]) {
            return not_acceptable();
        }
        let binary = accept.contains(GNOSTIC_3) || accept.contains(GNOSTIC_3_LATEST);
        let media_type = if binary { GNOSTIC_3_LATEST } else { JSON };
        let mut response = answer(tag, media_type, headers, || {
            let pieces = match (builtin, custom, binary) {
                (Some(own), _, true) => vec![own.protobuf().clone()],
                (Some(own), _, false) => vec![own.json.clone()],
                (_, Some(own), true) => own.v3_protobuf(),
                (_, Some(own), false) => own.v3_json(),
                (None, None, _) => Vec::new(),
            };
            pieces.into_iter()
        });
        // A URL with the current hash never changes.
        if query.get("hash") == Some(tag) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let swagger = builtin::swagger();
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
        for (name, document) in builtin::documents() {
            let text = String::from_utf8(document.json.to_vec()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            for reference in text.split("\"#/components/schemas/").skip(1) {
                let wanted = reference.split('"').next().unwrap();
                assert!(value["components"]["schemas"].get(wanted).is_some(), "{name}: {wanted}");
            }
        }
    }

    #[test]
    fn operations_are_named_as_upstream_names_them() {
        let swagger = builtin::swagger();
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
        let documents = builtin::documents();
        for name in ["api", "apis", "apis/apps", "version", "openid/v1/jwks"] {
            assert!(documents.contains_key(name), "{name}");
        }
        let json: HeaderMap =
            [(ACCEPT, HeaderValue::from_static("text/plain"))].into_iter().collect();
        let answer = Documents::default().v2("text/plain", &json).unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE);
    }
}
