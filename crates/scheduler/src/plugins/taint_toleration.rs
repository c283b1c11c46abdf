//! TaintToleration: taints keep pods away that do not tolerate them.

use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

use crate::cache::NodeInfo;
use crate::framework::score::against;
use crate::framework::{Cycle, Plugin, Rejection, Score};
use crate::pod::PodInfo;

pub(super) const PLUGIN: Plugin = Plugin {
    filter: Some(filter),
    score: Some(Score { weight: 3, of: score }),
    helps: |_, change| change.node_with_new_taints(),
    ..Plugin::named("TaintToleration")
};

/// Whether a toleration covers a taint.
fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let set = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let (key, effect) = (set(&toleration.key), set(&toleration.effect));
    if effect.is_some_and(|e| e != taint.effect) {
        return false;
    }
    if key.as_ref().is_some_and(|k| *k != taint.key) {
        return false;
    }
    let value = toleration.value.as_deref().unwrap_or_default();
    let given = taint.value.as_deref().unwrap_or_default();
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => key.is_some() && value == given,
        _ => false,
    }
}

fn tolerations(pod: &Pod) -> impl Iterator<Item = &Toleration> {
    pod.spec.iter().flat_map(|s| s.tolerations.iter().flatten())
}

/// Whether a pod tolerates a taint.
pub(super) fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    tolerations(pod).any(|t| covers(t, taint))
}

/// The first taint that keeps a pod off a node.
pub(super) fn untolerated<'n>(pod: &PodInfo, node: &'n NodeInfo) -> Option<&'n Taint> {
    let mut hard =
        node.taints().filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
    hard.find(|taint| !tolerates(&pod.pod, taint))
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    match untolerated(cycle.pod, node) {
        Some(_) => Err(Rejection::unresolvable("node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let intolerable = |node: &&NodeInfo| {
        let soft = node.taints().filter(|taint| taint.effect == "PreferNoSchedule");
        soft.filter(|taint| !tolerates(&cycle.pod.pod, taint)).count() as i64
    };
    against(nodes.iter().map(intolerable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_cover_taints_as_upstream() {
        let taint = Taint {
            key: "k".into(),
            value: Some("v".into()),
            effect: "NoSchedule".into(),
            ..Taint::default()
        };
        let toleration = |key: &str, operator: &str, value: &str, effect: &str| Toleration {
            key: Some(key.into()),
            operator: Some(operator.into()),
            value: Some(value.into()),
            effect: Some(effect.into()),
            toleration_seconds: None,
        };
        for (key, operator, value, effect, want) in [
            ("k", "Equal", "v", "NoSchedule", true),
            ("k", "", "v", "", true),
            ("k", "Exists", "", "", true),
            ("", "Exists", "", "", true),
            ("", "Equal", "v", "", false),
            ("k", "Equal", "w", "", false),
            ("k", "Exists", "", "NoExecute", false),
            ("j", "Exists", "", "", false),
        ] {
            let toleration = toleration(key, operator, value, effect);
            assert_eq!(covers(&toleration, &taint), want, "{toleration:?}");
        }
    }
}
