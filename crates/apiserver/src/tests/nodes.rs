//! Attack: objects that one node's credential can reach.

use apimachinery::ObjectExt;
use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};
use crate::User;

const MERGE: &str = "application/merge-patch+json";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A cluster of two nodes; `n1` is the attacker's.
struct Fixture {
    api: Api,
}

impl Fixture {
    async fn new() -> Self {
        let api = Api::start().await;
        for name in ["n1", "n2"] {
            api.post("/api/v1/nodes", &json!({"metadata": {"name": name}})).await.ok();
            let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}});
            api.post("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &lease)
                .await
                .ok();
        }
        for name in ["seen", "hidden"] {
            let secret = json!({"metadata": {"name": name}, "stringData": {"k": "v"}});
            api.post("/api/v1/namespaces/default/secrets", &secret).await.ok();
            api.post("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": name}}))
                .await
                .ok();
            let account = json!({"metadata": {"name": name}});
            api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.ok();
        }
        let fixture = Self { api };
        fixture.run("mine", "n1", "seen").await;
        fixture.run("other", "n2", "hidden").await;
        fixture
    }

    /// A pod on a node that refers to a secret, a config map and a service account of one name.
    async fn run(&self, name: &str, node: &str, needs: &str) -> Value {
        let pod = json!({"metadata": {"name": name}, "spec": {
            "nodeName": node, "serviceAccountName": needs,
            "containers": [{"name": "c", "image": "i",
                "envFrom": [{"configMapRef": {"name": needs}}]}],
            "volumes": [{"name": "s", "secret": {"secretName": needs}},
                {"name": "t", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "vault", "audience": "vault"}}]}}],
        }});
        self.api.post(PODS, &pod).await.ok()
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let media = if method == Method::PATCH { MERGE } else { "application/json" };
        let ask = self.api.ask(method, path).by(User::new("system:node:n1", &["system:nodes"]));
        ask.header("content-type", media).body(body.to_string()).send().await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, json!({})).await
    }
}

#[tokio::test]
async fn a_node_reads_what_its_pods_refer_to_and_nothing_else() {
    let fixture = Fixture::new().await;
    let of = "/api/v1/namespaces/default";
    for resource in ["secrets", "configmaps"] {
        fixture.get(&format!("{of}/{resource}/seen")).await.ok();
        fixture.get(&format!("{of}/{resource}?fieldSelector=metadata.name%3Dseen")).await.ok();
        let refused = fixture.get(&format!("{of}/{resource}/hidden")).await.fails(403);
        let why = "no relationship found between node 'n1' and this object";
        assert!(refused["message"].as_str().unwrap().ends_with(why), "{refused}");
        fixture.get(&format!("{of}/{resource}")).await.fails(403);
        fixture.get(&format!("/api/v1/{resource}")).await.fails(403);
        fixture
            .get(&format!("{of}/{resource}?fieldSelector=metadata.name%3Dhidden"))
            .await
            .fails(403);
    }
    fixture.get(&format!("{of}/serviceaccounts/seen")).await.ok();
    fixture.get(&format!("{of}/serviceaccounts/hidden")).await.fails(403);
    fixture.get(&format!("{PODS}/mine")).await.ok();
    fixture.get(&format!("{PODS}/other")).await.fails(403);
    for path in ["/api/v1/pods", "/api/v1/nodes"] {
        fixture.get(path).await.fails(403);
    }
    fixture.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.ok();
    fixture.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").await.fails(403);
    fixture.get("/api/v1/pods?fieldSelector=spec.nodeName!%3Dn1").await.fails(403);
    fixture.get("/api/v1/nodes/n1").await.ok();
    fixture.get("/api/v1/nodes?fieldSelector=metadata.name%3Dn1").await.ok();
    fixture.get("/api/v1/nodes/n2").await.fails(403);
    let slices = "/apis/resource.k8s.io/v1/resourceslices";
    fixture.get(slices).await.fails(403);
    fixture.get(&format!("{slices}?fieldSelector=spec.nodeName%3Dn1")).await.ok();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    fixture.get(&format!("{leases}/n1")).await.ok();
    fixture.get(&format!("{leases}/n2")).await.fails(403);
    fixture.ask(Method::POST, leases, json!({"metadata": {"name": "n3"}})).await.fails(403);
    let csi = json!({"metadata": {"name": "n2"}, "spec": {"drivers": []}});
    fixture.ask(Method::POST, "/apis/storage.k8s.io/v1/csinodes", csi).await.fails(403);
    // A deleted pod gives no access any more.
    fixture.api.delete(&format!("{PODS}/mine?gracePeriodSeconds=0")).await.ok();
    fixture.get(&format!("{of}/secrets/seen")).await.fails(403);
}

#[tokio::test]
async fn a_volume_leads_to_its_claim_and_its_secrets() {
    let fixture = Fixture::new().await;
    let volume = json!({"metadata": {"name": "v"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "claimRef": {"namespace": "default", "name": "data"},
        "csi": {"driver": "d.example.com", "volumeHandle": "h",
            "nodeStageSecretRef": {"namespace": "default", "name": "hidden"}}}});
    fixture.api.post("/api/v1/persistentvolumes", &volume).await.ok();
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "volumeName": "v"}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    fixture.api.post(claims, &claim).await.ok();
    fixture.get("/api/v1/persistentvolumes/v").await.fails(403);
    let pod = json!({"metadata": {"name": "db"}, "spec": {"nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}});
    fixture.api.post(PODS, &pod).await.ok();
    fixture.get("/api/v1/persistentvolumes/v").await.ok();
    fixture.get(&format!("{claims}/data")).await.ok();
    fixture.get("/api/v1/namespaces/default/secrets/hidden").await.ok();
    // A node only reports how far its claim has grown.
    let status = format!("{claims}/data/status");
    let grown = json!({"status": {"capacity": {"storage": "2Gi"}}});
    fixture.ask(Method::PATCH, &status, grown).await.ok();
    let stolen = json!({"metadata": {"labels": {"x": "y"}}});
    fixture.ask(Method::PATCH, &status, stolen).await.fails(403);
    fixture.ask(Method::PATCH, &status, json!({"status": {"phase": "Lost"}})).await.fails(403);
    fixture.ask(Method::PATCH, &format!("{claims}/data"), json!({})).await.fails(403);
}

#[tokio::test]
async fn a_mirror_pod_steals_nothing() {
    let fixture = Fixture::new().await;
    let node = fixture.api.get("/api/v1/nodes/n1").await.ok();
    let mirror = |name: &str, spec: Value| {
        let mut pod = json!({"metadata": {
            "name": name, "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1",
                "uid": node.uid(), "controller": true}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}});
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        pod
    };
    let post = |pod| fixture.ask(Method::POST, PODS, pod);
    let made = post(mirror("plain", json!({}))).await.ok();
    assert_eq!(made["spec"]["serviceAccountName"], Value::Null, "none is given to a mirror pod");
    for (spec, what) in [
        (json!({"serviceAccountName": "hidden"}), "serviceaccounts"),
        (json!({"volumes": [{"name": "v", "secret": {"secretName": "hidden"}}]}), "secrets"),
        (json!({"imagePullSecrets": [{"name": "hidden"}]}), "secrets"),
        (json!({"volumes": [{"name": "v", "configMap": {"name": "hidden"}}]}), "configmaps"),
        (
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
            "persistentvolumeclaims",
        ),
        (
            json!({"volumes": [{"name": "v", "projected": {"sources": [
                {"serviceAccountToken": {"path": "t"}}]}}]}),
            "serviceaccounts (via projected volumes)",
        ),
    ] {
        let refused = post(mirror("thief", spec)).await.fails(403);
        let wanted = format!("node \"n1\" can not create pods that reference {what}");
        assert!(refused["message"].as_str().unwrap().ends_with(&wanted), "{refused}");
    }
    let mut elsewhere = mirror("elsewhere", json!({"nodeName": "n2"}));
    post(elsewhere.clone()).await.fails(403);
    elsewhere["spec"]["nodeName"] = "n1".into();
    elsewhere["metadata"]["ownerReferences"][0]["uid"] = "forged".into();
    post(elsewhere.clone()).await.fails(403);
    elsewhere["metadata"]["ownerReferences"] = json!([]);
    post(elsewhere).await.fails(403);
    let ordinary = json!({"metadata": {"name": "p"}, "spec": {
        "nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}});
    post(ordinary).await.fails(403);
}

#[tokio::test]
async fn tokens_are_for_the_nodes_pods_and_the_audiences_they_name() {
    let fixture = Fixture::new().await;
    let mine = fixture.api.get(&format!("{PODS}/mine")).await.ok();
    let other = fixture.api.get(&format!("{PODS}/other")).await.ok();
    let token = |pod: &Value, audiences: Value| {
        json!({"spec": {"audiences": audiences, "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid()}}})
    };
    let path =
        |account: &str| format!("/api/v1/namespaces/default/serviceaccounts/{account}/token");
    let ask = |account: &str, body| {
        let path = path(account);
        let fixture = &fixture;
        async move { fixture.ask(Method::POST, &path, body).await }
    };
    ask("seen", token(&mine, json!(["vault"]))).await.ok();
    for (account, body) in [
        ("seen", token(&mine, json!(["elsewhere"]))),
        ("seen", token(&mine, json!(["vault", "elsewhere"]))),
        ("seen", json!({"spec": {"audiences": ["vault"]}})),
        ("seen", token(&other, json!(["vault"]))),
        ("hidden", token(&other, json!(["vault"]))),
    ] {
        ask(account, body).await.fails(403);
    }
    // The API server's audience is in the volume that every pod has.
    let volume = json!({"metadata": {"name": "api"}, "spec": {
        "nodeName": "n1", "serviceAccountName": "seen",
        "containers": [{"name": "c", "image": "i"}]}});
    let pod = fixture.api.post(PODS, &volume).await.ok();
    ask("seen", token(&pod, json!([]))).await.ok();
}

#[tokio::test]
async fn a_node_changes_itself_within_bounds_and_no_other() {
    let fixture = Fixture::new().await;
    let patch = |path: &'static str, patch| fixture.ask(Method::PATCH, path, patch);
    let own = "/api/v1/nodes/n1";
    patch("/api/v1/nodes/n2/status", json!({"status": {"phase": "Running"}})).await.fails(403);
    patch("/api/v1/nodes/n2", json!({"metadata": {"labels": {"a": "b"}}})).await.fails(403);
    patch(own, json!({"metadata": {"labels": {"example.com/a": "b"}}})).await.ok();
    for label in
        ["node-restriction.kubernetes.io/pci", "node-role.kubernetes.io/control-plane", "k8s.io/x"]
    {
        let refused = patch(own, json!({"metadata": {"labels": {label: "x"}}})).await.fails(403);
        let why = format!("is not allowed to modify labels: {label}");
        assert!(refused["message"].as_str().unwrap().ends_with(&why), "{refused}");
    }
    let taint = json!([{"key": "k", "effect": "NoSchedule"}]);
    patch(own, json!({"spec": {"taints": taint}})).await.fails(403);
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": "u"}]);
    patch(own, json!({"metadata": {"ownerReferences": owner}})).await.fails(403);
    fixture.ask(Method::DELETE, own, json!({})).await.fails(403);
    // Also at registration.
    let registering = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}});
    fixture.api.delete(own).await.ok();
    let restricted = json!({"node-restriction.kubernetes.io/pci": "x"});
    fixture.ask(Method::POST, "/api/v1/nodes", registering(restricted)).await.fails(403);
    fixture.ask(Method::POST, "/api/v1/nodes", registering(json!({"a": "b"}))).await.ok();
    fixture
        .ask(Method::POST, "/api/v1/nodes", json!({"metadata": {"name": "n9"}}))
        .await
        .fails(403);
    // A generated name never belongs to the node, whatever its prefix.
    let generated = json!({"metadata": {"generateName": "n1"}});
    for collection in [
        "/api/v1/nodes",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        "/apis/storage.k8s.io/v1/csinodes",
    ] {
        fixture.ask(Method::POST, collection, generated.clone()).await.fails(403);
    }
}

#[tokio::test]
async fn a_node_reports_on_its_own_pods_only() {
    let fixture = Fixture::new().await;
    let status = json!({"status": {"message": "x"}});
    fixture.ask(Method::PATCH, &format!("{PODS}/mine/status"), status.clone()).await.ok();
    fixture.ask(Method::PATCH, &format!("{PODS}/other/status"), status).await.fails(403);
    let label = json!({"metadata": {"labels": {"app": "other"}}});
    fixture.ask(Method::PATCH, &format!("{PODS}/mine/status"), label).await.fails(403);
    fixture.ask(Method::PATCH, &format!("{PODS}/mine"), json!({})).await.fails(403);
    fixture.ask(Method::DELETE, &format!("{PODS}/other"), json!({})).await.fails(403);
    let eviction = |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let evict = format!("{PODS}/other/eviction");
    fixture.ask(Method::POST, &evict, eviction("other")).await.fails(403);
    fixture.ask(Method::POST, &format!("{PODS}/mine/eviction"), eviction("mine")).await.ok();
    fixture.ask(Method::POST, &format!("{PODS}/mine/exec?command=x"), json!({})).await.fails(403);
}
