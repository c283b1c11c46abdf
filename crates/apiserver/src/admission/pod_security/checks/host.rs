//! Parts of their node that pods share.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Refusal, items, named, plural, quoted, setters, text};

pub(super) fn namespaces(pod: Pod<'_>) -> Option<Refusal> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec[field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| Refusal { reason: "host namespaces", detail: shared.join(", ") })
}

pub(super) fn ports(pod: Pod<'_>) -> Option<Refusal> {
    // Sorted as text, as upstream's.
    let mut found = BTreeSet::new();
    let containers = pod.containers_where(|container| {
        let ports = || items(&container["ports"]).filter_map(|p| p["hostPort"].as_i64());
        let ports = || ports().filter(|port| *port != 0);
        found.extend(ports().map(|port| port.to_string()));
        ports().next().is_some()
    });
    (!containers.is_empty()).then(|| Refusal {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            named(&containers),
            plural("uses", "use", containers.len()),
            plural("hostPort", "hostPorts", found.len()),
            found.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// The hosts that a probe or handler connects to instead of the pod.
fn hosts(of: &Value) -> impl Iterator<Item = &str> {
    let host = |action: &str| text(&of[action]["host"]);
    [host("httpGet"), host("tcpSocket")].into_iter().filter(|host| !host.is_empty())
}

pub(super) fn probes(pod: Pod<'_>) -> Option<Refusal> {
    let mut found = BTreeSet::new();
    let containers: BTreeSet<&str> = pod
        .containers_where(|container| {
            let probes = ["livenessProbe", "readinessProbe", "startupProbe"];
            let handlers = ["postStart", "preStop"];
            let all = probes.into_iter().map(|probe| &container[probe]);
            let all = all.chain(handlers.into_iter().map(|at| &container["lifecycle"][at]));
            let hosts: Vec<&str> = all.flat_map(hosts).collect();
            found.extend(hosts.iter().copied());
            !hosts.is_empty()
        })
        .into_iter()
        .collect();
    let containers: Vec<&str> = containers.into_iter().collect();
    (!containers.is_empty()).then(|| Refusal {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            named(&containers),
            plural("uses", "use", containers.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", found.len()),
            quoted(found)
        ),
    })
}

const SAFE: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
];
const SAFE_1_27: &[&str] = &["net.ipv4.ip_local_reserved_ports"];
const SAFE_1_29: &[&str] = &[
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];
const SAFE_1_32: &[&str] = &["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];
const SAFE_1_37: &[&str] = &["net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"];

fn unsafe_sysctls(pod: Pod<'_>, safe: &[&[&str]]) -> Option<Refusal> {
    let found: Vec<&str> = items(&pod.context()["sysctls"])
        .map(|sysctl| text(&sysctl["name"]))
        .filter(|name| !safe.iter().any(|list| list.contains(name)))
        .collect();
    (!found.is_empty()).then(|| Refusal { reason: "forbidden sysctls", detail: found.join(", ") })
}

pub(super) fn sysctls(pod: Pod<'_>) -> Option<Refusal> {
    unsafe_sysctls(pod, &[SAFE])
}

pub(super) fn sysctls_1_27(pod: Pod<'_>) -> Option<Refusal> {
    unsafe_sysctls(pod, &[SAFE, SAFE_1_27])
}

pub(super) fn sysctls_1_29(pod: Pod<'_>) -> Option<Refusal> {
    unsafe_sysctls(pod, &[SAFE, SAFE_1_27, SAFE_1_29])
}

pub(super) fn sysctls_1_32(pod: Pod<'_>) -> Option<Refusal> {
    unsafe_sysctls(pod, &[SAFE, SAFE_1_27, SAFE_1_29, SAFE_1_32])
}

pub(super) fn sysctls_1_37(pod: Pod<'_>) -> Option<Refusal> {
    unsafe_sysctls(pod, &[SAFE, SAFE_1_27, SAFE_1_29, SAFE_1_32, SAFE_1_37])
}

/// Containers of Windows that are processes of the node.
pub(super) fn process(pod: Pod<'_>) -> Option<Refusal> {
    let is_process = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let containers = pod.containers_where(|c| is_process(&c["securityContext"]));
    let setters = setters(is_process(pod.context()), &containers);
    (!setters.is_empty()).then(|| Refusal {
        reason: "hostProcess",
        detail: format!(
            "{} must not set securityContext.windowsOptions.hostProcess=true",
            setters.join(" and ")
        ),
    })
}
