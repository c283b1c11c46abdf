//! Conditions and events that report a resize.

use std::collections::BTreeMap;

use client::helpers::now;
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::pod::{spec, status};

/// Condition of a pod whose resize the node has not allocated.
pub(crate) const PENDING: &str = "PodResizePending";
/// Condition of a pod whose containers do not have all that was allocated.
pub(crate) const IN_PROGRESS: &str = "PodResizeInProgress";

/// Reason and message of a resize condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Generation of the spec that it is about.
    pub(crate) generation: i64,
    since: Time,
}

impl Mark {
    /// A mark that follows `old`: its time is that of the last change of the reason.
    pub(crate) fn after(old: Option<&Self>, reason: &str, message: &str, generation: i64) -> Self {
        let since = old.filter(|old| old.reason == reason).map(|old| old.since.clone());
        Self {
            reason: reason.to_owned(),
            message: message.to_owned(),
            generation,
            since: since.unwrap_or_else(now),
        }
    }

    /// Reads the condition from the pod's status, as an earlier kubelet left it.
    pub(crate) fn read(pod: &Pod, kind: &str) -> Option<Self> {
        let mut conditions = status(pod).conditions.iter().flatten();
        let found = conditions.find(|condition| condition.type_ == kind)?;
        Some(Self {
            reason: found.reason.clone().unwrap_or_default(),
            message: found.message.clone().unwrap_or_default(),
            generation: found.observed_generation.unwrap_or_default(),
            since: found.last_transition_time.clone().unwrap_or_else(now),
        })
    }

    /// The condition of this `kind`.
    pub(crate) fn condition(&self, kind: &str) -> PodCondition {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        PodCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: text(&self.reason),
            message: text(&self.message),
            last_probe_time: None,
            last_transition_time: Some(self.since.clone()),
            observed_generation: Some(self.generation),
        }
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    #[serde(rename = "initContainers", skip_serializing_if = "Vec::is_empty")]
    init: Vec<Allocation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<Allocation<'a>>,
    generation: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

#[derive(Serialize)]
struct Allocation<'a> {
    name: &'a str,
    resources: Lists<'a>,
}

#[derive(Serialize)]
struct Lists<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a BTreeMap<String, Quantity>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<&'a BTreeMap<String, Quantity>>,
}

/// The text of an event about a resize: `prefix` and the pod's resources, as upstream.
pub(crate) fn text(prefix: &str, pod: &Pod, generation: i64, error: &str) -> String {
    fn allocation(container: &Container) -> Allocation<'_> {
        let resources = container.resources.as_ref();
        let limits = resources.and_then(|resources| resources.limits.as_ref());
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        Allocation { name: &container.name, resources: Lists { limits, requests } }
    }
    let spec = spec(pod);
    let summary = Summary {
        init: spec.init_containers.iter().flatten().map(allocation).collect(),
        containers: spec.containers.iter().map(allocation).collect(),
        generation,
        error,
    };
    match serde_json::to_string(&summary) {
        Ok(summary) => format!("{prefix}: {summary}"),
        Err(_) => prefix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn marks_keep_their_time_and_survive_in_the_status() {
        let first = Mark::after(None, "Deferred", "cpu", 2);
        let mut pod = pod(json!({}));
        pod.status = serde_json::from_value(
            json!({"conditions": [serde_json::to_value(first.condition(PENDING)).unwrap()]}),
        )
        .unwrap();
        let read = Mark::read(&pod, PENDING).unwrap();
        assert_eq!((read.reason.as_str(), read.generation), ("Deferred", 2));
        assert_eq!(Mark::read(&pod, IN_PROGRESS), None);
        let next = Mark::after(Some(&first), "Deferred", "memory", 3);
        assert_eq!(next.since, first.since);
    }

    #[test]
    fn events_tell_the_resources() {
        let pod = pod(json!({"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1"}}}, {"name": "b"}]}));
        assert_eq!(
            text("Pod resize started", &pod, 2, ""),
            "Pod resize started: {\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":\
             {\"cpu\":\"1\"}}},{\"name\":\"b\",\"resources\":{}}],\"generation\":2}"
        );
    }
}
