use super::*;
use crate::fake::{Fake, Step};
use http::{Method, StatusCode};
use serde_json::{Value, json};

fn lease(holder: &str, version: u32) -> Step {
    Step::Json(StatusCode::OK, lease_value(holder, version))
}

fn lease_value(holder: &str, version: u32) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "l", "namespace": "kube-system", "resourceVersion": version.to_string()},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1,
            "acquireTime": "2024-01-01T00:00:00.000000Z", "renewTime": "2024-01-01T00:00:00.000000Z",
        },
    })
}

fn not_found() -> Step {
    let status = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
    Step::Json(StatusCode::NOT_FOUND, status)
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_and_given_back() {
    let (client, mut requests) =
        Fake::client([not_found(), lease("me", 1), lease("me", 1), lease("", 2)]);
    let registry = Registry::bare();
    let leads = |value: u8| {
        let line = format!("leader_election_master_status{{name=\"l\"}} {value}");
        let text = registry.encode(telemetry::metrics::Format::Text);
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    };
    let election = LeaderElection::new(client, "l", "me".into(), registry.clone());
    let outcome = election.run(CancellationToken::new(), |_| async { leads(1) }).await;
    assert_eq!(outcome, Outcome::Finished);
    leads(0);
    let mut methods = Vec::new();
    let mut last = Value::Null;
    while let Some(seen) = requests.recv().await {
        methods.push(seen.method);
        last = seen.body;
    }
    assert_eq!(methods, [Method::GET, Method::POST, Method::GET, Method::PUT]);
    assert_eq!(last["spec"]["holderIdentity"], "");
}

#[tokio::test(start_paused = true)]
async fn a_silent_leader_is_replaced_only_after_the_lease_duration() {
    // The same lease again and again: its holder does not renew.
    let mut steps: Vec<Step> = (0..16).map(|_| lease("other", 5)).collect();
    steps.push(lease("me", 6));
    let (client, mut requests) = Fake::client(steps);
    let election = LeaderElection::new(client, "l", "me".into(), Registry::bare());
    let start = Instant::now();
    let task = tokio::spawn(election.run(CancellationToken::new(), |_| async {
        std::future::pending::<()>().await;
    }));
    let put = loop {
        let seen = requests.recv().await.expect("election goes on");
        if seen.method == Method::PUT {
            break seen;
        }
    };
    assert!(start.elapsed() >= Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(put.body["spec"]["holderIdentity"], "me");
    assert_eq!(put.body["spec"]["leaseTransitions"], 2);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_its_work() {
    let (client, _requests) = Fake::client([not_found(), lease("me", 1)]);
    let election = LeaderElection::new(client, "l", "me".into(), Registry::bare());
    let start = Instant::now();
    let outcome = election.run(CancellationToken::new(), |leading| async move {
        leading.cancelled().await;
    });
    assert_eq!(outcome.await, Outcome::Lost);
    assert_eq!(start.elapsed().as_secs(), 12, "first renewal after 2 s, then a 10 s deadline");
}
