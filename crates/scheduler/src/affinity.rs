//! Pod affinity terms, parsed once per pod.

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, WeightedPodAffinityTerm};

use crate::cluster::Cluster;
use crate::pod::PodInfo;
use rules::selector::Selector;

/// One term: which pods it speaks of, and how far from them is near.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) topology_key: String,
    namespaces: Vec<String>,
    namespace_selector: Selector,
    selector: Selector,
}

impl Term {
    fn new(pod: &Pod, term: &PodAffinityTerm) -> Self {
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(pod.metadata.namespace.clone().unwrap_or_default());
        }
        Self {
            topology_key: term.topology_key.clone(),
            namespaces,
            namespace_selector: Selector::new(term.namespace_selector.as_ref()),
            // The API has merged `matchLabelKeys` and `mismatchLabelKeys` into it.
            selector: Selector::new(term.label_selector.as_ref()),
        }
    }

    /// Returns true if the term selects a pod.
    pub(crate) fn matches(&self, pod: &PodInfo, cluster: &Cluster) -> bool {
        let namespace = &pod.key.namespace;
        let among = || self.namespaces.contains(namespace);
        let selected = || {
            !self.namespace_selector.is_nothing()
                && self.namespace_selector.matches_labels(cluster.namespace_labels(namespace))
        };
        self.selector.matches_labels(pod.labels()) && (among() || selected())
    }

    /// As [`matches`](Self::matches), with the benefit of the doubt where only the labels of the
    /// pod's namespace could tell.
    pub(crate) fn may_match(&self, pod: &Pod) -> bool {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let among = || self.namespaces.iter().any(|name| name == namespace);
        self.selector.matches_labels(pod.metadata.labels.as_ref())
            && (!self.namespace_selector.is_nothing() || among())
    }
}

/// All terms of a pod; preferred ones with their weights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) required: Vec<Term>,
    pub(crate) required_anti: Vec<Term>,
    pub(crate) preferred: Vec<(i64, Term)>,
    pub(crate) preferred_anti: Vec<(i64, Term)>,
}

impl Terms {
    /// The terms of a pod, if it has any.
    pub(crate) fn of(pod: &Pod) -> Option<Box<Self>> {
        let affinity = pod.spec.as_ref()?.affinity.as_ref()?;
        let (near, far) = (affinity.pod_affinity.as_ref(), affinity.pod_anti_affinity.as_ref());
        let required = |terms: Option<&Vec<PodAffinityTerm>>| -> Vec<Term> {
            terms.into_iter().flatten().map(|term| Term::new(pod, term)).collect()
        };
        let preferred = |terms: Option<&Vec<WeightedPodAffinityTerm>>| -> Vec<(i64, Term)> {
            let weighed = |t: &WeightedPodAffinityTerm| {
                (t.weight.into(), Term::new(pod, &t.pod_affinity_term))
            };
            terms.into_iter().flatten().map(weighed).collect()
        };
        let terms = Self {
            required: required(
                near.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            required_anti: required(
                far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred: preferred(
                near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_anti: preferred(
                far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
        };
        let any = !(terms.required.is_empty()
            && terms.required_anti.is_empty()
            && terms.preferred.is_empty()
            && terms.preferred_anti.is_empty());
        any.then(|| Box::new(terms))
    }

    /// Returns true if there are required affinity terms and a pod meets all of them.
    pub(crate) fn attracted_by(&self, pod: &PodInfo, cluster: &Cluster) -> bool {
        !self.required.is_empty() && self.required.iter().all(|term| term.matches(pod, cluster))
    }
}
