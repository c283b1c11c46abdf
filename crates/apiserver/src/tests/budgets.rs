//! Attack: small requests with large effects.

use http::Method;
use serde_json::{Value, json};

use super::harness::Api;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

#[tokio::test]
async fn a_patch_copies_no_more_than_it_may() {
    let api = Api::start().await;
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "x".repeat(1000)}});
    api.post(MAPS, &map).await.ok();
    let doubling: Vec<Value> = (0..30)
        .map(|i| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/x{i}")}))
        .collect();
    let patch = "application/json-patch+json";
    api.patch(&format!("{MAPS}/m"), patch, &json!(doubling)).await.fails(413);
    // The object cannot grow without limit by many patches either.
    let data = "x".repeat(400 << 10);
    for i in 0..20 {
        let add =
            json!([{"op": "add", "path": format!("/metadata/annotations~1{i}"), "value": data}]);
        let _ = api.patch(&format!("{MAPS}/m"), patch, &add).await;
    }
    assert!(api.get(&format!("{MAPS}/m")).await.bytes.len() < 3 << 20);
}

/// A decoder that rescans each level takes hours for this.
#[tokio::test]
async fn nesting_is_refused_in_linear_time() {
    let api = Api::start().await;
    for media in ["application/json", "application/yaml"] {
        for depth in [1_000, 100_000, 1_000_000] {
            let body = format!("{{\"spec\": {}", "[".repeat(depth));
            let ask = api.ask(Method::POST, REVIEWS).header("content-type", media).body(body);
            let answer = ask.send().await;
            assert_eq!(answer.code, 400, "{media} {depth}");
        }
    }
}

#[tokio::test]
async fn what_would_be_unreadable_is_not_stored() {
    let api = Api::start().await;
    let deep = |levels: usize| {
        let mut schema = json!({"type": "object"});
        for _ in 0..levels {
            schema = json!({"type": "object", "properties": {"a": schema}});
        }
        json!({"metadata": {"name": "as.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema}}]}})
    };
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for levels in [40, 50, 55, 58, 60, 62] {
        let made = api.post(crds, &deep(levels)).await;
        if made.code.is_success() {
            let read = api.get(&format!("{crds}/as.example.com")).await.ok();
            assert_eq!(read["kind"], "CustomResourceDefinition", "{levels}");
            api.delete(&format!("{crds}/as.example.com")).await.ok();
            // Its objects go first, of which there are none.
            while api.get(&format!("{crds}/as.example.com")).await.code.is_success() {
                tokio::task::yield_now().await;
            }
        } else {
            assert!(matches!(made.code.as_u16(), 400 | 413), "{levels}: {}", made.code);
        }
    }
}

#[tokio::test]
async fn the_time_that_a_client_gives_counts() {
    let api = Api::start().await;
    let refused = api.get(&format!("{MAPS}?timeout=soon")).await.fails(400);
    assert_eq!(
        refused["message"],
        "invalid timeout specified in the request URL - time: invalid duration \"soon\""
    );
    api.get(&format!("{MAPS}?timeout=30s")).await.ok();
    // A body that never ends.
    let body = crate::body::stream(futures::stream::pending());
    let ask = api.ask(Method::POST, &format!("{MAPS}?timeout=50ms"));
    let answer = ask.header("content-type", "application/json").send_body(body).await.fails(504);
    assert_eq!(answer["message"], "Timeout: request did not complete within the allotted timeout");
}

/// Times come from clients; arithmetic with them must not panic.
#[tokio::test]
async fn no_time_is_too_long() {
    let api = Api::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "n", "terminationGracePeriodSeconds": i64::MAX,
        "containers": [{"name": "c", "image": "i"}]}});
    api.post(pods, &pod).await.ok();
    api.delete(&format!("{pods}/p?dryRun=All")).await.ok();
    api.delete(&format!("{pods}/p?gracePeriodSeconds={}", i64::MAX - 1)).await.ok();
    let watch = format!("{pods}?watch=1&timeoutSeconds={}", i64::MAX);
    assert!(api.ask(Method::GET, &watch).open().await.status().is_success());
}
