//! Resources of running containers.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{Patch, expect_refusal};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint \
             [MinimumKubeletVersion:1.34] [Conformance]",
            replaced,
        ),
        pod_case(
            "[sig-node] Pod InPlace Resize Container guaranteed pods should take more and less in place",
            guaranteed,
        ),
        pod_case(
            "[sig-node] Pod InPlace Resize Container should restart for a resource whose policy says so",
            restart_policy,
        ),
    ]
}

fn resources(cpu: &str, memory: &str) -> Value {
    let both = json!({"cpu": cpu, "memory": memory});
    json!({"requests": both, "limits": both})
}

fn container(test: &Test, cpu: &str, memory: &str) -> Value {
    let mut container = test.pause("c");
    container["resources"] = resources(cpu, memory);
    container
}

async fn resized(test: &Test, cpu: &str) -> Result<Value> {
    let expected = format!("to have {cpu} of CPU in force");
    test.pods()
        .wait("p", &expected, |pod| {
            pod["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"] == cpu
        })
        .await
}

/// The limits as the kernel has them.
async fn in_force(test: &Test, cpu: &str, memory: &str) -> Result<()> {
    let read = test.exec_ok("p", "c", &["limits"]).await?;
    expect_eq("the limits", &json!(read), &json!(format!("cpu={cpu} 100000 memory={memory}\n")))
}

async fn guaranteed(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [container(&test, "100m", "100Mi")]}))).await?;
    in_force(&test, "10000", "104857600").await?;
    for (cpu, memory, quota, bytes) in
        [("200m", "200Mi", "20000", "209715200"), ("150m", "150Mi", "15000", "157286400")]
    {
        let body =
            json!({"spec": {"containers": [{"name": "c", "resources": resources(cpu, memory)}]}});
        test.pods().patch("p/resize", Patch::Strategic, body).await?;
        let pod = resized(&test, cpu).await?;
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        expect_eq("the restarts", restarts, &json!(0))?;
        in_force(&test, quota, bytes).await?;
    }
    Ok(())
}

async fn replaced(test: Test) -> Result<()> {
    test.start(test.pod("p", json!({"containers": [container(&test, "100m", "100Mi")]}))).await?;
    let change =
        |pod: &mut Value| pod["spec"]["containers"][0]["resources"] = resources("200m", "100Mi");
    let mut plain = test.pods().get("p").await?;
    change(&mut plain);
    expect_refusal(test.pods().replace(&plain).await, 422, "Invalid")?;
    test.pods().change("p/resize", change).await?;
    resized(&test, "200m").await?;
    in_force(&test, "20000", "104857600").await?;
    let other = |pod: &mut Value| pod["spec"]["containers"][0]["resources"] = json!({});
    expect_refusal(test.pods().change("p/resize", other).await, 422, "Invalid").map(drop)
}

async fn restart_policy(test: Test) -> Result<()> {
    let mut container = container(&test, "100m", "100Mi");
    container["resizePolicy"] = json!([
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
    ]);
    let spec = json!({"restartPolicy": "Always", "containers": [container]});
    test.start(test.pod("p", spec)).await?;
    let body =
        json!({"spec": {"containers": [{"name": "c", "resources": resources("100m", "200Mi")}]}});
    test.pods().patch("p/resize", Patch::Strategic, body).await?;
    let again = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["restartCount"] == 1 && crate::test::is_ready(pod)
    };
    test.pods().wait("p", "to be restarted for its memory", again).await?;
    in_force(&test, "10000", "209715200").await
}
