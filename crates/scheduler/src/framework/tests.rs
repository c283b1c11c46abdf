//! Decisions over small clusters.

use std::sync::Arc;

use client::Event;
use k8s_openapi::api::core::v1::Node;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::preemption::{Outcome, preempt};

/// An object from JSON.
pub(crate) fn object<K: DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).unwrap())
}

/// A node of 2 CPUs, 4Gi and 10 pods; `extra` may have labels and a spec.
pub(crate) fn node(name: &str, extra: Value) -> Arc<Node> {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}},
    });
    node["spec"] = extra["spec"].clone();
    for (key, value) in extra["labels"].as_object().into_iter().flatten() {
        node["metadata"]["labels"][key] = value.clone();
    }
    object(node)
}

/// A pod of namespace `ns` with one container, unless `spec` says otherwise; labels from `spec`.
pub(crate) fn pod(name: &str, mut spec: Value) -> Arc<PodInfo> {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    for part in ["labels", "ownerReferences", "deletionTimestamp", "namespace"] {
        if let Some(given) = spec.as_object_mut().unwrap().remove(part) {
            pod["metadata"][part] = given;
        }
    }
    if let Some(status) = spec.as_object_mut().unwrap().remove("status") {
        pod["status"] = status;
    }
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    Arc::new(PodInfo::new(object(pod)))
}

/// Containers that ask for CPU.
pub(crate) fn cpu(amount: &str) -> Value {
    json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": amount}}}])
}

/// A cluster of these nodes.
pub(crate) fn cluster_of(nodes: impl IntoIterator<Item = Arc<Node>>) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.apply(&Change::Node(Event::Added(node)));
    }
    cluster
}

/// The nodes a pod fits on, by name.
pub(crate) fn fits(pod: &PodInfo, cluster: &Cluster) -> Vec<String> {
    let mut cycle = Cycle::new(pod, cluster);
    if cycle.prepare().is_err() {
        return Vec::new();
    }
    let nodes = cluster.cache.nodes().filter(|node| cycle.filter(node, node).is_ok());
    nodes.map(|node| node.name().to_owned()).collect()
}

/// The name of the node for a pod, or the message of its failure.
pub(crate) fn decide(pod: &PodInfo, cluster: &Cluster) -> Result<String, String> {
    let mut cycle = Cycle::new(pod, cluster);
    let error = match schedule(&mut cycle, "") {
        Ok(node) => return Ok(node.name().to_owned()),
        Err(error) => error,
    };
    match preempt(&mut cycle, &error) {
        _ if error.nodes == 0 => Err(error.message(None)),
        Outcome::Candidate(_) => Err(error.message(None)),
        Outcome::Hopeless(text) => Err(error.message(Some(&text))),
        Outcome::NotEligible(text) => Err(error.message(Some(text))),
    }
}

fn cluster() -> Cluster {
    cluster_of([
        node("a", json!({"labels": {"disk": "ssd"}})),
        node("b", json!({})),
        node("c", json!({"spec": {"unschedulable": true}})),
        node(
            "d",
            json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}),
        ),
    ])
}

#[test]
fn filters_leave_the_nodes_that_fit() {
    let cluster = cluster();
    for (spec, want) in [
        (json!({"nodeSelector": {"disk": "ssd"}}), "a"),
        (json!({"nodeSelector": {"kubernetes.io/hostname": "b"}}), "b"),
        (json!({"nodeName": "b"}), "b"),
        (
            json!({"nodeSelector": {"kubernetes.io/hostname": "d"}, "tolerations": [{"operator": "Exists"}]}),
            "d",
        ),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}}}}),
            "a",
        ),
        (
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 50, "preference": {"matchExpressions": [{"key": "disk", "operator": "DoesNotExist"}]}}]}}}),
            "b",
        ),
    ] {
        assert_eq!(decide(&pod("p", spec.clone()), &cluster).as_deref(), Ok(want), "{spec}");
    }
}

#[test]
fn the_emptier_node_wins() {
    let mut cluster = cluster();
    cluster.cache.assume(pod("busy", json!({"containers": cpu("1")})), "a");
    assert_eq!(decide(&pod("p", json!({})), &cluster).as_deref(), Ok("b"));
}

#[test]
fn failures_read_as_upstream_words_them() {
    let mut cluster = cluster();
    cluster.cache.assume(pod("busy", json!({"containers": cpu("2")})), "a");
    let big = json!({"containers": cpu("1900m"), "nodeSelector": {"disk": "ssd"}});
    assert_eq!(
        decide(&pod("p", big), &cluster).unwrap_err(),
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, \
         1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. no new claims to deallocate, \
         preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, \
         3 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        decide(&pod("p", json!({})), &Cluster::default()).unwrap_err(),
        "no nodes available to schedule pods"
    );
}

#[test]
fn a_pod_that_names_its_node_is_not_offered_to_others() {
    let mut cluster = cluster();
    let named = |name: &str| {
        json!({"containers": cpu("2"), "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}]}}}})
    };
    assert_eq!(decide(&pod("p", named("b")), &cluster).as_deref(), Ok("b"));
    cluster.cache.assume(pod("busy", json!({"containers": cpu("1")})), "b");
    assert_eq!(
        decide(&pod("p", named("b")), &cluster).unwrap_err(),
        "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity]. \
         no new claims to deallocate, preemption: 0/4 nodes are available: \
         1 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn host_ports_are_had_once() {
    let mut cluster = cluster_of([node("a", json!({}))]);
    let with = |ip: &str, port: i32| {
        json!({"containers": [{"name": "c", "image": "i", "ports": [
            {"containerPort": 80, "hostPort": port, "hostIP": ip}]}]})
    };
    cluster.cache.assume(pod("first", with("127.0.0.1", 80)), "a");
    assert!(decide(&pod("p", with("127.0.0.2", 80)), &cluster).is_ok());
    assert!(decide(&pod("p", with("127.0.0.1", 81)), &cluster).is_ok());
    for ip in ["127.0.0.1", "0.0.0.0", ""] {
        assert!(decide(&pod("p", with(ip, 80)), &cluster).is_err(), "{ip}");
    }
}

#[test]
fn what_rejected_a_pod_decides_what_may_help_it() {
    let mut cluster = cluster_of([node("a", json!({}))]);
    cluster.cache.assume(pod("busy", json!({"containers": cpu("2"), "priority": 9})), "a");
    let departed = pod("busy", json!({"nodeName": "a", "containers": cpu("2")}));
    let relabelled = Change::Node(Event::Modified {
        old: node("a", json!({})),
        new: node("a", json!({"labels": {"disk": "ssd"}})),
    });
    let departure = Change::Pod(Event::Deleted(departed.pod.clone()));
    for (spec, by_label, by_departure) in [
        (json!({"containers": cpu("1")}), false, true),
        (json!({"nodeSelector": {"disk": "ssd"}}), true, false),
    ] {
        let waiting = pod("p", spec);
        let mut cycle = Cycle::new(&waiting, &cluster);
        let by = schedule(&mut cycle, "").unwrap_err().plugins();
        assert_eq!(by.may_accept(&waiting, &relabelled), by_label);
        assert_eq!(by.may_accept(&waiting, &departure), by_departure);
    }
}

#[test]
fn large_clusters_are_looked_at_in_turns() {
    assert_eq!([1, 99, 200, 1000, 5000, 20_000].map(enough), [100, 100, 100, 420, 500, 1000]);
    let cluster = cluster_of((0..250).map(|i| node(&format!("{i:03}"), json!({}))));
    let waiting = pod("p", json!({}));
    let mut reached = String::new();
    let mut turns = Vec::new();
    for _ in 0..3 {
        let mut cycle = Cycle::new(&waiting, &cluster);
        assert!(schedule(&mut cycle, &reached).is_ok());
        reached = cycle.reached.unwrap().to_owned();
        turns.push(reached.clone());
    }
    assert_eq!(turns, ["119", "239", "109"]);
}
