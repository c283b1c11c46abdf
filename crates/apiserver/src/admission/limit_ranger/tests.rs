use super::*;

fn resources(requests: Value, limits: Value) -> Value {
    json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
}

#[test]
fn containers_get_what_they_do_not_name() {
    let range = json!({"spec": {"limits": [
        {"type": "Pod", "max": {"cpu": "9"}},
        {"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m"}},
    ]}});
    let mut pod = json!({"spec": {
        "containers": [{"name": "a"}, resources(json!({"cpu": "1"}), json!({"cpu": "2"}))],
        "initContainers": [resources(json!({}), json!({"memory": "2Gi"}))],
    }});
    let said = fill_in(&mut pod, &range);
    assert_eq!(
        said,
        [
            "cpu request for container a",
            "cpu, memory limit for container a",
            "memory limit for container c",
            "cpu request for init container c",
            "cpu limit for init container c",
        ]
    );
    let spec = &pod["spec"];
    let both = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "1Gi"}});
    assert_eq!(spec["containers"][0]["resources"], both);
    assert_eq!(spec["containers"][1]["resources"]["requests"], json!({"cpu": "1"}));
    assert_eq!(spec["initContainers"][0]["resources"]["limits"]["memory"], "2Gi");
    let once = pod.clone();
    assert!(fill_in(&mut pod, &range).is_empty());
    assert_eq!(pod, once);
}

#[test]
fn bounds_are_told_as_upstream_tells_them() {
    let container = |bounds: Value| {
        let mut limit = json!({"type": "Container"});
        limit.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        limit
    };
    let min = container(json!({"min": {"cpu": "100m"}}));
    let max = container(json!({"max": {"memory": "1Gi"}}));
    let ratio = container(json!({"maxLimitRequestRatio": {"cpu": "1500m"}}));
    let none = || json!({});
    for (limit, requests, limits, said) in [
        (&min, json!({"cpu": "100m"}), none(), &[][..]),
        (
            &min,
            none(),
            none(),
            &["minimum cpu usage per Container is 100m.  No request is specified"],
        ),
        (
            &min,
            json!({"cpu": "50m"}),
            none(),
            &["minimum cpu usage per Container is 100m, but request is 50m"],
        ),
        (
            &min,
            json!({"cpu": "100m"}),
            json!({"cpu": "50m"}),
            &["minimum cpu usage per Container is 100m, but limit is 50m"],
        ),
        (
            &max,
            json!({"memory": "1Gi"}),
            none(),
            &["maximum memory usage per Container is 1Gi.  No limit is specified"],
        ),
        (
            &max,
            none(),
            json!({"memory": "2Gi"}),
            &["maximum memory usage per Container is 1Gi, but limit is 2Gi"],
        ),
        (
            &max,
            json!({"memory": "3Gi"}),
            json!({"memory": "1Gi"}),
            &["maximum memory usage per Container is 1Gi, but request is 3Gi"],
        ),
        (&ratio, json!({"cpu": "1"}), json!({"cpu": "1500m"}), &[]),
        (
            &ratio,
            json!({"cpu": "1"}),
            json!({"cpu": "2"}),
            &[
                "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000",
            ],
        ),
        (
            &ratio,
            none(),
            none(),
            &[
                "cpu max limit to request ratio per Container is 1500m, but no request is specified or request is 0",
            ],
        ),
        (
            &ratio,
            json!({"cpu": "1"}),
            json!({"cpu": "0"}),
            &[
                "cpu max limit to request ratio per Container is 1500m, but no limit is specified or limit is 0",
            ],
        ),
    ] {
        let spec = json!({"containers": [resources(requests, limits)]});
        assert_eq!(check_pod(limit, &spec), said, "{limit} {spec}");
        let init = json!({"initContainers": spec["containers"]});
        assert_eq!(check_pod(limit, &init), said, "{limit} {init}");
    }
}

#[test]
fn pods_and_claims_have_bounds_of_their_own() {
    let pod = json!({"type": "Pod", "max": {"cpu": "2"}});
    let one = json!({"cpu": "1500m"});
    let container = resources(one.clone(), one.clone());
    let mut sidecar = container.clone();
    sidecar["restartPolicy"] = "Always".into();
    let over = ["maximum cpu usage per Pod is 2, but limit is 3"];
    for (spec, said) in [
        (json!({"containers": [container]}), &[][..]),
        (json!({"containers": [container, container]}), &over),
        (json!({"containers": [container], "initContainers": [container]}), &[]),
        (json!({"containers": [container], "initContainers": [sidecar]}), &over),
        (json!({"containers": [container], "resources": {"limits": {"cpu": "3"}}}), &over),
    ] {
        assert_eq!(check_pod(&pod, &spec), said, "{spec}");
    }
    let claim = json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}});
    for (size, said) in [
        ("1Gi", &[][..]),
        ("3Gi", &["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]),
        ("1Mi", &["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]),
    ] {
        let spec = json!({"resources": {"requests": {"storage": size}}});
        assert_eq!(check_claim(&claim, &spec), said);
        assert!(check_pod(&claim, &spec).is_empty() && check_claim(&pod, &spec).is_empty());
    }
}

#[test]
fn several_complaints_stand_in_brackets() {
    let of = |errors: &[&str]| aggregate(errors.iter().map(|e| (*e).to_owned()).collect());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&["a", "a"]).as_deref(), Some("a"));
    assert_eq!(of(&["a", "b", "a"]).as_deref(), Some("[a, b]"));
}
