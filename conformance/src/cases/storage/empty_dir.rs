//! Empty directories on disk and in memory.

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{Case, pod_case};
use crate::test::{Test, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for user in ["root", "non-root"] {
        for mode in ["0644", "0666", "0777"] {
            for medium in ["default", "tmpfs"] {
                let title = format!(
                    "[sig-storage] EmptyDir volumes should support ({user},{mode},{medium}) [LinuxOnly] \
                     [NodeConformance] [Conformance]"
                );
                cases.push(pod_case(&title, move |test| file(test, user, mode, medium)));
            }
        }
    }
    for medium in ["default medium", "tmpfs"] {
        let title = format!(
            "[sig-storage] EmptyDir volumes volume on {medium} should have the correct mode [LinuxOnly] \
             [NodeConformance] [Conformance]"
        );
        cases.push(pod_case(&title, move |test| directory(test, medium)));
    }
    cases.push(pod_case(
        "[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]",
        shared,
    ));
    cases
}

fn volume(medium: &str) -> Value {
    let source = if medium == "tmpfs" { json!({"medium": "Memory"}) } else { json!({}) };
    json!([{"name": "v", "emptyDir": source}])
}

fn expect_medium(medium: &str, log: &str) -> Result<()> {
    match medium {
        "tmpfs" => expect_in("the file system", log, "/v: tmpfs"),
        _ if log.contains("/v: tmpfs") => anyhow::bail!("a volume on disk is in memory: {log}"),
        _ => Ok(()),
    }
}

async fn file(test: Test, user: &str, mode: &str, medium: &str) -> Result<()> {
    let id = if user == "root" { 0 } else { 1001 };
    let spec = json!({
        "securityContext": {"runAsUser": id},
        "volumes": volume(medium),
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    let create = format!("create /v/f {mode}");
    let steps = ["fstype /v", &create, "write /v/f content", "cat /v/f", "stat /v/f", "ls /v"];
    let log = test.output(spec, &steps).await?;
    expect_medium(medium, &log)?;
    expect_in("the file's content", &log, "content\n")?;
    expect_in("the file", &log, &format!("/v/f: mode={mode} uid={id}"))
}

async fn directory(test: Test, medium: &str) -> Result<()> {
    let spec = json!({
        "volumes": volume(medium),
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    });
    let log = test.output(spec, &["fstype /v", "stat /v"]).await?;
    expect_medium(medium, &log)?;
    expect_in("the directory", &log, "/v: mode=0777 uid=0")
}

async fn shared(test: Test) -> Result<()> {
    let mount = json!([{"name": "v", "mountPath": "/v"}]);
    let mut writer = test.container("writer", &["write /v/f from the writer", "hold"]);
    writer["volumeMounts"] = mount.clone();
    let mut reader = test.container("reader", &["await /v/f", "sleep 1", "cat /v/f", "hold"]);
    reader["volumeMounts"] = mount;
    let spec = json!({"volumes": volume("default"), "containers": [writer, reader]});
    test.start(test.pod("shared", spec)).await?;
    let read = test.exec_ok("shared", "reader", &["await /v/f", "cat /v/f"]).await?;
    expect_in("what the reader sees", &read, "from the writer")
}
