//! Hostile and mistaken requests: each gets upstream's Status, and nothing is lost.

use apimachinery::ObjectExt;
use http::Method;
use serde_json::json;

use super::harness::Api;
use crate::User;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn bodies_that_are_not_objects() {
    let api = Api::start().await;
    let json = "application/json";
    let deep = format!("{{\"data\":{}1{}}}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let deep_list = "[".repeat(10_000);
    let aliases = {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            text.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        text
    };
    for (media_type, body) in [
        (json, b"{\"metadata\":{\"name\":\"a\"".to_vec()),
        (json, b"{\xff:{\"name\":\"a\"}}".to_vec()),
        (json, b"".to_vec()),
        (json, b"[]".to_vec()),
        (json, b"{\"metadata\":7}".to_vec()),
        (json, deep.into_bytes()),
        (json, deep_list.into_bytes()),
        ("application/yaml", aliases.into_bytes()),
        ("application/yaml", b"metadata: {name: a".to_vec()),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff\xff\xff".to_vec()),
        ("application/vnd.kubernetes.protobuf", b"not protobuf".to_vec()),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer =
            api.ask(Method::POST, MAPS).header("content-type", media_type).body(body).send().await;
        assert_eq!(
            answer.code.as_u16(),
            400,
            "{shown}: {}",
            String::from_utf8_lossy(&answer.bytes)
        );
        answer.fails(400);
    }
    // Invalid Unicode in strings is replaced, as Go does.
    let text = b"{\"metadata\":{\"name\":\"\xff\\ud800\"}}".to_vec();
    let answer = api.ask(Method::POST, MAPS).header("content-type", json).body(text).send().await;
    assert_eq!(answer.fails(422)["details"]["name"], "\u{fffd}\u{fffd}");
    // A null has no name; unreadable input is shown as it was sent.
    let send = |body: &'static str| {
        api.ask(Method::POST, MAPS)
            .header("content-type", json)
            .body(body.as_bytes().to_vec())
            .send()
    };
    send("null").await.fails(422);
    for (body, message) in [
        ("[", "couldn't get version/kind; json parse error: unexpected end of JSON input (5b)"),
        ("{\"a\" 1}", "json parse error: invalid character '1' after object key ({\"a\" 1})"),
        (
            "{\"apiVersion\":\"a/b/c\"}",
            "unexpected GroupVersion string: a/b/c ({\"apiVersion\":\"a/b/c\"})",
        ),
        (
            "{\"kind\":\"Nope\"}",
            "Nope in version \"v1\" cannot be handled as a ConfigMap: no kind \"Nope\" is registered \
             for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
        ),
        (
            "{\"kind\":\"Pod\"}",
            "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to \
             (core.ConfigMap): unknown conversion",
        ),
    ] {
        let status = send(body).await.fails(400);
        assert!(status["message"].as_str().unwrap().ends_with(message), "{status}");
    }
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let twice = "metadata: {name: a}\ndata: {k: v}\ndata: {k: w}\n";
    let answer = api
        .ask(Method::POST, &strict)
        .header("content-type", "application/yaml")
        .body(twice)
        .send()
        .await;
    answer.fails(400);
    assert_eq!(api.get(MAPS).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn sizes_and_media_types() {
    let api = Api::start().await;
    let big = json!({"metadata": {"name": "a"}, "data": {"k": "x".repeat(3 << 20)}});
    api.post(MAPS, &big).await.fails(413);
    let over = json!({"metadata": {"name": "a"}, "data": {"k": "x".repeat((1 << 20) + 1)}});
    api.post(MAPS, &over).await.fails(422);
    api.ask(Method::POST, MAPS)
        .header("content-type", "text/plain")
        .body("{}")
        .send()
        .await
        .fails(415);
    api.ask(Method::GET, MAPS).header("accept", "text/html").send().await.fails(406);
    let merge = json!({});
    api.patch(&format!("{MAPS}/a"), "application/unknown", &merge).await.fails(415);
}

#[tokio::test]
async fn names_and_namespaces() {
    let api = Api::start().await;
    for name in ["a/b", "..", "UPPER", "-a", "a_b", &"x".repeat(300), "a b"] {
        let status = api.post(MAPS, &json!({"metadata": {"name": name}})).await.fails(422);
        assert_eq!(status["details"]["causes"][0]["field"], "metadata.name", "{name}");
    }
    api.post(MAPS, &json!({"metadata": {}})).await.fails(422);
    for path in ["%2f", "a%2fb", "..", "%2e%2e", "%zz", "a/b/c"] {
        api.get(&format!("{MAPS}/{path}")).await.fails(404);
    }
    let elsewhere = json!({"metadata": {"name": "a", "namespace": "kube-system"}});
    let status = api.post(MAPS, &elsewhere).await.fails(400);
    assert!(
        status["message"].as_str().unwrap().contains("does not match the namespace"),
        "{status}"
    );
    let missing = "/api/v1/namespaces/nowhere/configmaps";
    api.post(missing, &json!({"metadata": {"name": "a"}})).await.fails(404);
    api.delete("/api/v1/namespaces/kube-system").await.fails(403);
}

#[tokio::test]
async fn versions_and_continue_tokens() {
    let api = Api::start().await;
    let created = api.post(MAPS, &json!({"metadata": {"name": "a"}})).await.ok();
    let with_version = json!({"metadata": {"name": "b", "resourceVersion": "1"}});
    api.post(MAPS, &with_version).await.fails(400);
    let one = format!("{MAPS}/a");
    let mut unversioned = created.clone();
    unversioned.set_meta("resourceVersion", serde_json::Value::Null);
    api.put(&one, &unversioned).await.ok();
    let mut other = created.clone();
    other.set_meta("uid", "someone-else".into());
    other.set_meta("resourceVersion", serde_json::Value::Null);
    api.put(&one, &other).await.fails(409);

    api.get(&format!("{MAPS}?limit=-1")).await.ok();
    api.get(&format!("{MAPS}?limit=many")).await.fails(400);
    api.get(&format!("{MAPS}?continue=forged")).await.fails(400);
    // {"v":"meta.k8s.io/v1","rv":999999999,"start":"x"}
    let future = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6OTk5OTk5OTk5LCJzdGFydCI6IngifQ";
    api.get(&format!("{MAPS}?continue={future}")).await.fails(504);
    api.get(&format!("{MAPS}?resourceVersion=never")).await.fails(400);
    api.get(&format!("{MAPS}?resourceVersion=999999999")).await.fails(504);
    let status = api.get(&format!("{MAPS}?resourceVersionMatch=Exact")).await.fails(422);
    assert_eq!(status["details"]["kind"], "ListOptions", "{status}");
    api.get(&format!("{MAPS}?labelSelector=a%20in%20(")).await.fails(400);
    api.get(&format!("{MAPS}?fieldSelector=spec.nothing%3Dx")).await.fails(400);

    let other = json!({"metadata": {"name": "b"}});
    api.post(MAPS, &other).await.ok();
    let page = api.get(&format!("{MAPS}?limit=1")).await.ok();
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    api.delete(&format!("{MAPS}/b")).await.ok();

    // A version from before this server's start.
    let api = api.restart().await;
    assert_eq!(api.get(&one).await.ok().uid(), created.uid());
    let watch = format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1");
    // The watch has started when the error is found.
    let event = api.get(&watch).await.ok();
    assert_eq!(event["type"], "ERROR", "{event}");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    api.post(MAPS, &other).await.ok();
    let status = api.get(&format!("{MAPS}?continue={token}")).await.fails(410);
    let token = status["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{MAPS}?continue={token}")).await.ok();
    let names: Vec<_> = rest["items"].as_array().unwrap().iter().map(|item| item.name()).collect();
    assert_eq!(names, ["b"], "the list goes on in the present");
}

#[tokio::test]
async fn patches_that_may_not_be() {
    let api = Api::start().await;
    api.post(MAPS, &json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await.ok();
    let one = format!("{MAPS}/a");
    const MERGE: &str = "application/merge-patch+json";
    const JSON: &str = "application/json-patch+json";
    api.patch(&one, MERGE, &json!({"metadata": {"name": "b"}})).await.fails(400);
    api.patch(&one, MERGE, &json!({"metadata": {"uid": "other"}})).await.fails(422);
    api.patch(&one, MERGE, &json!({"kind": "Secret"})).await.fails(400);
    let status = api.patch(&one, MERGE, &json!({"data": {"k": 7}})).await.fails(422);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with(" \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion"),
        "{message}"
    );
    assert!(message.ends_with("Go struct field ConfigMap.data of type string"), "{message}");
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    let status = api.patch(&one, STRATEGIC, &json!({"data": {"k": 7}})).await.fails(422);
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("patch: Invalid value: \"map[data:map[k:7]]\""), "{message}");
    api.patch(&format!("{one}?fieldValidation=Strict"), MERGE, &json!({"x": 1})).await.fails(422);
    let mut other = api.get(&one).await.ok();
    other["metadata"]["uid"] = json!("other");
    let status = api.put(&one, &other).await.fails(409);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("Code: 4, Key: /configmaps/default/a, ResourceVersion: 0"),
        "{message}"
    );
    let test = json!([{"op": "test", "path": "/data/k", "value": "w"}]);
    api.patch(&one, JSON, &test).await.fails(422);
    let many: Vec<_> =
        (0..10_001).map(|_| json!({"op": "test", "path": "/data/k", "value": "v"})).collect();
    api.patch(&one, JSON, &json!(many)).await.fails(413);
    let apply = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    const APPLY: &str = "application/apply-patch+yaml";
    api.patch(&one, APPLY, &apply).await.fails(422);
    api.patch(&one, MERGE, &json!({"metadata": {"resourceVersion": "1"}})).await.fails(409);
    assert_eq!(api.get(&one).await.ok()["data"]["k"], "v");
}

#[tokio::test]
async fn what_one_may_not_do() {
    let api = Api::start().await;
    let nobody = || User::new("nobody", &[]);
    let status = api.ask(Method::GET, MAPS).by(nobody()).send().await.fails(403);
    assert_eq!(
        status["message"],
        "configmaps is forbidden: User \"nobody\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let version = api.ask(Method::GET, "/version").header("accept", "application/octet-stream");
    version.by(nobody()).send().await.ok();
    // Users cannot grant rights that they do not have.
    let grant = json!({
        "metadata": {"name": "maker"},
        "rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create"]}],
    });
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &grant).await.ok();
    let bind = json!({
        "metadata": {"name": "maker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "maker"},
        "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &bind).await.ok();
    let more = json!({
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    });
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let status = api.ask(Method::POST, roles).by(nobody()).json(&more).send().await.fails(403);
    assert!(status["message"].as_str().unwrap().contains("not currently held"), "{status}");
    // A kubelet only accesses its own node.
    let kubelet = || User::new("system:node:n1", &["system:nodes"]);
    let node = |name: &str| json!({"metadata": {"name": name}});
    api.ask(Method::POST, "/api/v1/nodes").by(kubelet()).json(&node("n2")).send().await.fails(403);
    api.ask(Method::POST, "/api/v1/nodes").by(kubelet()).json(&node("n1")).send().await.ok();
    api.ask(Method::GET, "/api/v1/namespaces/default/secrets/x")
        .by(kubelet())
        .send()
        .await
        .fails(403);
    let nothing = api.get("/apis/nothing.example.com/v1/things").await;
    assert_eq!((nothing.code.as_u16(), &*nothing.bytes), (404, &b"404 page not found\n"[..]));
    api.ask(Method::POST, "/api/v1/namespaces/default/pods/x/status")
        .json(&node("x"))
        .send()
        .await
        .fails(405);
}
