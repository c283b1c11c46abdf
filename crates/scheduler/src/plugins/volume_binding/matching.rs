//! Which volume suits a claim.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::reaches;
use crate::cache::NodeInfo;
use crate::storage::{belongs_to, bytes, class_of, class_of_volume};
use rules::selector::Selector;

/// The bytes a claim asks for.
pub(super) fn wanted(claim: &PersistentVolumeClaim) -> i64 {
    let resources = claim.spec.as_ref().and_then(|s| s.resources.as_ref());
    bytes(resources.and_then(|r| r.requests.as_ref()))
}

/// The volume for a claim among those that are free: the one reserved for it, else the smallest.
pub(super) fn find<'a: 'b, 'b>(
    claim: &PersistentVolumeClaim,
    free: impl Iterator<Item = &'b &'a PersistentVolume>,
    node: &NodeInfo,
) -> Option<&'a PersistentVolume> {
    let selector = claim.spec.as_ref().and_then(|s| s.selector.as_ref());
    let selector = selector.map(|selector| Selector::new(Some(selector)));
    let mut smallest: Option<(i64, &PersistentVolume)> = None;
    for volume in free {
        let size = bytes(volume.spec.as_ref().and_then(|s| s.capacity.as_ref()));
        if size < wanted(claim) || !same_kind(claim, volume) {
            continue;
        }
        if belongs_to(volume, claim) {
            return reaches(node, volume).then_some(volume);
        }
        let available =
            volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Available");
        if available
            && selector.as_ref().is_none_or(|s| s.matches_labels(volume.metadata.labels.as_ref()))
            && class_of(claim) == class_of_volume(volume)
            && has_modes(claim, volume)
            && smallest.is_none_or(|(least, _)| size < least)
            && reaches(node, volume)
        {
            smallest = Some((size, volume));
        }
    }
    smallest.map(|(_, volume)| volume)
}

/// Same mode and attributes, and not on its way out.
fn same_kind(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let (claim, spec) = (claim.spec.as_ref(), volume.spec.as_ref());
    let mode = |mode: Option<&String>| mode.map_or("Filesystem", String::as_str).to_owned();
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    mode(claim.and_then(|s| s.volume_mode.as_ref()))
        == mode(spec.and_then(|s| s.volume_mode.as_ref()))
        && text(claim.and_then(|s| s.volume_attributes_class_name.as_ref()))
            == text(spec.and_then(|s| s.volume_attributes_class_name.as_ref()))
        && volume.metadata.deletion_timestamp.is_none()
}

fn has_modes(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let offered = volume.spec.as_ref().and_then(|s| s.access_modes.as_ref());
    let asked = claim.spec.as_ref().and_then(|s| s.access_modes.as_ref());
    asked.into_iter().flatten().all(|mode| offered.is_some_and(|modes| modes.contains(mode)))
}
