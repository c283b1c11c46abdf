//! Custom resources whose versions a webhook converts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::custom::{DEFINITIONS, until};
use super::harness::{Api, Watch};
use super::webhooks::Webhook;

const V1: &str = "/apis/example.com/v1/namespaces/default/things";
const V2: &str = "/apis/example.com/v2/namespaces/default/things";

fn definition(webhook: &Webhook) -> Value {
    let version = |name: &str, field: &str| {
        json!({
            "name": name, "served": true, "storage": name == "v1",
            "selectableFields": [{"jsonPath": format!(".spec.{field}")}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {field: {"type": "integer"}}},
            }}},
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [version("v1", "size"), version("v2", "extent")],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{}/convert", webhook.port),
                    "caBundle": STANDARD.encode(&webhook.authority),
                },
            }},
        },
    })
}

#[tokio::test]
async fn versions_are_converted_on_every_path() {
    let (api, webhook) = (Api::start().await, Webhook::start().await);
    api.post(DEFINITIONS, &definition(&webhook)).await.ok();
    until(&api, "things.example.com", "Established", "True").await;
    let thing = |version: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": format!("example.com/{version}"), "kind": "Thing",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let mut watch = Watch::open(&api, &format!("{V2}?watch=true")).await;
    api.post(V1, &thing("v1", "a", json!({"size": 1}))).await.ok();
    let made = api.post(V2, &thing("v2", "b", json!({"extent": 2}))).await.ok();
    assert_eq!(made["spec"], json!({"extent": 2}));
    assert_eq!(api.get(&format!("{V1}/b")).await.ok()["spec"], json!({"size": 2}));
    assert_eq!(api.get(&format!("{V2}/a")).await.ok()["spec"], json!({"extent": 1}));
    let selected = format!("{V2}?fieldSelector=spec.extent%3D2");
    let mut selecting = Watch::open(&api, &format!("{selected}&watch=true")).await;
    let found = api.get(&selected).await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["metadata"]["name"], "b");
    assert_eq!(selecting.event().await["object"]["metadata"]["name"], "b");
    let before = webhook.count("convert");
    let list = api.get(V2).await.ok();
    let specs: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|item| &item["spec"]).collect();
    assert_eq!(specs, [&json!({"extent": 1}), &json!({"extent": 2})]);
    assert!(webhook.count("convert") <= before + 1, "what is known is not asked again");
    for want in [1, 2] {
        let event = watch.event().await;
        assert_eq!(event["object"]["spec"], json!({"extent": want}), "{event}");
        assert_eq!(event["object"]["apiVersion"], "example.com/v2");
    }
    let patched = api
        .ask(Method::PATCH, &format!("{V2}/a"))
        .header("content-type", "application/merge-patch+json")
        .body(json!({"spec": {"extent": 5}}).to_string())
        .send()
        .await
        .ok();
    assert_eq!(patched["spec"], json!({"extent": 5}));
    assert_eq!(api.get(&format!("{V1}/a")).await.ok()["spec"], json!({"size": 5}));
    assert_eq!(watch.event().await["object"]["spec"], json!({"extent": 5}));
}
