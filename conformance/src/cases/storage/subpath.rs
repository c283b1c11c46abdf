//! Parts of volumes.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, CORE_EVENT, SECRET};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let atomic = |rest: &str| {
        format!(
            "[sig-storage] Subpath Atomic writer volumes should support subpaths with {rest} [Conformance]"
        )
    };
    vec![
        pod_case(&atomic("configmap pod"), |test| {
            mounted(test, json!({"configMap": {"name": "m"}}), "/v/f")
        }),
        pod_case(&atomic("configmap pod with mountPath of existing file"), |test| {
            mounted(test, json!({"configMap": {"name": "m"}}), "/etc/group")
        }),
        pod_case(&atomic("secret pod"), |test| {
            mounted(test, json!({"secret": {"secretName": "s"}}), "/v/f")
        }),
        pod_case(&atomic("projected pod"), |test| {
            let sources = json!([{"configMap": {"name": "m"}}]);
            mounted(test, json!({"projected": {"sources": sources}}), "/v/f")
        }),
        pod_case(&atomic("downward pod"), |test| {
            let field =
                json!({"path": "part", "fieldRef": {"fieldPath": "metadata.labels['name']"}});
            mounted(test, json!({"downwardAPI": {"items": [field]}}), "/v/f")
        }),
        pod_case(
            "[sig-node] Variable Expansion should allow substituting values in a volume subpath [Conformance]",
            expanded,
        ),
        pod_case(
            "[sig-node] Variable Expansion should succeed in writing subpaths in container [Conformance]",
            written,
        ),
        pod_case(
            "[sig-node] Variable Expansion should fail substituting values in a volume subpath with \
             absolute path [Conformance]",
            |test| refused(test, "/absolute"),
        ),
        pod_case(
            "[sig-node] Variable Expansion should fail substituting values in a volume subpath with \
             backticks [Conformance]",
            |test| refused(test, ".."),
        ),
        pod_case(
            "[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified \
             during the lifecycle of a container [Slow] [Conformance]",
            mended,
        ),
    ]
}

async fn mounted(test: Test, source: Value, path: &str) -> Result<()> {
    test.of(&CONFIG_MAP)
        .create(json!({"metadata": {"name": "m"}, "data": {"part": "the part"}}))
        .await?;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"part": "the part"}});
    test.of(&SECRET).create(secret).await?;
    let downward = source["downwardAPI"].is_object();
    let mut volume = source;
    volume["name"] = "v".into();
    let mounts = json!([{"name": "v", "mountPath": path, "subPath": "part"}]);
    let spec = json!({"volumes": [volume], "containers": [{"volumeMounts": mounts}]});
    let cat = format!("cat {path}");
    let log = test.output(spec, &[&cat]).await?;
    expect_in("the file of the subpath", &log, if downward { "pod-" } else { "the part" })
}

async fn expanded(test: Test) -> Result<()> {
    let spec = json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [{
            "name": "i", "args": ["do", "mkdir /whole/foo", "write /whole/foo/f inside"],
            "volumeMounts": [{"name": "v", "mountPath": "/whole"}],
        }],
        "containers": [{
            "env": [{"name": "PART", "value": "foo"}],
            "volumeMounts": [{"name": "v", "mountPath": "/part", "subPathExpr": "$(PART)"}],
        }],
    });
    expect_in("the file", &test.output(spec, &["cat /part/f"]).await?, "inside")
}

async fn written(test: Test) -> Result<()> {
    let name = json!({"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    let mut container = test.pause("c");
    container["env"] = json!([name]);
    container["volumeMounts"] = json!([
        {"name": "v", "mountPath": "/part", "subPathExpr": "$(POD)"},
        {"name": "v", "mountPath": "/whole"},
    ]);
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [container]});
    test.start(test.pod("writer", spec)).await?;
    let steps = ["write /part/f through the part", "cat /whole/writer/f"];
    expect_in("the file", &test.exec_ok("writer", "c", &steps).await?, "through the part")
}

async fn refused(test: Test, value: &str) -> Result<()> {
    let mut container = test.pause("c");
    container["env"] = json!([{"name": "PART", "value": value}]);
    container["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/part", "subPathExpr": "$(PART)"}]);
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [container]});
    test.pods().create(test.pod("p", spec)).await?;
    let refused = |pod: &Value| {
        let state = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
        matches!(state.as_str(), Some("CreateContainerConfigError" | "CreateContainerError"))
    };
    test.pods().wait("p", "not to start its container", refused).await?;
    let failed = |events: &[&Value]| events.iter().any(|event| event["reason"] == "Failed");
    test.of(&CORE_EVENT).wait_all("", "an event that says why", failed).await.map(drop)
}

/// The expansion reads an annotation that is wrong at first.
async fn mended(test: Test) -> Result<()> {
    let from = json!({"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}});
    let mut container = test.pause("c");
    container["env"] = json!([{"name": "PART", "valueFrom": from}]);
    container["volumeMounts"] = json!([
        {"name": "v", "mountPath": "/part", "subPathExpr": "$(PART)/p"},
        {"name": "v", "mountPath": "/whole"},
    ]);
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [container]});
    let mut pod = test.pod("p", spec);
    pod["metadata"]["annotations"] = json!({"mysubpath": "/absolute"});
    test.pods().create(pod).await?;
    let refused = |pod: &Value| {
        let state = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
        matches!(state.as_str(), Some("CreateContainerConfigError" | "CreateContainerError"))
    };
    test.pods().wait("p", "not to start its container", refused).await?;
    let body = json!({"metadata": {"annotations": {"mysubpath": "mypath"}}});
    test.pods().patch("p", crate::api::Patch::Merge, body).await?;
    test.ready("p").await?;
    let steps = ["write /part/f through the part", "cat /whole/mypath/p/f"];
    expect_in("the file", &test.exec_ok("p", "c", &steps).await?, "through the part")
}
