//! Rules for a pod's status and its transitions.

use std::collections::HashSet;

use apimachinery::{Object, names};
use serde_json::Value;

use super::allocated::{check_allocated, check_none_allocated};
use crate::registry::check::{Field, check};
use apimachinery::field::ErrorList;

const GENERATION: &str = "must be a non-negative integer";

/// Checks a write of the status.
pub(in crate::registry::core::pod) fn validate_status_update(
    pod: &Object,
    old: &Object,
) -> ErrorList {
    check(pod, |pod| {
        let (status, was, spec) = (pod.at("status"), &old["status"], pod.at("spec"));
        check_conditions(&status);
        check_nomination(&status, was, spec.str("nodeName"));
        if status.int("observedGeneration").is_some_and(|n| n < 0) {
            status.at("observedGeneration").invalid(GENERATION);
        }
        status.immutable("qosClass", was);
        for (field, list) in
            [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
        {
            check_transitions(&status, was, field, |name, code| {
                let mut containers = spec.items(list);
                containers
                    .find(|c| c.str("name") == name)
                    .is_some_and(|c| restarts(&c, spec.str("restartPolicy"), code))
            });
        }
        check_transitions(&status, was, "ephemeralContainerStatuses", |_, _| false);
        check_claims(&status, &spec);
        check_ips(&status, was, "podIPs");
        let (ip, ips) = (status.str("podIP"), status.at("podIPs"));
        let first = ips.index(0);
        if ip.is_empty() != (status.len("podIPs") == 0) {
            ips.invalid_list_as(
                "PodIP",
                "podIP and podIPs must either both be set or both be unset",
            );
        } else if first.str("ip") != ip {
            first.at("ip").invalid("must be equal to `podIP`");
        }
        if status.len("hostIPs") > 0 {
            let first = status.at("hostIPs").index(0).at("ip");
            if status.at("hostIPs").index(0).str("ip") != status.str("hostIP") {
                first.invalid("must be equal to `hostIP`");
            }
            check_ips(&status, was, "hostIPs");
        }
        for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
            check_users(&status, field, spec.at("os").str("name"));
        }
        check_allocated(&status, "containerStatuses", &spec, "containers");
        check_allocated(&status, "initContainerStatuses", &spec, "initContainers");
        check_none_allocated(&status, "ephemeralContainerStatuses");
    })
}

fn check_conditions(status: &Field<'_>) {
    for condition in status.items("conditions") {
        if condition.int("observedGeneration").is_some_and(|n| n < 0) {
            condition.at("observedGeneration").invalid(GENERATION);
        }
        if !matches!(condition.str("type"), "PodScheduled" | "Ready" | "Initialized") {
            condition
                .at_as("type", "Type")
                .invalid_all(names::qualified_name(condition.str("type")));
        }
    }
}

fn check_nomination(status: &Field<'_>, was: &Value, node: &str) {
    let nominated = status.str("nominatedNodeName");
    if nominated.is_empty() || was["nominatedNodeName"] == nominated {
        return;
    }
    status.valid("nominatedNodeName", names::dns1123_subdomain);
    if !node.is_empty() {
        status
            .at("nominatedNodeName")
            .forbidden("may not be set on pods that are already bound to a node");
    }
}

/// Returns true if a container that ended with this code is restarted.
fn restarts(container: &Field<'_>, pod_policy: &str, code: i64) -> bool {
    for rule in container.items("restartPolicyRules") {
        let codes = rule.at("exitCodes");
        let listed = codes.get("values").as_array().is_some_and(|v| v.iter().any(|v| *v == code));
        let matches = match codes.str("operator") {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if matches {
            return rule.str("action") == "Restart";
        }
    }
    let policy = match container.str("restartPolicy") {
        "" => pod_policy,
        own => own,
    };
    match policy {
        "OnFailure" => code != 0,
        "Never" => false,
        _ => true,
    }
}

/// A terminated container stays terminated unless it is restarted.
fn check_transitions(
    status: &Field<'_>,
    was: &Value,
    field: &str,
    restarts: impl Fn(&str, i64) -> bool,
) {
    for (i, old) in was[field].as_array().into_iter().flatten().enumerate() {
        let terminated = &old["state"]["terminated"];
        if terminated.is_null() {
            continue;
        }
        let back = status
            .items(field)
            .any(|s| s.get("name") == &old["name"] && s.at("state").get("terminated").is_null());
        let code = terminated["exitCode"].as_i64().unwrap_or(0);
        if back && !restarts(old["name"].as_str().unwrap_or_default(), code) {
            status
                .at(field)
                .index(i)
                .at("state")
                .forbidden("may not be transitioned to non-terminated state");
        }
    }
}

fn check_claims(status: &Field<'_>, spec: &Field<'_>) {
    let mut seen = HashSet::new();
    for claim in status.items("resourceClaimStatuses") {
        let name = claim.str("name");
        if !spec.items("resourceClaims").any(|c| c.str("name") == name) {
            claim.at("name").invalid("must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name) {
            claim.at("name").duplicate();
        }
        for message in claim
            .get("resourceClaimName")
            .as_str()
            .map(names::dns1123_subdomain)
            .unwrap_or_default()
        {
            claim.at("name").invalid_value(claim.str("resourceClaimName"), message);
        }
    }
}

/// At most one address per family.
fn check_ips(status: &Field<'_>, was: &Value, field: &str) {
    let mut sixes = Vec::new();
    for address in status.items(field) {
        let ip = address.str("ip");
        let known = was[field].as_array().is_some_and(|old| old.iter().any(|old| old["ip"] == ip));
        if !known {
            address.instead(address.get("ip")).ip();
        }
        sixes.push(ip.contains(':'));
    }
    let dual = sixes.contains(&true) && sixes.contains(&false);
    if sixes.len() > 2 || (sixes.len() == 2 && !dual) {
        status
            .at(field)
            .invalid_list_as("PodIP", "may specify no more than one IP for each IP family");
    }
}

fn check_users(status: &Field<'_>, field: &str, os: &str) {
    const MAX: i64 = i32::MAX as i64;
    // A runtime may report any user that Linux knows.
    const MAX_USER: i64 = u32::MAX as i64;
    for container in status.items(field) {
        let Some(linux) = container.at("user").opt("linux") else { continue };
        if os == "windows" {
            linux.forbidden("cannot be set for a windows pod");
            continue;
        }
        linux.within("uid", 0, MAX_USER);
        linux.within("gid", 0, MAX);
        for group in linux.items("supplementalGroups") {
            group.invalid_all(names::in_range(group.value().as_i64().unwrap_or(0), 0, MAX));
        }
    }
}
