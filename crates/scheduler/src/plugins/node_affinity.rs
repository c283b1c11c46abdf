//! NodeAffinity: nodeSelector, required and preferred node affinity.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelectorTerm};

use crate::cache::NodeInfo;
use crate::framework::score::by_largest;
use crate::framework::{Cycle, Plugin, Rejection, Score};
use crate::pod::PodInfo;
use rules::node_selector;

pub(super) const PLUGIN: Plugin = Plugin {
    prefilter: Some(prefilter),
    filter: Some(filter),
    score: Some(Score { weight: 2, of: score }),
    helps: |_, change| change.node_with_new_labels(),
    ..Plugin::named("NodeAffinity")
};

fn affinity(pod: &PodInfo) -> Option<&NodeAffinity> {
    pod.spec()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn required(pod: &PodInfo) -> Option<&[NodeSelectorTerm]> {
    let required = affinity(pod)?.required_during_scheduling_ignored_during_execution.as_ref()?;
    Some(&required.node_selector_terms)
}

/// The nodes a term names, if it does.
fn named(term: &NodeSelectorTerm) -> Option<BTreeSet<&str>> {
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let naming = fields.iter().filter(|r| r.key == "metadata.name" && r.operator == "In");
    let names = naming.map(|r| r.values.iter().flatten().map(String::as_str).collect());
    names.reduce(|a: BTreeSet<&str>, b| a.intersection(&b).copied().collect())
}

/// A pod of a DaemonSet names its node: there is no need to ask all the others.
fn prefilter(cycle: &mut Cycle<'_>) -> Result<(), Rejection> {
    let Some(terms) = required(cycle.pod).filter(|terms| !terms.is_empty()) else { return Ok(()) };
    let Some(names) = terms.iter().map(named).collect::<Option<Vec<_>>>() else { return Ok(()) };
    let names: BTreeSet<&str> = names.into_iter().flatten().collect();
    if names.is_empty() {
        return Err(Rejection::unresolvable("pod affinity terms conflict"));
    }
    cycle.only = Some(names);
    Ok(())
}

/// Returns true if a node matches the pod's node selector and required node affinity.
pub(super) fn attracted(pod: &PodInfo, node: &NodeInfo) -> bool {
    pod.spec().is_none_or(|spec| node_selector::admits(spec, node.facts()))
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    if attracted(cycle.pod, node) {
        return Ok(());
    }
    Err(Rejection::unresolvable("node(s) didn't match Pod's node affinity/selector"))
}

fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let affinity = affinity(cycle.pod)?;
    let terms = affinity.preferred_during_scheduling_ignored_during_execution.as_deref()?;
    let sum = |node: &&NodeInfo| {
        let met = terms.iter().filter(|term| node_selector::holds(&term.preference, node.facts()));
        met.map(|term| i64::from(term.weight)).sum()
    };
    by_largest(nodes.iter().map(sum).collect())
}
