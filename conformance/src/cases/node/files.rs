//! Files that the kubelet writes into containers.

use anyhow::Result;
use serde_json::json;

use crate::case::{Case, pod_case};
use crate::test::{Test, expect_eq, expect_in};

pub(super) fn cases() -> Vec<Case> {
    vec![
        pod_case(
            "[sig-node] Kubelet when scheduling an agnhost Pod with hostAliases should write entries to \
             /etc/hosts [NodeConformance] [Conformance]",
            aliases,
        ),
        pod_case(
            "[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file \
             [NodeConformance] [Conformance]",
            managed,
        ),
        pod_case("[sig-node] Pods should be given their host name and subdomain", host_name),
    ]
}

async fn aliases(test: Test) -> Result<()> {
    let alias = json!([{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]);
    let log = test.output(json!({"hostAliases": alias}), &["cat /etc/hosts"]).await?;
    expect_in("/etc/hosts", &log, "# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n")
}

async fn managed(test: Test) -> Result<()> {
    const MARK: &str = "# Kubernetes-managed hosts file.";
    let map = json!({"metadata": {"name": "m"}, "data": {"hosts": "1.2.3.4 mine\n"}});
    test.of(&crate::api::CONFIG_MAP).create(map).await?;
    let mut own = test.pause("own");
    own["volumeMounts"] = json!([{"name": "v", "mountPath": "/etc/hosts", "subPath": "hosts"}]);
    let spec = json!({
        "volumes": [{"name": "v", "configMap": {"name": "m"}}],
        "containers": [test.pause("plain"), own],
    });
    test.start(test.pod("p", spec)).await?;
    let plain = test.exec_ok("p", "plain", &["cat /etc/hosts"]).await?;
    expect_in("the managed file", &plain, MARK)?;
    let own = test.exec_ok("p", "own", &["cat /etc/hosts"]).await?;
    expect_eq("the container's own file", &json!(own), &json!("1.2.3.4 mine\n"))?;
    let spec = json!({"hostNetwork": true, "containers": [test.pause("host")]});
    test.start(test.pod("h", spec)).await?;
    let host = test.exec_ok("h", "host", &["cat /etc/hosts"]).await?;
    anyhow::ensure!(
        !host.contains("# Kubernetes-managed hosts file.\n"),
        "a host network pod has {host}"
    );
    Ok(())
}

async fn host_name(test: Test) -> Result<()> {
    let spec = json!({"hostname": "named", "subdomain": "sub"});
    let log = test.output(spec, &["hostname", "cat /etc/hosts"]).await?;
    expect_in("the host name", &log, "named\n")?;
    let domain = format!("named.sub.{}.svc.", test.namespace);
    expect_in("/etc/hosts", &log, &domain)?;
    let plain = test.output(json!({}), &["hostname"]).await?;
    expect_in("the host name by default", &plain, "pod-")
}
