//! Which victims disruption budgets protect.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::pod::PodInfo;
use rules::selector::Selector;

struct Budget<'a> {
    selector: Selector,
    allowed: i32,
    /// Pods whose disruption has been counted already.
    disrupted: Vec<&'a String>,
}

/// All budgets, by namespace.
pub(super) struct Budgets<'a>(HashMap<&'a str, Vec<Budget<'a>>>);

impl<'a> Budgets<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        let mut budgets: HashMap<&str, Vec<Budget<'_>>> = HashMap::new();
        for budget in cluster.budgets.all() {
            let selector = Selector::new(budget.spec.as_ref().and_then(|s| s.selector.as_ref()));
            let Some(namespace) = budget.metadata.namespace.as_deref() else { continue };
            // One that would protect everybody protects nobody here, as upstream.
            if selector.is_everything() || selector.is_nothing() {
                continue;
            }
            let status = budget.status.as_ref();
            let disrupted = status.into_iter().flat_map(|s| s.disrupted_pods.iter().flatten());
            budgets.entry(namespace).or_default().push(Budget {
                selector,
                allowed: status.and_then(|s| s.disruptions_allowed).unwrap_or(0),
                disrupted: disrupted.map(|(name, _)| name).collect(),
            });
        }
        Self(budgets)
    }

    /// Splits victims, in their order, into those whose removal would break a budget and the rest.
    pub(super) fn split(
        &self,
        victims: Vec<Arc<PodInfo>>,
    ) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
        let mut used: HashMap<(&str, usize), i32> = HashMap::new();
        victims.into_iter().partition(|pod| {
            let namespace = pod.key.namespace.as_str();
            let Some((namespace, budgets)) = self.0.get_key_value(namespace) else { return false };
            let mut violated = false;
            for (at, budget) in budgets.iter().enumerate() {
                let unlabelled = pod.labels().is_none_or(|labels| labels.is_empty());
                let counted = budget.disrupted.iter().any(|name| **name == pod.key.name);
                if unlabelled || counted || !budget.selector.matches_labels(pod.labels()) {
                    continue;
                }
                let used = used.entry((namespace, at)).or_default();
                *used += 1;
                violated |= *used > budget.allowed;
            }
            violated
        })
    }
}
