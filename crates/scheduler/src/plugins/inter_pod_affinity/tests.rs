//! Near and far, for oneself and for others.

use client::Event;
use serde_json::{Value, json};

use super::*;
use crate::framework::tests::{cluster_of, decide, fits, node, object, pod};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// Nodes a and b in zone 1, c in zone 2, d in none.
fn cluster() -> Cluster {
    let zone = |zone: &str| json!({"labels": {ZONE: zone}});
    cluster_of([
        node("a", zone("1")),
        node("b", zone("1")),
        node("c", zone("2")),
        node("d", json!({})),
    ])
}

fn term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn required(kind: &str, terms: Value) -> Value {
    json!({kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
}

fn preferred(kind: &str, weight: i64, term: Value) -> Value {
    let terms = json!([{"weight": weight, "podAffinityTerm": term}]);
    json!({kind: {"preferredDuringSchedulingIgnoredDuringExecution": terms}})
}

#[test]
fn required_terms_filter() {
    let mut cluster = cluster();
    cluster.namespaces.put(object(json!({"metadata": {"name": "ns", "labels": {"team": "x"}}})));
    cluster.cache.assume(pod("web", json!({"labels": {"app": "web"}})), "a");
    let elsewhere = json!({"labels": {"app": "other-ns"}, "namespace": "elsewhere"});
    cluster.cache.assume(pod("x", elsewhere), "c");
    let scoped = |app: &str, scope: Value| {
        let mut term = term(ZONE, app);
        for (key, value) in scope.as_object().unwrap() {
            term[key] = value.clone();
        }
        json!([term])
    };
    let selects = |team: &str| json!({"namespaceSelector": {"matchLabels": {"team": team}}});
    for (kind, terms, want) in [
        ("podAffinity", json!([term(ZONE, "web")]), "ab"),
        ("podAffinity", json!([term(HOST, "web")]), "a"),
        ("podAffinity", json!([term(HOST, "web"), term(ZONE, "web")]), "a"),
        ("podAffinity", json!([term(HOST, "web"), term(ZONE, "nobody")]), ""),
        ("podAffinity", json!([term(HOST, "nobody")]), ""),
        ("podAntiAffinity", json!([term(ZONE, "web")]), "cd"),
        ("podAntiAffinity", json!([term(HOST, "web")]), "bcd"),
        ("podAntiAffinity", json!([{"topologyKey": HOST}]), "abcd"),
        ("podAntiAffinity", json!([{"topologyKey": HOST, "labelSelector": {}}]), "bcd"),
        ("podAffinity", scoped("other-ns", json!({})), ""),
        ("podAffinity", scoped("other-ns", json!({"namespaces": ["elsewhere"]})), "c"),
        ("podAffinity", scoped("other-ns", json!({"namespaceSelector": {}})), "c"),
        ("podAffinity", scoped("web", selects("x")), "ab"),
        ("podAffinity", scoped("web", selects("y")), ""),
    ] {
        let pod = pod("p", json!({"affinity": required(kind, terms.clone())}));
        assert_eq!(fits(&pod, &cluster).concat(), want, "{kind} {terms}");
    }
}

#[test]
fn the_first_of_a_series_may_go_anywhere_labelled() {
    let cluster = cluster();
    let affinity = required("podAffinity", json!([term(ZONE, "web")]));
    let own = pod("p", json!({"labels": {"app": "web"}, "affinity": affinity}));
    assert_eq!(fits(&own, &cluster).concat(), "abc");
}

#[test]
fn existing_pods_keep_others_away() {
    let mut cluster = cluster();
    let affinity = required("podAntiAffinity", json!([term(ZONE, "web")]));
    cluster.cache.assume(pod("hermit", json!({"affinity": affinity})), "a");
    let web = pod("p", json!({"labels": {"app": "web"}}));
    assert_eq!(fits(&web, &cluster).concat(), "cd");
    assert_eq!(fits(&pod("p", json!({})), &cluster).concat(), "abcd");
    // Another namespace is none of its business.
    let other = pod("p", json!({"labels": {"app": "web"}, "namespace": "elsewhere"}));
    assert_eq!(fits(&other, &cluster).concat(), "abcd");
}

#[test]
fn rejections_read_as_upstream_words_them() {
    let mut cluster = cluster_of([node("a", json!({}))]);
    let affinity = required("podAntiAffinity", json!([term(HOST, "web")]));
    let web = pod("p", json!({"labels": {"app": "web"}, "affinity": affinity}));
    cluster.cache.assume(pod("q", json!({"labels": {"app": "web"}})), "a");
    assert_eq!(
        decide(&web, &cluster).unwrap_err(),
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. no new claims to \
         deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    );
}

#[test]
fn preferences_of_both_sides_are_weighed() {
    let web = json!({"labels": {"app": "web"}});
    for (existing, incoming, want) in [
        (json!({}), preferred("podAffinity", 10, term(HOST, "web")), vec!["a"]),
        (json!({}), preferred("podAntiAffinity", 10, term(ZONE, "web")), vec!["c", "d"]),
        (preferred("podAffinity", 10, term(HOST, "p")), json!({}), vec!["a"]),
        (preferred("podAntiAffinity", 10, term(ZONE, "p")), json!({}), vec!["c", "d"]),
        (required("podAffinity", json!([term(HOST, "p")])), json!({}), vec!["a"]),
    ] {
        let mut cluster = cluster();
        let mut spec = web.clone();
        spec["affinity"] = existing.clone();
        cluster.cache.assume(pod("web", spec), "a");
        let pod = pod("p", json!({"labels": {"app": "p"}, "affinity": incoming}));
        let mut cycle = Cycle::new(&pod, &cluster);
        cycle.prepare().unwrap();
        let nodes: Vec<&NodeInfo> = cluster.cache.nodes().collect();
        let scores = score::score(&cycle, &nodes).unwrap();
        let best = nodes.iter().zip(scores).filter(|(_, score)| *score == 100);
        let best: Vec<&str> = best.map(|(node, _)| node.name()).collect();
        assert_eq!(best, want, "{existing} {incoming}");
    }
}

#[test]
fn what_is_thought_away_no_longer_counts() {
    let mut cluster = cluster();
    let affinity = required("podAntiAffinity", json!([term(ZONE, "web")]));
    let hermit = json!({"labels": {"app": "web"}, "affinity": affinity});
    cluster.cache.assume(pod("hermit", hermit.clone()), "a");
    let other = pod("p", hermit);
    let mut cycle = Cycle::new(&other, &cluster);
    cycle.prepare().unwrap();
    let node = cluster.cache.node("b").unwrap();
    let home = cluster.cache.node("a").unwrap();
    for (change, fits) in [(-1, true), (1, false)] {
        cycle.update(&home.pods[0], home, change);
        assert_eq!(cycle.filter(node, node).is_ok(), fits);
    }
}

#[test]
fn changes_that_may_help() {
    let affinity = required("podAffinity", json!([term(HOST, "web")]));
    let waiting = pod("p", json!({"affinity": affinity}));
    let at = |name: &str, labels: Value| {
        pod(name, json!({"labels": labels, "nodeName": "a"})).pod.clone()
    };
    let web = at("q", json!({"app": "web"}));
    let other = at("q", json!({"app": "other"}));
    for (change, want) in [
        (Change::Pod(Event::Added(web.clone())), true),
        (Change::Pod(Event::Added(other.clone())), false),
        (Change::Pod(Event::Modified { old: other.clone(), new: web.clone() }), true),
        (Change::Pod(Event::Modified { old: web.clone(), new: other }), false),
        (Change::Pod(Event::Deleted(web)), false),
        (Change::Node(Event::Added(node("z", json!({})))), true),
    ] {
        assert_eq!(helps(&waiting, &change), want, "{change:?}");
    }
}
