use super::*;
use crate::fake::{Fake, Step};
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

fn map(name: &str, version: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "namespace": "ns", "name": name, "uid": format!("uid-{name}"),
            "resourceVersion": version.to_string(), "managedFields": [{"manager": "m"}],
        },
    })
}

fn list(version: u32, items: Vec<Value>, next: &str) -> Step {
    let value = json!({
        "apiVersion": "v1", "kind": "ConfigMapList",
        "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items,
    });
    Step::Json(StatusCode::OK, value)
}

fn watch() -> (mpsc::UnboundedSender<std::io::Result<Value>>, Step) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Step::Watch(receiver))
}

fn event(kind: &str, object: Value) -> std::io::Result<Value> {
    Ok(json!({"type": kind, "object": object}))
}

fn gone() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    })
}

fn start(client: kube::Client) -> Informer<ConfigMap> {
    let selection = Selection::fields("metadata.name!=x");
    Informer::start(Api::all(client), &selection, CancellationToken::new())
}

async fn told(events: &mut mpsc::UnboundedReceiver<Event<ConfigMap>>) -> String {
    let event = events.recv().await.expect("informer is running");
    let word = match &event {
        Event::Added(_) => "added",
        Event::Modified { .. } => "modified",
        Event::Deleted(_) => "deleted",
    };
    let meta = &event.object().metadata;
    assert!(meta.managed_fields.is_none());
    format!(
        "{word} {}@{}",
        meta.name.as_deref().unwrap_or_default(),
        meta.resource_version.as_deref().unwrap_or_default()
    )
}

#[tokio::test]
async fn pages_are_joined_and_the_watch_goes_on_from_there() {
    let (changes, step) = watch();
    let (client, mut requests) =
        Fake::client([list(7, vec![map("a", 1)], "more"), list(7, vec![map("b", 2)], ""), step]);
    let informer = start(client);
    let mut events = informer.subscribe();
    informer.wait_synced().await;
    assert_eq!(informer.store().len(), 2);
    changes.send(event("MODIFIED", map("a", 8))).unwrap();
    changes.send(event("DELETED", map("b", 9))).unwrap();
    changes.send(event("ADDED", map("c", 10))).unwrap();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(told(&mut events).await);
    }
    assert_eq!(all, ["added a@1", "added b@2", "modified a@8", "deleted b@9", "added c@10"]);

    let first = requests.recv().await.unwrap().uri;
    assert!(first.contains("limit=500") && first.contains("fieldSelector="), "{first}");
    assert!(requests.recv().await.unwrap().uri.contains("continue=more"));
    let watch = requests.recv().await.unwrap().uri;
    assert!(watch.contains("resourceVersion=7"), "{watch}");

    let mut late = informer.subscribe();
    let mut held = vec![told(&mut late).await, told(&mut late).await];
    held.sort();
    assert_eq!(held, ["added a@8", "added c@10"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_or_broken_watch_resumes_from_the_last_version() {
    let (first, first_step) = watch();
    let (second, second_step) = watch();
    let (_third, third_step) = watch();
    let (client, mut requests) = Fake::client([
        Step::Refused,
        list(7, vec![], ""),
        first_step,
        Step::Refused,
        second_step,
        third_step,
    ]);
    let informer = start(client);
    informer.wait_synced().await;
    first.send(event("ADDED", map("a", 8))).unwrap();
    first.send(event("BOOKMARK", map("", 12))).unwrap();
    drop(first);
    second.send(event("ADDED", map("b", 13))).unwrap();
    second.send(Err(std::io::ErrorKind::ConnectionReset.into())).unwrap();
    for wanted in ["limit=500", "limit=500", "n=7", "n=12", "n=12", "n=13"] {
        let uri = requests.recv().await.unwrap().uri;
        assert!(uri.contains(wanted), "{uri} lacks {wanted}");
    }
    assert_eq!(informer.store().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_lists_again_and_tells_the_difference() {
    let (old, old_step) = watch();
    let (_new, new_step) = watch();
    let (client, _requests) = Fake::client([
        list(3, vec![map("kept", 1), map("changed", 2), map("lost", 3)], ""),
        old_step,
        Step::Json(StatusCode::GONE, gone()),
        list(9, vec![map("kept", 1), map("changed", 8), map("new", 9)], ""),
        new_step,
    ]);
    let informer = start(client);
    informer.wait_synced().await;
    let mut events = informer.subscribe();
    for _ in 0..3 {
        told(&mut events).await;
    }
    drop(old);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(told(&mut events).await);
    }
    all.sort();
    assert_eq!(all, ["added new@9", "deleted lost@3", "modified changed@8"]);
}

#[tokio::test]
async fn an_object_made_anew_under_its_old_name_is_deleted_then_added() {
    let (changes, step) = watch();
    let (client, _requests) = Fake::client([list(1, vec![map("a", 1)], ""), step]);
    let informer = start(client);
    informer.wait_synced().await;
    let mut events = informer.subscribe();
    told(&mut events).await;
    let mut twin = map("a", 5);
    twin["metadata"]["uid"] = "other".into();
    changes.send(event("MODIFIED", twin)).unwrap();
    assert_eq!(told(&mut events).await, "deleted a@1");
    assert_eq!(told(&mut events).await, "added a@5");
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stops_nobody() {
    let mut odd = map("odd", 2);
    odd["data"] = json!("not a map");
    let (changes, step) = watch();
    let (client, _requests) =
        Fake::client([list(3, vec![map("a", 1), odd.clone(), map("b", 3)], ""), step]);
    let informer = start(client);
    let mut events = informer.subscribe();
    informer.wait_synced().await;
    assert_eq!(told(&mut events).await, "added a@1");
    assert_eq!(told(&mut events).await, "added b@3");
    odd["metadata"]["resourceVersion"] = json!("4");
    changes.send(event("MODIFIED", odd)).unwrap();
    changes.send(event("MODIFIED", map("a", 5))).unwrap();
    assert_eq!(told(&mut events).await, "modified a@5");
    let mut odd = map("b", 6);
    odd["data"] = json!(7);
    changes.send(event("DELETED", odd)).unwrap();
    assert_eq!(told(&mut events).await, "deleted b@3");
}
