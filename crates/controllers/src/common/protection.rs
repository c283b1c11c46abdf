//! Finalizers that keep objects in use.

use kube::Resource;

use super::meta;

/// A change of the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It is missing.
    Add,
    /// It may go, if the object is not in use.
    Release,
}

/// The change of the finalizer that an object needs, if any.
pub(crate) fn needed(object: &impl Resource, finalizer: &str) -> Option<Move> {
    let mut finalizers = object.meta().finalizers.iter().flatten();
    match (meta::deleting(object), finalizers.any(|present| present == finalizer)) {
        (false, false) => Some(Move::Add),
        (true, true) => Some(Move::Release),
        _ => None,
    }
}

/// The object with the finalizer added or removed.
pub(crate) fn moved<K: Resource + Clone>(object: &K, finalizer: &str, how: Move) -> K {
    let mut changed = object.clone();
    let finalizers = changed.meta_mut().finalizers.get_or_insert_default();
    match how {
        Move::Add => finalizers.push(finalizer.to_owned()),
        Move::Release => finalizers.retain(|present| present != finalizer),
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    #[test]
    fn the_finalizer_comes_in_life_and_goes_in_death() {
        let gone = Some("2024-01-01T00:00:00Z");
        for (deleted, finalizers, expected) in [
            (None, json!([]), Some(Move::Add)),
            (None, json!(["f"]), None),
            (gone, json!(["f", "g"]), Some(Move::Release)),
            (gone, json!(["g"]), None),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {
                "deletionTimestamp": deleted, "finalizers": finalizers}}))
            .unwrap();
            let found = needed(&pod, "f");
            assert_eq!(found, expected);
            if let Some(how) = found {
                assert_eq!(needed(&moved(&pod, "f", how), "f"), None);
            }
        }
    }
}
