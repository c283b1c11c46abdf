//! Objects to measure with.

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use crate::http::Endpoint;

/// How many pods `list` and `memory` store.
pub(crate) const PODS: usize = 10_000;
/// The namespace of everything a benchmark makes.
pub(crate) const NAMESPACE: &str = "bench";
/// Requests under way at once while loading.
const CONCURRENT: usize = 64;

/// Makes the namespace and, in it, its default service account.
pub(crate) async fn namespace(endpoint: &Endpoint) -> Result<()> {
    let mut api = endpoint.http2().await?;
    let object = |kind: &str, name: &str| {
        Bytes::from(
            json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}).to_string(),
        )
    };
    api.send(Method::POST, "/api/v1/namespaces", object("Namespace", NAMESPACE)).await?;
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    let account = object("ServiceAccount", "default");
    match api.send(Method::POST, &accounts, account).await {
        // The controller was quicker.
        Err(error) if !error.to_string().contains("AlreadyExists") => Err(error),
        _ => Ok(()),
    }
}

/// The name of a pod.
pub(crate) fn pod_name(number: usize) -> String {
    format!("web-6f7d9c5b8-{number:05}")
}

/// A pod as a deployment would make it, bound to a node that does not exist.
pub(crate) fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(number),
            "labels": {
                "app": "web",
                "pod-template-hash": "6f7d9c5b8",
                "shard": format!("s{}", number % 100),
            },
            "annotations": {"example.com/checksum": "0123456789abcdef0123456789abcdef"},
        },
        "spec": {
            "nodeName": "bench-elsewhere",
            "containers": [{
                "name": "web",
                "image": "registry.example.com/team/web:1.2.3",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [
                    {"name": "LOG_LEVEL", "value": "info"},
                    {"name": "POD_NAME",
                     "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "64Mi"},
                    "limits": {"memory": "128Mi"},
                },
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
            }],
        },
    })
}

/// Stores [`PODS`] pods.
pub(crate) async fn pods(endpoint: &Endpoint) -> Result<()> {
    namespace(endpoint).await?;
    let api = endpoint.http2().await?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    stream::iter(0..PODS)
        .map(|number| {
            let (mut api, path) = (api.clone(), &path);
            let body = Bytes::from(pod(number).to_string());
            async move { api.send(Method::POST, path, body).await }
        })
        .buffer_unordered(CONCURRENT)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// The controllers remove pods of nodes that do not exist after a while; a measurement must not
/// reach into that.
pub(crate) fn ensure_all(listed: &[u8]) -> Result<()> {
    let list: Value = serde_json::from_slice(listed)?;
    let count = list["items"].as_array().map_or(0, Vec::len);
    ensure!(count == PODS, "{count} pods are left of {PODS}: the measurement took too long");
    Ok(())
}
