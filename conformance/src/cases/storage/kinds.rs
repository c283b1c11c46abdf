//! Storage kinds in the API.

use anyhow::Result;
use serde_json::{Value, json};

use crate::api::*;
use crate::case::{Case, case};
use crate::cases::lifecycle::{Life, life_case};
use crate::test::{Test, condition, expect_eq};

pub(super) fn cases() -> Vec<Case> {
    let label = json!({"metadata": {"labels": {"changed": "yes"}}});
    let lives = [
        (
            "CSIInlineVolumes should run through the lifecycle of a CSIDriver [Conformance]",
            CSI_DRIVER,
            json!({"spec": {"attachRequired": false, "volumeLifecycleModes": ["Ephemeral"]}}),
        ),
        (
            "CSINodes CSI Conformance should run through the lifecycle of a csinode [Conformance]",
            CSI_NODE,
            json!({"spec": {"drivers": [{"name": "e2e.example.com", "nodeID": "n"}]}}),
        ),
        (
            "CSIStorageCapacity should support CSIStorageCapacities API operations [Conformance]",
            CSI_STORAGE_CAPACITY,
            json!({"storageClassName": "fast", "capacity": "1Gi",
                "nodeTopology": {"matchLabels": {"zone": "a"}}}),
        ),
        (
            "StorageClasses CSI Conformance should run through the lifecycle of a StorageClass [Conformance]",
            STORAGE_CLASS,
            json!({"provisioner": "e2e-fake-provisioner", "reclaimPolicy": "Delete",
                "volumeBindingMode": "WaitForFirstConsumer"}),
        ),
        (
            "VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of \
             a VolumeAttributesClass [Conformance]",
            VOLUME_ATTRIBUTES_CLASS,
            json!({"driverName": "e2e-fake-csi-driver", "parameters": {"iops": "1000"}}),
        ),
    ];
    let mut cases: Vec<Case> = lives
        .into_iter()
        .map(|(title, kind, object)| {
            let life = Life { kind, object, change: label.clone(), status: None };
            life_case(&format!("[sig-storage] {title}"), life)
        })
        .collect();
    let attachment = json!({"spec": {"attacher": "e2e.example.com", "nodeName": "nowhere",
        "source": {"persistentVolumeName": "never"}}});
    for (rest, status) in [
        ("run through the lifecycle of a VolumeAttachment", None),
        ("apply changes to a volumeattachment status", Some(json!({"attached": true}))),
    ] {
        let (object, change) = (attachment.clone(), label.clone());
        let life = Life { kind: VOLUME_ATTACHMENT, object, change, status };
        let title =
            format!("[sig-storage] VolumeAttachment Conformance should {rest} [Conformance]");
        cases.push(life_case(&title, life));
    }
    cases.push(case(
        "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a \
         PVC [Conformance]",
        volume_and_claim,
    ));
    cases.push(case(
        "[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status \
         [Conformance]",
        statuses,
    ));
    cases
}

/// A volume and the one claim that it takes; no binder has to bind them.
async fn make(test: &Test) -> Result<(String, String)> {
    let (volume, claim) = (test.unique("pv"), test.unique("pvc"));
    let class = test.unique("class");
    let spec = json!({
        "storageClassName": class, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "csi": {"driver": "e2e.example.com", "volumeHandle": volume},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": test.namespace.as_ref(), "name": "somebody-elses"},
    });
    let object = json!({"metadata": {"name": volume, "labels": {"pv": volume}}, "spec": spec});
    test.cluster.all(&PERSISTENT_VOLUME).create(object).await?;
    let spec = json!({
        "storageClassName": class, "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    });
    let object = json!({"metadata": {"name": claim, "labels": {"pvc": claim}}, "spec": spec});
    test.of(&PERSISTENT_VOLUME_CLAIM).create(object).await?;
    Ok((volume, claim))
}

async fn volume_and_claim(test: Test) -> Result<()> {
    let (volume, claim) = make(&test).await?;
    make(&test).await?;
    let (volumes, claims) =
        (test.cluster.all(&PERSISTENT_VOLUME), test.of(&PERSISTENT_VOLUME_CLAIM));
    let listed = volumes.items(&format!("labelSelector=pv={volume}")).await?;
    expect_eq("the volumes listed", &json!(listed.len()), &json!(1))?;
    let listed = test.cluster.all(&PERSISTENT_VOLUME_CLAIM);
    let listed = listed.items(&format!("labelSelector=pvc={claim}")).await?;
    expect_eq("the claims listed", &json!(listed.len()), &json!(1))?;
    let label = json!({"metadata": {"labels": {"patched": "yes"}}});
    for (resource, name) in [(&volumes, &volume), (&claims, &claim)] {
        let patched = resource.patch(name, Patch::Merge, label.clone()).await?;
        expect_eq("the label", &patched["metadata"]["labels"]["patched"], &json!("yes"))?;
        let set = |object: &mut Value| object["metadata"]["labels"]["updated"] = "yes".into();
        let updated = resource.change(name, set).await?;
        expect_eq("the label", &updated["metadata"]["labels"]["updated"], &json!("yes"))?;
    }
    claims.delete(&claim).await?;
    claims.wait_gone(&claim).await?;
    volumes.delete_all(&format!("labelSelector=pv={volume}")).await?;
    volumes.wait_gone(&volume).await
}

async fn statuses(test: Test) -> Result<()> {
    let (volume, claim) = make(&test).await?;
    let volumes = test.cluster.all(&PERSISTENT_VOLUME);
    let told = json!({"status": {"message": "StatusPatched", "reason": "E2E"}});
    let patched = volumes.patch(&format!("{volume}/status"), Patch::Merge, told).await?;
    expect_eq("the volume's message", &patched["status"]["message"], &json!("StatusPatched"))?;
    let claims = test.of(&PERSISTENT_VOLUME_CLAIM);
    let told = json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}});
    let at = format!("{claim}/status");
    claims.patch(&at, Patch::Merge, told).await?;
    let read = claims.get(&at).await?;
    expect_eq("the claim's condition", &condition(&read, "StatusPatched")["status"], &json!("True"))
}
