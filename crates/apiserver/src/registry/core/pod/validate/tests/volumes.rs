//! Volumes, mounts and devices.

use serde_json::{Value, json};

use super::{LABEL, creates, pod};

fn volume(source: Value) -> Value {
    let mut volume = json!({"name": "v"});
    apimachinery::patch::merge_patch(&mut volume, &source);
    pod(&json!({"volumes": [volume]}))
}

#[test]
fn names_and_number_of_sources() {
    let bad = format!("spec.volumes[0].name: Invalid value: \"a_b\": {LABEL}");
    creates(&[
        (pod(&json!({"volumes": [{"name": "v"}]})), &[]),
        (
            pod(&json!({"volumes": [{"name": "v"}, {"name": "v"}, {}]})),
            &[
                "spec.volumes[1].name: Duplicate value: \"v\"",
                "spec.volumes[2].name: Required value",
            ],
        ),
        (volume(json!({"name": "a_b"})), &[&bad]),
        (
            volume(json!({"emptyDir": {}, "hostPath": {"path": "/x"}})),
            &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            volume(json!({"nonesuch": {}})),
            &["spec.volumes[0]: Required value: must specify a volume type"],
        ),
    ]);
}

#[test]
fn fields_of_sources() {
    creates(&[
        (volume(json!({"hostPath": {}})), &["spec.volumes[0].hostPath.path: Required value"]),
        (
            volume(json!({"hostPath": {"path": "/a/../b", "type": "Dir"}})),
            &[
                "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.volumes[0].hostPath.type: Unsupported value: \"Dir\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
            ],
        ),
        (
            volume(json!({"secret": {"defaultMode": 512, "items": [{"key": "", "path": "../x"}]}})),
            &[
                "spec.volumes[0].secret.secretName: Required value",
                "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                "spec.volumes[0].secret.items[0].key: Required value",
                "spec.volumes[0].secret.items[0].path: Invalid value: \"../x\": must not contain '..'",
            ],
        ),
        (volume(json!({"configMap": {}})), &["spec.volumes[0].configMap.name: Required value"]),
        (
            volume(json!({"persistentVolumeClaim": {}})),
            &["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
        ),
        (
            volume(json!({"nfs": {"server": "s", "path": "x"}})),
            &["spec.volumes[0].nfs.path: Invalid value: \"x\": must be an absolute path"],
        ),
        (
            volume(json!({"iscsi": {"targetPortal": "t", "iqn": "iqn.2015-02:x", "lun": 256}})),
            &[
                "spec.volumes[0].iscsi.iqn: Invalid value: \"iqn.2015-02:x\": must be valid format",
                "spec.volumes[0].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            ],
        ),
        (
            volume(json!({"gcePersistentDisk": {}})),
            &["spec.volumes[0].persistentDisk.pdName: Required value"],
        ),
        (
            volume(json!({"fc": {"targetWWNs": ["w"]}})),
            &["spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified"],
        ),
        (
            volume(json!({"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed"}})),
            &[
                "spec.volumes[0].azureDisk.diskURI: Unsupported value: \"x\": supported values: \"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}\"",
            ],
        ),
        (
            volume(json!({"csi": {"driver": "a_b"}})),
            &[
                "spec.volumes[0].csi.driver: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            volume(
                json!({"downwardAPI": {"items": [{"path": "..p"}, {"path": "q", "fieldRef": {"fieldPath": "spec.nodeName"}}]}}),
            ),
            &[
                "spec.volumes[0].downwardAPI.path: Invalid value: \"..p\": must not start with '..'",
                "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
                "spec.volumes[0].downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"",
            ],
        ),
        (
            volume(json!({"projected": {"sources": [
                {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}, "configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}},
                {"serviceAccountToken": {"path": "t", "expirationSeconds": 60}},
            ]}})),
            &[
                "spec.volumes[0].projected: Invalid value: \"b\": conflicting duplicate paths",
                "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source",
                "spec.volumes[0].projected.sources[1].serviceAccountToken.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
                "spec.volumes[0].projected.sources[1].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
            ],
        ),
        (
            volume(
                json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {"accessModes": ["RWO"]}}}}),
            ),
            &[
                "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: \"RWO\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
        ),
        (volume(json!({"image": {}})), &["spec.volumes[0].image.reference: Required value"]),
    ]);
}

#[test]
fn mounts_and_devices() {
    let with = |container: Value| {
        let mut c = json!({"name": "c", "image": "i"});
        apimachinery::patch::merge_patch(&mut c, &container);
        pod(
            &json!({"volumes": [{"name": "v"}, {"name": "claim", "persistentVolumeClaim": {"claimName": "x"}}], "containers": [c]}),
        )
    };
    creates(&[
        (
            with(
                json!({"volumeMounts": [{"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}, {"name": "", "mountPath": ""}]}),
            ),
            &[
                "spec.containers[0].volumeMounts[0].name: Not found: \"w\"",
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                "spec.containers[0].volumeMounts[2].name: Required value",
                "spec.containers[0].volumeMounts[2].name: Not found: \"\"",
                "spec.containers[0].volumeMounts[2].mountPath: Required value",
            ],
        ),
        (
            with(
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/x", "subPathExpr": "$(A)/..", "mountPropagation": "Bidirectional", "recursiveReadOnly": "Enabled"}]}),
            ),
            &[
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x\": must be a relative path",
                "spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: \"$(A)/..\": subPathExpr and subPath are mutually exclusive",
                "spec.containers[0].volumeMounts.subPathExpr: Invalid value: \"$(A)/..\": must not contain '..'",
                "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
            ],
        ),
        (
            with(
                json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/a"}, {"name": "claim", "devicePath": "/dev/../a"}, {"name": "no", "devicePath": ""}]}),
            ),
            &[
                "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                "spec.containers[0].volumeDevices[1].devicePath: Invalid value: \"/dev/../a\": can not contain backsteps ('..')",
                "spec.containers[0].volumeDevices[2].name: Not found: \"no\"",
                "spec.containers[0].volumeDevices[2].devicePath: Required value",
            ],
        ),
    ]);
}
