//! The fewest and least important pods to remove from a node for another to fit.

use std::cmp::Ordering;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Candidate;
use super::budgets::Budgets;
use crate::cache::NodeInfo;
use crate::framework::{Cycle, Rejection};
use crate::pod::PodInfo;

/// When a pod started; none, the latest, for one that has not.
pub(super) fn started(pod: &PodInfo) -> Option<&Time> {
    pod.pod.status.as_ref()?.start_time.as_ref()
}

/// More important pods first: higher priority, then longer running. Among equals always the same, so
/// that a second preemptor counts on those whom the first has already asked to leave.
fn by_importance(a: &Arc<PodInfo>, b: &Arc<PodInfo>) -> Ordering {
    let age = match (started(a), started(b)) {
        (Some(a), Some(b)) => a.0.cmp(&b.0),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    let priority = b.priority().cmp(&a.priority());
    priority.then(age).then(a.is_terminating().cmp(&b.is_terminating())).then(a.key.cmp(&b.key))
}

/// The victims on a node that make room for the cycle's pod. The cycle is unchanged afterwards.
pub(super) fn select<'a>(
    cycle: &mut Cycle<'a>,
    node: &'a NodeInfo,
    budgets: &Budgets<'_>,
) -> Result<Candidate, Rejection> {
    let priority = cycle.pod.priority();
    let lesser: Vec<&'a Arc<PodInfo>> =
        node.pods.iter().filter(|pod| pod.priority() < priority).collect();
    if lesser.is_empty() {
        return Err(Rejection::unresolvable("No preemption victims found for incoming pod"));
    }
    let mut trial = Trial { cycle, node, thought: node.clone(), removed: Vec::new() };
    lesser.iter().for_each(|pod| trial.remove(pod));
    let outcome = trial.spare(lesser, budgets);
    trial.restore();
    outcome
}

/// A node as it would be without some of its pods.
struct Trial<'c, 'a> {
    cycle: &'c mut Cycle<'a>,
    node: &'a NodeInfo,
    thought: NodeInfo,
    removed: Vec<&'a Arc<PodInfo>>,
}

impl<'a> Trial<'_, 'a> {
    fn remove(&mut self, pod: &'a Arc<PodInfo>) {
        self.thought.remove(&pod.key);
        self.cycle.update(pod, self.node, -1);
        self.removed.push(pod);
    }

    fn put_back(&mut self, pod: &'a Arc<PodInfo>) {
        self.thought.add(Arc::clone(pod));
        self.cycle.update(pod, self.node, 1);
        self.removed.retain(|removed| removed.key != pod.key);
    }

    fn restore(mut self) {
        for pod in std::mem::take(&mut self.removed) {
            self.put_back(pod);
        }
    }

    fn fits(&self) -> Result<(), Rejection> {
        self.cycle.filter(self.node, &self.thought)
    }

    /// Puts back every pod that need not leave, the protected and important ones first.
    fn spare(
        &mut self,
        lesser: Vec<&'a Arc<PodInfo>>,
        budgets: &Budgets<'_>,
    ) -> Result<Candidate, Rejection> {
        self.fits()?;
        let mut ordered: Vec<Arc<PodInfo>> = lesser.iter().map(|pod| Arc::clone(pod)).collect();
        ordered.sort_by(by_importance);
        let (protected, others) = budgets.split(ordered);
        let mut victims = Vec::new();
        let mut violations = 0;
        let count = protected.len();
        for (at, pod) in protected.into_iter().chain(others).enumerate() {
            let Some(original) = lesser.iter().find(|own| own.key == pod.key) else { continue };
            self.put_back(original);
            if self.fits().is_err() {
                self.remove(original);
                violations += usize::from(at < count);
                victims.push(pod);
            }
        }
        victims.sort_by(by_importance);
        Ok(Candidate { node: self.node.name().to_owned(), victims, violations })
    }
}
