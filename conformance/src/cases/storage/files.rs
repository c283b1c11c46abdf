//! Volumes of other sources.

use anyhow::Result;
use serde_json::json;

use crate::api::{CONFIG_MAP, CSI_DRIVER, SECRET};
use crate::case::{Case, case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-storage] Projected combined should project all components that make up the projection \
             API [Projection] [NodeConformance] [Conformance]",
            combined,
        ),
        pod_case(
            "[sig-storage] Secrets should be able to mount in a volume regardless of a different secret \
             existing with same name in different namespace [NodeConformance] [Conformance]",
            other_namespace,
        ),
        pod_case(
            "[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]",
            wrappers,
        ),
        pod_case(
            "[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for \
             configmaps [Serial] [Conformance]",
            many_wrappers,
        ),
        case(
            "[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]",
            csi_inline,
        ),
        pod_case("[sig-storage] HostPath should be refused for what is not of its type", host_path),
    ]
}

async fn combined(test: Test) -> Result<()> {
    let map = json!({"metadata": {"name": "m"}, "data": {"map-key": "from the map"}});
    test.of(&CONFIG_MAP).create(map).await?;
    let secret =
        json!({"metadata": {"name": "s"}, "stringData": {"secret-key": "from the secret"}});
    test.of(&SECRET).create(secret).await?;
    let field = json!({"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}});
    let spec = json!({
        "volumes": [{"name": "all", "projected": {"sources": [
            {"configMap": {"name": "m", "items": [{"key": "map-key", "path": "map-data"}]}},
            {"secret": {"name": "s", "items": [{"key": "secret-key", "path": "secret-data"}]}},
            {"downwardAPI": {"items": [field]}},
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        ]}}],
        "containers": [{"volumeMounts": [{"name": "all", "mountPath": "/all"}]}],
    });
    let steps = [
        "cat /all/map-data",
        "cat /all/secret-data",
        "cat /all/podname",
        "stat /all/token",
        "ls /all",
    ];
    let log = test.output(spec, &steps).await?;
    for part in ["from the map\n", "from the secret\n", "pod-", "/all/token: mode="] {
        expect_in("the log", &log, part)?;
    }
    Ok(())
}

async fn other_namespace(test: Test) -> Result<()> {
    let other = test.namespace("other").await?;
    let secret = |value: &str| json!({"metadata": {"name": "same"}, "stringData": {"k": value}});
    test.cluster.namespaced(&SECRET, &other).create(secret("theirs")).await?;
    test.of(&SECRET).create(secret("ours")).await?;
    let spec = json!({
        "volumes": [{"name": "v", "secret": {"secretName": "same"}}],
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    expect_in("the log", &test.output(spec, &["cat /v/k"]).await?, "ours")
}

async fn wrappers(test: Test) -> Result<()> {
    test.of(&CONFIG_MAP).create(json!({"metadata": {"name": "m"}, "data": {"a": "map"}})).await?;
    test.of(&SECRET)
        .create(json!({"metadata": {"name": "s"}, "stringData": {"a": "secret"}}))
        .await?;
    let spec = json!({
        "volumes": [{"name": "m", "configMap": {"name": "m"}}, {"name": "s", "secret": {"secretName": "s"}}],
        "containers": [{"volumeMounts": [
            {"name": "m", "mountPath": "/etc/volume/m"}, {"name": "s", "mountPath": "/etc/volume/s"},
        ]}],
    });
    let log = test.output(spec, &["cat /etc/volume/m/a", "cat /etc/volume/s/a"]).await?;
    expect_in("the log", &log, "map\nsecret\n")
}

async fn host_path(test: Test) -> Result<()> {
    let spec = json!({
        "volumes": [{"name": "v", "hostPath": {"path": "/etc/passwd", "type": "Directory"}}],
        "containers": [{"args": ["pause"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    test.pods().create(test.pod("p", spec)).await?;
    let events = test.of(&crate::api::CORE_EVENT);
    events
        .wait_all("", "an event FailedMount that says why", |events| {
            events.iter().any(|event| {
                let message = event["message"].as_str().unwrap_or_default();
                event["reason"] == "FailedMount" && message.contains("is not a directory")
            })
        })
        .await?;
    test.pods().get("p").await.and_then(|pod| {
        crate::test::expect_eq("the phase", &pod["status"]["phase"], &json!("Pending"))
    })
}

/// Many volumes of many maps, in several pods at once on one node.
async fn many_wrappers(test: Test) -> Result<()> {
    const MAPS: usize = 30;
    let maps = test.of(&CONFIG_MAP);
    let make = (0..MAPS).map(|index| {
        let object =
            json!({"metadata": {"name": format!("m{index}")}, "data": {"k": format!("v{index}")}});
        maps.create(object)
    });
    futures::future::try_join_all(make).await?;
    let volumes: Vec<_> = (0..MAPS)
        .map(|index| json!({"name": format!("v{index}"), "configMap": {"name": format!("m{index}")}}))
        .collect();
    let mounts: Vec<_> = (0..MAPS)
        .map(|index| json!({"name": format!("v{index}"), "mountPath": format!("/maps/{index}")}))
        .collect();
    let steps: Vec<String> = (0..MAPS).map(|index| format!("cat /maps/{index}/k")).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let expected: String = (0..MAPS).map(|index| format!("v{index}\n")).collect();
    let runs = (0..4).map(|_| {
        let spec = json!({"nodeName": test.nodes()[0], "volumes": volumes,
            "containers": [{"volumeMounts": mounts}]});
        test.output(spec, &steps)
    });
    for log in futures::future::try_join_all(runs).await? {
        expect_eq("what the volumes have", &json!(log), &json!(expected))?;
    }
    Ok(())
}

async fn csi_inline(test: Test) -> Result<()> {
    let driver = format!("{}.example.com", test.unique("inline"));
    let object = json!({"metadata": {"name": driver}, "spec": {"volumeLifecycleModes": ["Ephemeral"],
        "attachRequired": false, "podInfoOnMount": false}});
    test.cluster.all(&CSI_DRIVER).create(object).await?;
    let source = json!({"driver": driver, "readOnly": true, "volumeAttributes": {"kind": "e2e"}});
    let spec = json!({"schedulingGates": [{"name": "example.com/never"}],
        "volumes": [{"name": "inline", "csi": source}],
        "containers": [{"volumeMounts": [{"name": "inline", "mountPath": "/v", "readOnly": true}]}]});
    let made = test.pods().create(test.pod("p", spec)).await?;
    expect_eq("the volume's source", &made["spec"]["volumes"][0]["csi"], &source)?;
    let read = test.pods().get("p").await?;
    expect_eq("the source read", &read["spec"]["volumes"][0]["csi"], &source)?;
    let body = json!({"metadata": {"labels": {"stage": "patched"}}});
    test.pods().patch("p", crate::api::Patch::Merge, body).await?;
    let found = test.pods().items("labelSelector=stage=patched").await?;
    expect_eq("the pods of the label", &json!(found.len()), &json!(1))?;
    test.pods().delete("p").await?;
    test.pods().wait_gone("p").await
}
