//! Commands about pods and what makes them.

use anyhow::Result;
use serde_json::{Value, json};

use super::kubectl::{ok, run, with_input};
use crate::api::{DEPLOYMENT, SERVICE};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-cli] Kubectl client {rest} [Conformance]");
    vec![
        pod_case(
            &title("Update Demo should create and stop a replication controller"),
            create_and_stop,
        ),
        pod_case(&title("Update Demo should scale a replication controller"), scale),
        pod_case(
            &title(
                "Kubectl describe should check if kubectl describe prints relevant information for rc and pods",
            ),
            describe,
        ),
        pod_case(&title("Kubectl expose should create services for rc"), expose),
        pod_case(&title("Kubectl patch should add annotations for pods in rc"), patch),
        pod_case(&title("Kubectl replace should update a single-container pod's image"), replace),
        pod_case(
            &title("Kubectl run pod should create a pod from an image when restart is Never"),
            run_pod,
        ),
        pod_case(
            "[sig-cli] Kubectl logs logs should be able to retrieve and filter logs [Conformance]",
            logs,
        ),
        pod_case("[sig-cli] Kubectl client Simple pod should support exec and its exit code", exec),
        pod_case(
            "[sig-cli] Kubectl client Kubectl rollout should undo and restart a deployment",
            rollout,
        ),
        pod_case("[sig-cli] Kubectl client Simple pod should support port-forward", port_forward),
        pod_case("[sig-cli] Kubectl client Kubectl attach should pass standard input", attach),
    ]
}

fn rc(test: &Test, replicas: u32) -> String {
    let object = json!({"apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": "update-demo"},
        "spec": {"replicas": replicas, "selector": {"app": "demo"}, "template": {
            "metadata": {"labels": {"app": "demo"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [test.server("s")]}}}});
    object.to_string()
}

async fn ready(test: &Test, count: usize) -> Result<Vec<Value>> {
    let expected = format!("{count} ready pods");
    let met = |pods: &[&Value]| pods.len() == count && pods.iter().all(|pod| is_ready(pod));
    test.pods().wait_all("labelSelector=app=demo", &expected, met).await
}

async fn create_and_stop(test: Test) -> Result<()> {
    with_input(&test, &["create", "-f", "-"], &rc(&test, 2)).await?;
    ready(&test, 2).await?;
    let template = "{{range.items}}{{.metadata.name}} {{end}}";
    let said =
        ok(&test, &["get", "pods", "-l", "app=demo", "-o", "template", "--template", template])
            .await?;
    expect_eq("the pods printed", &json!(said.split_whitespace().count()), &json!(2))?;
    let input = rc(&test, 2);
    with_input(&test, &["delete", "--grace-period=0", "--force", "-f", "-"], &input).await?;
    test.pods().wait_all("labelSelector=app=demo", "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn scale(test: Test) -> Result<()> {
    with_input(&test, &["create", "-f", "-"], &rc(&test, 2)).await?;
    ready(&test, 2).await?;
    for replicas in ["1", "2"] {
        let to = format!("--replicas={replicas}");
        ok(&test, &["scale", "rc", "update-demo", &to, "--timeout=5m"]).await?;
        ready(&test, replicas.parse()?).await?;
    }
    Ok(())
}

async fn describe(test: Test) -> Result<()> {
    with_input(&test, &["create", "-f", "-"], &rc(&test, 1)).await?;
    let pods = ready(&test, 1).await?;
    let said = ok(&test, &["describe", "rc", "update-demo"]).await?;
    for part in [
        "Name:",
        "update-demo",
        "Namespace:",
        "Selector:",
        "app=demo",
        "1 current / 1 desired",
        "Pods Status:",
        "1 Running",
        "Pod Template:",
        "SuccessfulCreate",
    ] {
        expect_in("the description of the rc", &said, part)?;
    }
    let pod = name(&pods[0]);
    let said = ok(&test, &["describe", "pod", pod]).await?;
    for part in [
        "Name:",
        pod,
        "Status:",
        "Running",
        "IP:",
        "Controlled By:",
        "ReplicationController/update-demo",
        test.image(),
        "Ready:",
        "Started",
    ] {
        expect_in("the description of the pod", &said, part)?;
    }
    let said = ok(&test, &["describe", "node", &test.nodes()[0]]).await?;
    for part in ["Capacity:", "Allocatable:", "Non-terminated Pods:", "KubeletReady"] {
        expect_in("the description of the node", &said, part)?;
    }
    Ok(())
}

async fn expose(test: Test) -> Result<()> {
    with_input(&test, &["create", "-f", "-"], &rc(&test, 1)).await?;
    ready(&test, 1).await?;
    for (from, name, port) in [("rc/update-demo", "rm2", 1234), ("service/rm2", "rm3", 2345)] {
        let (named, to) = (format!("--name={name}"), format!("--port={port}"));
        ok(&test, &["expose", from, &named, &to, "--target-port=8080"]).await?;
        let service = test.of(&SERVICE).get(name).await?;
        let expected = json!([{"port": port, "protocol": "TCP", "targetPort": 8080}]);
        expect_eq("the ports", &service["spec"]["ports"], &expected)?;
        expect_eq("the selector", &service["spec"]["selector"], &json!({"app": "demo"}))?;
    }
    Ok(())
}

async fn patch(test: Test) -> Result<()> {
    with_input(&test, &["create", "-f", "-"], &rc(&test, 1)).await?;
    let pods = ready(&test, 1).await?;
    let pod = name(&pods[0]).to_owned();
    ok(&test, &["patch", "pod", &pod, "-p", r#"{"metadata":{"annotations":{"x":"y"}}}"#]).await?;
    let read = test.pods().get(&pod).await?;
    expect_eq("the annotation", &read["metadata"]["annotations"]["x"], &json!("y"))
}

async fn run_pod(test: Test) -> Result<()> {
    let image = format!("--image={}", test.image());
    ok(&test, &["run", "once", "--restart=Never", &image, "--", "do", "print it ran"]).await?;
    let pod = test.finished("once").await?;
    expect_eq("the restart policy", &pod["spec"]["restartPolicy"], &json!("Never"))?;
    expect_eq("the image", &pod["spec"]["containers"][0]["image"], &json!(test.image()))?;
    expect_in("its log", &ok(&test, &["logs", "once"]).await?, "it ran")
}

async fn replace(test: Test) -> Result<()> {
    let image = format!("--image={}", test.image());
    ok(&test, &["run", "single", "--labels=run=single", &image, "--", "pause"]).await?;
    test.ready("single").await?;
    let mut pod: Value =
        serde_json::from_str(&ok(&test, &["get", "pod", "single", "-o", "json"]).await?)?;
    pod["spec"]["containers"][0]["image"] = "coxswain.local/never-made:v0".into();
    with_input(&test, &["replace", "-f", "-"], &pod.to_string()).await?;
    let read = test.pods().get("single").await?;
    let image = &read["spec"]["containers"][0]["image"];
    expect_eq("the image", image, &json!("coxswain.local/never-made:v0"))
}

async fn logs(test: Test) -> Result<()> {
    let mut steps: Vec<String> = (0..20).map(|line| format!("print line {line:02}")).collect();
    steps.push("hold".to_owned());
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    test.start(test.pod("talker", json!({"containers": [test.container("c", &steps)]}))).await?;
    test.log_lines("talker", "c", 20).await?;
    let whole = ok(&test, &["logs", "talker", "c"]).await?;
    expect_eq("the lines", &json!(whole.lines().count()), &json!(20))?;
    let tail = ok(&test, &["logs", "talker", "c", "--tail=1"]).await?;
    expect_eq("the last line", &json!(tail), &json!("line 19\n"))?;
    let bytes = ok(&test, &["logs", "talker", "c", "--limit-bytes=1"]).await?;
    expect_eq("one byte", &json!(bytes.trim()), &json!("l"))?;
    let stamped = ok(&test, &["logs", "talker", "c", "--tail=1", "--timestamps"]).await?;
    let time = stamped.split(' ').next().unwrap_or_default();
    anyhow::ensure!(time.len() >= 20 && time.contains('T'), "no time before {stamped}");
    let old = ok(&test, &["logs", "talker", "c", "--since=24h"]).await?;
    expect_eq("the lines since yesterday", &json!(old.lines().count()), &json!(20))?;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let new = ok(&test, &["logs", "talker", "c", "--since=1s"]).await?;
    expect_eq("the lines of the last second", &json!(new.lines().count()), &json!(0))
}

async fn exec(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let mut arguments = vec!["exec", "p", "-c", "c", "--"];
    arguments.extend(crate::image::COMMAND);
    arguments.push("do");
    let with = |steps: &[&'static str]| [&arguments[..], steps].concat();
    let said = ok(&test, &with(&["print running in container"])).await?;
    expect_eq("what it prints", &json!(said), &json!("running in container\n"))?;
    let failed = run(&test, &with(&["exit 42"]), "").await?;
    expect_in("what is said of exit 42", &failed.stderr, "exit code 42")?;
    let mut arguments = vec!["exec", "-i", "p", "--"];
    arguments.extend(crate::image::COMMAND);
    arguments.extend(["do", "cat /dev/stdin"]);
    let said = with_input(&test, &arguments, "abcd1234").await?;
    expect_in("the input", &said, "abcd1234")
}

async fn rollout(test: Test) -> Result<()> {
    let object = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"app": "demo"}}, "template": {"metadata": {"labels": {"app": "demo"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [test.pause("c")]}}}});
    test.of(&DEPLOYMENT).create(object).await?;
    ok(&test, &["rollout", "status", "deployment/d", "--timeout=120s"]).await?;
    ok(&test, &["set", "env", "deployment/d", "ROUND=2"]).await?;
    ok(&test, &["rollout", "status", "deployment/d", "--timeout=120s"]).await?;
    let history = ok(&test, &["rollout", "history", "deployment/d"]).await?;
    expect_eq(
        "the revisions",
        &json!(history.lines().filter(|l| l.starts_with(['1', '2'])).count()),
        &json!(2),
    )?;
    ok(&test, &["rollout", "undo", "deployment/d"]).await?;
    ok(&test, &["rollout", "status", "deployment/d", "--timeout=120s"]).await?;
    let read = test.of(&DEPLOYMENT).get("d").await?;
    expect_eq(
        "the environment",
        &read["spec"]["template"]["spec"]["containers"][0]["env"],
        &Value::Null,
    )?;
    ok(&test, &["rollout", "restart", "deployment/d"]).await?;
    ok(&test, &["rollout", "status", "deployment/d", "--timeout=120s"]).await?;
    let pods = ready(&test, 1).await?;
    let stamp = &pods[0]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    anyhow::ensure!(
        stamp.is_string(),
        "the pod is not of the restarted template: {}",
        pods[0]["metadata"]
    );
    Ok(())
}

async fn port_forward(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.server("s")]}))).await?;
    let mut child = super::kubectl::command(&test, &["port-forward", "pod/p", ":8080"])?.spawn()?;
    let line = super::proxy::first_line(&mut child, test.cluster.deadline()).await?;
    let address = line.split_whitespace().nth(2).unwrap_or_default().to_owned();
    let said = super::proxy::http_get(&address, "/hostname").await?;
    child.kill().await?;
    expect_in("the answer through the port", &said, "\r\n\r\np")
}

async fn attach(test: Test) -> Result<()> {
    let container = test.container("c", &["cat /dev/stdin", "print done"]);
    let mut pod = test.pod("p", json!({"containers": [container]}));
    pod["spec"]["containers"][0]["stdin"] = true.into();
    pod["spec"]["containers"][0]["stdinOnce"] = true.into();
    test.pods().create(pod).await?;
    let running = |pod: &Value| pod["status"]["phase"] == "Running";
    test.pods().wait("p", "to run", running).await?;
    let said = with_input(&test, &["attach", "-i", "p"], "through attach\n").await?;
    expect_in("what comes back", &said, "through attach")?;
    test.finished("p").await?;
    expect_in("the log", &test.log("p", "").await?, "done")
}
