//! Claims and volumes of all sorts, with the other volume plugins in play.

use serde_json::{Value, json};

use super::*;
use crate::cluster::Cluster;
use crate::framework::tests::{cluster_of, decide, fits, node, object, pod};

/// Nodes a and b; classes `local`, `made`, `made-on-a` (all waiting) and `now`.
fn cluster() -> Cluster {
    let zoned = |zone: &str| json!({"labels": {"topology.kubernetes.io/zone": zone}});
    let mut cluster = cluster_of([node("a", zoned("1")), node("b", zoned("2"))]);
    for (name, provisioner, mode, on) in [
        ("local", NO_PROVISIONER, "WaitForFirstConsumer", None),
        ("made", "example.com/maker", "WaitForFirstConsumer", None),
        ("made-on-a", "example.com/maker", "WaitForFirstConsumer", Some("a")),
        ("now", "example.com/maker", "Immediate", None),
    ] {
        let topologies = on.map(|node| {
            json!([{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": [node]}]}])
        });
        cluster.storage.classes.put(object(json!({
            "metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode,
            "allowedTopologies": topologies,
        })));
    }
    cluster
}

fn claim(cluster: &mut Cluster, name: &str, class: &str, more: Value) {
    let mut claim = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}}},
    });
    for (path, value) in more.as_object().unwrap() {
        *claim
            .pointer_mut(path.rsplit_once('/').unwrap().0)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .entry(path.rsplit('/').next().unwrap())
            .or_insert(Value::Null) = value.clone();
    }
    cluster.storage.claims.put(object(claim));
}

fn bound(volume: &str) -> Value {
    json!({"/spec/volumeName": volume,
        "/metadata/annotations": {"pv.kubernetes.io/bind-completed": "yes"}})
}

fn volume(cluster: &mut Cluster, name: &str, class: &str, size: &str, on: &str, more: Value) {
    let mut volume = json!({
        "metadata": {"name": name}, "status": {"phase": "Available"},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size}},
    });
    if !on.is_empty() {
        volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{
            "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}]}});
    }
    for (field, value) in more.as_object().unwrap() {
        match field.as_str() {
            "labels" => volume["metadata"]["labels"] = value.clone(),
            field => volume["spec"][field] = value.clone(),
        }
    }
    cluster.storage.volumes.put(object(volume));
}

fn using(claims: &[&str]) -> std::sync::Arc<PodInfo> {
    let volumes = claims
        .iter()
        .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}));
    pod("p", json!({"volumes": volumes.collect::<Vec<_>>()}))
}

fn why(cluster: &Cluster, pod: &PodInfo) -> String {
    let message = decide(pod, cluster).unwrap_err();
    let head = message.split(". no new claims").next().unwrap();
    head.strip_prefix("0/2 nodes are available: ").unwrap().to_owned()
}

#[test]
fn claims_that_nothing_can_be_done_about() {
    let mut cluster = cluster();
    claim(&mut cluster, "now", "now", json!({}));
    claim(&mut cluster, "none", "", json!({}));
    claim(&mut cluster, "half", "made", json!({"/spec/volumeName": "v"}));
    claim(&mut cluster, "lost", "", json!({"/spec/volumeName": "v", "/status": {"phase": "Lost"}}));
    let leaving = json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"});
    claim(&mut cluster, "leaving", "", leaving);
    claim(&mut cluster, "local", "local", json!({}));
    claim(&mut cluster, "p-scratch", "made", json!({}));
    let unbound = "pod has unbound immediate PersistentVolumeClaims";
    for (name, want) in [
        ("missing", "persistentvolumeclaim \"missing\" not found"),
        ("now", unbound),
        ("none", unbound),
        ("half", unbound),
        ("lost", "persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"v\""),
        ("leaving", "persistentvolumeclaim \"leaving\" is being deleted"),
        ("local", "2 node(s) didn't find available persistent volumes to bind"),
    ] {
        assert_eq!(why(&cluster, &using(&[name])), want, "{name}");
    }
    let ephemeral = |name: &str| pod("p", json!({"volumes": [{"name": name, "ephemeral": {}}]}));
    assert_eq!(
        why(&cluster, &ephemeral("x")),
        "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-x\""
    );
    assert_eq!(
        why(&cluster, &ephemeral("scratch")),
        "PVC ns/p-scratch was not created for pod ns/p (pod is not owner)"
    );
}

#[test]
fn bound_volumes_decide_where() {
    let mut cluster = cluster();
    claim(&mut cluster, "on-b", "", bound("on-b"));
    volume(&mut cluster, "on-b", "", "2Gi", "b", json!({}));
    claim(&mut cluster, "zoned", "", bound("zoned"));
    let zone = json!({"labels": {"failure-domain.beta.kubernetes.io/zone": "1__7"}});
    volume(&mut cluster, "zoned", "", "2Gi", "", zone);
    claim(&mut cluster, "gone", "", bound("gone"));
    assert_eq!(fits(&using(&["on-b"]), &cluster), ["b"]);
    assert_eq!(fits(&using(&["zoned"]), &cluster), ["a"]);
    assert_eq!(
        why(&cluster, &using(&["on-b", "zoned"])),
        "1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) had no available volume zone"
    );
    assert_eq!(why(&cluster, &using(&["gone"])), "persistentvolume \"gone\" not found");
}

fn planned(cluster: &Cluster, pod: &PodInfo, node: &str) -> Option<Plan> {
    let mut cycle = Cycle::new(pod, cluster);
    cycle.prepare().unwrap();
    plan(&cycle, cluster.cache.node(node).unwrap())
}

#[test]
fn the_smallest_volume_that_suits_is_promised_once() {
    let mut cluster = cluster();
    claim(&mut cluster, "c", "local", json!({}));
    volume(&mut cluster, "small", "local", "1Gi", "a", json!({}));
    volume(&mut cluster, "large", "local", "9Gi", "a", json!({}));
    volume(&mut cluster, "right", "local", "3Gi", "a", json!({}));
    volume(&mut cluster, "block", "local", "2Gi", "a", json!({"volumeMode": "Block"}));
    volume(&mut cluster, "many", "local", "2Gi", "a", json!({"accessModes": ["ReadOnlyMany"]}));
    volume(&mut cluster, "other", "made", "2Gi", "a", json!({}));
    let taken = json!({"claimRef": {"namespace": "ns", "name": "else"}});
    volume(&mut cluster, "taken", "local", "2Gi", "a", taken);
    let key = |name: &str| ObjectKey::new("ns", name);
    let want = |volume: &str, claim: &str| {
        Some(Plan { bind: vec![(volume.into(), key(claim))], provision: vec![] })
    };
    let first = planned(&cluster, &using(&["c"]), "a");
    assert_eq!(first, want("right", "c"));
    assert_eq!(planned(&cluster, &using(&["c"]), "b"), None);
    cluster.storage.assume(&first.clone().unwrap(), "a");
    claim(&mut cluster, "d", "local", json!({}));
    assert_eq!(planned(&cluster, &using(&["d"]), "a"), want("large", "d"));
    cluster.storage.forget(&first.unwrap());
    assert_eq!(planned(&cluster, &using(&["d"]), "a"), want("right", "d"));
    // Two claims of a pod do not get the same one, and the reserved one comes first.
    let both = planned(&cluster, &using(&["c", "d"]), "a").unwrap();
    assert_eq!(both.bind, [("right".into(), key("c")), ("large".into(), key("d"))]);
    let reserved = json!({"claimRef": {"namespace": "ns", "name": "d"}});
    volume(&mut cluster, "reserved", "local", "50Gi", "a", reserved);
    assert_eq!(planned(&cluster, &using(&["d"]), "a"), want("reserved", "d"));
}

#[test]
fn volumes_are_made_where_the_class_may() {
    let mut cluster = cluster();
    claim(&mut cluster, "any", "made", json!({}));
    claim(&mut cluster, "a", "made-on-a", json!({}));
    assert_eq!(fits(&using(&["any"]), &cluster), ["a", "b"]);
    assert_eq!(fits(&using(&["a"]), &cluster), ["a"]);
    let plan = planned(&cluster, &using(&["any"]), "b").unwrap();
    assert_eq!(plan.provision, [ObjectKey::new("ns", "any")]);
    // Once decided, another pod with the claim must follow.
    cluster.storage.assume(&plan, "b");
    assert_eq!(fits(&using(&["any"]), &cluster), ["b"]);
}

#[test]
fn a_claim_for_one_pod_only_is_used_by_one() {
    let mut cluster = cluster();
    let mut once = bound("v");
    once["/spec/accessModes"] = json!(["ReadWriteOncePod"]);
    claim(&mut cluster, "once", "", once);
    volume(&mut cluster, "v", "", "2Gi", "", json!({}));
    assert_eq!(fits(&using(&["once"]), &cluster), ["a", "b"]);
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "once"}}]);
    cluster.cache.assume(pod("first", json!({"volumes": volumes})), "a");
    assert_eq!(
        why(&cluster, &using(&["once"])),
        "2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode \
         already in-use by another pod"
    );
    // Somebody less important gives it up.
    let vip = pod("vip", json!({"volumes": volumes, "priority": 1}));
    let mut cycle = Cycle::new(&vip, &cluster);
    cycle.prepare().unwrap();
    let a = cluster.cache.node("a").unwrap();
    cycle.update(&a.pods[0], a, -1);
    assert!(cycle.filter(a, a).is_ok());
}

#[test]
fn disks_are_not_mounted_twice_for_writing() {
    let disk = |read_only: bool| {
        pod(
            "p",
            json!({"volumes": [{"name": "d",
            "gcePersistentDisk": {"pdName": "disk", "readOnly": read_only}}]}),
        )
    };
    for (first, second, want) in
        [(true, true, vec!["a", "b"]), (true, false, vec!["b"]), (false, false, vec!["b"])]
    {
        let mut cluster = cluster();
        let mut existing = serde_json::to_value(&*disk(first).pod).unwrap();
        existing["metadata"]["name"] = "first".into();
        cluster.cache.assume(std::sync::Arc::new(PodInfo::new(object(existing))), "a");
        assert_eq!(fits(&disk(second), &cluster), want, "{first} {second}");
    }
}
