//! Conflicting ports of a pod.

use std::collections::HashMap;

use apimachinery::ObjectExt;
use apimachinery::field::Path;
use serde_json::Value;

use super::items;
use super::pods::containers;

/// Maximum number of ports compared for one number: each is compared with all before it.
const MAX_SAME: usize = 100;

/// Describes the conflict of two ports with one number and protocol.
fn relation(port: &Value, other: &Value) -> Option<&'static str> {
    let ip = |port: &Value| port.str_at(&["hostIP"]).to_owned();
    let number = |port: &Value| port["hostPort"].as_i64().unwrap_or(0);
    if (ip(port), number(port)) == (ip(other), number(other)) {
        return Some("duplicate");
    }
    if number(port) == 0 || number(other) == 0 {
        return Some("overlapping");
    }
    let one_anywhere = ip(port).is_empty() != ip(other).is_empty();
    (number(port) == number(other) && one_anywhere).then_some("dangerously ambiguous")
}

/// Warns about the ports of a pod whose spec is at `path`.
pub(super) fn warn(path: &Path, spec: &Value, found: &mut Vec<String>) {
    let mut all: HashMap<(i64, String), Vec<(Path, &Value)>> = HashMap::new();
    let mut named: HashMap<&str, Path> = HashMap::new();
    let mut of_names = Vec::new();
    for (path, container) in containers(path, spec) {
        for (i, port) in items(container, &["ports"]).enumerate() {
            let path = path.child("ports").index(i);
            let ip = port.str_at(&["hostIP"]);
            let number = port["containerPort"].as_i64().unwrap_or(0);
            let protocol = port.str_at(&["protocol"]);
            let name = port.str_at(&["name"]);
            if !ip.is_empty() && port["hostPort"].as_i64().unwrap_or(0) == 0 {
                found.push(format!(
                    "{path}: hostIP set without hostPort: {{Name:{name} HostPort:0 \
                     ContainerPort:{number} Protocol:{protocol} HostIP:{ip}}}"
                ));
            }
            let same = all.entry((number, protocol.to_owned())).or_default();
            for (other, earlier) in same.iter() {
                if let Some(relation) = relation(port, earlier) {
                    found.push(format!("{path}: {relation} port definition with {other}"));
                }
            }
            if same.len() < MAX_SAME {
                same.push((path.clone(), port));
            }
            if name.is_empty() {
                continue;
            }
            match named.get(name) {
                Some(other) => of_names.push(format!(
                    "{path}: duplicate port name {name:?} with {other}, services and probes that \
                     select ports by name will use {other}"
                )),
                None => {
                    named.insert(name, path);
                }
            }
        }
    }
    found.extend(of_names);
}
