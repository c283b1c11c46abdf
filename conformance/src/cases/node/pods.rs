//! Pods through their lives.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::{POD, Patch, expect_refusal};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, condition, expect_eq, is_ready, name};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-node] Pods {rest} [Conformance]");
    let generation = |rest: &str| {
        format!("[sig-node] Pods Extended (pod generation) Pod Generation {rest} [Conformance]")
    };
    vec![
        pod_case(&title("should get a host IP [NodeConformance]"), host_ip),
        pod_case(&title("should be submitted and removed [NodeConformance]"), submitted),
        pod_case(&title("should be updated [NodeConformance]"), updated),
        pod_case(
            &title("should allow activeDeadlineSeconds to be updated [NodeConformance]"),
            deadline,
        ),
        pod_case(&title("should delete a collection of pods"), collection),
        pod_case(&title("should run through the lifecycle of Pods and PodStatus"), lifecycle),
        pod_case(&title("should patch a pod status"), patch_status),
        case(
            &title(
                "Extended Pods Set QOS Class should be set on Pods with matching resource requests and \
                 limits for memory and cpu",
            ),
            qos,
        ),
        case(
            &generation(
                "pod generation should start at 1 and increment per update [MinimumKubeletVersion:1.34]",
            ),
            generations,
        ),
        pod_case(
            &generation("custom-set generation on new pods and graceful delete"),
            given_generation,
        ),
        pod_case(
            &generation(
                "issue 500 podspec updates and verify generation and observedGeneration eventually \
                 converge [MinimumKubeletVersion:1.34]",
            ),
            many_updates,
        ),
        case("[sig-node] Pods should refuse changes of what is fixed", fixed),
        pod_case("[sig-node] Pods should support pod readiness gates [NodeConformance]", gates),
    ]
}

async fn host_ip(test: Test) -> Result<()> {
    let pod = test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let node = pod["spec"]["nodeName"].as_str().context("no node")?;
    let node = test.cluster.all(&crate::api::NODE).get(node).await?;
    let addresses = node["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP");
    let internal = internal.context("the node has no InternalIP")?;
    expect_eq("hostIP", &pod["status"]["hostIP"], &internal["address"])?;
    let ips = &pod["status"]["podIPs"][0]["ip"];
    expect_eq("the first of podIPs", ips, &pod["status"]["podIP"])
}

async fn submitted(test: Test) -> Result<()> {
    let pods = test.of(&POD);
    let mut watch = pods.watch_from("labelSelector=name=p", "").await?;
    pods.create(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    watch.expect("ADDED", "p").await?;
    test.ready("p").await?;
    pods.delete_with("p", json!({"gracePeriodSeconds": 30})).await?;
    let (mut marked, mut last) = (false, Value::Null);
    loop {
        let event = watch.event().await?;
        if event.object["metadata"]["deletionTimestamp"].is_string() {
            marked = true;
        }
        if event.kind == "DELETED" {
            break;
        }
        last = event.object;
    }
    anyhow::ensure!(marked, "no event shows the pod marked for deletion; the last: {last}");
    expect_eq("pods left", &json!(pods.items("labelSelector=name=p").await?), &json!([]))
}

async fn updated(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    test.pods().change("p", |pod| pod["metadata"]["labels"]["time"] = "now".into()).await?;
    let found = test.pods().items("labelSelector=time=now").await?;
    expect_eq(
        "pods of the new label",
        &json!(found.iter().map(name).collect::<Vec<_>>()),
        &json!(["p"]),
    )
}

async fn deadline(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let pods = test.pods();
    let set = |seconds: u32| {
        pods.patch("p", Patch::Merge, json!({"spec": {"activeDeadlineSeconds": seconds}}))
    };
    set(2).await?;
    expect_refusal(set(20).await, 422, "Invalid")?;
    let failed = |pod: &Value| pod["status"]["phase"] == "Failed";
    let pod = test.pods().wait("p", "to fail by its deadline", failed).await?;
    expect_eq("the reason", &pod["status"]["reason"], &json!("DeadlineExceeded"))
}

async fn collection(test: Test) -> Result<()> {
    for name in ["one", "two", "three"] {
        let mut pod = test.pod(name, json!({"containers": [test.pause("c")]}));
        pod["metadata"]["labels"]["type"] = "Testing".into();
        test.pods().create(pod).await?;
    }
    let query = "labelSelector=type=Testing";
    let all = |pods: &[&Value]| pods.len() == 3 && pods.iter().all(|pod| is_ready(pod));
    test.pods().wait_all(query, "three ready pods", all).await?;
    test.pods().delete_all(query).await?;
    test.pods().wait_all(query, "no pod", |pods| pods.is_empty()).await.map(drop)
}

async fn lifecycle(test: Test) -> Result<()> {
    let pods = test.of(&POD);
    let mut watch = pods.watch_from("labelSelector=name=p", "").await?;
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let body = json!({"metadata": {"labels": {"stage": "patched"}}});
    let patched = pods.patch("p", Patch::Strategic, body).await?;
    expect_eq("the label", &patched["metadata"]["labels"]["stage"], &json!("patched"))?;
    let told = json!({"type": "E2E", "status": "True", "reason": "Told", "message": "by a test"});
    let push = |pod: &mut Value| {
        if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
            conditions.push(told.clone());
        }
    };
    let written = pods.change("p/status", push).await?;
    expect_eq("the condition", &condition(&written, "E2E")["reason"], &json!("Told"))?;
    pods.delete("p").await?;
    while watch.event().await?.kind != "DELETED" {}
    expect_refusal(pods.get("p").await, 404, "NotFound").map(drop)
}

async fn patch_status(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    let told = json!({"status": {"conditions": [
        {"type": "E2E", "status": "True", "reason": "Set", "message": "by a test"}]}});
    test.pods().patch("p/status", Patch::Strategic, told).await?;
    let read = test.pods().get("p/status").await?;
    expect_eq("the condition", &condition(&read, "E2E")["message"], &json!("by a test"))?;
    expect_eq("another condition", &condition(&read, "PodScheduled")["status"], &json!("True"))
}

fn gated(test: &Test, name: &str, resources: Value) -> Value {
    let spec = json!({"schedulingGates": [{"name": "example.com/never"}],
        "containers": [{"resources": resources}]});
    test.pod(name, spec)
}

async fn qos(test: Test) -> Result<()> {
    let full = json!({"cpu": "100m", "memory": "100Mi"});
    for (name, resources, class) in [
        ("g", json!({"requests": full, "limits": full}), "Guaranteed"),
        ("l", json!({"limits": full}), "Guaranteed"),
        ("b", json!({"requests": {"cpu": "100m"}}), "Burstable"),
        ("n", json!({}), "BestEffort"),
    ] {
        let pod = test.pods().create(gated(&test, name, resources)).await?;
        expect_eq(&format!("the class of {name}"), &pod["status"]["qosClass"], &json!(class))?;
    }
    Ok(())
}

async fn generations(test: Test) -> Result<()> {
    let pods = test.pods();
    let generation = |pod: &Value| pod["metadata"]["generation"].clone();
    let made = pods.create(gated(&test, "p", json!({}))).await?;
    expect_eq("the first generation", &generation(&made), &json!(1))?;
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let labelled = pods.patch("p", Patch::Merge, labelled).await?;
    expect_eq("after a label", &generation(&labelled), &json!(1))?;
    let changes = [
        json!({"spec": {"activeDeadlineSeconds": 3600}}),
        json!({"spec": {"tolerations": [{"key": "e2e", "operator": "Exists"}]}}),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let changed = pods.patch("p", Patch::Strategic, change).await?;
        expect_eq("after a change", &generation(&changed), &json!(index + 2))?;
    }
    Ok(())
}

async fn given_generation(test: Test) -> Result<()> {
    let mut pod = test.pod("p", json!({"containers": [test.pause("c")]}));
    pod["metadata"]["generation"] = 100.into();
    pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    pod["spec"]["terminationGracePeriodSeconds"] = 1.into();
    let made = test.pods().create(pod).await?;
    expect_eq("the generation", &made["metadata"]["generation"], &json!(1))?;
    test.ready("p").await?;
    let marked = test.pods().delete("p").await?;
    expect_eq("the generation of the marked", &marked["metadata"]["generation"], &json!(2))?;
    let body = json!({"metadata": {"finalizers": null}});
    test.pods().patch("p", Patch::Merge, body).await?;
    test.pods().wait_gone("p").await
}

async fn many_updates(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [test.pause("c")]}))).await?;
    for round in 0..500_u32 {
        let body = json!({"spec": {"activeDeadlineSeconds": 100_000 - round}});
        test.pods().patch("p", Patch::Merge, body).await?;
    }
    let observed = |pod: &Value| pod["status"]["observedGeneration"] == 501;
    let pod = test.pods().wait("p", "to have observed generation 501", observed).await?;
    expect_eq("the generation", &pod["metadata"]["generation"], &json!(501))
}

async fn fixed(test: Test) -> Result<()> {
    test.pods().create(gated(&test, "p", json!({}))).await?;
    for change in [
        json!({"spec": {"restartPolicy": "Always"}}),
        json!({"spec": {"hostNetwork": true}}),
        json!({"spec": {"serviceAccountName": "other"}}),
        json!({"spec": {"terminationGracePeriodSeconds": 77}}),
    ] {
        expect_refusal(test.pods().patch("p", Patch::Merge, change).await, 422, "Invalid")?;
    }
    let image = json!({"spec": {"containers": [{"name": "c0", "image": "another"}]}});
    let changed = test.pods().patch("p", Patch::Strategic, image).await?;
    expect_eq(
        "the image, which may change",
        &changed["spec"]["containers"][0]["image"],
        &json!("another"),
    )
}

async fn gates(test: Test) -> Result<()> {
    let gate = json!([{"conditionType": "k8s.io/test-condition1"}]);
    let spec = json!({"readinessGates": gate, "containers": [test.pause("c")]});
    test.pods().create(test.pod("p", spec)).await?;
    let contained = |pod: &Value| condition(pod, "ContainersReady")["status"] == "True";
    test.pods().wait("p", "to have ready containers", contained).await?;
    let query = "fieldSelector=metadata.name=p";
    let waits = |pods: &[&Value]| pods.iter().all(|pod| !is_ready(pod));
    test.pods()
        .stays(query, Duration::from_secs(2), "a pod that waits for its gate", waits)
        .await?;
    for (status, ready) in [("True", true), ("False", false)] {
        let told = json!({"status": {"conditions": [
            {"type": "k8s.io/test-condition1", "status": status}]}});
        test.pods().patch("p/status", Patch::Strategic, told).await?;
        let expected = format!("to have the readiness {ready} of its gate");
        test.pods().wait("p", &expected, |pod| is_ready(pod) == ready).await?;
    }
    Ok(())
}
