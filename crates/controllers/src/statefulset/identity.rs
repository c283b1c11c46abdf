//! The identity of each pod of a StatefulSet: its ordinal, its name, its volumes.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity>

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};

use crate::common::history::REVISION_LABEL;
use crate::common::{meta, pod_control};

const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The set's name and the ordinal that a pod's name consists of.
fn parts(pod: &Pod) -> Option<(&str, i32)> {
    let (parent, ordinal) = meta::name(pod).rsplit_once('-')?;
    let digits = !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit());
    Some((parent, ordinal.parse().ok().filter(|_| digits)?))
}

/// A pod's ordinal.
pub(super) fn ordinal(pod: &Pod) -> Option<i32> {
    parts(pod).map(|(_, ordinal)| ordinal)
}

/// Returns true if a pod's name makes it one of the set's.
pub(super) fn is_member(set: &StatefulSet, pod: &Pod) -> bool {
    parts(pod).is_some_and(|(parent, _)| parent == meta::name(set))
}

/// The ordinals that are to be.
pub(super) fn ordinals(set: &StatefulSet) -> std::ops::Range<i32> {
    let spec = &set.spec;
    let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    let count = spec.replicas.unwrap_or(1);
    start..start.saturating_add(count)
}

/// The revision a pod is of.
pub(super) fn revision(pod: &Pod) -> &str {
    meta::label(pod, REVISION_LABEL).unwrap_or_default()
}

fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", meta::name(set))
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", meta::name(template), meta::name(set))
}

fn templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec.volume_claim_templates.iter().flatten()
}

/// The claims of a pod, as they are made.
pub(super) fn claims(set: &StatefulSet, pod: &Pod) -> Vec<PersistentVolumeClaim> {
    let Some(ordinal) = ordinal(pod) else { return Vec::new() };
    let selector = set.spec.selector.match_labels.clone();
    let make = |template: &PersistentVolumeClaim| {
        let mut claim = template.clone();
        claim.metadata.name = Some(claim_name(set, template, ordinal));
        claim.metadata.namespace = set.metadata.namespace.clone();
        let labels = claim.metadata.labels.get_or_insert_default();
        labels.extend(selector.clone().unwrap_or_default());
        claim.status = None;
        claim
    };
    templates(set).map(make).collect()
}

/// A new pod of this template and revision.
pub(super) fn pod_for(
    set: &StatefulSet,
    template: &PodTemplateSpec,
    revision: &str,
    ordinal: i32,
) -> Pod {
    let mut pod = pod_control::pod_from(set, template);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(pod_name(set, ordinal));
    restore(set, &mut pod);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.into(), revision.into());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = pod.metadata.name.clone();
    spec.subdomain = set.spec.service_name.clone();
    pod
}

/// Returns true if a pod has the labels and volumes of its ordinal.
pub(super) fn is_intact(set: &StatefulSet, pod: &Pod) -> bool {
    let Some(ordinal) = ordinal(pod) else { return false };
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let claimed = |template: &PersistentVolumeClaim| {
        let wanted = claim_name(set, template, ordinal);
        volumes.clone().any(|volume| {
            volume.name == meta::name(template)
                && volume.persistent_volume_claim.as_ref().is_some_and(|c| c.claim_name == wanted)
        })
    };
    is_member(set, pod)
        && meta::label(pod, NAME_LABEL) == Some(meta::name(pod))
        && templates(set).all(claimed)
}

/// Gives a pod the labels and volumes of its ordinal.
pub(super) fn restore(set: &StatefulSet, pod: &mut Pod) {
    let Some(ordinal) = ordinal(pod) else { return };
    let name = meta::name(pod).to_owned();
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(NAME_LABEL.into(), name);
    labels.insert(INDEX_LABEL.into(), ordinal.to_string());
    let mut volumes: Vec<Volume> = templates(set)
        .map(|template| Volume {
            name: meta::name(template).to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, template, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    let spec = pod.spec.get_or_insert_default();
    let others = spec.volumes.take().unwrap_or_default();
    let replaced = |volume: &Volume| templates(set).any(|t| meta::name(t) == volume.name);
    volumes.extend(others.into_iter().filter(|volume| !replaced(volume)));
    spec.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set() -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "u"},
            "spec": {"replicas": 2, "ordinals": {"start": 5}, "serviceName": "svc",
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                    "containers": [], "volumes": [{"name": "data"}, {"name": "tmp"}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"x": "y"}}}]}}))
        .unwrap()
    }

    #[test]
    fn names_carry_the_ordinal() {
        for (name, expected) in [
            ("web-0", Some(0)),
            ("web-12", Some(12)),
            ("a-b-3", Some(3)),
            ("web-", None),
            ("web-x", None),
            ("web-+1", None),
            ("web", None),
        ] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            assert_eq!(ordinal(&pod), expected, "{name}");
        }
        assert_eq!(ordinals(&set()), 5..7);
    }

    #[test]
    fn a_pod_has_its_own_name_and_volumes() {
        let set = set();
        let template = set.spec.template.clone();
        let mut pod = pod_for(&set, &template, "web-abc", 5);
        assert_eq!((meta::name(&pod), revision(&pod)), ("web-5", "web-abc"));
        assert_eq!(meta::label(&pod, INDEX_LABEL), Some("5"));
        assert!(is_member(&set, &pod) && is_intact(&set, &pod));
        let spec = pod.spec.clone().unwrap();
        assert_eq!(spec.hostname.as_deref(), Some("web-5"));
        assert_eq!(spec.subdomain.as_deref(), Some("svc"));
        let volumes = spec.volumes.unwrap();
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        assert_eq!(names, ["data", "tmp"]);
        let claims = claims(&set, &pod);
        assert_eq!(meta::name(&claims[0]), "data-web-5");
        assert_eq!(meta::label(&claims[0], "app"), Some("web"));
        assert_eq!(meta::label(&claims[0], "x"), Some("y"));

        pod.metadata.labels = None;
        assert!(!is_intact(&set, &pod));
        restore(&set, &mut pod);
        assert!(is_intact(&set, &pod));
    }
}
