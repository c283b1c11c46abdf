//! Privileges of containers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Refusal, items, named, quoted, text};

/// Capabilities that container runtimes give by default, without the raw network.
const DEFAULT: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities_of<'a>(container: &'a Value, list: &str) -> impl Iterator<Item = &'a str> {
    items(&container["securityContext"]["capabilities"][list]).map(text)
}

/// The containers that add capabilities which are not permitted, and these.
fn adding<'a>(pod: Pod<'a>, permitted: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let mut found = BTreeSet::new();
    let containers = pod.containers_where(|container| {
        let others = || capabilities_of(container, "add").filter(|c| !permitted.contains(c));
        found.extend(others());
        others().next().is_some()
    });
    (containers, found)
}

fn must_not_add(containers: &[&str], capabilities: &BTreeSet<&str>) -> String {
    format!(
        "{} must not include {} in securityContext.capabilities.add",
        named(containers),
        quoted(capabilities)
    )
}

pub(super) fn added_capabilities(pod: Pod<'_>) -> Option<Refusal> {
    let (containers, found) = adding(pod, DEFAULT);
    (!containers.is_empty()).then(|| Refusal {
        reason: "non-default capabilities",
        detail: must_not_add(&containers, &found),
    })
}

pub(super) fn capabilities(pod: Pod<'_>) -> Option<Refusal> {
    let keeping = pod.containers_where(|c| !capabilities_of(c, "drop").any(|c| c == "ALL"));
    let (containers, found) = adding(pod, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let named = named(&keeping);
        details.push(format!("{named} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !containers.is_empty() {
        details.push(must_not_add(&containers, &found));
    }
    (!details.is_empty())
        .then(|| Refusal { reason: "unrestricted capabilities", detail: details.join("; ") })
}

/// Pods for Windows cannot have capabilities.
pub(super) fn capabilities_on_linux(pod: Pod<'_>) -> Option<Refusal> {
    if pod.is_windows() { None } else { capabilities(pod) }
}

pub(super) fn privileged(pod: Pod<'_>) -> Option<Refusal> {
    let containers = pod.containers_where(|c| c["securityContext"]["privileged"] == true);
    (!containers.is_empty()).then(|| Refusal {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", named(&containers)),
    })
}

pub(super) fn escalation(pod: Pod<'_>) -> Option<Refusal> {
    let may = |c: &Value| c["securityContext"]["allowPrivilegeEscalation"] != false;
    let containers = pod.containers_where(may);
    (!containers.is_empty()).then(|| Refusal {
        reason: "allowPrivilegeEscalation != false",
        detail: format!(
            "{} must set securityContext.allowPrivilegeEscalation=false",
            named(&containers)
        ),
    })
}

/// Pods for Windows cannot have the field.
pub(super) fn escalation_on_linux(pod: Pod<'_>) -> Option<Refusal> {
    if pod.is_windows() { None } else { escalation(pod) }
}
