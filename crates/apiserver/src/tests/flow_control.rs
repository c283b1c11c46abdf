//! Priority and fairness: who waits, who is refused, who is not hindered.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Answer, Api, Ask};
use crate::flow_control::{Admitted, Seats};
use crate::request::{Query, RequestInfo};
use crate::user::{MASTERS, User};

const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A level with next to no seats for the requests of the users `a` and `b`.
async fn narrow(response: Value) -> (Api, String, String) {
    let api = Api::start().await;
    let level = json!({"metadata": {"name": "narrow"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
        "limitResponse": response}}});
    let level = api.post(LEVELS, &level).await.ok();
    let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
    let schema = json!({"metadata": {"name": "ours"}, "spec": {
        "priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 10,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [user("a"), user("b")],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                "namespaces": ["*"], "clusterScope": true}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}});
    let schema = api.post(SCHEMAS, &schema).await.ok();
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let (schema, level) = (uid(&schema), uid(&level));
    // The objects are obeyed soon.
    let a = api.issue("a", "g");
    loop {
        let answer = ask(&api, PODS, &a).open().await;
        if answer.headers().get("x-kubernetes-pf-flowschema-uid").is_some_and(|it| *it == *schema) {
            return (api, schema, level);
        }
        tokio::task::yield_now().await;
    }
}

/// A request as from a network: whoever calls from within the process limits itself.
fn ask<'a>(api: &'a Api, uri: &str, user: &pki::Issued) -> Ask<'a> {
    api.ask(http::Method::GET, uri).unauthenticated().presenting(user)
}

/// Seats of a user, until there are no more.
fn take_all(api: &Api, user: &User) -> Vec<Seats> {
    let info = RequestInfo {
        is_resource: true,
        verb: "get",
        resource: "pods".into(),
        ..Default::default()
    };
    let control = &api.server().0.flow_control;
    let mut held = Vec::new();
    loop {
        match control.admit(user, &info, &Query::default(), || None).1 {
            Admitted::Now(seats) => held.push(seats),
            // Its place in the queue is given up at once.
            Admitted::Later(_) | Admitted::Refused(_) => return held,
        }
    }
}

#[tokio::test]
async fn without_seats_a_request_is_refused_and_told_when_to_come_again() {
    let (api, schema, level) = narrow(json!({"type": "Reject"})).await;
    let (a, b) = (User::new("a", &[]), api.issue("b", "g"));
    let held = take_all(&api, &a);
    assert!(!held.is_empty() && held.len() < 10, "{}", held.len());
    let answer = ask(&api, PODS, &b).open().await;
    assert_eq!(answer.status(), 429);
    for (header, value) in [
        ("retry-after", "1"),
        ("content-type", "text/plain; charset=utf-8"),
        ("x-kubernetes-pf-flowschema-uid", &*schema),
        ("x-kubernetes-pf-prioritylevel-uid", &*level),
    ] {
        assert_eq!(answer.headers()[header], *value, "{header}");
    }
    // Others have their own, and administrators as many as they need.
    ask(&api, "/version", &api.issue("c", "g")).send().await.ok();
    let masters = User::new("admin", &[MASTERS]);
    let info = RequestInfo {
        is_resource: true,
        verb: "get",
        resource: "pods".into(),
        ..Default::default()
    };
    let control = &api.server().0.flow_control;
    let many: Vec<_> =
        (0..2000).map(|_| control.admit(&masters, &info, &Query::default(), || None).1).collect();
    assert!(many.iter().all(|admitted| matches!(admitted, Admitted::Now(_))));
    drop((held, many));
    let answer = ask(&api, PODS, &b).open().await;
    // It is not refused, and may not see pods.
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.headers()["x-kubernetes-pf-flowschema-uid"], *schema);
    let shown = api.get("/debug/api_priority_and_fairness/dump_priority_levels").await;
    let shown = text(&shown);
    let row = shown.lines().find(|line| line.starts_with("narrow,")).unwrap();
    let cells: Vec<_> = row.split(',').map(str::trim).collect();
    assert_eq!((cells[2], cells[4], cells[5]), ("true", "0", "0"), "{shown}");
}

#[tokio::test]
async fn a_request_waits_for_seats_and_is_served_when_there_are_some() {
    let queuing = json!({"queues": 8, "handSize": 2, "queueLengthLimit": 3});
    let (api, ..) = narrow(json!({"type": "Queue", "queuing": queuing})).await;
    let (user, b) = (User::new("b", &[]), api.issue("b", "g"));
    let mut held = take_all(&api, &user);
    let mut waits = Box::pin(ask(&api, "/version", &b).send());
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waits).await;
    assert!(early.is_err(), "it was served without seats");
    let queues = api.get("/debug/api_priority_and_fairness/dump_queues").await;
    assert!(text(&queues).contains("narrow,"));
    // Whoever is exempt does not wait.
    ask(&api, PODS, &api.issue("a", MASTERS)).send().await.ok();
    held.pop();
    waits.await.ok();

    // One that may not wait for long is refused; a client that leaves frees its place.
    let refill = take_all(&api, &user);
    let impatient = format!("{PODS}?timeout=400ms");
    let answer = ask(&api, &impatient, &b).open().await;
    assert_eq!(answer.status(), 429);
    let leaves = ask(&api, PODS, &b).send();
    assert!(tokio::time::timeout(Duration::from_millis(20), leaves).await.is_err());
    drop((held, refill));
    let metrics = api.get("/metrics").await;
    let metrics = text(&metrics);
    let gauge = |name: &str| {
        let line = format!("apiserver_flowcontrol_{name}{{");
        let ours = |l: &&str| l.starts_with(&line) && l.contains("flow_schema=\"ours\"");
        metrics.lines().find(ours).and_then(|l| l.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(gauge("current_inqueue_requests").as_deref(), Some("0"));
    assert_eq!(gauge("current_executing_seats").as_deref(), Some("0"));
}

#[tokio::test]
async fn the_mandatory_objects_are_obeyed_also_when_they_are_gone() {
    let api = Api::start().await;
    for name in ["exempt", "catch-all"] {
        api.delete(&format!("{SCHEMAS}/{name}")).await.ok();
        api.delete(&format!("{LEVELS}/{name}")).await.ok();
    }
    // The server has taken notice.
    while api.get(&format!("{SCHEMAS}/exempt")).await.code != 404 {}
    ask(&api, PODS, &api.issue("admin", MASTERS)).send().await.ok();
    ask(&api, "/version", &api.issue("c", "g")).send().await.ok();
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}
