//! The time of the change that the endpoints of a Service follow from. Service proxies measure by it
//! how long the cluster takes until its network is programmed.

use std::collections::HashMap;

use client::ObjectKey;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use parking_lot::Mutex;

use super::{meta, pod};

/// The annotation of Endpoints and EndpointSlices that carries the time.
pub(crate) const ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Times of the changes that were already seen, by Service
/// (`k8s.io/endpointslice/trigger`: a time is wrong if something changes twice between two syncs).
#[derive(Default)]
pub(crate) struct TriggerTimes {
    services: Mutex<HashMap<ObjectKey, Seen>>,
}

struct Seen {
    created: Option<Timestamp>,
    /// Last change of a pod's readiness, by the pod's name.
    pods: HashMap<String, Timestamp>,
}

impl TriggerTimes {
    /// The time of the earliest change since the last call for this Service; that of its creation
    /// at the first call, and `None` if nothing has changed.
    pub(crate) fn earliest<'a>(
        &self,
        key: &ObjectKey,
        of: &Service,
        pods: impl Iterator<Item = &'a Pod>,
    ) -> Option<Timestamp> {
        let created = of.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let ready = |member: &Pod| {
            let condition = pod::condition(member, "Ready")?;
            let time = condition.last_transition_time.as_ref()?.0;
            Some((meta::name(member).to_owned(), time))
        };
        let now = Seen { created, pods: pods.filter_map(ready).collect() };
        let mut services = self.services.lock();
        let Some(before) = services.get(key) else {
            services.insert(key.clone(), now);
            return created;
        };
        let changed = now.pods.iter().filter(|(name, time)| before.pods.get(*name) < Some(*time));
        let service = now.created.filter(|time| before.created < Some(*time));
        let earliest = changed.map(|(_, time)| *time).chain(service).min();
        services.insert(key.clone(), now);
        earliest
    }

    /// Forgets a Service.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.services.lock().remove(key);
    }
}

/// Writes the time into the annotations, or removes it.
pub(crate) fn annotate(metadata: &mut ObjectMeta, time: Option<Timestamp>) {
    let annotations = metadata.annotations.get_or_insert_default();
    match time {
        Some(time) => drop(annotations.insert(ANNOTATION.to_owned(), time.to_string())),
        None => drop(annotations.remove(ANNOTATION)),
    }
    if annotations.is_empty() {
        metadata.annotations = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(created: &str) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "a", "creationTimestamp": created}}))
            .unwrap()
    }

    fn member(name: &str, ready: &str) -> Pod {
        let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": ready});
        serde_json::from_value(
            json!({"metadata": {"name": name}, "status": {"conditions": [condition]}}),
        )
        .unwrap()
    }

    #[test]
    fn the_earliest_change_since_the_last_look_counts() {
        let times = TriggerTimes::default();
        let key = ObjectKey::new("ns", "a");
        let at = |minute: u8| format!("2026-01-01T00:{minute:02}:00Z");
        let of = service(&at(1));
        let look = |of: &Service, pods: &[Pod]| {
            times.earliest(&key, of, pods.iter()).map(|time| time.to_string())
        };
        assert_eq!(look(&of, &[member("x", &at(3))]), Some(at(1)), "a new service");
        assert_eq!(look(&of, &[member("x", &at(3))]), None, "nothing has changed");
        let both = [member("x", &at(6)), member("y", &at(5))];
        assert_eq!(look(&of, &both), Some(at(5)), "the earlier of two");
        assert_eq!(look(&of, &[Pod::default(), member("x", &at(6))]), None, "one has gone");
        assert_eq!(look(&of, &both), Some(at(5)), "and has come again");
        assert_eq!(look(&service(&at(9)), &both), Some(at(9)), "another service of the name");
        times.forget(&key);
        assert_eq!(look(&of, &both), Some(at(1)), "forgotten");
    }

    #[test]
    fn an_annotation_goes_with_the_time() {
        let mut metadata = ObjectMeta::default();
        annotate(&mut metadata, Some("2026-01-01T00:00:00.5Z".parse().unwrap()));
        assert_eq!(metadata.annotations.as_ref().unwrap()[ANNOTATION], "2026-01-01T00:00:00.5Z");
        annotate(&mut metadata, None);
        assert_eq!(metadata.annotations, None);
    }
}
