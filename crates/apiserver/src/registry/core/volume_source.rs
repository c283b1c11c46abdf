//! Volume sources of pods and of persistent volumes
//! (upstream's `validateVolumeSource` and `ValidatePersistentVolumeSpec`).

mod disks;
mod files;
mod projected;

use crate::registry::check::{Field, Rule};

/// One kind of source. Two of upstream's error paths differ from the field's name.
struct Source {
    name: &'static str,
    /// Field at which a second source is reported.
    extra: &'static str,
    /// Path of the source's own fields.
    place: &'static str,
    rule: Rule,
}

const fn source(name: &'static str, rule: Rule) -> Source {
    Source { name, extra: name, place: name, rule }
}

const GCE: Source = Source {
    name: "gcePersistentDisk",
    extra: "gcePersistentDisk",
    place: "persistentDisk",
    rule: disks::gce,
};

const fn cephfs() -> Source {
    Source {
        name: "cephfs",
        extra: "cephFS",
        place: "cephfs",
        rule: |f| f.needs_all(&["monitors"]),
    }
}

/// Sources that a pod may mount, in upstream's order.
const POD: &[Source] = &[
    source("emptyDir", files::empty_dir),
    source("hostPath", files::host_path),
    source("gitRepo", files::git_repo),
    GCE,
    source("awsElasticBlockStore", disks::aws),
    source("secret", files::secret),
    source("nfs", files::nfs),
    source("iscsi", disks::iscsi),
    source("glusterfs", |f| f.needs_all(&["endpoints", "path"])),
    source("flocker", disks::flocker),
    source("persistentVolumeClaim", |f| f.needs_all(&["claimName"])),
    source("rbd", |f| f.needs_all(&["monitors", "image"])),
    source("cinder", |f| disks::with_secret(f, &["volumeID"], &["name"])),
    cephfs(),
    source("quobyte", disks::quobyte),
    Source {
        name: "downwardAPI",
        extra: "downwarAPI",
        place: "downwardAPI",
        rule: files::downward_api,
    },
    source("fc", disks::fibre_channel),
    source("flexVolume", disks::flex),
    source("configMap", files::config_map),
    source("azureFile", |f| f.needs_all(&["secretName", "shareName"])),
    source("vsphereVolume", |f| f.needs_all(&["volumePath"])),
    source("photonPersistentDisk", |f| f.needs_all(&["pdID"])),
    source("portworxVolume", |f| f.needs_all(&["volumeID"])),
    source("azureDisk", disks::azure_disk),
    source("storageos", |f| disks::storageos(f, &["name"])),
    source("projected", projected::projected),
    source("scaleIO", |f| f.needs_all(&["gateway", "system", "volumeName"])),
    source("csi", disks::csi),
    source("ephemeral", files::ephemeral),
    source("image", files::image),
];

/// Sources of a persistent volume, in upstream's order.
const PERSISTENT: &[Source] = &[
    source("hostPath", files::host_path),
    GCE,
    source("awsElasticBlockStore", disks::aws),
    source("glusterfs", disks::glusterfs_persistent),
    source("flocker", disks::flocker),
    source("nfs", files::nfs),
    source("rbd", |f| f.needs_all(&["monitors", "image"])),
    source("quobyte", disks::quobyte),
    cephfs(),
    source("iscsi", disks::iscsi_persistent),
    source("cinder", |f| disks::with_secret(f, &["volumeID"], &["name", "namespace"])),
    source("fc", disks::fibre_channel),
    source("flexVolume", disks::flex),
    source("azureFile", disks::azure_file_persistent),
    source("vsphereVolume", |f| f.needs_all(&["volumePath"])),
    source("photonPersistentDisk", |f| f.needs_all(&["pdID"])),
    source("portworxVolume", |f| f.needs_all(&["volumeID"])),
    source("azureDisk", disks::azure_disk),
    source("scaleIO", |f| f.needs_all(&["gateway", "system", "volumeName"])),
    source("local", files::local),
    source("storageos", |f| disks::storageos(f, &["name", "namespace"])),
    source("csi", disks::csi_persistent),
];

/// Requires exactly one source and returns its name, the first if there are several.
fn exactly_one(volume: &Field<'_>, sources: &[Source], in_pod: bool) -> Option<&'static str> {
    let mut found = 0;
    for source in sources.iter().filter(|s| volume.has(s.name)) {
        // Upstream does not count the sources here.
        let forgiven = source.name == "flexVolume" && !in_pod;
        if found > 0 && !forgiven {
            volume
                .at_as(source.name, source.extra)
                .forbidden("may not specify more than 1 volume type");
        } else {
            (source.rule)(&volume.at_as(source.name, source.place));
        }
        found += 1;
    }
    if found == 0 {
        volume.required("must specify a volume type");
    }
    sources.iter().map(|source| source.name).find(|name| volume.has(name))
}

const TARGET_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under \
                               64 characters if iscsi.initiatorName is specified.";

/// Returns true if the initiator's name leaves too little room.
fn target_too_long(iscsi: &Field<'_>, volume: &str) -> bool {
    iscsi.has("initiatorName") && volume.len() + 1 + iscsi.str("targetPortal").len() > 64
}

/// Checks and names the source of a volume of a pod, or of a template, where an image may still be
/// unknown.
pub(in crate::registry) fn check_pod_source(
    volume: &Field<'_>,
    in_pod: bool,
) -> Option<&'static str> {
    let source = exactly_one(volume, POD, true);
    if in_pod && source == Some("image") {
        volume.at("image").needs("reference");
    }
    if let Some(iscsi) = volume.opt("iscsi")
        && target_too_long(&iscsi, volume.str("name"))
    {
        volume.at("name").invalid(TARGET_TOO_LONG);
    }
    source
}

/// Checks the source of a persistent volume of this name.
pub(in crate::registry) fn check_persistent_source(spec: &Field<'_>, name: &str) {
    let source = exactly_one(spec, PERSISTENT, false);
    if source == Some("local") && !spec.has("nodeAffinity") {
        spec.at("nodeAffinity").required("Local volume requires node affinity");
    }
    if let Some(iscsi) = spec.opt("iscsi")
        && target_too_long(&iscsi, name)
    {
        iscsi.at_as("targetPortal", "targetportal").invalid(TARGET_TOO_LONG);
    }
}

/// Names of the fields of a persistent volume that are sources.
pub(in crate::registry) fn persistent_sources() -> impl Iterator<Item = &'static str> {
    PERSISTENT.iter().map(|s| s.name)
}
