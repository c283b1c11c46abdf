//! DefaultPreemption: where nothing fits, pods of lower priority make room.

use std::sync::Arc;

use rand::RngExt;

use crate::framework::{Cycle, FitError, Rejection, histogram};
use crate::pod::PodInfo;
use budgets::Budgets;
use victims::select;

mod budgets;
mod choice;
pub(crate) mod evict;
#[cfg(test)]
mod tests;
mod victims;

/// Of nodes on which the removal of pods cannot help.
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";

/// A node, and the pods to remove from it.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) node: String,
    /// The most important first.
    pub(crate) victims: Vec<Arc<PodInfo>>,
    /// How many of the victims a disruption budget protects.
    violations: usize,
}

/// The result of a preemption attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The node that is best made free.
    Candidate(Candidate),
    /// No node can be; a nomination is void. With why.
    Hopeless(String),
    /// The pod must not, or not again; a nomination stands. With why.
    NotEligible(&'static str),
}

/// Looks for the node where the least has to be given up for the pod.
pub(crate) fn preempt<'a>(cycle: &mut Cycle<'a>, error: &FitError<'a>) -> Outcome {
    if let Some(reason) = ineligible(cycle, error) {
        return Outcome::NotEligible(reason);
    }
    let potential = error.resolvable();
    let budgets = Budgets::new(cycle.cluster);
    // Enough to choose from; looking at every node of a large cluster would take too long.
    let enough = (potential.len() / 10).max(100).min(potential.len());
    let start = rand::rng().random_range(0..potential.len().max(1));
    let (mut candidates, mut harmless) = (Vec::new(), false);
    let mut rejections: Vec<Rejection> = Vec::new();
    for node in potential[start..].iter().chain(&potential[..start]) {
        match select(cycle, node, &budgets) {
            Ok(candidate) => {
                harmless |= candidate.violations == 0;
                candidates.push(candidate);
            }
            Err(rejection) => rejections.push(rejection),
        }
        if harmless && candidates.len() >= enough {
            break;
        }
    }
    match choice::best(candidates) {
        Some(candidate) => Outcome::Candidate(candidate),
        None => {
            let reasons = rejections.iter().flat_map(|rejection| &rejection.reasons);
            let others = error.nodes - rejections.len();
            Outcome::Hopeless(histogram(error.nodes, reasons, others, NOT_HELPFUL))
        }
    }
}

/// Why a pod must not preempt now.
fn ineligible(cycle: &Cycle<'_>, error: &FitError<'_>) -> Option<&'static str> {
    let (pod, cluster) = (cycle.pod, cycle.cluster);
    if pod.spec()?.preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let name = cluster.nominations.of(&pod.key).or(pod.nominated_node())?;
    let node = cluster.cache.node(name)?;
    let lost = error.all.as_ref().is_some_and(|rejection| !rejection.resolvable)
        || error.rejected.iter().any(|(n, rejection)| n.name() == name && !rejection.resolvable);
    let leaving = |other: &Arc<PodInfo>| {
        let leaves = is_leaving(other) || cluster.evictions.include(other);
        other.priority() < pod.priority() && leaves
    };
    (!lost && node.pods.iter().any(leaving))
        .then_some("not eligible due to a terminating pod on the nominated node.")
}

/// Returns true if a pod terminates because of a preemption.
fn is_leaving(pod: &PodInfo) -> bool {
    let conditions = pod.pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut targeted = conditions.filter(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    pod.is_terminating() && targeted.any(|c| c.reason.as_deref() == Some(evict::REASON))
}
