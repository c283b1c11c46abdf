//! Volumes that follow their objects.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{CONFIG_MAP, Kind, Patch, SECRET};
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![pod_case(
        "[sig-storage] ConfigMap binary data should be reflected in volume [NodeConformance] [Conformance]",
        binary,
    )];
    for (title, kind, projected) in [
        ("ConfigMap", CONFIG_MAP, false),
        ("Projected configMap", CONFIG_MAP, true),
        ("Secrets", SECRET, false),
        ("Projected secret", SECRET, true),
    ] {
        let optional = format!(
            "[sig-storage] {title} optional updates should be reflected in volume [NodeConformance] [Conformance]"
        );
        let of = kind.clone();
        cases.push(pod_case(&optional, move |test| optional_updates(test, of.clone(), projected)));
        if kind == CONFIG_MAP {
            let plain = format!(
                "[sig-storage] {title} updates should be reflected in volume [NodeConformance] [Conformance]"
            );
            cases.push(pod_case(&plain, move |test| updates(test, projected)));
        }
    }
    cases
}

fn object(kind: &Kind, name: &str, value: &str) -> Value {
    let field = if *kind == SECRET { "stringData" } else { "data" };
    json!({"metadata": {"name": name}, field: {"data-1": value}})
}

fn volume(kind: &Kind, name: &str, projected: bool) -> Value {
    let secret = *kind == SECRET;
    let source = if secret { "secret" } else { "configMap" };
    if projected {
        return json!({"name": name, "projected": {"sources": [{source: {"name": name, "optional": true}}]}});
    }
    let key = if secret { "secretName" } else { "name" };
    json!({"name": name, source: {key: name, "optional": true}})
}

fn pod(test: &Test, kind: &Kind, names: &[&str], projected: bool) -> Value {
    let volumes: Vec<Value> = names.iter().map(|name| volume(kind, name, projected)).collect();
    let mounts: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
    let mut container = test.pause("c");
    container["volumeMounts"] = json!(mounts);
    test.pod("p", json!({"volumes": volumes, "containers": [container]}))
}

async fn updates(test: Test, projected: bool) -> Result<()> {
    let maps = test.of(&CONFIG_MAP);
    maps.create(object(&CONFIG_MAP, "updated", "value-1")).await?;
    test.start(pod(&test, &CONFIG_MAP, &["updated"], projected)).await?;
    test.exec_ok("p", "c", &["await /updated/data-1 value-1"]).await?;
    maps.patch("updated", Patch::Merge, json!({"data": {"data-1": "value-2"}})).await?;
    test.exec_ok("p", "c", &["await /updated/data-1 value-2"]).await.map(drop)
}

async fn optional_updates(test: Test, kind: Kind, projected: bool) -> Result<()> {
    let objects = test.of(&kind);
    objects.create(object(&kind, "deleted", "value-1")).await?;
    objects.create(object(&kind, "updated", "value-1")).await?;
    test.start(pod(&test, &kind, &["deleted", "updated", "created"], projected)).await?;
    let before = ["cat /deleted/data-1", "cat /updated/data-1", "missing /created/data-1"];
    test.exec_ok("p", "c", &before).await?;
    objects.delete("deleted").await?;
    let field = if kind == SECRET { "stringData" } else { "data" };
    objects.patch("updated", Patch::Merge, json!({field: {"data-1": "value-2"}})).await?;
    objects.create(object(&kind, "created", "value-1")).await?;
    let after = [
        "await /created/data-1 value-1",
        "await /updated/data-1 value-2",
        "await /deleted/data-1 -",
    ];
    test.exec_ok("p", "c", &after).await.map(drop)
}

async fn binary(test: Test) -> Result<()> {
    let bytes = STANDARD.encode([0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff]);
    let object = json!({"metadata": {"name": "m"}, "data": {"text": "t"}, "binaryData": {"dump.bin": bytes}});
    test.of(&CONFIG_MAP).create(object).await?;
    let spec = json!({
        "volumes": [{"name": "v", "configMap": {"name": "m"}}],
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    let log = test.output(spec, &["cat /v/text", "stat /v/dump.bin", "hex /v/dump.bin"]).await?;
    expect_in("the binary file", &log, "size=7")?;
    expect_in("its bytes", &log, "decafebad0feff")
}
