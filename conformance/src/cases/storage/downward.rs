//! The pod about itself, as files.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::Patch;
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (area, projected) in [("Downward API volume", false), ("Projected downwardAPI", true)] {
        let mut resource = |rest: &str,
                            field: &'static str,
                            set: bool,
                            expected: Option<&'static str>| {
            let title = format!(
                "[sig-storage] {area} should provide {rest} [NodeConformance] [Conformance]"
            );
            cases.push(pod_case(&title, move |test| value(test, projected, field, set, expected)));
        };
        resource("container's cpu limit", "limits.cpu", true, Some("38"));
        resource("container's memory limit", "limits.memory", true, Some("67108864"));
        resource("container's cpu request", "requests.cpu", true, Some("1"));
        resource("container's memory request", "requests.memory", true, Some("33554432"));
        resource(
            "node allocatable (cpu) as default cpu limit if the limit is not set",
            "limits.cpu",
            false,
            None,
        );
        resource(
            "node allocatable (memory) as default memory limit if the limit is not set",
            "limits.memory",
            false,
            None,
        );
        let title = |rest: &str| format!("[sig-storage] {area} should {rest} [Conformance]");
        cases.push(pod_case(&title("provide podname only [NodeConformance]"), move |test| {
            podname(test, projected, None, None)
        }));
        cases.push(pod_case(
            &title("set DefaultMode on files [LinuxOnly] [NodeConformance]"),
            move |test| podname(test, projected, Some(0o400), None),
        ));
        cases.push(pod_case(
            &title("set mode on item file [LinuxOnly] [NodeConformance]"),
            move |test| podname(test, projected, None, Some(0o400)),
        ));
        for what in ["labels", "annotations"] {
            let title = title(&format!("update {what} on modification [NodeConformance]"));
            cases.push(pod_case(&title, move |test| follows(test, projected, what)));
        }
    }
    cases
}

fn volume(projected: bool, items: Value, mode: Option<i32>) -> Value {
    let mut source = json!({"items": items});
    if projected {
        source = json!({"sources": [{"downwardAPI": source}]});
    }
    if let Some(mode) = mode {
        source["defaultMode"] = mode.into();
    }
    let kind = if projected { "projected" } else { "downwardAPI" };
    json!([{"name": "v", kind: source}])
}

/// A resource of the container as the volume tells it; of the node, where none is set.
async fn value(
    test: Test,
    projected: bool,
    field: &str,
    set: bool,
    expected: Option<&str>,
) -> Result<()> {
    let items = json!([{"path": "value",
        "resourceFieldRef": {"containerName": "c", "resource": field}}]);
    let mut container = json!({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    if set {
        container["resources"] = json!({"requests": {"cpu": "250m", "memory": "32Mi"},
            "limits": {"cpu": "37500m", "memory": "64Mi"}});
    }
    let spec = json!({"volumes": volume(projected, items, None), "containers": [container]});
    let log = test.output(spec, &["print value", "cat /v/value"]).await?;
    if let Some(expected) = expected {
        return expect_in("the volume's file", &log, &format!("value\n{expected}\n"));
    }
    let pod = test.pods().items("").await?.pop().unwrap_or_default();
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let node = test.cluster.all(&crate::api::NODE).get(node).await?;
    let allocatable = &node["status"]["allocatable"];
    let amount = match field {
        "limits.cpu" => crate::quantity::cores_up(&allocatable["cpu"])?,
        _ => crate::quantity::bytes(&allocatable["memory"])?,
    };
    expect_in("the volume's file", &log, &format!("value\n{amount}\n"))
}

async fn podname(
    test: Test,
    projected: bool,
    mode: Option<i32>,
    item_mode: Option<i32>,
) -> Result<()> {
    let mut item = json!({"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}});
    if let Some(mode) = item_mode {
        item["mode"] = mode.into();
    }
    let spec = json!({
        "volumes": volume(projected, json!([item]), mode),
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    let log = test.output(spec, &["print name", "cat /v/podname", "stat /v/podname"]).await?;
    let pod = test.pods().items("").await?.pop().unwrap_or_default();
    expect_in("the pod's name", &log, &format!("name\n{}\n", crate::test::name(&pod)))?;
    let mode = item_mode.or(mode).unwrap_or(0o644);
    expect_in("the file's mode", &log, &format!("mode={mode:04o}"))
}

async fn follows(test: Test, projected: bool, what: &str) -> Result<()> {
    let items = json!([{"path": "file", "fieldRef": {"fieldPath": format!("metadata.{what}")}}]);
    let mut container = test.pause("c");
    container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let spec = json!({"volumes": volume(projected, items, None), "containers": [container]});
    let mut pod = test.pod("p", spec);
    pod["metadata"][what]["key1"] = "value1".into();
    test.start(pod).await?;
    test.exec_ok("p", "c", &["await /v/file key1=\"value1\""]).await?;
    test.pods().patch("p", Patch::Merge, json!({"metadata": {what: {"key3": "value3"}}})).await?;
    test.exec_ok("p", "c", &["await /v/file key3=\"value3\""]).await.map(drop)
}
