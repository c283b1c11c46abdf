//! Init containers and sidecars.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::test::{Test, condition, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!("[sig-node] InitContainer [NodeConformance] should {rest} [Conformance]")
    };
    vec![
        pod_case(&title("invoke init containers on a RestartNever pod"), |test| {
            invoked(test, "Never")
        }),
        pod_case(&title("invoke init containers on a RestartAlways pod"), |test| {
            invoked(test, "Always")
        }),
        pod_case(
            &title("not start app containers if init containers fail on a RestartAlways pod"),
            fails_always,
        ),
        pod_case(
            &title(
                "not start app containers and fail the pod if init containers fail on a RestartNever pod",
            ),
            fails_never,
        ),
        pod_case(
            "[sig-node] Sidecar containers should start before and end after the others",
            sidecars,
        ),
    ]
}

async fn invoked(test: Test, policy: &str) -> Result<()> {
    let mount = json!([{"name": "v", "mountPath": "/v"}]);
    let container = |name: &str, steps: &[&str]| {
        let mut container = test.container(name, steps);
        container["volumeMounts"] = mount.clone();
        container
    };
    let last = if policy == "Never" { "print done" } else { "hold" };
    let spec = json!({
        "restartPolicy": policy,
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [
            container("init1", &["missing /v/f", "write /v/f one"]),
            container("init2", &["append /v/f ,two"]),
        ],
        "containers": [container("run", &["cat /v/f", last])],
    });
    test.pods().create(test.pod("p", spec)).await?;
    let pod = match policy {
        "Never" => test.finished("p").await?,
        _ => test.ready("p").await?,
    };
    expect_eq("Initialized", &condition(&pod, "Initialized")["status"], &json!("True"))?;
    let statuses = pod["status"]["initContainerStatuses"].as_array().cloned().unwrap_or_default();
    expect_eq("the number of init containers", &json!(statuses.len()), &json!(2))?;
    for status in &statuses {
        expect_eq("its exit code", &status["state"]["terminated"]["exitCode"], &json!(0))?;
        expect_eq("its readiness", &status["ready"], &json!(true))?;
    }
    expect_in("what they left", &test.log_lines("p", "run", 1).await?, "one,two")
}

async fn fails_always(test: Test) -> Result<()> {
    let spec = json!({
        "restartPolicy": "Always",
        "initContainers": [test.container("init1", &["exit 1"]), test.container("init2", &["print two"])],
        "containers": [test.container("run", &["hold"])],
    });
    test.pods().create(test.pod("p", spec)).await?;
    let again = |pod: &Value| {
        pod["status"]["initContainerStatuses"][0]["restartCount"].as_i64().is_some_and(|n| n >= 2)
    };
    let pod = test.pods().wait("p", "to try its first init container again", again).await?;
    expect_eq("the phase", &pod["status"]["phase"], &json!("Pending"))?;
    let initialized = condition(&pod, "Initialized");
    expect_eq("Initialized", &initialized["status"], &json!("False"))?;
    expect_eq("its reason", &initialized["reason"], &json!("ContainersNotInitialized"))?;
    let waiting = |status: &Value| status["state"]["waiting"]["reason"].clone();
    let second = &pod["status"]["initContainerStatuses"][1];
    expect_eq("the second's state", &waiting(second), &json!("PodInitializing"))?;
    let run = &pod["status"]["containerStatuses"][0];
    expect_eq("the app's state", &waiting(run), &json!("PodInitializing"))
}

async fn fails_never(test: Test) -> Result<()> {
    let spec = json!({
        "initContainers": [test.container("init1", &["print one"]), test.container("init2", &["exit 1"])],
        "containers": [test.container("run", &["print never"])],
    });
    test.pods().create(test.pod("p", spec)).await?;
    let pod = test.finished("p").await?;
    expect_eq("the phase", &pod["status"]["phase"], &json!("Failed"))?;
    let run = &pod["status"]["containerStatuses"][0]["state"];
    anyhow::ensure!(run["waiting"].is_object(), "the app's container was started: {run}");
    let failed = &pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["exitCode"];
    expect_eq("the second's exit code", failed, &json!(1))
}

async fn sidecars(test: Test) -> Result<()> {
    let mount = json!([{"name": "v", "mountPath": "/v"}]);
    let mut side = test.container("side", &["sleep 2", "write /v/ready yes", "hold"]);
    side["restartPolicy"] = "Always".into();
    side["startupProbe"] = json!({"exec": {"command": crate::cases::node::do_command(&["cat /v/ready"])},
        "periodSeconds": 1});
    side["volumeMounts"] = mount.clone();
    let mut run = test.container("run", &["cat /v/ready", "print done"]);
    run["volumeMounts"] = mount;
    let spec = json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [side], "containers": [run],
    });
    test.pods().create(test.pod("p", spec)).await?;
    // A sidecar that runs for ever does not keep its pod.
    let begun = std::time::Instant::now();
    let pod = test.finished("p").await?;
    expect_eq("the phase", &pod["status"]["phase"], &json!("Succeeded"))?;
    anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the sidecar kept the pod");
    expect_in("what the app saw", &test.log("p", "container=run").await?, "yes")
}
