//! Volumes and claims.

use apimachinery::field::Path;
use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::{items, nodes, warn_fraction};

/// Annotation that held the class before the field existed.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const ANNOTATIONS: &[(&str, &str)] = &[
    (CLASS, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
    (
        "volume.beta.kubernetes.io/mount-options",
        "deprecated since v1.31; use \"mountOptions\" attribute instead",
    ),
];
/// Sources with their field and the name that upstream prints.
const SOURCES: &[(&str, &str, &str)] = &[
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    (
        "photonPersistentDisk",
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

pub(super) fn warn_volume(object: &Object, found: &mut Vec<String>) {
    let annotations = Path::new("metadata").child("annotations");
    for (annotation, message) in ANNOTATIONS {
        if object.annotation(annotation).is_some() {
            found.push(format!("{}: {message}", annotations.key(annotation)));
        }
    }
    let (spec, path) = (&object["spec"], Path::new("spec"));
    if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        found.push(format!(
            "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to \
             use dynamic provisioning.",
            path.child("persistentVolumeReclaimPolicy")
        ));
    }
    let terms = ["nodeAffinity", "required", "nodeSelectorTerms"];
    for (i, term) in items(spec, &terms).enumerate() {
        let path = terms.iter().fold(path.clone(), |path, name| path.child(name)).index(i);
        nodes::warn_term(&path, term, false, found);
    }
    for (_, name, message) in SOURCES.iter().filter(|(source, ..)| spec[*source].is_object()) {
        found.push(format!("{}: {message}", path.child(name)));
    }
}

/// Warns about a claim's spec.
pub(super) fn warn_claim(path: &Path, spec: &Value, found: &mut Vec<String>) {
    for amounts in ["requests", "limits"] {
        let path = path.child("resources").child(amounts);
        warn_fraction(&path, &spec["resources"][amounts], "storage", found);
    }
}
