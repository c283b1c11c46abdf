//! Deletions: the source of their options, effects of dry runs, and objects that remain.

use apimachinery::ObjectExt;
use http::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Api};

async fn delete_with(api: &Api, uri: &str, options: Value) -> Answer {
    api.ask(Method::DELETE, uri).json(&options).send().await
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"of": "deletion"}}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn options_come_from_the_body_or_else_from_the_query() {
    let api = Api::start().await;
    let one = format!("{MAPS}/one");
    let uid = api.post(MAPS, &config_map("one")).await.ok().uid().to_owned();
    // As kubectl sends it: without a query.
    let dry = delete_with(&api, &one, json!({"dryRun": ["All"]})).await.ok();
    assert_eq!(dry["details"]["uid"], uid, "{dry}");
    api.get(&one).await.ok();
    delete_with(&api, MAPS, json!({"dryRun": ["All"]})).await.ok();
    api.get(&one).await.ok();

    for (options, field) in [
        (json!({"dryRun": ["Some"]}), "dryRun"),
        (json!({"propagationPolicy": "Later"}), "propagationPolicy"),
        (json!({"propagationPolicy": "Orphan", "orphanDependents": true}), "propagationPolicy"),
    ] {
        let refused = delete_with(&api, &one, options).await.fails(422);
        assert_eq!(refused["details"]["kind"], "DeleteOptions", "{refused}");
        assert_eq!(refused["details"]["causes"][0]["field"], field, "{refused}");
    }
    api.delete(&format!("{one}?dryRun=Some")).await.fails(422);
    api.delete(&format!("{one}?gracePeriodSeconds=x")).await.fails(400);
    delete_with(&api, &one, json!({"preconditions": {"uid": "other"}})).await.fails(409);
    api.delete(&format!("{one}?uid=other")).await.fails(409);
    // The query is ignored if there is a body.
    let finalizers = json!({"metadata": {"name": "held", "finalizers": ["example.com/x"]}});
    api.post(MAPS, &finalizers).await.ok();
    let held = format!("{MAPS}/held?propagationPolicy=Orphan");
    let marked = delete_with(&api, &held, json!({"propagationPolicy": "Foreground"})).await.ok();
    let finalizers = &marked["metadata"]["finalizers"];
    assert_eq!(finalizers, &json!(["example.com/x", "foregroundDeletion"]));
    api.delete(&one).await.ok();
}

#[tokio::test]
async fn a_collection_is_deleted_as_it_was_listed() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        api.post(MAPS, &config_map(name)).await.ok();
    }
    let some = format!("{MAPS}?labelSelector=of%3Ddeletion&limit=2");
    let gone = api.delete(&some).await.ok();
    assert_eq!(gone["items"].as_array().map(Vec::len), Some(2));
    assert!(gone["items"][0].get("kind").is_none(), "{gone}");
    let left = api.get(&format!("{MAPS}?labelSelector=of%3Ddeletion")).await.ok();
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1));
    api.delete(&format!("{MAPS}?resourceVersionMatch=Exact")).await.fails(422);
}

#[tokio::test]
async fn old_kinds_orphan_and_say_so() {
    let api = Api::start().await;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let template = json!({"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
    }});
    for name in ["one", "two"] {
        let job = json!({"metadata": {"name": name}, "spec": {"template": template}});
        api.post(jobs, &job).await.ok();
    }
    let response = api.ask(Method::DELETE, &format!("{jobs}/one")).open().await;
    let warning = response.headers()["warning"].to_str().unwrap().to_owned();
    assert!(warning.contains("child pods are preserved by default"), "{warning}");
    let one = api.get(&format!("{jobs}/one")).await.ok();
    assert!(one.finalizers().any(|f| f == "orphan"), "{one}");
    let chosen = json!({"propagationPolicy": "Background"});
    let response = api.ask(Method::DELETE, &format!("{jobs}/two")).json(&chosen).open().await;
    assert!(!response.headers().contains_key("warning"));
    let two = api.get(&format!("{jobs}/two")).await;
    assert!(two.code.as_u16() == 404 || !two.json().finalizers().any(|f| f == "orphan"));
}

#[tokio::test]
async fn some_kinds_answer_the_object_and_some_stay() {
    let api = Api::start().await;
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    let class = json!({"metadata": {"name": "fast"}, "provisioner": "example.com/p"});
    api.post(classes, &class).await.ok();
    let gone = api.delete(&format!("{classes}/fast")).await.ok();
    assert_eq!(gone.kind(), "StorageClass");
    let status = api.post(MAPS, &config_map("x")).await.ok();
    let gone = api.delete(&format!("{MAPS}/x")).await.ok();
    assert_eq!((gone.kind(), &gone["details"]["uid"]), ("Status", &status["metadata"]["uid"]));
    assert!(gone.get("code").is_none(), "{gone}");

    let priorities = "/apis/scheduling.k8s.io/v1/priorityclasses";
    api.delete(&format!("{priorities}/system-node-critical")).await.fails(403);
    let default =
        |name: &str| json!({"metadata": {"name": name}, "value": 5, "globalDefault": true});
    api.post(priorities, &default("first")).await.ok();
    let refused = api.post(priorities, &default("second")).await.fails(403);
    assert!(refused["message"].as_str().unwrap().contains("Only one default can exist"));
    api.put(&format!("{priorities}/first"), &default("first")).await.ok();
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
    })
}

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Creates running pods, and a budget that permits the disruption of one of two.
async fn guarded(api: &Api) -> String {
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    for name in ["a", "b"] {
        api.post(PODS, &pod(name)).await.ok();
        let status = json!({"status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let merge = "application/merge-patch+json";
        api.patch(&format!("{PODS}/{name}/status"), merge, &status).await.ok();
    }
    let budget = json!({
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    api.post(budgets, &budget).await.ok();
    let one = format!("{budgets}/web");
    let status = json!({"status": {
        "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2,
        "desiredHealthy": 1, "expectedPods": 2,
        "conditions": [{
            "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
            "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z",
        }],
    }});
    api.patch(&format!("{one}/status"), "application/merge-patch+json", &status).await.ok();
    one
}

#[tokio::test]
async fn a_dry_eviction_takes_nothing() {
    let api = Api::start().await;
    let budget = guarded(&api).await;
    let before = api.get(&budget).await.ok();
    let eviction =
        |name: &str, options: Value| json!({"metadata": {"name": name}, "deleteOptions": options});
    let evict = |name: &str| format!("{PODS}/{name}/eviction");
    for (query, options) in [("", json!({"dryRun": ["All"]})), ("?dryRun=All", json!(null))] {
        let uri = format!("{}{query}", evict("a"));
        let answer = api.post(&uri, &eviction("a", options)).await;
        assert_eq!(answer.code.as_u16(), 201);
        assert_eq!(answer.json()["code"], 201);
    }
    assert_eq!(api.get(&budget).await.ok(), before);
    let untouched = api.get(&format!("{PODS}/a")).await.ok();
    assert!(untouched.deletion_timestamp().is_none());

    api.post(&evict("a"), &eviction("a", json!(null))).await.ok();
    let after = api.get(&budget).await.ok();
    assert_eq!(after["status"]["disruptionsAllowed"], 0, "{after}");
    assert!(after["status"]["disruptedPods"]["a"].is_string(), "{after}");
    assert_eq!(after["status"]["conditions"][0]["reason"], "InsufficientPods", "{after}");
    // A dry run is refused in the same way.
    let asked = format!("{}?dryRun=All", evict("b"));
    api.post(&asked, &eviction("b", json!(null))).await.fails(429);
    api.post(&evict("b"), &eviction("b", json!(null))).await.fails(429);
}

#[tokio::test]
async fn evictions_and_bindings_stay_in_their_namespace() {
    let api = Api::start().await;
    let unbound = json!({
        "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    api.post(PODS, &unbound).await.ok();
    let elsewhere = json!({"metadata": {"name": "p", "namespace": "kube-system"}});
    api.post(&format!("{PODS}/p/eviction"), &elsewhere).await.fails(400);
    let binding = |namespace: &str| {
        let metadata = json!({"name": "p", "namespace": namespace});
        json!({"metadata": metadata, "target": {"kind": "Node", "name": "n"}})
    };
    let bind = format!("{PODS}/p/binding");
    api.post(&bind, &binding("kube-system")).await.fails(400);
    api.post("/api/v1/namespaces/default/bindings", &binding("kube-system")).await.fails(400);
    let dry = api.post(&format!("{bind}?dryRun=All"), &binding("default")).await.ok();
    assert_eq!(dry["code"], 201);
    let pod = api.get(&format!("{PODS}/p")).await.ok();
    assert!(pod["spec"].get("nodeName").is_none(), "{pod}");
    assert_eq!(api.post(&bind, &binding("default")).await.ok()["code"], 201);
}

#[tokio::test]
async fn a_second_budget_is_told_without_prefix() {
    let api = Api::start().await;
    guarded(&api).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "other"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    api.post(budgets, &budget).await.ok();
    let eviction = json!({"metadata": {"name": "a"}});
    let refused = api.post(&format!("{PODS}/a/eviction"), &eviction).await.fails(500);
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("This pod has more than one PodDisruptionBudget"), "{message}");
}

#[tokio::test]
async fn a_dry_service_leaves_address_and_port_free() {
    let api = Api::start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "metadata": {"name": "s"},
        "spec": {
            "type": "NodePort", "clusterIP": "10.96.7.7",
            "ports": [{"port": 80, "nodePort": 30_123}],
        },
    });
    for _ in 0..2 {
        api.post(&format!("{services}?dryRun=All"), &service).await.ok();
    }
    api.post(services, &service).await.ok();
    let gone = delete_with(&api, &format!("{services}/s"), json!({"dryRun": ["All"]})).await.ok();
    assert_eq!(gone.kind(), "Service");
    // The address is still taken.
    let mut second = service.clone();
    second.set_meta("name", "t".into());
    api.post(services, &second).await.fails(422);
    api.delete(&format!("{services}/s")).await.ok();
    api.post(services, &second).await.ok();
}

#[tokio::test]
async fn a_new_object_has_no_version() {
    let api = Api::start().await;
    let mut object = config_map("v");
    object.set_meta("resourceVersion", "7".into());
    api.post(MAPS, &object).await.fails(400);
    api.post(&format!("{MAPS}?dryRun=All"), &object).await.fails(400);
    object.set_meta("resourceVersion", "0".into());
    api.post(MAPS, &object).await.ok();
}

#[tokio::test]
async fn a_name_that_is_taken_says_by_what() {
    let api = Api::start().await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/x"]}});
    api.post(MAPS, &held).await.ok();
    let again = |generate: &str| json!({"metadata": {"name": "held", "generateName": generate}});
    let told = api.post(MAPS, &again("")).await.fails(409);
    assert_eq!(told["message"], "configmaps \"held\" already exists");
    api.delete(&format!("{MAPS}/held")).await.ok();
    let told = api.post(MAPS, &again("")).await.fails(409);
    assert_eq!(told["message"], "object is being deleted: configmaps \"held\" already exists");
    let told = api.post(MAPS, &again("h")).await.fails(409);
    assert_eq!(told["details"]["retryAfterSeconds"], 1);
}
