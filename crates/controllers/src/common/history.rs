//! ControllerRevisions: the templates a workload has had.

use std::collections::BTreeMap;

use client::helpers::{is_already_exists, is_not_found, owner_ref};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use serde_json::{Value, json};

use super::hash::template_hash;
use super::meta;
use super::pod_control::Owner;
use crate::{Context, Error};

/// Longest part of the owner's name in that of a revision.
const MAX_PREFIX: usize = 223;

/// The label by which pods tell their revision.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// The data of a revision: a patch that restores this template, as `kubectl rollout undo`
/// applies it.
pub(crate) fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

/// The template that a revision keeps.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Returns true if a revision has this data.
pub(crate) fn keeps(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.0 == *data
}

/// The number of a revision.
pub(crate) fn number(revision: &ControllerRevision) -> i64 {
    revision.revision.unwrap_or(0)
}

/// The number after those of all revisions.
pub(crate) fn next(revisions: &[&ControllerRevision]) -> i64 {
    revisions.iter().map(|revision| number(revision)).max().unwrap_or(0) + 1
}

/// Oldest first.
pub(crate) fn by_age(a: &ControllerRevision, b: &ControllerRevision) -> std::cmp::Ordering {
    let key = |r: &ControllerRevision| (r.revision, meta::created(r), meta::name(r).to_owned());
    key(a).cmp(&key(b))
}

/// A revision to be made.
pub(crate) struct Wanted {
    pub(crate) data: Value,
    pub(crate) revision: i64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// The label that is to hold the hash.
    pub(crate) hash_label: &'static str,
}

/// Makes a revision controlled by `owner`. If the name that follows from its hash is taken by
/// another, `collisions` is counted up and another name tried.
pub(crate) async fn create<O: Owner>(
    context: &Context,
    owner: &O,
    wanted: Wanted,
    collisions: &mut Option<i32>,
) -> Result<ControllerRevision, Error> {
    let api = context.api::<ControllerRevision>(meta::namespace(owner));
    let full = meta::name(owner);
    let prefix = full.get(..MAX_PREFIX).unwrap_or(full);
    loop {
        let hash = template_hash(&wanted.data, collisions.filter(|count| *count > 0));
        let mut labels = wanted.labels.clone();
        labels.insert(wanted.hash_label.to_owned(), hash.clone());
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{prefix}-{hash}")),
                namespace: owner.meta().namespace.clone(),
                labels: Some(labels),
                annotations: wanted.annotations.clone(),
                owner_references: Some(vec![owner_ref(owner)]),
                ..ObjectMeta::default()
            },
            data: RawExtension(wanted.data.clone()),
            revision: Some(wanted.revision),
        };
        match api.create(&PostParams::default(), &revision).await {
            Err(error) if is_already_exists(&error) => {
                let present = api.get(meta::name(&revision)).await?;
                if keeps(&present, &wanted.data) {
                    return Ok(present);
                }
                *collisions = Some(collisions.unwrap_or(0) + 1);
            }
            result => return Ok(result?),
        }
    }
}

/// Gives a revision another number.
pub(crate) async fn renumber(
    context: &Context,
    revision: &ControllerRevision,
    number: i64,
) -> Result<ControllerRevision, Error> {
    let api = context.api::<ControllerRevision>(meta::namespace(revision));
    let changed = ControllerRevision { revision: Some(number), ..revision.clone() };
    Ok(api.replace(meta::name(revision), &PostParams::default(), &changed).await?)
}

/// Deletes a revision.
pub(crate) async fn delete(context: &Context, revision: &ControllerRevision) -> Result<(), Error> {
    let api = context.api::<ControllerRevision>(meta::namespace(revision));
    match api.delete(meta::name(revision), &DeleteParams::default()).await {
        Err(error) if !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The oldest revisions beyond `limit` that are not `live`.
pub(crate) fn excess<'a>(
    old: &[&'a ControllerRevision],
    limit: i32,
    live: impl Fn(&ControllerRevision) -> bool,
) -> Vec<&'a ControllerRevision> {
    let too_many = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let mut sorted = old.to_vec();
    sorted.sort_by(|a, b| by_age(a, b));
    sorted.into_iter().filter(|revision| !live(revision)).take(too_many).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_comes_back_from_its_revision() {
        let original: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "v1"}]}}))
        .unwrap();
        let kept = data(&original);
        assert_eq!(kept["spec"]["template"]["$patch"], "replace");
        let revision = ControllerRevision {
            data: RawExtension(kept.clone()),
            ..ControllerRevision::default()
        };
        assert!(keeps(&revision, &kept));
        assert_eq!(template(&revision), Some(original));
    }

    #[test]
    fn the_oldest_unused_go() {
        let make = |number| ControllerRevision { revision: Some(number), ..Default::default() };
        let all: Vec<_> = [5, 1, 3, 2].into_iter().map(make).collect();
        let refs: Vec<_> = all.iter().collect();
        assert_eq!(next(&refs), 6);
        for (limit, expected) in [(4, vec![]), (3, vec![2]), (2, vec![2, 3]), (0, vec![2, 3, 5])] {
            let found = excess(&refs, limit, |revision| number(revision) == 1);
            let found: Vec<i64> = found.iter().map(|revision| number(revision)).collect();
            assert_eq!(found, expected);
        }
    }
}
