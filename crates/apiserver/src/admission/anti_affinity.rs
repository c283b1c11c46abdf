//! LimitPodHardAntiAffinityTopology: nobody keeps others from whole zones.

use apimachinery::{Object, Status};
use async_trait::async_trait;

use super::{Plugin, Request};

const HOST: &str = "kubernetes.io/hostname";

pub(super) struct LimitAntiAffinity;

#[async_trait]
impl Plugin for LimitAntiAffinity {
    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod.filter(|_| request.creates_pod() || request.updates_pod()) else {
            return Ok(());
        };
        let anti = &pod["spec"]["affinity"]["podAntiAffinity"];
        let terms = anti["requiredDuringSchedulingIgnoredDuringExecution"].as_array();
        let mut keys = terms.into_iter().flatten().map(|t| t["topologyKey"].as_str());
        match keys.find_map(|key| key.filter(|key| *key != HOST)) {
            Some(key) => Err(request.forbidden(format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only \
                 key {HOST} is allowed"
            ))),
            None => Ok(()),
        }
    }
}
