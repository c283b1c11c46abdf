//! Ports of containers.

use std::collections::HashSet;

use apimachinery::names;

use crate::registry::check::Field;

/// Transport protocols.
pub(in crate::registry) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub(super) fn check(container: &Field<'_>) {
    let mut seen = HashSet::new();
    for port in container.items("ports") {
        let name = port.str("name");
        if !name.is_empty() {
            let messages = names::port_name(name);
            if !messages.is_empty() {
                port.at("name").invalid_all(messages);
            } else if !seen.insert(name) {
                port.at("name").duplicate();
            }
        }
        match port.int("containerPort") {
            None | Some(0) => port.at("containerPort").required(""),
            Some(number) => port.at("containerPort").invalid_all(names::port_number(number)),
        }
        if let Some(number) = port.int("hostPort").filter(|n| *n != 0) {
            port.at("hostPort").invalid_all(names::port_number(number));
        }
        port.needs_one_of("protocol", PROTOCOLS);
    }
}

/// No two ports may use the same host port.
pub(super) fn check_host_ports(containers: &[Field<'_>]) {
    let mut seen = HashSet::new();
    for port in containers.iter().flat_map(|c| c.items("ports")) {
        let number = port.int("hostPort").unwrap_or(0);
        let taken = format!("{}/{}/{number}", port.str("protocol"), port.str("hostIP"));
        if number != 0 && !seen.insert(taken.clone()) {
            port.at("hostPort").duplicate_of(taken);
        }
    }
}

/// In the host's network container ports and host ports are equal.
pub(super) fn check_host_network(spec: &Field<'_>, in_pod: bool) {
    if !spec.flag("hostNetwork") {
        return;
    }
    for port in spec.items("containers").flat_map(|c| c.items("ports")) {
        let host = port.int("hostPort").unwrap_or(0);
        if (in_pod || host != 0) && host != port.int("containerPort").unwrap_or(0) {
            port.at("hostPort")
                .invalid_value(host, "must match `containerPort` when `hostNetwork` is true");
        }
    }
}
