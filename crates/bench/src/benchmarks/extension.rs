//! How much a webhook, a policy and a rule of a custom resource add to a write, against upstream's.
//!
//! The same objects are created without and with each. Without `KUBE_APISERVER` only ours is measured.

use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::api::{Make, Measurement, bytes, writes};
use crate::cluster;
use crate::fixture::{Fixture, REVIEW};
use crate::http::{Endpoint, JSON};
use crate::load::{self, NAMESPACE};
use crate::report::{Report, Row, Target};
use crate::servers::Server;

/// A policy, a webhook or a definition works some time after it was written; only then is measured.
const ASK_AGAIN: Duration = Duration::from_millis(50);
const EFFECTIVE: Duration = Duration::from_secs(30);
/// Objects of this name must be refused as soon as rules are in force.
const REFUSED: &str = "refused";

/// One way of writing: its name, with the one whose cost it adds to, and the request.
const WAYS: &[(&str, &str, Make)] = &[
    ("a config map", "", |n| config_map("plain", n)),
    ("one with a policy", "a config map", |n| config_map("policy", n)),
    ("one with a webhook", "a config map", |n| config_map("webhook", n)),
    ("a custom resource", "", |n| custom("plain", n)),
    ("one with rules", "a custom resource", |n| custom("ruled", n)),
];

fn config_map(way: &str, number: usize) -> (Method, String, &'static str, Bytes) {
    let metadata =
        json!({"name": format!("{way}-{number}"), "labels": {"way": way, "app": "bench"}});
    let data = json!({"url": "https://example.com/a", "replicas": "3", "text": "x".repeat(500)});
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    (Method::POST, format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), JSON, bytes(&object))
}

fn custom(way: &str, number: usize) -> (Method, String, &'static str, Bytes) {
    let ports: Vec<_> =
        (1..=5).map(|n| json!({"name": format!("p{n}"), "port": 8000 + n})).collect();
    let object = json!({
        "apiVersion": "bench.example.com/v1",
        "kind": kind(way),
        "metadata": {"name": format!("{way}-{number}")},
        "spec": {"minimum": 1, "maximum": 5, "image": "example.com/a:v1", "ports": ports},
    });
    let path = format!("/apis/bench.example.com/v1/namespaces/{NAMESPACE}/{way}s");
    (Method::POST, path, JSON, bytes(&object))
}

fn kind(way: &str) -> String {
    let (first, rest) = way.split_at(1);
    first.to_uppercase() + rest
}

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let dir = cluster::directory()?;
    let (ours, services) = Server::ours(dir.path()).await?;
    let theirs = Server::upstreams(dir.path(), &services).await?;
    let webhook = Fixture::start(dir.path(), b"").await?;
    let authority = std::fs::read(dir.path().join("certs/ca.crt"))?;
    let hook = json!({
        "url": format!("https://{}{REVIEW}", webhook.endpoint.address),
        "caBundle": k8s_openapi::ByteString(authority),
    });
    let outcome = contest(&ours, theirs.as_ref(), &hook, report).await;
    webhook.stop().await;
    ours.stop().await;
    if let Some(theirs) = theirs {
        theirs.stop().await;
    }
    outcome
}

async fn contest(
    ours: &Server,
    theirs: Option<&Server>,
    webhook: &Value,
    report: &mut Report,
) -> Result<()> {
    for server in std::iter::once(ours).chain(theirs) {
        load::namespace(&server.endpoint).await?;
        prepare(&server.endpoint, webhook).await?;
    }
    let mut measured: Vec<(&str, Measurement, Option<Measurement>)> = Vec::new();
    for (what, beside, make) in WAYS {
        let own = writes(ours, *make).await?;
        let other = match theirs {
            Some(server) => Some(writes(server, *make).await?),
            None => None,
        };
        let upstreams = |of: fn(Measurement) -> f64| other.map(|other| ("upstream", of(other)));
        report.add(Row {
            what: format!("create {what}"),
            figure: own.rate,
            baseline: upstreams(|m| m.rate),
            unit: "/s",
            target: Target::RatioAtLeast(5.0),
        });
        // The time it adds to the plain write, or the write's own.
        let plain = measured.iter().find(|(name, ..)| name == beside);
        let more =
            |m: Measurement, plain: Option<Measurement>| m.cpu - plain.map_or(0.0, |p| p.cpu);
        report.add(Row {
            what: if plain.is_some() {
                format!("create {what}, processor time added")
            } else {
                format!("create {what}, processor time")
            },
            figure: more(own, plain.map(|(_, own, _)| *own)),
            baseline: other
                .map(|other| ("upstream", more(other, plain.and_then(|(_, _, other)| *other)))),
            unit: "ms",
            target: Target::None,
        });
        measured.push((what, own, other));
    }
    Ok(())
}

/// Makes the policy, the webhook and the definitions, and waits until they work.
async fn prepare(endpoint: &Endpoint, webhook: &Value) -> Result<()> {
    let mut api = endpoint.http2().await?;
    let create = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
    }]);
    let policies = "/apis/admissionregistration.k8s.io/v1";
    let of_way = |way: &str| json!({"matchLabels": {"way": way}});
    let objects = [
        (
            format!("{policies}/validatingadmissionpolicies"),
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "bench"},
            "spec": {
                "matchConstraints": {"resourceRules": create, "objectSelector": of_way("policy")},
                "variables": [{"name": "data", "expression": "object.data"}],
                "validations": [
                    {"expression": format!("object.metadata.name != '{REFUSED}'")},
                    {"expression": "int(variables.data.replicas) <= 5"},
                    {"expression": "variables.data.url.startsWith('https://')"},
                    {"expression": "has(object.metadata.labels) && 'app' in object.metadata.labels"},
                ],
            }}),
        ),
        (
            format!("{policies}/validatingadmissionpolicybindings"),
            json!({"apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "bench"},
                "spec": {"policyName": "bench", "validationActions": ["Deny"]}}),
        ),
        (
            format!("{policies}/validatingwebhookconfigurations"),
            json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "bench"},
            "webhooks": [{
                "name": "bench.example.com", "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "clientConfig": webhook, "rules": create,
                "objectSelector": of_way("webhook"),
            }]}),
        ),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(), definition("plain")),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(), definition("ruled")),
    ];
    for (path, object) in objects {
        api.send(Method::POST, &path, bytes(&object)).await?;
    }
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": REFUSED, "labels": {"way": "policy", "app": "bench"}},
        "data": {"replicas": "1", "url": "https://example.com"}});
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps?dryRun=All");
    wait(async || api.clone().send(Method::POST, &maps, bytes(&probe)).await.is_err()).await?;
    for way in ["plain", "ruled"] {
        let (method, path, _, body) = custom(way, usize::MAX);
        let path = format!("{path}?dryRun=All");
        wait(async || api.clone().send(method.clone(), &path, body.clone()).await.is_ok()).await?;
    }
    Ok(())
}

async fn wait(done: impl AsyncFn() -> bool) -> Result<()> {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    if tokio::time::timeout(EFFECTIVE, waiting).await.is_err() {
        bail!("a policy or a definition has no effect");
    }
    Ok(())
}

/// A definition; the one of `ruled` has rules that look at the whole object.
fn definition(way: &str) -> Value {
    let mut spec = json!({
        "type": "object",
        "properties": {
            "minimum": {"type": "integer"},
            "maximum": {"type": "integer"},
            "image": {"type": "string", "maxLength": 200},
            "ports": {"type": "array", "maxItems": 20, "items": {"type": "object", "properties": {
                "name": {"type": "string", "maxLength": 60}, "port": {"type": "integer"},
            }}},
        },
    });
    if way == "ruled" {
        spec["x-kubernetes-validations"] = json!([
            {"rule": "self.minimum <= self.maximum", "message": "minimum is above maximum"},
            {"rule": "self.image.matches('^[a-z./]+:[a-z0-9]+$')"},
            {"rule": "self.ports.all(p, p.port > 0 && p.port < 65536)"},
            {"rule": "self.ports.all(p, self.ports.exists_one(q, q.name == p.name))"},
        ]);
    }
    let kind = kind(way);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{way}s.bench.example.com")},
        "spec": {
            "group": "bench.example.com",
            "scope": "Namespaced",
            "names": {"plural": format!("{way}s"), "singular": way, "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}
