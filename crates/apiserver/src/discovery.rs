//! Discovery: the served API in legacy and aggregated form; version and issuer documents.

use apimachinery::Status;
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, VARY};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::aggregation::{self, RemoteGroup};
use crate::body::{Body, full};
use crate::encode::respond;
use crate::health;
use crate::paths::{Answered, Asked, Refused};
use crate::registry::{Kind, Kinds, ServedGroup, Sub, api_version};
use crate::routes::{no_such_path, page_not_found};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The root: a list of all paths.
pub(crate) async fn root(asked: Asked) -> Answered {
    asked.document(json!({"paths": paths(&asked.server.kinds())}))
}

/// `/api`: the versions of the core group.
pub(crate) async fn core_versions(asked: Asked) -> Answered {
    if asked.wants_aggregated() {
        return aggregated_list(&asked.server.kinds().groups()[..1], &[]).map_err(Refused);
    }
    asked.only_get(json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{
            "clientCIDR": "0.0.0.0/0",
            "serverAddress": asked.server.settings.advertise.to_string(),
        }],
    }))
}

/// `/apis`: the named groups.
pub(crate) async fn groups(asked: Asked) -> Answered {
    if asked.wants_aggregated() {
        let remote = aggregation::groups(&asked.server);
        return aggregated_list(&asked.server.kinds().groups()[1..], &remote).map_err(Refused);
    }
    let kinds = asked.server.kinds();
    let remote = aggregation::groups(&asked.server);
    let of = |name: &str| remote.iter().find(|group| group.name == name);
    let own = kinds.groups()[1..].iter();
    let own = own.map(|group| api_group(group.name, &group.versions, of(group.name)));
    let others = remote.iter().filter(|group| kinds.group(&group.name).is_none());
    let others = others.map(|group| api_group(&group.name, &[], Some(group)));
    asked.document(json!({
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": own.chain(others).collect::<Vec<_>>(),
    }))
}

/// `/apis/{group}`.
pub(crate) async fn group(asked: Asked) -> Answered {
    let kinds = asked.server.kinds();
    let name = asked.segment(1);
    let found = named_group(&kinds, name);
    let versions = aggregation::versions_of(&asked.server, name);
    if found.is_none() && versions.is_empty() {
        return Ok(page_not_found());
    }
    let remote = RemoteGroup { name: name.to_owned(), versions };
    let own = found.map(|found| found.versions.as_slice()).unwrap_or_default();
    let mut document = api_group(name, own, Some(&remote));
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    asked.document(document)
}

/// `/api/{version}`.
pub(crate) async fn core_resources(asked: Asked) -> Answered {
    let kinds = asked.server.kinds();
    asked.only_get(resource_list(&kinds, "", asked.segment(1)).map_err(Refused)?)
}

/// `/apis/{group}/{version}`.
pub(crate) async fn resources(asked: Asked) -> Answered {
    let kinds = asked.server.kinds();
    let Some(found) = named_group(&kinds, asked.segment(1)) else { return Ok(page_not_found()) };
    asked.only_get(resource_list(&kinds, found.name, asked.segment(2)).map_err(Refused)?)
}

/// A path below a version that is not a resource's.
pub(crate) async fn below_a_version(asked: Asked) -> Answered {
    if asked.segment(0) == "apis" && named_group(&asked.server.kinds(), asked.segment(1)).is_none()
    {
        return Ok(page_not_found());
    }
    Err(Refused(no_such_path()))
}

/// `/version`.
pub(crate) async fn server_version(asked: Asked) -> Answered {
    asked.only_get(version())
}

/// `/.well-known/openid-configuration`: lets other systems verify this cluster's tokens.
pub(crate) async fn issuer(asked: Asked) -> Answered {
    let settings = &asked.server.settings;
    asked.only_get(json!({
        "issuer": settings.signer.issuer(),
        "jwks_uri": format!("https://{}/openid/v1/jwks", settings.advertise),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": settings.signer.algorithms(),
    }))
}

/// `/openid/v1/jwks`: the keys that verify them.
pub(crate) async fn signing_keys(asked: Asked) -> Answered {
    asked.only_get(asked.server.settings.signer.jwks())
}

fn named_group<'a>(kinds: &'a Kinds, name: &str) -> Option<&'a ServedGroup> {
    kinds.group(name).filter(|group| !group.name.is_empty())
}

/// Returns true if a clause requests the aggregated form before any plain one.
pub(crate) fn wants_aggregated(accept: &str) -> bool {
    let clause = accept.split(',').find(|c| {
        let c = c.trim();
        let v2 = c.split(';').any(|p| p.trim() == "v=v2");
        !c.contains("as=") || (c.contains("as=APIGroupDiscoveryList") && v2)
    });
    clause.is_some_and(|c| c.contains("as=APIGroupDiscoveryList"))
}

/// The document of `GET /version`.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "37",
        "emulationMajor": "1", "emulationMinor": "37",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "36",
        "gitVersion": VERSION,
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

/// The API version that this server implements.
pub const VERSION: &str = "v1.37.2+coxswain.1";

fn paths(kinds: &Kinds) -> Vec<String> {
    let mut paths: Vec<String> = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis"]
        .iter()
        .map(|p| (*p).to_owned())
        .collect();
    for group in &kinds.groups()[1..] {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|v| format!("/apis/{}/{v}", group.name)));
    }
    let rest = [
        "/apis/",
        "/healthz",
        "/livez",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    paths.extend(rest.iter().map(|p| (*p).to_owned()));
    for of in ["healthz", "livez", "readyz"] {
        paths.extend(health::CHECKS.iter().map(|check| format!("/{of}/{check}")));
    }
    paths.sort();
    paths
}

fn api_group(name: &str, own: &[&str], remote: Option<&RemoteGroup>) -> Value {
    let others = remote.into_iter().flat_map(|group| &group.versions);
    let others = others.map(|backend| backend.version.as_str());
    let own = own.iter().copied();
    let versions: Vec<Value> = own
        .chain(others)
        .map(|v| json!({"groupVersion": api_version(name, v), "version": v}))
        .collect();
    json!({"name": name, "preferredVersion": versions[0], "versions": versions})
}

fn kinds_of<'a>(group: &'a ServedGroup, version: &'a str) -> impl Iterator<Item = &'a Kind> {
    group.kinds.iter().map(|kind| &**kind).filter(move |k| k.version == version)
}

/// Group, version and kind of a subresource's objects.
pub(crate) fn sub_kind(kind: &Kind, sub: Sub) -> (&'static str, &'static str, &'static str) {
    let proxied = match kind.kind {
        "Node" => "NodeProxyOptions",
        "Service" => "ServiceProxyOptions",
        _ => "PodProxyOptions",
    };
    match sub {
        Sub::Proxy => ("", "v1", proxied),
        _ => sub.own_kind().unwrap_or((kind.group, kind.version, kind.kind)),
    }
}

fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Result<Value, Status> {
    let found =
        kinds.group(group).filter(|g| g.versions.contains(&version)).ok_or_else(no_such_path)?;
    let mut resources = Vec::new();
    for kind in kinds_of(found, version) {
        let mut resource = json!({
            "name": kind.resource, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs(),
        });
        if !kind.short.is_empty() {
            resource["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        if let Some(hash) = storage_hash(kind) {
            resource["storageVersionHash"] = hash.into();
        }
        resources.push(resource);
        for sub in kind.subs {
            let (group, version, name) = sub_kind(kind, *sub);
            let mut resource = json!({
                "name": format!("{}/{}", kind.resource, sub.name()), "singularName": "",
                "namespaced": kind.namespaced, "kind": name, "verbs": sub.verbs(),
            });
            if (group, version) != (kind.group, kind.version) {
                resource["group"] = group.into();
                resource["version"] = version.into();
            }
            resources.push(resource);
        }
    }
    let mut list = json!({
        "kind": "APIResourceList",
        "groupVersion": api_version(group, version), "resources": resources,
    });
    // The oldest path answers in the oldest form.
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Ok(list)
}

/// A short hash that changes with the storage version of the objects.
fn storage_hash(kind: &Kind) -> Option<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    if kind.access != crate::registry::Access::Stored {
        return None;
    }
    // Upstream stores these in older versions.
    let stored = match (kind.conversion, kind.resource) {
        (
            _,
            "clustertrustbundles"
            | "customresourcedefinitions"
            | "podcertificaterequests"
            | "storageversionmigrations",
        ) => "v1beta1",
        (_, "devicetaintrules") => "v1beta2",
        (Some(conversion), _) => conversion.version,
        _ => kind.version,
    };
    let digest = Sha256::digest(format!("{}/{stored}/{}", kind.stored_group(), kind.kind));
    Some(STANDARD.encode(&digest[..8]))
}

fn aggregated_list(
    groups: &[ServedGroup],
    remote: &[RemoteGroup],
) -> Result<Response<Body>, Status> {
    let others = |name: &str| -> Vec<Value> {
        let found = remote.iter().find(|group| group.name == name);
        let versions = found.into_iter().flat_map(|group| &group.versions);
        versions.map(|backend| backend.aggregated()).collect()
    };
    let mut items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let mut versions: Vec<Value> =
                group.versions.iter().map(|v| aggregated_version(group, v)).collect();
            versions.extend(others(group.name));
            let metadata =
                if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    for group in remote.iter().filter(|group| groups.iter().all(|own| own.name != group.name)) {
        let metadata = json!({"name": group.name});
        items.push(json!({"metadata": metadata, "versions": others(&group.name)}));
    }
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items,
    });
    let text = document.to_string();
    let etag = format!("\"{}\"", hex::encode_upper(Sha256::digest(&text)));
    let mut response = respond(StatusCode::OK, "application/json", full(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}

fn aggregated_version(group: &ServedGroup, version: &str) -> Value {
    let resources: Vec<Value> = kinds_of(group, version)
        .map(|kind| {
            // Group and version are only given if they differ from those of the list.
            let response = |(g, v, k): (&str, &str, &str)| {
                let (g, v) = if (g, v) == (kind.group, kind.version) { ("", "") } else { (g, v) };
                json!({"group": g, "version": v, "kind": k})
            };
            let mut resource = json!({
                "resource": kind.resource,
                "responseKind": response((kind.group, kind.version, kind.kind)),
                "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": kind.singular,
                "verbs": kind.verbs(),
            });
            if !kind.short.is_empty() {
                resource["shortNames"] = json!(kind.short);
            }
            if !kind.categories.is_empty() {
                resource["categories"] = json!(kind.categories);
            }
            let subs: Vec<Value> = kind
                .subs
                .iter()
                .map(|sub| {
                    json!({
                        "subresource": sub.name(),
                        "responseKind": response(sub_kind(kind, *sub)),
                        "verbs": sub.verbs(),
                    })
                })
                .collect();
            if !subs.is_empty() {
                resource["subresources"] = subs.into();
            }
            resource
        })
        .collect();
    json!({"version": version, "freshness": "Current", "resources": resources})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregated_form_goes_to_those_who_ask_for_it_first() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(wants_aggregated(kubectl));
        assert!(!wants_aggregated("application/json"));
        let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(!wants_aggregated(old));
    }
}
