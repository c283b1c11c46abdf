//! Attack: addresses to which this server can be made to connect, and the required rights.

use http::Method;
use serde_json::{Value, json};

use super::harness::Api;
use crate::User;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MERGE: &str = "application/merge-patch+json";

/// A pod whose status says that it is at `ip`.
async fn pod_at(api: &Api, name: &str, ip: &str) {
    let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": "n", "containers": [
        {"name": "c", "image": "i", "ports": [{"containerPort": 6443}]}]}});
    api.post(PODS, &pod).await.ok();
    let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}], "phase": "Running"}});
    api.patch(&format!("{PODS}/{name}/status"), MERGE, &status).await.ok();
}

#[tokio::test]
async fn forged_addresses_lead_nowhere() {
    let api = Api::start().await;
    for (i, ip) in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1"].iter().enumerate() {
        let name = format!("p{i}");
        pod_at(&api, &name, ip).await;
        let answer = api.get(&format!("{PODS}/{name}/proxy/")).await.fails(400);
        assert_eq!(answer["message"], "address not allowed", "{ip}");
    }
    api.post("/api/v1/nodes", &json!({"metadata": {"name": "n"}})).await.ok();
    for address in ["localhost", "127.0.0.1", "0.0.0.0"] {
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 6443}}}});
        api.patch("/api/v1/nodes/n/status", MERGE, &status).await.ok();
        let answer = api.get("/api/v1/nodes/n/proxy/api/v1/secrets").await.fails(400);
        assert_eq!(answer["message"], "address not allowed", "{address}");
        api.get("/api/v1/nodes/n:6443/proxy/").await.fails(400);
        api.get("/api/v1/nodes/https:n:6443/proxy/").await.fails(400);
    }
    for odd in ["nodes/n:port/proxy/", "nodes/ftp:n:1/proxy/", "nodes/a:b:c:d/proxy/"] {
        api.get(&format!("/api/v1/{odd}")).await.fails(400);
    }
}

#[tokio::test]
async fn proxied_paths_are_the_targets() {
    let api = Api::start().await;
    pod_at(&api, "p", "127.0.0.1").await;
    let role = json!({"metadata": {"name": "p"}, "rules": [{"apiGroups": [""], "verbs": ["get"],
        "resources": ["pods/proxy"], "resourceNames": ["p"]}]});
    api.post(&format!("{RBAC}/namespaces/default/roles"), &role).await.ok();
    let binding = json!({"metadata": {"name": "p"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "p"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}]});
    api.post(&format!("{RBAC}/namespaces/default/rolebindings"), &binding).await.ok();
    let ask = |path: String| {
        let request = api.ask(Method::GET, &format!("{PODS}/{path}"));
        request.by(User::new("u", &[])).send()
    };
    // Each reaches the address, with the right to this pod alone.
    for rest in
        ["", "a%20b", "a%3Fb=c", "a%2fb", "a/../b", "../../../q/proxy/", "a//b/", "%ff", "b/proxy"]
    {
        let answer = ask(format!("p/proxy/{rest}")).await.fails(400);
        assert_eq!(answer["message"], "address not allowed", "{rest}");
    }
    ask("p/proxy/%zz".into()).await.fails(400);
    ask("q/proxy/../../p/proxy/a".into()).await.fails(403);
    for path in ["q/../p/proxy/a", "q%2f..%2fp/proxy/a", "p/proxy%2fa", "%2e%2e/p/proxy/a"] {
        ask(path.into()).await.fails(404);
    }
}

#[tokio::test]
async fn hand_written_endpoints_are_not_proxied_to() {
    let api = Api::start().await;
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    api.post("/api/v1/namespaces/default/services", &service).await.ok();
    pod_at(&api, "real", "10.244.9.9").await;
    let target =
        |name: &str, namespace: &str| json!({"kind": "Pod", "name": name, "namespace": namespace});
    for (i, (address, target)) in [
        ("10.1.2.3", Value::Null),
        // An address other than the pod's own.
        ("10.1.2.3", target("real", "default")),
        ("10.244.9.9", target("real", "kube-system")),
        ("10.244.9.9", target("gone", "default")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut endpoint = json!({"addresses": [address], "conditions": {"ready": true}});
        if !target.is_null() {
            endpoint["targetRef"] = target;
        }
        let slice = json!({
            "metadata": {"name": format!("e{i}"), "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4", "ports": [{"name": "", "port": 80}], "endpoints": [endpoint]});
        api.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).await.ok();
    }
    let answer = api.get("/api/v1/namespaces/default/services/s/proxy/").await.fails(503);
    assert_eq!(answer["message"], "no endpoints available for service \"s\"");
    let answer = api.get("/api/v1/namespaces/default/services/s:81/proxy/").await.fails(503);
    assert_eq!(answer["message"], "no service port 81 found for service \"s\"");
}

#[tokio::test]
async fn reading_is_not_running() {
    let api = Api::start().await;
    pod_at(&api, "p", "10.244.9.9").await;
    let role = |name: &str, verb: &str| {
        json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "verbs": [verb],
            "resources": ["pods/exec", "pods/attach", "pods/portforward"]}]})
    };
    for (name, verb) in [("reader", "get"), ("creator", "create")] {
        api.post(&format!("{RBAC}/namespaces/default/roles"), &role(name, verb)).await.ok();
        let binding = json!({"metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]});
        api.post(&format!("{RBAC}/namespaces/default/rolebindings"), &binding).await.ok();
    }
    for stream in ["exec?command=id&stdout=1", "attach?stdout=1", "portforward?ports=80"] {
        let ask = |method: Method, user: &str| {
            let ask = api.ask(method, &format!("{PODS}/p/{stream}")).by(User::new(user, &[]));
            ask.header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
                .send()
        };
        ask(Method::GET, "reader").await.fails(403);
        ask(Method::POST, "reader").await.fails(403);
        // A user with the right to create reaches the node, which does not exist.
        let answer = ask(Method::POST, "creator").await;
        assert_ne!(answer.code, 403, "{stream}");
    }
}
