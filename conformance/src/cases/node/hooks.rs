//! Lifecycle hooks.

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::cases::node::do_command;
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for when in ["poststart", "prestop"] {
        for how in ["exec", "http"] {
            let title = format!(
                "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute \
                 {when} {how} hook properly [NodeConformance] [Conformance]"
            );
            cases.push(pod_case(&title, move |test| hook(test, when, how)));
        }
    }
    cases.push(pod_case(
        "[sig-node] PreStop should call prestop when killing a pod [Conformance]",
        |test| hook(test, "prestop", "exec"),
    ));
    cases.push(pod_case(
        "[sig-node] Container Lifecycle Hook should wait for a preStop sleep before the container is told",
        sleeping,
    ));
    cases
}

/// A server that hears of the hook; gives its address.
async fn listener(test: &Test) -> Result<String> {
    let pod = test.start(test.pod("listener", json!({"containers": [test.server("s")]}))).await?;
    Ok(pod["status"]["podIP"].as_str().unwrap_or_default().to_owned())
}

async fn hook(test: Test, when: &str, how: &str) -> Result<()> {
    let ip = listener(&test).await?;
    let action = match how {
        "exec" => {
            json!({"exec": {"command": do_command(&[&format!("get http://{ip}:8080/{when}")])}})
        }
        _ => json!({"httpGet": {"host": ip, "port": 8080, "path": format!("/{when}")}}),
    };
    let field = if when == "poststart" { "postStart" } else { "preStop" };
    let mut container = test.pause("c");
    container["lifecycle"] = json!({field: action});
    let spec = json!({"terminationGracePeriodSeconds": 15, "containers": [container]});
    test.start(test.pod("hooked", spec)).await?;
    if when == "prestop" {
        let seen = test.exec_ok("listener", "s", &["get http://127.0.0.1:8080/seen"]).await?;
        anyhow::ensure!(!seen.contains("prestop"), "the hook was called before its time: {seen}");
        test.pods().delete("hooked").await?;
        test.pods().wait_gone("hooked").await?;
    }
    let seen = test.exec_ok("listener", "s", &["get http://127.0.0.1:8080/seen"]).await?;
    expect_in("what the listener heard", &seen, &format!("GET /{when}"))
}

async fn sleeping(test: Test) -> Result<()> {
    let mut container = test.pause("c");
    container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 4}}});
    let spec = json!({"terminationGracePeriodSeconds": 30, "containers": [container]});
    test.start(test.pod("p", spec)).await?;
    let begun = std::time::Instant::now();
    test.pods().delete("p").await?;
    test.pods().wait_gone("p").await?;
    let took: Value = json!(begun.elapsed().as_secs());
    let within = took.as_u64().is_some_and(|seconds| (4..20).contains(&seconds));
    anyhow::ensure!(within, "expected the pod to be gone after 4 s, but it took {took} s");
    Ok(())
}
