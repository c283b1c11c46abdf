//! The identity and the privileges of a container's process.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::expect_refusal;
use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    let title = |rest: &str| format!("[sig-node] Security Context {rest} [Conformance]");
    vec![
        pod_case(
            &title(
                "When creating a container with runAsUser should run the container with uid 65534 \
                 [LinuxOnly] [NodeConformance]",
            ),
            |test| as_user(test, json!({}), json!({"runAsUser": 65534}), "Uid: 65534", ""),
        ),
        pod_case(
            &title(
                "should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup \
                 [LinuxOnly]",
            ),
            |test| {
                let pod = json!({"runAsUser": 1001, "runAsGroup": 2002});
                as_user(test, pod, json!({}), "Uid: 1001", "Gid: 2002")
            },
        ),
        pod_case(
            &title(
                "should support container.SecurityContext.RunAsUser And \
                 container.SecurityContext.RunAsGroup [LinuxOnly]",
            ),
            |test| {
                let container = json!({"runAsUser": 1001, "runAsGroup": 2002});
                as_user(test, json!({"runAsUser": 5}), container, "Uid: 1001", "Gid: 2002")
            },
        ),
        pod_case(
            "[sig-node] Security Context should support pod.Spec.SecurityContext.SupplementalGroups \
             [LinuxOnly]",
            |test| {
                as_user(
                    test,
                    json!({"supplementalGroups": [1234, 5678]}),
                    json!({}),
                    "1234 5678",
                    "",
                )
            },
        ),
        pod_case(
            &title(
                "When creating a pod with privileged should run the container as unprivileged when false \
                 [LinuxOnly] [NodeConformance]",
            ),
            unprivileged,
        ),
        pod_case(
            &title(
                "When creating a pod with readOnlyRootFilesystem should run the container with writable \
                 rootfs when readOnlyRootFilesystem=false [NodeConformance]",
            ),
            writable,
        ),
        pod_case(
            "[sig-node] Kubelet when scheduling a read only busybox container should not write to root \
             filesystem [LinuxOnly] [NodeConformance] [Conformance]",
            read_only,
        ),
        pod_case(
            &title(
                "when creating containers with AllowPrivilegeEscalation should not allow privilege \
                 escalation when false [LinuxOnly] [NodeConformance]",
            ),
            no_escalation,
        ),
        pod_case(
            "[sig-node] Security Context When creating a container with runAsNonRoot should not run \
             with an explicit root user ID [LinuxOnly]",
            non_root,
        ),
        pod_case(
            "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls \
             [Environment:NotInUserNS] [Conformance]",
            sysctls,
        ),
        pod_case(
            "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [Conformance]",
            invalid_sysctls,
        ),
        pod_case("[sig-node] Security Context should drop and add capabilities", capabilities),
        pod_case(
            "[sig-node] Security Context should confine by the runtime's seccomp profile",
            seccomp,
        ),
    ]
}

async fn id(test: &Test, pod: Value, container: Value) -> Result<String> {
    let spec = json!({"securityContext": pod, "containers": [{"securityContext": container}]});
    test.output(spec, &["id"]).await
}

async fn as_user(test: Test, pod: Value, container: Value, user: &str, group: &str) -> Result<()> {
    let log = id(&test, pod, container).await?;
    expect_in("the identity", &log, user)?;
    expect_in("the identity", &log, group)
}

/// The effective capabilities as a number.
fn effective(log: &str) -> Result<u64> {
    let line = log.lines().find_map(|line| line.strip_prefix("CapEff: "));
    let line = line.ok_or_else(|| anyhow::anyhow!("no capabilities in {log:?}"))?;
    Ok(u64::from_str_radix(line, 16)?)
}

const CHOWN: u64 = 1;
const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;

async fn unprivileged(test: Test) -> Result<()> {
    let held = effective(&id(&test, json!({}), json!({"privileged": false})).await?)?;
    anyhow::ensure!(held & (NET_ADMIN | SYS_ADMIN) == 0, "unprivileged, but holds {held:#x}");
    anyhow::ensure!(held & CHOWN != 0, "lacks the default capabilities: {held:#x}");
    Ok(())
}

async fn capabilities(test: Test) -> Result<()> {
    let change = json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}});
    let held = effective(&id(&test, json!({}), change).await?)?;
    expect_eq("the capabilities", &json!(held), &json!(NET_ADMIN))
}

async fn seccomp(test: Test) -> Result<()> {
    let profile = |kind: &str| json!({"seccompProfile": {"type": kind}});
    let confined = id(&test, profile("RuntimeDefault"), json!({})).await?;
    expect_in("with RuntimeDefault", &confined, "Seccomp: 2")?;
    let free = id(&test, profile("Unconfined"), json!({})).await?;
    expect_in("with Unconfined", &free, "Seccomp: 0")
}

async fn writable(test: Test) -> Result<()> {
    let spec = json!({"containers": [{"securityContext": {"readOnlyRootFilesystem": false}}]});
    let log = test.output(spec, &["write /checkfile written", "cat /checkfile"]).await?;
    expect_in("the file", &log, "written")
}

async fn read_only(test: Test) -> Result<()> {
    let spec = json!({"containers": [{"securityContext": {"readOnlyRootFilesystem": true}}]});
    let log = test.output(spec, &["refused /checkfile"]).await?;
    expect_in("the attempt", &log, "/checkfile: not writable")
}

async fn no_escalation(test: Test) -> Result<()> {
    let strict = json!({"allowPrivilegeEscalation": false, "runAsUser": 1000});
    let log = id(&test, json!({}), strict).await?;
    expect_in("with allowPrivilegeEscalation false", &log, "NoNewPrivs: 1")?;
    let loose = json!({"allowPrivilegeEscalation": true, "runAsUser": 1000});
    let log = id(&test, json!({}), loose).await?;
    expect_in("with allowPrivilegeEscalation true", &log, "NoNewPrivs: 0")
}

async fn non_root(test: Test) -> Result<()> {
    let context = json!({"runAsNonRoot": true, "runAsUser": 0});
    let spec = json!({"containers": [{"args": ["pause"], "securityContext": context}]});
    test.pods().create(test.pod("p", spec)).await?;
    let refused = |pod: &Value| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError"
    };
    let pod = test.pods().wait("p", "not to start its container", refused).await?;
    let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    let message = message.as_str().unwrap_or_default();
    expect_in("the message", message, "container's runAsUser breaks non-root policy")
}

async fn sysctls(test: Test) -> Result<()> {
    let value = json!([{"name": "kernel.shm_rmid_forced", "value": "1"}]);
    let spec = json!({"securityContext": {"sysctls": value}});
    let log = test.output(spec, &["cat /proc/sys/kernel/shm_rmid_forced"]).await?;
    expect_eq("the parameter", &json!(log.trim()), &json!("1"))
}

async fn invalid_sysctls(test: Test) -> Result<()> {
    let value = json!([
        {"name": "foo-", "value": "bar"}, {"name": "kernel.shmmax", "value": "100000000"},
        {"name": "safe-and-unsafe", "value": "100000000"}, {"name": "bar..", "value": "42"},
    ]);
    let spec = json!({"securityContext": {"sysctls": value}, "containers": [{}]});
    let refused = test.pods().create(test.pod("p", spec)).await;
    let refusal = expect_refusal(refused, 422, "Invalid")?;
    for name in ["foo-", "bar.."] {
        expect_in("the refusal", refusal.message(), &format!("Invalid value: \"{name}\""))?;
    }
    anyhow::ensure!(!refusal.message().contains("kernel.shmmax"), "a valid name is refused");
    Ok(())
}
