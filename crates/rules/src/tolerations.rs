//! Which taints a pod puts up with.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>

use k8s_openapi::api::core::v1::{Taint, Toleration};

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

/// The toleration is about the taint (upstream's `ToleratesTaint`): no effect or key means any.
///
/// The operators `Lt` and `Gt` (KEP-5471, alpha and off in v1.37) tolerate nothing.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator) {
        "" | "Equal" => text(&toleration.value) == text(&taint.value),
        "Exists" => true,
        _ => false,
    }
}

/// The first taint with one of these effects that no toleration is about.
#[must_use]
pub fn untolerated<'t>(
    tolerations: &[Toleration],
    taints: impl IntoIterator<Item = &'t Taint>,
    effects: &[&str],
) -> Option<&'t Taint> {
    let mut of_effect = taints.into_iter().filter(|taint| effects.contains(&taint.effect.as_str()));
    of_effect.find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Adds a toleration, in place of one that differs only in its duration (upstream's
/// `MatchToleration`).
pub fn add(tolerations: &mut Vec<Toleration>, toleration: Toleration) {
    let about =
        |t: &Toleration| [&t.key, &t.effect, &t.operator, &t.value].map(text).map(str::to_owned);
    match tolerations.iter_mut().find(|known| about(known) == about(&toleration)) {
        Some(known) => *known = toleration,
        None => tolerations.push(toleration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint() -> Taint {
        Taint {
            key: "k".into(),
            value: Some("v".into()),
            effect: "NoSchedule".into(),
            ..Taint::default()
        }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        Toleration {
            key: Some(key.into()),
            operator: Some(operator.into()),
            value: Some(value.into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        }
    }

    #[test]
    fn tolerations_are_about_taints_as_upstream_has_it() {
        for (key, operator, value, effect, wanted) in [
            ("k", "Equal", "v", "NoSchedule", true),
            ("k", "", "v", "", true),
            ("k", "Equal", "w", "", false),
            ("k", "Exists", "", "", true),
            ("k", "Exists", "", "NoExecute", false),
            ("other", "Exists", "", "", false),
            ("", "Exists", "", "", true),
            ("", "Equal", "v", "", true),
            ("k", "Gt", "v", "", false),
            ("k", "Unknown", "v", "", false),
        ] {
            let toleration = toleration(key, operator, value, effect);
            assert_eq!(tolerates(&toleration, &taint()), wanted, "{toleration:?}");
        }
    }

    #[test]
    fn the_first_taint_in_the_way_is_named() {
        let other = Taint { key: "o".into(), effect: "NoExecute".into(), ..Taint::default() };
        let taints = [taint(), other.clone()];
        let tolerations = [toleration("k", "Exists", "", "")];
        assert_eq!(untolerated(&tolerations, &taints, &["NoSchedule"]), None);
        assert_eq!(untolerated(&tolerations, &taints, &["NoSchedule", "NoExecute"]), Some(&other));
    }

    #[test]
    fn an_equal_toleration_is_replaced() {
        let mut all = vec![toleration("k", "Exists", "", "NoExecute")];
        let lasting = Toleration {
            toleration_seconds: Some(5),
            ..toleration("k", "Exists", "", "NoExecute")
        };
        add(&mut all, lasting.clone());
        assert_eq!(all, [lasting]);
        add(&mut all, toleration("l", "Exists", "", "NoExecute"));
        assert_eq!(all.len(), 2);
    }
}
