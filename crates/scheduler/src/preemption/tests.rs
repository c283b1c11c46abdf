//! Tests of victim selection.

use serde_json::{Value, json};

use super::*;
use crate::cluster::Cluster;
use crate::framework::schedule;
use crate::framework::tests::{cluster_of, cpu, decide, fits, node, object, pod};

/// A pod of a priority that asks for CPU, started at an hour.
fn sized(name: &str, priority: i32, amount: &str, hour: u32) -> Arc<PodInfo> {
    pod(
        name,
        json!({
            "containers": cpu(amount), "priority": priority, "labels": {"name": name},
            "status": {"startTime": format!("2026-01-01T{hour:02}:00:00Z")},
        }),
    )
}

/// Nodes of 2 CPUs by name, with their pods.
fn cluster(nodes: &[(&str, &[Arc<PodInfo>])]) -> Cluster {
    let mut cluster = cluster_of(nodes.iter().map(|(name, _)| node(name, json!({}))));
    for (name, pods) in nodes {
        pods.iter().for_each(|pod| cluster.cache.assume(pod.clone(), name));
    }
    cluster
}

/// The node and the victims' names, or the reason against.
fn outcome(pod: &PodInfo, cluster: &Cluster) -> Result<(String, Vec<String>), String> {
    let mut cycle = Cycle::new(pod, cluster);
    let error = schedule(&mut cycle, "").err().unwrap();
    match preempt(&mut cycle, &error) {
        Outcome::Candidate(candidate) => {
            let names = candidate.victims.iter().map(|pod| pod.key.name.clone()).collect();
            Ok((candidate.node, names))
        }
        Outcome::Hopeless(text) => Err(text),
        Outcome::NotEligible(text) => Err(text.to_owned()),
    }
}

fn chosen(pod: &PodInfo, cluster: &Cluster) -> (String, String) {
    let (node, names) = outcome(pod, cluster).unwrap();
    (node, names.join(" "))
}

#[test]
fn as_few_and_as_unimportant_as_possible() {
    for (pods, wants, victims) in [
        // Only what is needed, the least important of it, the youngest of those.
        (vec![("a", 1, "1", 1), ("b", 2, "1", 1)], "1", "a"),
        (vec![("a", 1, "1", 1), ("b", 2, "1", 1)], "2", "b a"),
        (vec![("a", 1, "1", 1), ("b", 1, "1", 2)], "1", "b"),
        (vec![("a", 1, "1500m", 1), ("b", 2, "500m", 1)], "500m", "a"),
        // Nobody of the same priority.
        (vec![("a", 9, "1", 1), ("b", 2, "1", 1)], "1", "b"),
    ] {
        let pods: Vec<_> = pods.iter().map(|(n, p, c, h)| sized(n, *p, c, *h)).collect();
        let cluster = cluster(&[("n", &pods)]);
        assert_eq!(chosen(&sized("p", 9, wants, 0), &cluster).1, victims, "{wants}");
    }
}

#[test]
fn the_node_that_gives_up_least() {
    let one = |name: &str, priority: i32, hour: u32| vec![sized(name, priority, "2", hour)];
    let two = |a: i32, b: i32, node: &str| {
        vec![sized(&format!("{node}1"), a, "1", 1), sized(&format!("{node}2"), b, "1", 1)]
    };
    for (a, b, want) in [
        (one("a", 5, 1), one("b", 4, 1), "b"),
        // Lowest highest priority, whatever the sum.
        (one("a", 5, 1), two(4, 4, "b"), "b"),
        (two(4, 3, "a"), two(4, 2, "b"), "b"),
        (two(4, 0, "a"), one("b", 4, 1), "b"),
        (two(-4, -9, "a"), one("b", -4, 1), "b"),
        (one("a", 4, 1), one("b", 4, 2), "b"),
    ] {
        let cluster = cluster(&[("a", &a), ("b", &b)]);
        assert_eq!(chosen(&sized("p", 9, "2", 0), &cluster).0, want);
    }
}

#[test]
fn budgets_protect_as_long_as_there_is_a_choice() {
    let pods = [sized("a", 1, "1", 1), sized("b", 2, "1", 1)];
    let budget = |allowed: i32, disrupted: Value| {
        let mut cluster = cluster(&[("n", &pods)]);
        cluster.budgets.put(object(json!({
            "metadata": {"name": "b", "namespace": "ns"},
            "spec": {"selector": {"matchLabels": {"name": "a"}}},
            "status": {"disruptionsAllowed": allowed, "disruptedPods": disrupted,
                "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
        })));
        cluster
    };
    let p = sized("p", 9, "1", 0);
    assert_eq!(chosen(&p, &budget(0, json!({}))).1, "b");
    assert_eq!(chosen(&p, &budget(1, json!({}))).1, "a");
    assert_eq!(chosen(&p, &budget(0, json!({"a": "2026-01-01T00:00:00Z"}))).1, "a");
    assert_eq!(chosen(&sized("p", 9, "2", 0), &budget(0, json!({}))).1, "b a");
    // A broken budget weighs more than priority when nodes are compared.
    let mut cluster = budget(0, json!({}));
    cluster.cache.pod_gone(&pods[1].key);
    cluster.apply(&crate::change::Change::Node(client::Event::Added(node("m", json!({})))));
    cluster.cache.assume(sized("c", 8, "2", 1), "m");
    assert_eq!(chosen(&sized("p", 9, "2", 0), &cluster), ("m".into(), "c".into()));
}

#[test]
fn reasons_against() {
    let full = [sized("a", 5, "2", 1)];
    let never = |priority: i32| {
        pod("p", json!({"containers": cpu("1"), "priority": priority, "preemptionPolicy": "Never"}))
    };
    let cluster = cluster(&[("n", &full), ("m", &[])]);
    let picky = |amount: &str, priority: i32| {
        pod(
            "p",
            json!({"containers": cpu(amount), "priority": priority,
            "nodeSelector": {"kubernetes.io/hostname": "n"}}),
        )
    };
    assert_eq!(
        outcome(&picky("1", 5), &cluster).unwrap_err(),
        "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is \
         not helpful for scheduling."
    );
    assert_eq!(
        outcome(&picky("3", 9), &cluster).unwrap_err(),
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        outcome(&never(9), &cluster_with_full_m(&full)).unwrap_err(),
        "not eligible due to preemptionPolicy=Never."
    );
    // Success has nothing to add to why the pod does not fit yet.
    assert_eq!(
        decide(&picky("1", 9), &cluster).unwrap_err(),
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node \
         affinity/selector."
    );
}

fn cluster_with_full_m(pods: &[Arc<PodInfo>]) -> Cluster {
    cluster(&[("n", pods)])
}

#[test]
fn nobody_preempts_twice_for_the_same_room() {
    let leaving = json!({
        "containers": cpu("2"), "priority": 1, "deletionTimestamp": "2026-01-01T00:00:00Z",
        "status": {"conditions": [{"type": "DisruptionTarget", "status": "True",
            "reason": "PreemptionByScheduler"}]},
    });
    let p = sized("p", 9, "1", 0);
    let mut cluster = cluster(&[("n", &[pod("a", leaving)]), ("m", &[sized("b", 1, "2", 1)])]);
    cluster.nominations.set(p.clone(), "n");
    assert_eq!(
        outcome(&p, &cluster).unwrap_err(),
        "not eligible due to a terminating pod on the nominated node."
    );
    // Nor while the victim only seems to stay.
    let victim = sized("a", 1, "2", 1);
    cluster.cache.assume(victim.clone(), "n");
    assert!(outcome(&p, &cluster).is_ok());
    cluster.evictions.begin(p.key.clone(), vec![victim.clone()]);
    assert!(outcome(&p, &cluster).is_err());
    cluster.evictions.written(&p.key);
    assert!(cluster.evictions.done(&cluster.cache).is_empty());
    cluster.cache.pod_gone(&victim.key);
    assert_eq!(cluster.evictions.done(&cluster.cache), std::slice::from_ref(&p.key));
    cluster.cache.assume(victim, "n");
    // With the nominated node out of the question the pod may look elsewhere.
    cluster.apply(&crate::change::Change::Node(client::Event::Added(node(
        "n",
        json!({"spec": {"unschedulable": true}}),
    ))));
    assert_eq!(chosen(&p, &cluster), ("m".into(), "b".into()));
}

#[test]
fn room_made_for_a_pod_is_kept_for_it() {
    let mut cluster = cluster(&[("n", &[])]);
    cluster.nominations.set(sized("vip", 9, "1500m", 0), "n");
    for (priority, amount, want) in
        [(1, "1", false), (9, "1", false), (10, "1", true), (1, "500m", true)]
    {
        let fits = !fits(&sized("p", priority, amount, 0), &cluster).is_empty();
        assert_eq!(fits, want, "{priority} {amount}");
    }
    assert_eq!(decide(&sized("vip", 9, "1500m", 0), &cluster).as_deref(), Ok("n"));
}

#[test]
fn what_is_thought_while_looking_leaves_no_trace() {
    let apart = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}]}});
    let hermit = |name: &str, priority: i32| {
        pod(name, json!({"labels": {"app": "x"}, "affinity": apart, "priority": priority}))
    };
    let cluster =
        cluster(&[("a", &[hermit("1", 5)]), ("b", &[hermit("2", 1)]), ("c", &[hermit("3", 9)])]);
    let p = hermit("p", 9);
    let mut cycle = Cycle::new(&p, &cluster);
    let error = schedule(&mut cycle, "").err().unwrap();
    for _ in 0..2 {
        let Outcome::Candidate(candidate) = preempt(&mut cycle, &error) else {
            panic!("no candidate")
        };
        assert_eq!((candidate.node.as_str(), candidate.victims.len()), ("b", 1));
        assert!(cluster.cache.nodes().all(|node| cycle.filter(node, node).is_err()));
    }
}
