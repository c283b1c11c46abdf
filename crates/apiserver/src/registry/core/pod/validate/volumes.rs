//! Volumes of a pod.

use std::collections::{HashMap, HashSet};

use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::super::super::volume_source::check_pod_source;
use crate::registry::check::Field;

/// Checks the volumes and returns those without an error, by name.
pub(super) fn check<'a>(spec: &Field<'a>, pod: Option<&Object>) -> HashMap<&'a str, &'a Value> {
    let pod_name = pod.map_or("", |p| p.name());
    let made: HashSet<String> = spec
        .items("volumes")
        .filter(|v| v.has("ephemeral") && !pod_name.is_empty())
        .map(|v| format!("{pod_name}-{}", v.str("name")))
        .collect();
    let mut good = HashMap::new();
    for volume in spec.items("volumes") {
        let before = volume.count();
        let source = check_pod_source(&volume, pod.is_some());
        let name = volume.str("name");
        if source == Some("ephemeral") && !pod_name.is_empty() && !name.is_empty() {
            let claim = format!("{pod_name}-{name}");
            for message in names::dns1123_subdomain(&claim) {
                let detail = format!("PVC name {}: {message}", apimachinery::text::quote(&claim));
                volume.at("name").invalid(detail);
            }
        }
        volume.needs_valid("name", names::dns1123_label);
        if good.contains_key(name) {
            volume.at("name").duplicate();
        }
        if volume.count() == before {
            good.insert(name, volume.value());
        }
        let claim = volume.at("persistentVolumeClaim");
        if made.contains(claim.str("claimName")) {
            claim
                .at("claimName")
                .invalid("must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    good
}
