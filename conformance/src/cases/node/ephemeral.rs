//! Ephemeral containers.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{Patch, expect_refusal};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!("[sig-node] Ephemeral Containers [NodeConformance] {rest} [Conformance]")
    };
    vec![
        pod_case(&title("will start an ephemeral container in an existing pod"), starts),
        pod_case(&title("should update the ephemeral containers in an existing pod"), updates),
    ]
}

fn running(pod: &Value, name: &str) -> bool {
    let mut statuses = pod["status"]["ephemeralContainerStatuses"].as_array().into_iter().flatten();
    statuses.any(|status| status["name"] == name && status["state"]["running"].is_object())
}

async fn starts(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let debugger = test.container("debugger", &["print polo", "hold"]);
    let body = json!({"spec": {"ephemeralContainers": [debugger]}});
    let plain = test.pods().patch("p", Patch::Strategic, body.clone()).await;
    expect_refusal(plain, 422, "Invalid")?;
    test.pods().patch("p/ephemeralcontainers", Patch::Strategic, body).await?;
    let pods = test.pods();
    pods.wait("p", "to run its ephemeral container", |pod| running(pod, "debugger")).await?;
    expect_in("its log", &test.log_lines("p", "debugger", 1).await?, "polo")?;
    let inside = test.exec_ok("p", "debugger", &["print marco"]).await?;
    expect_in("what exec prints", &inside, "marco")
}

async fn updates(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let one = test.container("debugger1", &["hold"]);
    let body = json!({"spec": {"ephemeralContainers": [one]}});
    test.pods().patch("p/ephemeralcontainers", Patch::Strategic, body).await?;
    test.pods().wait("p", "to run the first", |pod| running(pod, "debugger1")).await?;
    let two = test.container("debugger2", &["hold"]);
    let push = |pod: &mut Value| {
        if let Some(list) = pod["spec"]["ephemeralContainers"].as_array_mut() {
            list.push(two.clone());
        }
    };
    let updated = test.pods().change("p/ephemeralcontainers", push).await?;
    let count = updated["spec"]["ephemeralContainers"].as_array().map(Vec::len);
    expect_eq("the ephemeral containers", &json!(count), &json!(2))?;
    test.pods().wait("p", "to run the second", |pod| running(pod, "debugger2")).await.map(drop)
}
