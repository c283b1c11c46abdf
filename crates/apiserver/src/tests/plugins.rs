//! Admission plugins that are off unless an administrator enables them.

use std::io::Write;

use http::Method;
use serde_json::{Value, json};

use super::harness::Api;
use super::webhooks::Webhook;
use crate::{AdmissionOptions, User};

const MERGE: &str = "application/merge-patch+json";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn with(plugins: &[&str]) -> Api {
    let enable = plugins.iter().map(|name| (*name).to_owned()).collect();
    Api::with_admission(AdmissionOptions { enable, ..Default::default() }).await
}

/// With one plugin and its configuration, a document of one line.
async fn configured(plugin: &str, configuration: &Value) -> Api {
    let document = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{"name": plugin, "configuration": configuration}],
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(document.to_string().as_bytes()).unwrap();
    let options = AdmissionOptions {
        enable: vec![plugin.to_owned()],
        config_file: Some(file.path().to_owned()),
        ..Default::default()
    };
    Api::with_admission(options).await
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

async fn annotate(api: &Api, key: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    api.patch("/api/v1/namespaces/default", MERGE, &patch).await.ok();
}

#[tokio::test]
async fn images_are_always_pulled() {
    let api = with(&["AlwaysPullImages"]).await;
    let spec = json!({
        "containers": [{"name": "c", "image": "i:1", "imagePullPolicy": "Never"}],
        "initContainers": [{"name": "d", "image": "i:1"}],
        "volumes": [{"name": "v", "image": {"reference": "r", "pullPolicy": "IfNotPresent"}}],
    });
    let made = api.post(PODS, &pod("p", spec)).await.ok();
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["spec"]["initContainers"][0]["imagePullPolicy"], "Always");
    assert_eq!(made["spec"]["volumes"][0]["image"]["pullPolicy"], "Always");
    let made = api.post(PODS, &pod("q", json!({}))).await.ok();
    let spec = made["spec"].as_object().unwrap();
    assert!(spec.values().all(|value| !value.is_null()), "{made}");
    api.patch(&format!("{PODS}/q"), MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
}

#[tokio::test]
async fn pods_keep_others_from_single_hosts_only() {
    let api = with(&["LimitPodHardAntiAffinityTopology"]).await;
    let apart = |key: &str| {
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": key}]}}})
    };
    api.post(PODS, &pod("p", apart("kubernetes.io/hostname"))).await.ok();
    let refused = api.post(PODS, &pod("q", apart("zone"))).await.fails(403);
    assert_eq!(
        refused["message"],
        "pods \"q\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey \
         zone but only key kubernetes.io/hostname is allowed"
    );
}

#[tokio::test]
async fn services_take_no_further_addresses() {
    let api = with(&["DenyServiceExternalIPs"]).await;
    let path = "/api/v1/namespaces/default/services";
    let service = |ips: &[&str]| {
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80}], "externalIPs": ips}})
    };
    let refused = api.post(path, &service(&["192.0.2.1"])).await.fails(403);
    assert_eq!(
        refused["message"],
        "services \"s\" is forbidden: Use of external IPs is denied by admission control"
    );
    api.post(path, &service(&[])).await.ok();
    let one = format!("{path}/s");
    let more = json!({"spec": {"externalIPs": ["192.0.2.1"]}});
    api.patch(&one, MERGE, &more).await.fails(403);
    api.patch(&one, MERGE, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
}

#[tokio::test]
async fn special_resources_are_tolerated() {
    let api = with(&["ExtendedResourceToleration"]).await;
    let resources = json!({"limits": {"example.com/gpu": "1"}});
    let containers = json!([{"name": "c", "image": "i", "resources": resources}]);
    let made = api.post(PODS, &pod("p", json!({"containers": containers}))).await.ok();
    let wanted = json!({"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"});
    assert!(made["spec"]["tolerations"].as_array().unwrap().contains(&wanted), "{made}");
}

#[tokio::test]
async fn pods_run_on_the_nodes_of_their_namespace() {
    let selectors = json!({"podNodeSelectorPluginConfig":
        {"clusterDefaultNodeSelector": "tier=all", "default": "tier=a,disk=ssd"}});
    let api = configured("PodNodeSelector", &selectors).await;
    annotate(&api, "scheduler.alpha.kubernetes.io/node-selector", "tier=a").await;
    let post = async |name: &str, labels: Value| {
        api.post(PODS, &pod(name, json!({"nodeSelector": labels}))).await
    };
    let made = post("p", json!({"disk": "ssd"})).await.ok();
    assert_eq!(made["spec"]["nodeSelector"], json!({"tier": "a", "disk": "ssd"}));
    for (labels, why) in [
        (json!({"tier": "b"}), "conflicts with its namespace node label selector"),
        (json!({"disk": "hdd"}), "labels conflict with its namespace whitelist"),
        (json!({"other": "x"}), "labels conflict with its namespace whitelist"),
    ] {
        let refused = post("q", labels).await.fails(403);
        assert_eq!(
            refused["message"],
            format!("pods \"q\" is forbidden: pod node label selector {why}")
        );
    }
    annotate(&api, "scheduler.alpha.kubernetes.io/node-selector", "tier").await;
    assert_eq!(post("q", json!({})).await.fails(500)["message"], "invalid selector: [tier]");
}

#[tokio::test]
async fn pods_tolerate_what_their_namespace_permits() {
    let cluster = json!({
        "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration",
        "default": [{"key": "cluster", "operator": "Exists"}],
    });
    let api = configured("PodTolerationRestriction", &cluster).await;
    let requests = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]);
    let made = api.post(PODS, &pod("p", json!({"containers": requests}))).await.ok();
    let tolerations = made["spec"]["tolerations"].as_array().unwrap();
    assert!(tolerations.contains(&json!({"key": "cluster", "operator": "Exists"})));
    let pressure = json!({"key": "node.kubernetes.io/memory-pressure", "operator": "Exists",
        "effect": "NoSchedule"});
    assert!(tolerations.contains(&pressure));

    let exists = r#"[{"operator": "Exists", "key": "KEY"}]"#;
    annotate(
        &api,
        "scheduler.alpha.kubernetes.io/defaultTolerations",
        &exists.replace("KEY", "own"),
    )
    .await;
    let made = api.post(PODS, &pod("q", json!({}))).await.ok();
    let own = json!({"key": "own", "operator": "Exists"});
    assert!(made["spec"]["tolerations"].as_array().unwrap().contains(&own), "{made}");

    let permitted = exists.replace("KEY", "other");
    annotate(&api, "scheduler.alpha.kubernetes.io/tolerationsWhitelist", &permitted).await;
    let refused = api.post(PODS, &pod("r", json!({}))).await.fails(500);
    assert_eq!(
        refused["message"],
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its \
         namespace whitelist"
    );
    // Anybody may write an annotation that is no list.
    annotate(&api, "scheduler.alpha.kubernetes.io/defaultTolerations", "[{]").await;
    api.post(PODS, &pod("r", json!({}))).await.fails(500);
}

#[tokio::test]
async fn events_are_limited() {
    let limits = json!({
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration",
        "limits": [{"type": "User", "qps": 1, "burst": 1}, {"type": "Namespace", "qps": 1, "burst": 2}],
    });
    let api = configured("EventRateLimit", &limits).await;
    let path = "/api/v1/namespaces/default/events";
    let post = async |user: &str, query: &str, n: i32| {
        let event = json!({"metadata": {"name": format!("e{n}")}, "reason": "r",
            "involvedObject": {"namespace": "default", "kind": "Pod", "name": "p"}});
        let user = User::new(user, &["system:masters"]);
        let path = format!("{path}{query}");
        api.ask(Method::POST, &path).by(user).json(&event).send().await
    };
    post("a", "?dryRun=All", 0).await.ok();
    post("a", "", 1).await.ok();
    let refused = post("a", "", 2).await.fails(429);
    assert_eq!(refused["message"], "Too many requests: limit reached on type User for key a");
    assert_eq!(refused["reason"], "TooManyRequests");
    let refused = post("b", "", 3).await.fails(429);
    assert_eq!(
        refused["message"],
        "Too many requests: limit reached on type Namespace for key default"
    );
}

#[tokio::test]
async fn owners_are_set_by_who_might_delete() {
    let api = with(&["OwnerReferencesPermissionEnforcement"]).await;
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "update", "patch", "get"]},
    ]);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "r"}, "rules": rules});
    api.post(&format!("{rbac}/clusterroles"), &role).await.ok();
    let binding = json!({"metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}]});
    api.post(&format!("{rbac}/clusterrolebindings"), &binding).await.ok();
    let user = || User::new("u", &[]);
    let owner = |kind: &str, blocks: bool| json!([{"apiVersion": "v1", "kind": kind, "name": "o", "uid": "1", "blockOwnerDeletion": blocks}]);
    let map =
        |name: &str, owners: Value| json!({"metadata": {"name": name, "ownerReferences": owners}});
    let post =
        async |object: Value| api.ask(Method::POST, MAPS).by(user()).json(&object).send().await;
    // An object that is created might as well not be.
    post(map("a", owner("Pod", false))).await.ok();
    let refused = post(map("b", owner("Pod", true))).await.fails(403);
    assert_eq!(
        refused["message"],
        "configmaps \"b\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a \
         resource you can't set finalizers on: , <nil>"
    );
    let refused = post(map("b", owner("Foo", true))).await.fails(403);
    assert_eq!(
        refused["message"],
        "configmaps \"b\" is forbidden: cannot set blockOwnerDeletion in this case because cannot find \
         RESTMapping for APIVersion v1 Kind Foo: no matches for kind \"Foo\" in version \"v1\""
    );
    post(map("c", json!([]))).await.ok();
    let patch = async |name: &str, patch: Value| {
        let path = format!("{MAPS}/{name}");
        let ask = api.ask(Method::PATCH, &path).by(user()).header("content-type", MERGE);
        ask.body(patch.to_string()).send().await
    };
    let refused = patch("c", map("c", owner("Pod", false))).await.fails(403);
    assert_eq!(
        refused["message"],
        "configmaps \"c\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>"
    );
    patch("a", json!({"data": {"k": "v"}})).await.ok();
}

#[tokio::test]
async fn namespaces_come_into_being_or_must_be_there() {
    let api = with(&["NamespaceAutoProvision", "NamespaceExists"]).await;
    let map = json!({"metadata": {"name": "m"}});
    api.post("/api/v1/namespaces/new/configmaps?dryRun=All", &map).await.fails(404);
    api.post("/api/v1/namespaces/new/configmaps", &map).await.ok();
    let made = api.get("/api/v1/namespaces/new").await.ok();
    assert_eq!(made["status"]["phase"], "Active");
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "new");
    let refused = api.post("/api/v1/namespaces/Not_a_name/configmaps", &map).await;
    assert!(refused.code.is_client_error(), "{}", refused.code);

    let api = with(&["NamespaceExists"]).await;
    api.post("/api/v1/namespaces/new/configmaps", &map).await.fails(404);
}

#[tokio::test]
async fn a_server_that_denies_denies_everything() {
    let options = AdmissionOptions { enable: vec!["AlwaysDeny".to_owned()], ..Default::default() };
    let api = Api::try_start(options).await.unwrap();
    let map = json!({"metadata": {"name": "m"}});
    let refused = api.post(MAPS, &map).await.fails(403);
    assert_eq!(
        refused["message"],
        "configmaps \"m\" is forbidden: admission control is denying all modifications"
    );
    api.delete("/api/v1/namespaces/default/services/kubernetes").await.fails(403);
    api.get(MAPS).await.ok();
}

#[tokio::test]
async fn what_is_limited_by_default_needs_a_quota() {
    let limits = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
        "limitedResources": [{"resource": "pods", "matchContains": ["requests.cpu"],
            "matchScopes": [{"scopeName": "PriorityClass", "operator": "In",
                "values": ["high", "higher"]}]}],
    });
    let api = configured("ResourceQuota", &limits).await;
    let asks = |name: &str, cpu: &str| {
        let resources = json!({"requests": {"cpu": cpu}});
        pod(name, json!({"containers": [{"name": "c", "image": "i", "resources": resources}]}))
    };
    // A pod that asks for nothing of it needs none.
    api.post(PODS, &pod("plain", json!({}))).await.ok();
    let refused = api.post(PODS, &asks("p", "1")).await.fails(403);
    assert_eq!(
        refused["message"],
        "pods \"p\" is forbidden: insufficient quota to consume: requests.cpu"
    );
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "2"}}});
    api.post(quotas, &quota).await.ok();
    let status = json!({"status": {"hard": {"requests.cpu": "2"}, "used": {"requests.cpu": "0"}}});
    api.patch(&format!("{quotas}/q/status"), MERGE, &status).await.ok();
    api.post(PODS, &asks("p", "1")).await.ok();
    let class = json!({"metadata": {"name": "high"}, "value": 10});
    api.post("/apis/scheduling.k8s.io/v1/priorityclasses", &class).await.ok();
    let mut high = asks("h", "1");
    high["spec"]["priorityClassName"] = "high".into();
    assert_eq!(
        api.post(PODS, &high).await.fails(500)["message"],
        "insufficient quota to match these scopes: [{PriorityClass In [high higher]}]"
    );
}

#[tokio::test]
async fn images_are_reviewed_by_another_server() {
    let webhook = Webhook::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.crt"), &webhook.authority).unwrap();
    let start = async |path: &str, default_allow: bool| {
        let kubeconfig = json!({
            "clusters": [{"name": "c", "cluster": {"certificate-authority": "ca.crt",
                "server": format!("https://127.0.0.1:{}/{path}", webhook.port)}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        let file = dir.path().join(path);
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        let settings = json!({"imagePolicy": {"kubeConfigFile": file, "retryBackoff": 1,
            "defaultAllow": default_allow}});
        configured("ImagePolicyWebhook", &settings).await
    };
    let api = start("images", false).await;
    let image = |image: &str| json!({"containers": [{"name": "c", "image": image}]});
    for name in ["a", "b"] {
        api.post(PODS, &pod(name, image("good"))).await.ok();
    }
    assert_eq!(webhook.count("images"), 1, "an answer is remembered");
    let refused = api.post(PODS, &pod("c", image("bad"))).await.fails(403);
    assert_eq!(
        refused["message"],
        "pods \"c\" is forbidden: image policy webhook backend denied one or more images: bad"
    );
    // A server that cannot be asked, or sends elsewhere, has not reviewed anything.
    let strict = start("moved", false).await;
    strict.post(PODS, &pod("a", image("good"))).await.fails(403);
    let lenient = start("moved", true).await;
    lenient.post(PODS, &pod("a", image("good"))).await.ok();
}

#[tokio::test]
async fn pods_grow_no_larger_than_their_node() {
    let api = with(&[]).await;
    let node = json!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}});
    api.post("/api/v1/nodes", &node).await.ok();
    let requests = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "64Mi"}});
    let containers = json!([{"name": "c", "image": "i", "resources": requests("1")}]);
    let bound = json!({"nodeName": "n", "containers": containers});
    api.post(PODS, &pod("p", bound)).await.ok();
    let resize = async |cpu: &str| {
        let patch = json!({"spec": {"containers": [{"name": "c", "resources": requests(cpu)}]}});
        let media_type = "application/strategic-merge-patch+json";
        api.patch(&format!("{PODS}/p/resize"), media_type, &patch).await
    };
    resize("2").await.ok();
    let refused = resize("2001m").await.fails(403);
    assert_eq!(
        refused["message"],
        "pods \"p\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 2001, \
         allocatable: 2000"
    );
    assert_eq!(refused["details"]["causes"], json!([{"reason": "NodeCapacity"}]));
}
