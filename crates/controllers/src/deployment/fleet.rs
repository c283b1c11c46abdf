//! The ReplicaSets of one Deployment, sorted into new and old.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::update::{actual, available, size};
use crate::common::meta;

/// Label that keeps the pods of one template apart from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The ReplicaSet of the present template, and those of former ones.
pub(super) struct Fleet {
    pub(super) new: Option<ReplicaSet>,
    /// Oldest first.
    pub(super) old: Vec<ReplicaSet>,
}

/// Returns true if two templates are equal but for the hash label.
pub(super) fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let plain = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        let meta = template.metadata.get_or_insert_default();
        let labels = meta.labels.get_or_insert_default();
        labels.remove(HASH_LABEL);
        if meta.annotations.as_ref().is_some_and(|notes| notes.is_empty()) {
            meta.annotations = None;
        }
        template
    };
    plain(a) == plain(b)
}

/// The ReplicaSet's template, if it has one.
pub(super) fn is_of(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let of_set = set.spec.template.as_ref();
    let of_deployment = Some(&deployment.spec.template);
    matches!((of_set, of_deployment), (Some(a), Some(b)) if same_template(a, b))
}

impl Fleet {
    /// Sorts. Of several with the present template the oldest is the new one.
    pub(super) fn find(deployment: &Deployment, mut sets: Vec<ReplicaSet>) -> Self {
        sets.sort_by(by_age);
        let new = sets.iter().position(|set| is_of(set, deployment));
        let new = new.map(|at| sets.remove(at));
        Self { new, old: sets }
    }

    /// Old ones first, then the new one.
    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    /// Replicas that all ReplicaSets are told to have.
    pub(super) fn total_size(&self) -> i32 {
        self.all().map(size).sum()
    }

    /// Replicas that all ReplicaSets have.
    pub(super) fn total_actual(&self) -> i32 {
        self.all().map(actual).sum()
    }

    /// Replicas of all ReplicaSets that serve.
    pub(super) fn total_available(&self) -> i32 {
        self.all().map(available).sum()
    }

    /// The only one with replicas, or the latest if none has any; `None` if several have.
    pub(super) fn active_or_latest(&mut self) -> Option<&mut ReplicaSet> {
        let active = self.all().filter(|set| size(set) > 0).count();
        match active {
            0 if self.new.is_some() => self.new.as_mut(),
            0 => self.old.last_mut(),
            1 => self.old.iter_mut().chain(&mut self.new).find(|set| size(set) > 0),
            _ => None,
        }
    }
}

/// Older before younger, then by name.
pub(super) fn by_age(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    (meta::created(a), meta::name(a)).cmp(&(meta::created(b), meta::name(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_is_no_difference() {
        let template = |labels: serde_json::Value, image: &str| -> PodTemplateSpec {
            serde_json::from_value(json!({
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": image}]},
            }))
            .unwrap()
        };
        let plain = template(json!({"app": "web"}), "v1");
        let hashed = template(json!({"app": "web", HASH_LABEL: "abc"}), "v1");
        assert!(same_template(&plain, &hashed));
        assert!(!same_template(&plain, &template(json!({"app": "web"}), "v2")));
        assert!(!same_template(&plain, &template(json!({"app": "db"}), "v1")));
    }
}
