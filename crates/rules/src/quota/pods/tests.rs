use super::super::Counted;
use super::*;
use serde_json::json;

fn pods() -> Counted {
    Counted::of("", "pods").unwrap()
}

#[test]
fn a_pod_counts_under_every_name_a_quota_may_use() {
    let pod = json!({"spec": {"containers": [{"name": "c", "resources": {
        "requests": {"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi", "example.com/gpu": "2",
            "deviceclass.resource.kubernetes.io/gpu": "1"},
        "limits": {"cpu": "2", "ephemeral-storage": "1G", "example.com/gpu": "2"},
    }}]}});
    let usage = pods().usage(&pod, Timestamp::now());
    assert_eq!(
        usage.to_string(),
        "count/pods=1,cpu=1,hugepages-2Mi=4Mi,limits.cpu=2,limits.ephemeral-storage=1G,memory=1Gi,\
         pods=1,requests.cpu=1,requests.deviceclass.resource.kubernetes.io/gpu=1,\
         requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi,requests.memory=1Gi"
    );
    assert!(usage.names().all(|name| pods().tracks(name)), "{usage}");
    for other in ["services", "requests.storage", "example.com/gpu", "limits.example.com/gpu"] {
        assert!(!pods().tracks(other), "{other}");
    }
}

#[test]
fn what_has_ended_is_a_pod_but_takes_nothing() {
    let now: Timestamp = "2024-01-01T00:01:00Z".parse().unwrap();
    let deleted = |at: &str| json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": 30});
    for (metadata, phase, counts) in [
        (json!({}), "Running", true),
        (json!({}), "Succeeded", false),
        (json!({}), "Failed", false),
        (deleted("2024-01-01T00:00:40Z"), "Running", true),
        (deleted("2024-01-01T00:00:20Z"), "Running", false),
    ] {
        let pod = json!({"metadata": metadata, "status": {"phase": phase}});
        let usage = pods().usage(&pod, now);
        assert_eq!(usage.get("pods").is_some(), counts, "{pod}");
        assert!(usage.get("count/pods").is_some());
    }
}

#[test]
fn scopes_choose_pods() {
    let scoped = |scope: &str| json!({"spec": {"scopes": [scope]}});
    let asks = json!({"containers": [{"resources": {"requests": {"cpu": "1"}}}]});
    let term = json!({"namespaceSelector": {}});
    let affinity = |of: &str, list: &str, term: &Value| json!({"affinity": {of: {list: [term]}}});
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    for (scope, spec, covered) in [
        ("Terminating", json!({"activeDeadlineSeconds": 5}), true),
        ("Terminating", json!({}), false),
        ("NotTerminating", json!({"activeDeadlineSeconds": 5}), false),
        ("BestEffort", json!({}), true),
        ("BestEffort", asks.clone(), false),
        ("NotBestEffort", asks, true),
        ("PriorityClass", json!({"priorityClassName": "high"}), true),
        ("PriorityClass", json!({}), false),
        ("VolumeAttributesClass", json!({}), false),
        ("CrossNamespacePodAffinity", affinity("podAffinity", required, &term), true),
        (
            "CrossNamespacePodAffinity",
            affinity(
                "podAntiAffinity",
                preferred,
                &json!({"podAffinityTerm": {"namespaces": ["x"]}}),
            ),
            true,
        ),
        ("CrossNamespacePodAffinity", affinity("podAffinity", required, &json!({})), false),
    ] {
        let pod = json!({"spec": spec});
        assert_eq!(pods().covers(&scoped(scope), &pod), covered, "{scope} {pod}");
    }
}

#[test]
fn containers_must_name_cpu_and_memory_where_they_are_limited() {
    let pod = json!({"spec": {
        "containers": [{"name": "b"}, {"name": "a", "resources": {"limits": {"cpu": "1"}}}],
        "initContainers": [{"name": "i", "resources": {"requests": {"memory": "1"}}}],
    }});
    for (limited, said) in [
        (&["pods", "limits.ephemeral-storage"][..], None),
        (&["limits.cpu"], Some("must specify limits.cpu for: b,i")),
        (
            &["requests.memory", "cpu"],
            Some("must specify cpu for: a,b,i; requests.memory for: a,b"),
        ),
    ] {
        assert_eq!(missing(&pod, limited.iter().copied()).as_deref(), said);
    }
    let mut whole = pod;
    whole["spec"]["resources"] = json!({"limits": {"cpu": "1"}});
    assert_eq!(missing(&whole, ["limits.cpu"].into_iter()), None);
}
