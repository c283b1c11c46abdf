//! How containers end and what they leave to read.

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let message = |rest: &str| {
        format!(
            "[sig-node] Container Runtime blackbox test on terminated container should report termination \
             message {rest} [NodeConformance] [Conformance]"
        )
    };
    let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    let fallback2 = fallback.clone();
    let fallback3 = fallback.clone();
    vec![
        pod_case(
            "[sig-node] Container Runtime blackbox test when starting a container that exits should run \
             with the expected status [NodeConformance] [Conformance]",
            statuses,
        ),
        pod_case(
            &message("if TerminationMessagePath is set as non-root user and at a non-default path"),
            |test| {
                let extra = json!({"terminationMessagePath": "/dev/termination-custom-log",
                    "securityContext": {"runAsUser": 1000}});
                said(test, extra, &["id", "write /dev/termination-custom-log DONE"], 0, "DONE")
            },
        ),
        pod_case(
            &message("from log output if TerminationMessagePolicy FallbackToLogsOnError is set"),
            move |test| said(test, fallback.clone(), &["print DONE", "exit 1"], 1, "DONE\n"),
        ),
        pod_case(
            &message(
                "from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set",
            ),
            move |test| {
                const STEPS: &[&str] = &["print from the log", "write /dev/termination-log OK"];
                said(test, fallback2.clone(), STEPS, 0, "OK")
            },
        ),
        pod_case(
            &message(
                "as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set",
            ),
            move |test| said(test, fallback3.clone(), &["print DONE"], 0, ""),
        ),
        pod_case(
            "[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to \
             logs [NodeConformance] [Conformance]",
            logs,
        ),
        pod_case(
            "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should have \
             an terminated reason [NodeConformance] [Conformance]",
            terminated_reason,
        ),
        pod_case(
            "[sig-node] Kubelet when scheduling a busybox command that always fails in a pod should be \
             possible to delete [NodeConformance] [Conformance]",
            deletable,
        ),
        pod_case("[sig-node] Pods should report an image that cannot be had", missing_image),
        pod_case(
            "[sig-node] Pods should be killed for exceeding their memory limit",
            out_of_memory,
        ),
        pod_case(
            "[sig-node] Pods should be killed when they do not end within their grace period",
            grace_period,
        ),
        pod_case(
            "[sig-node] Pods should let containers share the process namespace",
            process_namespace,
        ),
    ]
}

async fn statuses(test: Test) -> Result<()> {
    for (policy, phase, restarts, code) in
        [("Always", "Running", 1, 1), ("OnFailure", "Succeeded", 1, 0), ("Never", "Failed", 0, 1)]
    {
        let name = format!("p-{}", policy.to_lowercase());
        // The first run fails; later ones succeed or go on, by what the volume remembers.
        let steps = match policy {
            "Always" => ["once /v/first 1", "hold"],
            _ => ["once /v/first 1", "print again"],
        };
        let mut container = test.container("c", &steps);
        container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let spec = json!({"restartPolicy": policy, "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [container]});
        test.pods().create(test.pod(&name, spec)).await?;
        let expected = format!("to be {phase} after {restarts} restarts");
        let pod = test
            .pods()
            .wait(&name, &expected, |pod| {
                pod["status"]["phase"] == phase
                    && pod["status"]["containerStatuses"][0]["restartCount"] == restarts
                    && (policy != "Always" || crate::test::is_ready(pod))
            })
            .await?;
        let status = &pod["status"]["containerStatuses"][0];
        let ended = match policy {
            "Always" => &status["lastState"]["terminated"],
            _ => &status["state"]["terminated"],
        };
        expect_eq(&format!("the exit code with {policy}"), &ended["exitCode"], &json!(code))?;
    }
    Ok(())
}

async fn said(
    test: Test,
    extra: Value,
    steps: &'static [&'static str],
    code: i32,
    message: &str,
) -> Result<()> {
    let mut container = test.container("c", steps);
    for (field, value) in extra.as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    test.pods().create(test.pod("p", json!({"containers": [container]}))).await?;
    let pod = test.finished("p").await?;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    expect_eq("the exit code", &ended["exitCode"], &json!(code))?;
    if let Some(user) = extra["securityContext"]["runAsUser"].as_u64() {
        expect_in("the user", &test.log("p", "").await?, &format!("Uid: {user}"))?;
    }
    let found = ended["message"].as_str().unwrap_or_default();
    expect_eq("the termination message", &json!(found), &json!(message))
}

async fn logs(test: Test) -> Result<()> {
    let spec = json!({"containers": [test.container("c", &["print to stdout", "err to stderr", "print last"])]});
    test.pods().create(test.pod("p", spec)).await?;
    test.finished("p").await?;
    let log = test.log("p", "").await?;
    for part in ["to stdout\n", "to stderr\n", "last\n"] {
        expect_in("the log", &log, part)?;
    }
    // Two streams are two pipes: only within each is there an order.
    let spec = json!({"containers": [test.container("c", &["print first", "print last"])]});
    test.pods().create(test.pod("q", spec)).await?;
    test.finished("q").await?;
    expect_eq("the last line", &json!(test.log("q", "tailLines=1").await?), &json!("last\n"))?;
    expect_eq("seven bytes", &json!(test.log("q", "limitBytes=7").await?.len()), &json!(7))?;
    let stamped = test.log("q", "timestamps=true&tailLines=1").await?;
    let (stamp, rest) = stamped.split_once(' ').unwrap_or_default();
    expect_eq("the line after its time", &json!(rest), &json!("last\n"))?;
    anyhow::ensure!(stamp.len() >= 20 && stamp.contains('T'), "no time before the line: {stamped}");
    Ok(())
}

async fn terminated_reason(test: Test) -> Result<()> {
    let container = test.container("c", &["exit 1"]);
    test.pods().create(test.pod("p", json!({"containers": [container]}))).await?;
    let pod = test.finished("p").await?;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    expect_eq("the reason", &ended["reason"], &json!("Error"))?;
    expect_eq("the exit code", &ended["exitCode"], &json!(1))?;
    expect_eq(
        "Ready's reason",
        &crate::test::condition(&pod, "Ready")["reason"],
        &json!("PodFailed"),
    )
}

async fn deletable(test: Test) -> Result<()> {
    let container = test.container("c", &["exit 1"]);
    let spec = json!({"restartPolicy": "Always", "containers": [container]});
    test.pods().create(test.pod("p", spec)).await?;
    let looping = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    test.pods().wait("p", "to be backed off", looping).await?;
    test.pods().delete("p").await?;
    test.pods().wait_gone("p").await
}

async fn missing_image(test: Test) -> Result<()> {
    let container =
        json!({"name": "c", "image": "coxswain.local/never-made:v0", "imagePullPolicy": "Never"});
    let invalid = json!({"name": "d", "image": "not:a:name"});
    let spec = json!({"containers": [container, invalid]});
    test.pods().create(test.pod("p", spec)).await?;
    let told = |pod: &Value| {
        let reason = |index: usize| {
            pod["status"]["containerStatuses"][index]["state"]["waiting"]["reason"].clone()
        };
        reason(0) == "ErrImageNeverPull" && reason(1) == "InvalidImageName"
    };
    test.pods().wait("p", "to wait with ErrImageNeverPull and InvalidImageName", told).await?;
    Ok(())
}

async fn out_of_memory(test: Test) -> Result<()> {
    let mut container = test.container("c", &["print filling", "fill 400"]);
    container["resources"] = json!({"limits": {"memory": "128Mi"}});
    test.pods().create(test.pod("p", json!({"containers": [container]}))).await?;
    let pod = test.finished("p").await?;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    expect_eq("the reason", &ended["reason"], &json!("OOMKilled"))?;
    expect_eq("the exit code", &ended["exitCode"], &json!(137))
}

async fn grace_period(test: Test) -> Result<()> {
    let container = test.container("c", &["ignore-term", "hold"]);
    let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 4});
    test.start(test.pod("p", spec)).await?;
    let begun = std::time::Instant::now();
    let marked = test.pods().delete("p").await?;
    expect_eq("the grace", &marked["metadata"]["deletionGracePeriodSeconds"], &json!(4))?;
    test.pods().wait_gone("p").await?;
    let took = begun.elapsed().as_secs();
    anyhow::ensure!(
        (3..25).contains(&took),
        "expected 4 s of grace, but it was gone after {took} s"
    );
    Ok(())
}

async fn process_namespace(test: Test) -> Result<()> {
    let spec = json!({"shareProcessNamespace": true,
        "containers": [test.pause("a"), test.container("b", &["pid", "hold"])]});
    test.start(test.pod("p", spec)).await?;
    let pid: u32 = test.log_lines("p", "b", 1).await?.trim().parse()?;
    anyhow::ensure!(pid != 1, "process 1 in a shared process namespace is a container's");
    let own =
        test.start(test.pod("own", json!({"containers": [test.container("b", &["pid", "hold"])]})));
    own.await?;
    expect_eq(
        "the process without sharing",
        &json!(test.log_lines("own", "b", 1).await?),
        &json!("1\n"),
    )
}
