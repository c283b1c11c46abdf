//! Pods that are in a namespace already when its standard becomes stricter: they stay, and whoever
//! changes the namespace hears of them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};

use super::checks::{self, Pod};
use super::configuration::Exemptions;
use super::policy::Standard;
use crate::admission::Request;
use crate::cache::Entry;
use crate::limits;
use crate::registry;

/// Most pods that are looked at, and the longest time (upstream's numbers).
const MOST: usize = 3000;
const LONGEST: Duration = Duration::from_secs(1);
/// So many pods are read before other requests have a turn.
const STRIDE: usize = 16;

/// Warnings about the pods that a new standard would refuse.
pub(super) async fn warnings(
    request: &Request<'_>,
    standard: Standard,
    exempt: &Exemptions,
) -> Result<Vec<String>, Status> {
    let kind = registry::find("", "v1", "pods").ok_or_else(|| Status::internal("no pods"))?;
    // At most half of the time that is left to answer.
    let left = limits::allotted(&request.call.query)?
        .saturating_sub(request.call.stages.begun().elapsed());
    let deadline = Instant::now() + LONGEST.min(left / 2);
    let snapshot = request.server.collection(kind)?.snapshot();
    let pods: Vec<&Arc<Entry>> = snapshot.range(request.name, "").collect();
    let mut found = Found::default();
    let mut later = Vec::new();
    let (mut seen, mut exempted, mut late) = (0, 0, false);
    // The first pod of each controller, then the others.
    let mut controllers = HashSet::new();
    for (at, entry) in pods.iter().enumerate() {
        let pod = entry.object();
        if exempt.runtime_classes.contains(Pod::new(&pod).runtime_class()) {
            exempted += 1;
            continue;
        }
        let owner = pod.controller_of().and_then(|owner| owner["uid"].as_str());
        if owner.is_some_and(|owner| !controllers.insert(owner.to_owned())) {
            later.push(*entry);
            continue;
        }
        found.look(standard, &pod);
        seen += 1;
        late = Instant::now() >= deadline;
        if seen == MOST || late {
            break;
        }
        if at % STRIDE == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (at, entry) in later.iter().enumerate() {
        if seen == MOST || late {
            break;
        }
        found.look(standard, &entry.object());
        seen += 1;
        late = Instant::now() >= deadline;
        if at % STRIDE == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(found.said(request.name, standard, seen, pods.len() - exempted))
}

/// Pods that are refused, by the reasons.
#[derive(Default)]
struct Found(BTreeMap<String, (String, usize)>);

impl Found {
    fn look(&mut self, standard: Standard, pod: &Object) {
        let refusals = checks::evaluate(standard, Pod::new(pod));
        if refusals.is_empty() {
            return;
        }
        let name = pod.name();
        let (first, count) = self.0.entry(checks::reasons(&refusals)).or_default();
        if *count == 0 || name < first.as_str() {
            *first = name.to_owned();
        }
        *count += 1;
    }

    fn said(self, namespace: &str, standard: Standard, seen: usize, all: usize) -> Vec<String> {
        let mut said = Vec::new();
        if seen < all {
            said.push(format!(
                "new PodSecurity enforce level only checked against the first {seen} of {all} \
                 existing pods"
            ));
        }
        if !self.0.is_empty() {
            said.push(format!(
                "existing pods in namespace {} violate the new PodSecurity enforce level \
                 \"{standard}\"",
                quote(namespace)
            ));
        }
        let pods = self.0.into_iter().map(|(reasons, (name, count))| match count {
            1 => format!("{name}: {reasons}"),
            2 => format!("{name} (and 1 other pod): {reasons}"),
            _ => format!("{name} (and {} other pods): {reasons}", count - 1),
        });
        let mut pods: Vec<String> = pods.collect();
        pods.sort_unstable();
        said.extend(pods);
        said
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::{Level, Version};
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn pods_are_counted_by_what_is_wrong_with_them() {
        let standard = Standard { level: Level::Baseline, version: Version::Latest };
        let mut found = Found::default();
        let pod = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
        for (name, spec) in [
            ("c", json!({"hostPID": true})),
            ("b", json!({"hostNetwork": true})),
            ("d", json!({"hostIPC": true})),
            ("a", json!({})),
            ("e", json!({"hostIPC": true, "volumes": [{"name": "v", "hostPath": {}}]})),
        ] {
            found.look(standard, &pod(name, spec));
        }
        assert_eq!(
            found.said("n", standard, 5, 7),
            [
                "new PodSecurity enforce level only checked against the first 5 of 7 existing pods",
                "existing pods in namespace \"n\" violate the new PodSecurity enforce level \
                 \"baseline:latest\"",
                "b (and 2 other pods): host namespaces",
                "e: host namespaces, hostPath volumes",
            ]
        );
        assert!(Found::default().said("n", standard, 3, 3).is_empty());
    }
}
