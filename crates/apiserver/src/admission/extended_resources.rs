//! ExtendedResourceToleration: who asks for a special resource tolerates the nodes that have it.

use std::collections::BTreeSet;

use apimachinery::{Object, Status};
use async_trait::async_trait;
use rules::resources;
use serde_json::{Value, json};

use super::{Plugin, Request};

pub(super) struct TolerateResources;

#[async_trait]
impl Plugin for TolerateResources {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        if (request.creates_pod() || request.updates_pod()) && pod["spec"].is_object() {
            tolerate(pod);
        }
        Ok(())
    }
}

fn tolerate(pod: &mut Object) {
    let requests = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .flat_map(|c| c["resources"]["requests"].as_object().into_iter().flatten());
    let names: BTreeSet<String> = requests
        .filter(|(name, _)| resources::is_extended(name))
        .map(|(name, _)| name.clone())
        .collect();
    for name in names {
        let wanted = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
        let same = |own: &Value| {
            let text =
                |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
            ["key", "operator", "effect", "value"]
                .iter()
                .all(|field| text(own, field) == text(&wanted, field))
        };
        if !pod["spec"]["tolerations"].is_array() {
            pod["spec"]["tolerations"] = json!([]);
        }
        let Some(list) = pod["spec"]["tolerations"].as_array_mut() else { return };
        match list.iter_mut().find(|own| same(own)) {
            Some(own) => *own = wanted,
            None => list.push(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_is_tolerated_once() {
        let device = json!({"key": "example.com/a", "operator": "Exists", "effect": "NoSchedule"});
        let asks = |name: &str| json!({"resources": {"requests": {name: "1", "cpu": "1"}}});
        let mut pod = json!({"spec": {
            "containers": [asks("example.com/b"), asks("example.com/a")],
            "initContainers": [asks("example.com/a"), asks("hugepages-2Mi")],
            "tolerations": [{"key": "example.com/b"}, device],
        }});
        tolerate(&mut pod);
        tolerate(&mut pod);
        assert_eq!(
            pod["spec"]["tolerations"],
            json!([
                {"key": "example.com/b"}, device,
                {"key": "example.com/b", "operator": "Exists", "effect": "NoSchedule"},
            ])
        );
        let mut plain = json!({"spec": {"containers": [asks("memory")]}});
        tolerate(&mut plain);
        assert!(plain["spec"]["tolerations"].is_null());
    }
}
