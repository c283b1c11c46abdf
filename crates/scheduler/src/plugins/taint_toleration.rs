//! TaintToleration: taints keep pods away that do not tolerate them.

use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

use crate::cache::NodeInfo;
use crate::framework::score::against;
use crate::framework::{Cycle, Plugin, Rejection, Score};
use crate::pod::PodInfo;
use rules::tolerations::{tolerates, untolerated};

pub(super) const PLUGIN: Plugin = Plugin {
    filter: Some(filter),
    score: Some(Score { weight: 3, of: score }),
    helps: |_, change| change.node_with_new_taints(),
    ..Plugin::named("TaintToleration")
};

/// The tolerations of a pod.
pub(super) fn tolerations(pod: &Pod) -> &[Toleration] {
    pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
}

/// The first taint that keeps a pod off a node.
pub(super) fn in_the_way<'n>(pod: &PodInfo, node: &'n NodeInfo) -> Option<&'n Taint> {
    untolerated(tolerations(&pod.pod), node.taints(), &["NoSchedule", "NoExecute"])
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    match in_the_way(cycle.pod, node) {
        Some(_) => Err(Rejection::unresolvable("node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let intolerable = |node: &&NodeInfo| {
        let soft = node.taints().filter(|taint| taint.effect == "PreferNoSchedule");
        let all = tolerations(&cycle.pod.pod);
        soft.filter(|taint| !all.iter().any(|one| tolerates(one, taint))).count() as i64
    };
    against(nodes.iter().map(intolerable).collect())
}
