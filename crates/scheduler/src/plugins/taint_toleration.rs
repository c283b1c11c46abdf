//! TaintToleration: taints keep pods away that do not tolerate them.

use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

use crate::cache::NodeInfo;
use crate::framework::{Cycle, Normalize, Plugin, Rejection, Score};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "TaintToleration",
    filter: Some(filter),
    score: Some(Score { weight: 3, of: score, normalize: Normalize::Reverse }),
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

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let mut hard =
        node.taints().filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
    if hard.any(|t| !tolerates(&cycle.pod.pod, t)) {
        return Err(Rejection::unresolvable(vec!["node(s) had untolerated taint(s)".into()]));
    }
    Ok(())
}

fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let soft = node.taints().filter(|t| t.effect == "PreferNoSchedule");
    soft.filter(|t| !tolerates(&cycle.pod.pod, t)).count() as i64
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
