//! Which taints a pod puts up with.

use k8s_openapi::api::core::v1::{Node, PodSpec, Taint, Toleration};

/// Whether `toleration` is about `taint`.
///
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "Exists" => true,
        _ => !key.is_empty() && text(&toleration.value) == text(&taint.value),
    }
}

/// Whether pods of this spec tolerate all taints of the node with one of these effects.
pub(crate) fn tolerates_all(spec: &PodSpec, node: &Node, effects: &[&str]) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let mut hard = taints.filter(|taint| effects.contains(&taint.effect.as_str()));
    hard.all(|taint| spec.tolerations.iter().flatten().any(|t| tolerates(t, taint)))
}

/// Adds a toleration, in place of one that differs only in its duration.
pub(crate) fn add(spec: &mut PodSpec, toleration: Toleration) {
    let all = spec.tolerations.get_or_insert_default();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let about = |t: &Toleration| [&t.key, &t.effect, &t.operator, &t.value].map(text);
    match all.iter_mut().find(|known| about(known) == about(&toleration)) {
        Some(known) => *known = toleration,
        None => all.push(toleration),
    }
}
