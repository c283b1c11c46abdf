//! Even spreading, demanded or wished for.

use serde_json::{Value, json};

use super::*;
use crate::cluster::Cluster;
use crate::framework::tests::{cluster_of, decide, fits, node, object, pod};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// Zone 1: a with two pods, b with one. Zone 2: c with one. Zone 3: d, tainted. No zone: e.
fn cluster() -> Cluster {
    let zone = |zone: &str| json!({"labels": {ZONE: zone}});
    let mut tainted = zone("3");
    tainted["spec"] = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
    let mut cluster = cluster_of([
        node("a", zone("1")),
        node("b", zone("1")),
        node("c", zone("2")),
        node("d", tainted),
        node("e", json!({})),
    ]);
    for (name, node) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "c")] {
        cluster.cache.assume(pod(name, json!({"labels": {"app": "web", "hash": name}})), node);
    }
    // Neither another namespace nor a pod on its way out counts.
    cluster.cache.assume(pod("5", json!({"labels": {"app": "web"}, "namespace": "x"})), "c");
    let leaving = json!({"labels": {"app": "web"}, "deletionTimestamp": "2026-01-01T00:00:00Z"});
    cluster.cache.assume(pod("6", leaving), "c");
    cluster
}

fn constraint(key: &str, skew: i64, more: Value) -> Value {
    let mut constraint = json!({
        "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    });
    for (field, value) in more.as_object().unwrap() {
        constraint[field] = value.clone();
    }
    constraint
}

#[test]
fn hard_constraints_filter() {
    let cluster = cluster();
    let tolerant = json!([{"operator": "Exists"}]);
    for (given, tolerations, want) in [
        // The tainted zone is empty, counts, and cannot be used.
        (vec![constraint(ZONE, 1, json!({}))], json!([]), ""),
        (vec![constraint(ZONE, 1, json!({"nodeTaintsPolicy": "Honor"}))], json!([]), "c"),
        (vec![constraint(ZONE, 1, json!({}))], tolerant.clone(), "d"),
        (vec![constraint(ZONE, 2, json!({}))], tolerant.clone(), "cd"),
        (vec![constraint(ZONE, 4, json!({}))], json!([]), "abc"),
        // Too few zones: as if one more were empty.
        (
            vec![constraint(ZONE, 2, json!({"nodeTaintsPolicy": "Honor", "minDomains": 3}))],
            json!([]),
            "c",
        ),
        (
            vec![constraint(ZONE, 2, json!({"nodeTaintsPolicy": "Honor", "minDomains": 2}))],
            json!([]),
            "c",
        ),
        (vec![constraint(HOST, 1, json!({"nodeTaintsPolicy": "Honor"}))], json!([]), "e"),
        (vec![constraint(HOST, 2, json!({})), constraint(ZONE, 3, json!({}))], json!([]), "c"),
    ] {
        let labels = json!({"app": "web", "hash": "4"});
        let spec = json!({
            "labels": labels, "topologySpreadConstraints": given, "tolerations": tolerations,
        });
        assert_eq!(fits(&pod("p", spec.clone()), &cluster).concat(), want, "{spec}");
    }
}

#[test]
fn nodes_that_the_pod_avoids_count_only_if_asked_to() {
    let cluster = cluster();
    for (policy, want) in [("Honor", "ab"), ("Ignore", "")] {
        let given = constraint(ZONE, 2, json!({"nodeAffinityPolicy": policy}));
        let spec = json!({
            "labels": {"app": "web"}, "topologySpreadConstraints": [given],
            "nodeSelector": {ZONE: "1"},
        });
        assert_eq!(fits(&pod("p", spec), &cluster).concat(), want, "{policy}");
    }
}

#[test]
fn rejections_read_as_upstream_words_them() {
    let cluster = cluster();
    let given = constraint(ZONE, 1, json!({"nodeTaintsPolicy": "Honor", "minDomains": 9}));
    let spec = json!({"labels": {"app": "web"}, "topologySpreadConstraints": [given]});
    assert_eq!(
        decide(&pod("p", spec), &cluster).unwrap_err(),
        "0/5 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing \
         required label), 1 node(s) had untolerated taint(s), 3 node(s) didn't match pod topology \
         spread constraints. no new claims to deallocate, preemption: 0/5 nodes are available: 2 \
         Preemption is not helpful for scheduling, 3 No preemption victims found for incoming pod."
    );
}

#[test]
fn the_least_follows_what_is_thought() {
    let cluster = cluster();
    let given = constraint(ZONE, 1, json!({"nodeTaintsPolicy": "Honor"}));
    let spread = pod("p", json!({"labels": {"app": "web"}, "topologySpreadConstraints": [given]}));
    let mut cycle = Cycle::new(&spread, &cluster);
    cycle.prepare().unwrap();
    let (a, c) = (cluster.cache.node("a").unwrap(), cluster.cache.node("c").unwrap());
    let on_c = c.pods.iter().find(|pod| pod.key.name == "4").unwrap();
    for (change, least) in [(-1, 0), (1, 1)] {
        cycle.update(on_c, c, change);
        assert_eq!(cycle.state.spread[0].least(), least);
    }
    a.pods.iter().for_each(|pod| cycle.update(pod, a, -1));
    assert!(cycle.filter(a, a).is_ok());
}

fn scores(spec: Value, cluster: &Cluster, names: &[&str]) -> Option<Vec<i64>> {
    let pod = pod("p", spec);
    let mut cycle = Cycle::new(&pod, cluster);
    cycle.prepare().unwrap();
    let nodes: Vec<&NodeInfo> =
        names.iter().map(|name| cluster.cache.node(name).unwrap()).collect();
    score::score(&cycle, &nodes)
}

#[test]
fn soft_constraints_prefer_emptier_domains() {
    let cluster = cluster();
    let soft = |key: &str| {
        let anyway = json!({"whenUnsatisfiable": "ScheduleAnyway"});
        json!({"labels": {"app": "web"}, "topologySpreadConstraints": [constraint(key, 1, anyway)]})
    };
    // Weights: ln(2 zones + 2) = 1.39 and ln(3 hosts + 2) = 1.61.
    assert_eq!(scores(soft(ZONE), &cluster, &["a", "b", "c"]), Some(vec![25, 25, 100]));
    assert_eq!(scores(soft(HOST), &cluster, &["a", "b", "c"]), Some(vec![66, 100, 100]));
    // A node without the label is out of the question.
    assert_eq!(scores(soft(ZONE), &cluster, &["a", "e"]), Some(vec![100, 0]));
    assert_eq!(scores(json!({"labels": {"app": "web"}}), &cluster, &["a", "c"]), None);
}

#[test]
fn pods_of_a_service_or_workload_are_spread_by_default() {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u",
        "controller": true}]);
    let labels = json!({"app": "web"});
    let service =
        json!({"metadata": {"name": "s", "namespace": "ns"}, "spec": {"selector": labels}});
    let set = json!({"metadata": {"name": "web", "namespace": "ns"},
        "spec": {"selector": {"matchLabels": labels}}});
    for (with_service, with_set) in [(true, false), (false, true), (false, false)] {
        let mut cluster = cluster();
        if with_service {
            cluster.services.put(object(service.clone()));
        }
        if with_set {
            cluster.replica_sets.put(object(set.clone()));
        }
        let spec = json!({"labels": labels, "ownerReferences": owner});
        let scores = scores(spec, &cluster, &["a", "b", "c", "e"]);
        match scores.as_deref() {
            Some([a, b, c, e]) => assert!(a < b && b < c && c < e, "{scores:?}"),
            _ => assert!(!with_service && !with_set),
        }
    }
}
