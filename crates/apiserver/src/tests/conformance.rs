//! One test that runs for every row of the registry.

use apimachinery::ObjectExt;
use apimachinery::codec::protobuf;
use http::Method;
use serde_json::{Value, json};

use super::harness::{Api, Watch};
use super::samples::{further_name, names_of, sample};
use crate::registry::{Access, Kind, Sub, kinds};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

fn collection_path(kind: &Kind) -> String {
    let root = if kind.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    let namespace = if kind.namespaced { "/namespaces/default" } else { "" };
    format!("{root}{namespace}/{}", kind.resource)
}

async fn check(api: &Api, kind: &'static Kind) {
    let all = collection_path(kind);
    let (name, second) = names_of(kind);
    let one = format!("{all}/{name}");
    println!("{all}");

    // Dry run: everything but the commit.
    let dry = api.post(&format!("{all}?dryRun=All"), &sample(kind, name)).await.ok();
    assert!(!dry.uid().is_empty());
    api.get(&one).await.fails(404);

    // Creation ignores the status. (Upstream accepts it for nodes.)
    if kind.has(Sub::Status) && kind.kind != "Node" {
        let mut told = sample(kind, name);
        told["status"] = json!({"conditions": [{"type": "Told", "status": "True", "reason": "r",
            "message": "m", "lastTransitionTime": "2020-01-01T00:00:00Z"}]});
        let told = api.post(&format!("{all}?dryRun=All"), &told).await.ok();
        assert!(!told["status"].to_string().contains("Told"), "{told}");
    }

    let mut created = api.post(&all, &sample(kind, name)).await.ok();
    if matches!(kind.kind, "FlowSchema" | "APIService") {
        // The state of its level, or of its service, is written immediately.
        while created["status"]["conditions"].is_null() {
            tokio::task::yield_now().await;
            created = api.get(&one).await.ok();
        }
    }
    if kind.kind == "CustomResourceDefinition" {
        // Its names are accepted immediately.
        let established = |object: &Value| object["status"].to_string().contains("InitialNames");
        while !established(&created) {
            tokio::task::yield_now().await;
            created = api.get(&one).await.ok();
        }
    }
    assert_eq!((created.kind(), created.api_version()), (kind.kind, kind.api_version().as_str()));
    assert!(!created.uid().is_empty() && created.resource_version().parse::<u64>().is_ok());
    api.post(&all, &sample(kind, name)).await.fails(409);
    let mut unknown = sample(kind, "strict");
    unknown["nonsense"] = json!(1);
    let refused = api.post(&format!("{all}?fieldValidation=Strict"), &unknown).await.fails(400);
    assert!(
        refused["message"].as_str().unwrap().contains("unknown field \"nonsense\""),
        "{refused}"
    );

    // Reads in every form.
    assert_eq!(api.get(&one).await.ok(), created);
    let list = api.get(&format!("{all}?labelSelector=suite%3Dconformance")).await.ok();
    assert_eq!(list.kind(), format!("{}List", kind.kind));
    let mut item = created.clone();
    item.as_object_mut().unwrap().retain(|field, _| field != "kind" && field != "apiVersion");
    assert_eq!(list["items"], json!([item]));
    assert_eq!(
        api.get(&format!("{all}?labelSelector=suite!%3Dconformance,suite")).await.ok()["items"],
        json!([])
    );
    assert_eq!(
        api.get(&format!("{all}?fieldSelector=metadata.name%3D{name}")).await.ok()["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let table = api.ask(Method::GET, &all).header("accept", TABLE).send().await.ok();
    assert_eq!(table.kind(), "Table");
    let row = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["object"].name() == name)
        .expect("its row");
    assert!(
        row["cells"].as_array().map(Vec::len)
            >= table["columnDefinitions"].as_array().map(Vec::len)
    );
    let partial = api.ask(Method::GET, &one).header("accept", PARTIAL).send().await.ok();
    assert_eq!(
        (partial.kind(), &partial["metadata"]),
        ("PartialObjectMetadata", &created["metadata"])
    );

    // Protobuf in both directions.
    let binary = api.ask(Method::GET, &one).header("accept", PROTOBUF).send().await;
    let mut decoded = protobuf::decode(&binary.bytes).unwrap();
    kind.write_zeros(&mut decoded);
    assert_eq!(decoded, created, "{}", kind.kind);
    let binary = api.ask(Method::GET, &all).header("accept", PROTOBUF).send().await;
    let items = protobuf::decode(&binary.bytes).unwrap()["items"].as_array().unwrap().clone();
    assert!(items.iter().any(|item| item.name() == name), "{}", kind.kind);
    let sent = protobuf::encode(&sample(kind, second)).unwrap();
    let answer =
        api.ask(Method::POST, &all).header("content-type", PROTOBUF).body(sent).send().await.ok();
    assert_eq!(answer.label("suite"), Some("conformance"));
    api.delete(&format!("{all}/{second}?gracePeriodSeconds=0&propagationPolicy=Background"))
        .await
        .ok();

    // A watch from here sees each change once, in order.
    let now = api.get(&one).await.ok().resource_version().to_owned();
    let list_version = api.get(&all).await.ok().resource_version().to_owned();
    let watched = format!(
        "{all}?watch=1&resourceVersion={list_version}&fieldSelector=metadata.name%3D{name}"
    );
    let mut watch = Watch::open(api, &watched).await;

    let labels = |value: &str| json!({"metadata": {"labels": {"step": value}}});
    let merged = api.patch(&one, MERGE, &labels("merge")).await.ok();
    assert_eq!(merged.label("step"), Some("merge"));
    assert_eq!(merged.label("suite"), Some("conformance"));
    assert_eq!(watch.event().await, json!({"type": "MODIFIED", "object": merged}));
    let strategic = api.patch(&one, STRATEGIC, &labels("strategic")).await.ok();
    assert_eq!(strategic.label("step"), Some("strategic"));
    let ops = json!([{"op": "replace", "path": "/metadata/labels/step", "value": "json"}]);
    assert_eq!(api.patch(&one, JSON_PATCH, &ops).await.ok().label("step"), Some("json"));

    // Apply owns the fields it sets, conflicts with other owners, and releases fields.
    let mut applied = labels("apply");
    applied["apiVersion"] = kind.api_version().into();
    applied["kind"] = kind.kind.into();
    applied["metadata"]["name"] = name.into();
    let conflict = api.patch(&format!("{one}?fieldManager=m"), APPLY, &applied).await.fails(409);
    assert_eq!(conflict["details"]["causes"][0]["reason"], "FieldManagerConflict");
    let owned = api.patch(&format!("{one}?fieldManager=m&force=true"), APPLY, &applied).await.ok();
    assert_eq!(owned.label("step"), Some("apply"));
    if let Some(map) = applied["metadata"].as_object_mut() {
        map.remove("labels");
    }
    let released = api.patch(&format!("{one}?fieldManager=m"), APPLY, &applied).await.ok();
    assert_eq!(released.label("step"), None);
    assert_eq!(released.label("suite"), Some("conformance"));

    // Updates: current ones are stored, stale ones refused, equal ones ignored.
    let mut fresh = api.get(&one).await.ok();
    let unchanged = api.put(&one, &fresh).await.ok();
    assert_eq!(unchanged.resource_version(), fresh.resource_version(), "{}", kind.kind);
    fresh.set_path(&["metadata", "labels", "step"], "put".into());
    assert_eq!(api.put(&one, &fresh).await.ok().label("step"), Some("put"));
    fresh.set_meta("resourceVersion", now.into());
    let stale = api.put(&one, &fresh).await.fails(409);
    assert!(stale["message"].as_str().unwrap().contains("the object has been modified"), "{stale}");

    // Generated names, pages, and deletion of one and of many objects.
    for n in 0..4 {
        let further = further_name(kind, n);
        let mut generated = sample(kind, further.as_deref().unwrap_or_default());
        generated["metadata"] = json!({"labels": {"suite": "generated"}});
        match &further {
            Some(name) => generated["metadata"]["name"] = name.as_str().into(),
            None => generated["metadata"]["generateName"] = "g-".into(),
        }
        let made = api.post(&all, &generated).await.ok();
        assert!(
            made.name().len() == 7 || further.is_some(),
            "{} is not made of generateName",
            made.name()
        );
    }
    let page = api.get(&format!("{all}?limit=3&labelSelector=suite%3Dgenerated")).await.ok();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(3));
    let token = page["metadata"]["continue"].as_str().expect("a second page");
    let rest = api
        .get(&format!("{all}?limit=3&labelSelector=suite%3Dgenerated&continue={token}"))
        .await
        .ok();
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest.resource_version(), page.resource_version());
    // Protected objects in use wait for a controller to release them.
    let made = api.get(&format!("{all}?labelSelector=suite")).await.ok();
    for object in made["items"].as_array().into_iter().flatten() {
        if object.finalizers().any(|finalizer| finalizer.ends_with("-protection")) {
            let path = format!("{all}/{}", object.name());
            let none = json!({"metadata": {"finalizers": null}});
            api.patch(&path, "application/merge-patch+json", &none).await.ok();
        }
    }
    let rest = "labelSelector=suite%3Dgenerated&gracePeriodSeconds=0&propagationPolicy=Background";
    if kind.is_deleted_singly() {
        api.delete(&format!("{all}?{rest}")).await.fails(405);
    } else {
        api.delete(&format!("{all}?{rest}")).await.ok();
    }
    api.delete(&format!("{one}?gracePeriodSeconds=0&propagationPolicy=Background")).await.ok();
    if kind.kind != "Namespace" {
        let path = format!("{all}?labelSelector=suite");
        let mut left = api.get(&path).await.ok();
        // The objects of definitions go first.
        while kind.kind == "CustomResourceDefinition" && left["items"] != json!([]) {
            tokio::task::yield_now().await;
            left = api.get(&path).await.ok();
        }
        assert_eq!(left["items"], json!([]), "{}", kind.kind);
        api.get(&one).await.fails(404);
        let last = loop {
            let event = watch.event().await;
            if event["type"] == "DELETED" {
                break event;
            }
        };
        assert_eq!(last["object"].name(), name);
    }
    api.delete(&format!("{all}/never")).await.fails(404);
}

#[tokio::test]
async fn every_stored_kind_behaves() {
    use futures::FutureExt;
    let api = Api::start().await;
    let mut fallen = Vec::new();
    for kind in kinds().filter(|k| k.access == Access::Stored) {
        // All failures are reported, not only the first.
        let checked = std::panic::AssertUnwindSafe(check(&api, kind)).catch_unwind();
        if checked.await.is_err() {
            fallen.push(kind.kind);
        }
    }
    assert!(fallen.is_empty(), "{fallen:?}");
}

#[tokio::test]
async fn finalizers_and_preconditions_hold_a_deletion() {
    let api = Api::start().await;
    let all = "/api/v1/namespaces/default/configmaps";
    let object = json!({"metadata": {"name": "a", "finalizers": ["example.com/f"]}});
    let created = api.post(all, &object).await.ok();
    let one = format!("{all}/a");
    let wrong = json!({"preconditions": {"uid": "other"}});
    api.ask(Method::DELETE, &one).json(&wrong).send().await.fails(409);
    let pending = api.delete(&one).await.ok();
    assert!(pending.deletion_timestamp().is_some());
    assert_eq!(pending.uid(), created.uid());
    // Finalizers can no longer be added; removing the last one deletes the object.
    let more = json!({"metadata": {"finalizers": ["example.com/f", "example.com/g"]}});
    api.patch(&one, MERGE, &more).await.fails(422);
    api.patch(&one, MERGE, &json!({"metadata": {"finalizers": null}})).await.ok();
    api.get(&one).await.fails(404);
}

#[tokio::test]
async fn a_watch_list_ends_with_its_bookmark_and_selectors_see_transitions() {
    let api = Api::start().await;
    let all = "/api/v1/namespaces/default/configmaps";
    api.post(all, &json!({"metadata": {"name": "a", "labels": {"x": "1"}}})).await.ok();
    let uri = format!(
        "{all}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&labelSelector=x%3D1"
    );
    let mut watch = Watch::open(&api, &uri).await;
    assert_eq!(watch.event().await["type"], "ADDED");
    let bookmark = watch.event().await;
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    for (label, want) in [("2", "DELETED"), ("1", "ADDED")] {
        let patch = json!({"metadata": {"labels": {"x": label}}});
        api.patch(&format!("{all}/a"), MERGE, &patch).await.ok();
        assert_eq!(watch.event().await["type"], want);
    }
}

#[tokio::test]
async fn status_and_spec_are_written_apart() {
    let api = Api::start().await;
    let all = "/apis/apps/v1/namespaces/default/deployments";
    let kind = crate::registry::find("apps", "v1", "deployments").unwrap();
    let created = api.post(all, &sample(kind, "d")).await.ok();
    let mut object = created.clone();
    object["status"] = json!({"replicas": 7});
    object["spec"]["replicas"] = json!(3);
    let updated = api.put(&format!("{all}/d"), &object).await.ok();
    assert_eq!(
        (&updated["spec"]["replicas"], &updated["status"]["replicas"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(updated.generation(), 2);
    object["spec"]["replicas"] = json!(9);
    object.set_meta("resourceVersion", Value::Null);
    let updated = api.put(&format!("{all}/d/status"), &object).await.ok();
    assert_eq!(
        (&updated["spec"]["replicas"], &updated["status"]["replicas"]),
        (&json!(3), &json!(7))
    );
    assert_eq!(updated.generation(), 2);

    let scale = api.get(&format!("{all}/d/scale")).await.ok();
    assert_eq!(
        (scale.kind(), &scale["spec"]["replicas"], &scale["status"]["selector"]),
        ("Scale", &json!(3), &json!("app=x"))
    );
    api.patch(&format!("{all}/d/scale"), MERGE, &json!({"spec": {"replicas": 5}})).await.ok();
    assert_eq!(api.get(&format!("{all}/d")).await.ok()["spec"]["replicas"], 5);
}
