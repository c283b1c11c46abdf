//! Decisions over small clusters.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn node(name: &str, extra: Value) -> Arc<k8s_openapi::api::core::v1::Node> {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}},
    });
    node["spec"] = extra["spec"].clone();
    if let Some(labels) = extra["labels"].as_object() {
        for (key, value) in labels {
            node["metadata"]["labels"][key] = value.clone();
        }
    }
    Arc::new(serde_json::from_value(node).unwrap())
}

fn pod(name: &str, spec: Value) -> PodInfo {
    let mut all = json!({"containers": [{"name": "c", "image": "i"}]});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    let pod = json!({"metadata": {"name": name, "namespace": "ns"}, "spec": all});
    PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()))
}

fn cpu(amount: &str) -> Value {
    json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": amount}}}])
}

fn cluster() -> Cache {
    let mut cache = Cache::default();
    cache.node_changed(node("a", json!({"labels": {"disk": "ssd"}})));
    cache.node_changed(node("b", json!({})));
    cache.node_changed(node("c", json!({"spec": {"unschedulable": true}})));
    cache.node_changed(node(
        "d",
        json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}),
    ));
    cache
}

#[test]
fn filters_leave_the_nodes_that_fit() {
    let cache = cluster();
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
        assert_eq!(schedule(&pod("p", spec.clone()), &cache).as_deref(), Ok(want), "{spec}");
    }
}

#[test]
fn the_emptier_node_wins() {
    let mut cache = cluster();
    cache.assume(pod("busy", json!({"containers": cpu("1")})), "a");
    assert_eq!(schedule(&pod("p", json!({})), &cache).as_deref(), Ok("b"));
}

#[test]
fn failures_read_as_upstream_words_them() {
    let mut cache = cluster();
    cache.assume(pod("busy", json!({"containers": cpu("2")})), "a");
    let message = schedule(
        &pod("p", json!({"containers": cpu("1900m"), "nodeSelector": {"disk": "ssd"}})),
        &cache,
    )
    .unwrap_err()
    .message();
    assert_eq!(
        message,
        "0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, \
         1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. no new claims to deallocate, \
         preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, \
         3 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        schedule(&pod("p", json!({})), &Cache::default()).unwrap_err().message(),
        "no nodes available to schedule pods"
    );
}

#[test]
fn host_ports_are_had_once() {
    let mut cache = Cache::default();
    cache.node_changed(node("a", json!({})));
    let with = |ip: &str, port: i32| {
        json!({"containers": [{"name": "c", "image": "i", "ports": [
            {"containerPort": 80, "hostPort": port, "hostIP": ip}]}]})
    };
    cache.assume(pod("first", with("127.0.0.1", 80)), "a");
    assert!(schedule(&pod("p", with("127.0.0.2", 80)), &cache).is_ok());
    assert!(schedule(&pod("p", with("127.0.0.1", 81)), &cache).is_ok());
    for ip in ["127.0.0.1", "0.0.0.0", ""] {
        assert!(schedule(&pod("p", with(ip, 80)), &cache).is_err(), "{ip}");
    }
}
