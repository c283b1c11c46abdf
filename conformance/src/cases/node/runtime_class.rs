//! Runtime classes.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{RUNTIME_CLASS, expect_refusal};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| {
        format!("[sig-node] RuntimeClass should {rest} [NodeConformance] [Conformance]")
    };
    vec![
        case(&title("reject a Pod requesting a non-existent RuntimeClass"), absent),
        case(&title("reject a Pod requesting a deleted RuntimeClass"), deleted),
        pod_case(&title("schedule a Pod requesting a RuntimeClass without PodOverhead"), plain),
        pod_case(
            &title("schedule a Pod requesting a RuntimeClass and initialize its Overhead"),
            overhead,
        ),
    ]
}

async fn absent(test: Test) -> Result<()> {
    let spec = json!({"runtimeClassName": test.unique("absent"), "containers": [{}]});
    expect_refusal(test.pods().create(test.pod("p", spec)).await, 403, "Forbidden").map(drop)
}

async fn make(test: &Test, object: Value) -> Result<String> {
    let name = test.unique("class");
    let mut object = object;
    object["metadata"]["name"] = name.clone().into();
    test.cluster.all(&RUNTIME_CLASS).create(object).await?;
    Ok(name)
}

async fn deleted(test: Test) -> Result<()> {
    let class = make(&test, json!({"handler": "anything"})).await?;
    let classes = test.cluster.all(&RUNTIME_CLASS);
    classes.delete(&class).await?;
    classes.wait_gone(&class).await?;
    let spec = json!({"runtimeClassName": class, "containers": [{}]});
    expect_refusal(test.pods().create(test.pod("p", spec)).await, 403, "Forbidden").map(drop)
}

/// The handler of containerd's and CRI-O's usual configuration.
const USUAL: &str = "runc";

/// The name of a handler that the nodes report, else the usual one.
async fn handler(test: &Test) -> Result<String> {
    let nodes = test.cluster.all(&crate::api::NODE).items("").await?;
    let reported = nodes.iter().flat_map(|node| node["status"]["runtimeHandlers"].as_array());
    let mut names = reported.flatten().filter_map(|handler| handler["name"].as_str());
    let name = names.find(|name| !name.is_empty());
    Ok(name.unwrap_or(USUAL).to_owned())
}

async fn plain(test: Test) -> Result<()> {
    let class = make(&test, json!({"handler": handler(&test).await?})).await?;
    let spec = json!({"runtimeClassName": class, "containers": [test.pause("c")]});
    let pod = test.pods().create(test.pod("p", spec)).await?;
    expect_eq("the overhead", &pod["spec"]["overhead"], &Value::Null)?;
    scheduled(&test).await
}

async fn overhead(test: Test) -> Result<()> {
    let fixed = json!({"cpu": "10m", "memory": "1Mi"});
    let object = json!({"handler": handler(&test).await?, "overhead": {"podFixed": fixed}});
    let class = make(&test, object).await?;
    let spec = json!({"runtimeClassName": class, "containers": [test.pause("c")]});
    let pod = test.pods().create(test.pod("p", spec)).await?;
    expect_eq("the overhead", &pod["spec"]["overhead"], &fixed)?;
    scheduled(&test).await
}

async fn scheduled(test: &Test) -> Result<()> {
    let placed = |pod: &Value| crate::test::condition(pod, "PodScheduled")["status"] == "True";
    test.pods().wait("p", "to be scheduled", placed).await.map(drop)
}
