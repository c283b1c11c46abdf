//! Probes.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::cases::node::do_command;
use crate::test::{Test, is_ready};

pub(super) fn cases() -> Vec<Case> {
    let title =
        |rest: &str| format!("[sig-node] Probing container {rest} [NodeConformance] [Conformance]");
    let exec =
        |file: &'static str| json!({"exec": {"command": do_command(&[&format!("cat {file}")])}});
    let http = json!({"httpGet": {"path": "/healthz", "port": 8080}});
    let grpc = json!({"grpc": {"port": 5000}});
    let tcp = json!({"tcpSocket": {"port": 8080}});
    let sick = json!({"args": ["netexec", "sick-after=3"]});
    let well = json!({"args": ["netexec"]});
    let mut cases = Vec::new();
    for (rest, container, probe) in [
        (
            r#"should be restarted with a exec "cat /tmp/health" liveness probe"#,
            json!({"args": ["do", "write /tmp/health ok", "sleep 4", "rm /tmp/health", "hold"]}),
            exec("/tmp/health"),
        ),
        ("should be restarted with a /healthz http liveness probe", sick.clone(), http.clone()),
        ("should be restarted with a GRPC liveness probe", sick, grpc.clone()),
    ] {
        cases.push(pod_case(&title(rest), move |test| {
            restarted(test, container.clone(), probe.clone(), 1)
        }));
    }
    for (rest, container, probe) in [
        (
            r#"should *not* be restarted with a exec "cat /tmp/health" liveness probe"#,
            json!({"args": ["do", "write /tmp/health ok", "hold"]}),
            exec("/tmp/health"),
        ),
        (
            "should *not* be restarted with a /healthz http liveness probe",
            well.clone(),
            http.clone(),
        ),
        ("should *not* be restarted with a GRPC liveness probe", well.clone(), grpc),
        ("should *not* be restarted with a tcp:8080 liveness probe", well, tcp),
    ] {
        cases
            .push(pod_case(&title(rest), move |test| kept(test, container.clone(), probe.clone())));
    }
    cases.push(pod_case(
        &title("should have monotonically increasing restart count"),
        move |test| {
            let container = json!({"args": ["do", "hold"]});
            restarted(test, container, json!({"exec": {"command": do_command(&["exit 1"])}}), 3)
        },
    ));
    cases.push(pod_case(
        &title("with readiness probe should not be ready before initial delay and never restart"),
        delayed,
    ));
    cases.push(pod_case(
        &title("with readiness probe that fails should never be ready and never restart"),
        never_ready,
    ));
    cases.push(pod_case(
        "[sig-node] Probing container should hold back liveness until its startup probe succeeds",
        startup,
    ));
    cases
}

fn restarts(pod: &Value) -> i64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or(0)
}

fn pod(test: &Test, mut container: Value, name: &str, probe: Value, period: u32) -> Value {
    container[name] = probe;
    container[name]["periodSeconds"] = period.into();
    container[name]["failureThreshold"] = 1.into();
    container[name]["timeoutSeconds"] = 5.into();
    test.pod("p", json!({"restartPolicy": "Always", "containers": [container]}))
}

async fn restarted(test: Test, container: Value, probe: Value, times: i64) -> Result<()> {
    test.pods().create(pod(&test, container, "livenessProbe", probe, 2)).await?;
    let mut last = 0;
    let mut monotonic = true;
    let expected = format!("to have been restarted {times} times");
    test.pods()
        .wait("p", &expected, |pod| {
            monotonic &= restarts(pod) >= last;
            last = restarts(pod);
            last >= times
        })
        .await?;
    anyhow::ensure!(monotonic, "the restart count went down");
    let events = test.of(&crate::api::CORE_EVENT);
    let said = |events: &[&Value]| {
        ["Unhealthy", "Killing"].iter().all(|reason| events.iter().any(|e| e["reason"] == *reason))
    };
    events.wait_all("", "events Unhealthy and Killing", said).await.map(drop)
}

async fn kept(test: Test, container: Value, probe: Value) -> Result<()> {
    let mut pod = pod(&test, container, "livenessProbe", probe, 1);
    pod["spec"]["containers"][0]["livenessProbe"]["initialDelaySeconds"] = 1.into();
    test.start(pod).await?;
    let query = "fieldSelector=metadata.name=p";
    let same = |pods: &[&Value]| pods.iter().all(|pod| restarts(pod) == 0 && is_ready(pod));
    test.pods().stays(query, Duration::from_secs(8), "a pod that is never restarted", same).await
}

async fn delayed(test: Test) -> Result<()> {
    let probe = json!({"httpGet": {"path": "/", "port": 8080}, "initialDelaySeconds": 5});
    let pod = pod(&test, json!({"args": ["netexec"]}), "readinessProbe", probe, 1);
    test.pods().create(pod).await?;
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    test.pods().wait("p", "to run", running).await?;
    let begun = std::time::Instant::now();
    let pod = test.ready("p").await?;
    // Timestamps have whole seconds, and the kubelet starts counting before it reports.
    anyhow::ensure!(begun.elapsed() >= Duration::from_secs(3), "ready before its delay: {pod}");
    anyhow::ensure!(restarts(&pod) == 0, "restarted by a readiness probe");
    Ok(())
}

async fn never_ready(test: Test) -> Result<()> {
    let probe = json!({"exec": {"command": do_command(&["exit 1"])}});
    let pod = pod(&test, json!({"args": ["netexec"]}), "readinessProbe", probe, 1);
    test.pods().create(pod).await?;
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    test.pods().wait("p", "to run", running).await?;
    let query = "fieldSelector=metadata.name=p";
    let same = |pods: &[&Value]| pods.iter().all(|pod| !is_ready(pod) && restarts(pod) == 0);
    test.pods().stays(query, Duration::from_secs(10), "a pod that is not ready", same).await
}

async fn startup(test: Test) -> Result<()> {
    let container = json!({"args": ["do", "sleep 5", "write /tmp/started yes", "hold"]});
    let probe = json!({"exec": {"command": do_command(&["cat /tmp/started"])}});
    let mut pod = pod(&test, container, "livenessProbe", probe.clone(), 1);
    let container = &mut pod["spec"]["containers"][0];
    container["startupProbe"] = probe;
    container["startupProbe"]["periodSeconds"] = 1.into();
    container["startupProbe"]["failureThreshold"] = 60.into();
    test.pods().create(pod).await?;
    let started = |pod: &Value| pod["status"]["containerStatuses"][0]["started"] == true;
    let pod = test.pods().wait("p", "to have started", started).await?;
    anyhow::ensure!(restarts(&pod) == 0, "restarted while it started: {}", pod["status"]);
    Ok(())
}
