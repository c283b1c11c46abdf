//! InterPodAffinity: near some pods, far from others; and others far from this one.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Pod;

use crate::affinity::Term;
use crate::cache::NodeInfo;
use crate::change::Change;
use crate::cluster::Cluster;
use crate::framework::{Cycle, Plugin, Rejection, Score};
use crate::pod::PodInfo;

mod score;
#[cfg(test)]
mod tests;

pub(super) const PLUGIN: Plugin = Plugin {
    prefilter: Some(prefilter),
    filter: Some(filter),
    update: Some(update),
    score: Some(Score { weight: 2, of: score::score }),
    helps,
    ..Plugin::named("InterPodAffinity")
};

/// Pods by the places where they count: topology key and value.
type Places<'a> = HashMap<(&'a str, &'a str), i64>;

/// Where the pods are that matter to this one.
#[derive(Clone, Default)]
pub(crate) struct Counts<'a> {
    /// Pods that meet all required affinity terms.
    near: Places<'a>,
    /// Pods that meet a required anti-affinity term.
    far: Places<'a>,
    /// Pods that keep this one away, where they do.
    shunning: Places<'a>,
    /// The keys in `shunning`.
    shunned_keys: Vec<&'a str>,
}

/// The effect of one pod, or of all that are equal to it, on the pod to be placed.
#[derive(Default)]
struct Effect<'a> {
    near: bool,
    far: Vec<&'a str>,
    shuns: Vec<&'a str>,
}

fn effect<'a>(cycle: &Cycle<'a>, other: &'a PodInfo) -> Option<Effect<'a>> {
    let cluster = cycle.cluster;
    let keys_for = |terms: &'a [Term], pod: &PodInfo| -> Vec<&'a str> {
        let matching = terms.iter().filter(|term| term.matches(pod, cluster));
        matching.map(|term| term.topology_key.as_str()).collect()
    };
    let own = cycle.pod.terms.as_deref();
    let effect = Effect {
        near: own.is_some_and(|terms| terms.attracted_by(other, cluster)),
        far: own.map(|terms| keys_for(&terms.required_anti, other)).unwrap_or_default(),
        shuns: other
            .terms
            .as_deref()
            .map(|terms| keys_for(&terms.required_anti, cycle.pod))
            .unwrap_or_default(),
    };
    let any = effect.near || !effect.far.is_empty() || !effect.shuns.is_empty();
    any.then_some(effect)
}

impl<'a> Counts<'a> {
    fn count(&mut self, pod: &'a PodInfo, effect: &Effect<'a>, node: &'a NodeInfo, pods: i64) {
        if effect.near {
            for term in pod.terms.iter().flat_map(|terms| &terms.required) {
                add(&mut self.near, &term.topology_key, node, pods);
            }
        }
        for key in &effect.far {
            add(&mut self.far, key, node, pods);
        }
        for key in &effect.shuns {
            add(&mut self.shunning, key, node, pods);
            if !self.shunned_keys.contains(key) {
                self.shunned_keys.push(key);
            }
        }
    }
}

/// Counts pods at the place that a node is in. A place without pods is no place: whether there is
/// any decides about the first of a series.
fn add<'a>(places: &mut Places<'a>, key: &'a str, node: &'a NodeInfo, pods: i64) {
    let Some(value) = node.label(key) else { return };
    let count = places.entry((key, value)).or_default();
    *count += pods;
    if *count == 0 {
        places.remove(&(key, value));
    }
}

fn prefilter(cycle: &mut Cycle<'_>) -> Result<(), Rejection> {
    let own = cycle.pod.terms.as_deref();
    let demanding = own.is_some_and(|t| !t.required.is_empty() || !t.required_anti.is_empty());
    let groups = &cycle.cluster.cache.groups;
    let effects = if demanding {
        groups.table(groups.all(), |other| effect(cycle, other))
    } else {
        groups.table(groups.choosy(), |other| effect(cycle, other))
    };
    if effects.is_none() && !demanding {
        return Ok(());
    }
    let mut counts = Counts::default();
    for node in cycle.cluster.cache.nodes() {
        for group in &node.groups {
            if let Some(Some(effect)) = effects.as_ref().and_then(|table| table.get(group.group)) {
                counts.count(cycle.pod, effect, node, group.pods);
            }
        }
    }
    cycle.state.affinity = Some(counts);
    Ok(())
}

fn update<'a>(cycle: &mut Cycle<'a>, other: &'a PodInfo, node: &'a NodeInfo, change: i64) {
    if cycle.pod.terms.is_none() && other.terms.is_none() {
        return;
    }
    if let Some(effect) = effect(cycle, other) {
        let counts = cycle.state.affinity.get_or_insert_default();
        counts.count(cycle.pod, &effect, node, change);
    }
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let Some(counts) = &cycle.state.affinity else { return Ok(()) };
    let has = |places: &Places<'_>, key: &str| {
        node.label(key).is_some_and(|value| places.get(&(key, value)).is_some_and(|n| *n > 0))
    };
    if let Some(terms) = cycle.pod.terms.as_deref() {
        let labelled = terms.required.iter().all(|term| node.label(&term.topology_key).is_some());
        let met = terms.required.iter().all(|term| has(&counts.near, &term.topology_key));
        // The first of a series that wants to be together has nobody to join.
        let first = || counts.near.is_empty() && terms.attracted_by(cycle.pod, cycle.cluster);
        if !labelled || !(met || first()) {
            return Err(Rejection::unresolvable("node(s) didn't match pod affinity rules"));
        }
        if terms.required_anti.iter().any(|term| has(&counts.far, &term.topology_key)) {
            return Err(Rejection::resolvable("node(s) didn't match pod anti-affinity rules"));
        }
    }
    if counts.shunned_keys.iter().any(|key| has(&counts.shunning, key)) {
        let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
        return Err(Rejection::resolvable(reason));
    }
    Ok(())
}

fn speaks_of(terms: &[Term], pod: &Pod) -> bool {
    terms.iter().any(|term| term.may_match(pod))
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    let own = pod.terms.as_deref();
    let required = own.map(|t| t.required.as_slice()).unwrap_or_default();
    let anti = own.map(|t| t.required_anti.as_slice()).unwrap_or_default();
    if let Some(arrived) = change.arrived_pod() {
        return speaks_of(required, arrived);
    }
    if let Some(departed) = change.departed_pod() {
        let shunned = || {
            let theirs = crate::affinity::Terms::of(departed);
            theirs.is_some_and(|terms| speaks_of(&terms.required_anti, &pod.pod))
        };
        return speaks_of(anti, departed) || shunned();
    }
    if let Some((old, new)) = change.changed_pod() {
        return old.metadata.labels != new.metadata.labels
            && (speaks_of(required, new) || speaks_of(anti, old));
    }
    // Others may keep the pod away at places of which it says nothing itself.
    change.node_with_new_labels()
}

/// Returns true if a pod prefers to be near others, or far from them.
fn has_preferences(pod: &PodInfo) -> bool {
    let terms = pod.terms.as_deref();
    terms.is_some_and(|t| !t.preferred.is_empty() || !t.preferred_anti.is_empty())
}

/// The sum of weights by place that one pod, or all that are like it, give this one.
fn preferences<'a>(pod: &'a PodInfo, other: &'a PodInfo, cluster: &Cluster) -> Vec<(&'a str, i64)> {
    /// Upstream's weight of an existing pod's required affinity.
    const REQUIRED: i64 = 1;
    let weighed = |terms: &'a [(i64, Term)], sign: i64, of: &'a PodInfo| {
        let matching = terms.iter().filter(move |(_, term)| term.matches(of, cluster));
        matching.map(move |(weight, term)| (term.topology_key.as_str(), sign * weight))
    };
    let mut sums = Vec::new();
    if let Some(own) = pod.terms.as_deref() {
        sums.extend(weighed(&own.preferred, 1, other));
        sums.extend(weighed(&own.preferred_anti, -1, other));
    }
    if let Some(theirs) = other.terms.as_deref() {
        let required = theirs.required.iter().filter(|term| term.matches(pod, cluster));
        sums.extend(required.map(|term| (term.topology_key.as_str(), REQUIRED)));
        sums.extend(weighed(&theirs.preferred, 1, pod));
        sums.extend(weighed(&theirs.preferred_anti, -1, pod));
    }
    sums
}
