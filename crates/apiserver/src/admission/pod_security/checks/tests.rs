use serde_json::json;

use super::*;

fn judged(level: Level, version: Version, pod: &Value) -> String {
    details(&evaluate(Standard { level, version }, Pod::new(pod)))
}

fn baseline_at(minor: i64, pod: &Value) -> String {
    judged(Level::Baseline, Version::Minor(minor), pod)
}

/// The findings of the newest baseline in a pod of this spec.
fn baseline_of(spec: Value) -> String {
    judged(Level::Baseline, Version::Latest, &json!({"metadata": {}, "spec": spec}))
}

/// A pod that every standard permits.
fn strict() -> Value {
    let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    json!({"metadata": {"name": "p"}, "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [{"name": "i", "securityContext": context}],
        "containers": [{"name": "c", "securityContext": context}],
    }})
}

/// The findings of a restricted standard in the strict pod with changes.
fn restricted_at(version: Version, changes: &[(&str, Value)]) -> String {
    let mut pod = strict();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = pod["spec"].pointer_mut(parent).unwrap();
        match last {
            "-" => parent.as_array_mut().unwrap().push(value.clone()),
            _ => parent[last] = value.clone(),
        }
    }
    judged(Level::Restricted, version, &pod)
}

fn restricted_of(changes: &[(&str, Value)]) -> String {
    restricted_at(Version::Latest, changes)
}

#[test]
fn checks_are_in_the_order_of_messages() {
    let keys: Vec<(Level, &str)> = CHECKS.iter().map(|check| (check.level, check.id)).collect();
    assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
    for check in CHECKS {
        assert!(check.versions.windows(2).all(|pair| pair[0].0 < pair[1].0), "{}", check.id);
        let replaced = CHECKS.iter().find(|other| other.id == check.replaces);
        assert!(check.replaces.is_empty() || replaced.is_some_and(|r| r.level == Level::Baseline));
    }
}

#[test]
fn the_strict_pod_passes_everywhere() {
    for minor in 0..40 {
        let version = Version::Minor(minor);
        for level in [Level::Privileged, Level::Baseline, Level::Restricted] {
            assert_eq!(judged(level, version, &strict()), "", "{level:?} {version}");
        }
    }
    assert_eq!(judged(Level::Privileged, Version::Latest, &json!({"spec": {"hostPID": true}})), "");
}

#[test]
fn the_baseline() {
    let one = |context: Value| {
        baseline_of(json!({"containers": [{"name": "a", "securityContext": context}]}))
    };
    let whole = |context: Value| {
        baseline_of(
            json!({"securityContext": context, "containers": [{"name": "a", "securityContext": context}]}),
        )
    };
    assert_eq!(baseline_of(json!({"containers": [{"name": "a"}]})), "");
    assert_eq!(
        baseline_of(json!({"hostNetwork": true, "hostPID": true, "hostIPC": true})),
        "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"
    );
    assert_eq!(
        baseline_of(
            json!({"volumes": [{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]})
        ),
        "hostPath volumes (volumes \"v\", \"w\")"
    );
    assert_eq!(
        baseline_of(json!({
            "containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 9}, {"hostPort": 0}]}],
            "ephemeralContainers": [{"name": "e", "ports": [{"hostPort": 80}]}],
        })),
        "hostPort (containers \"a\", \"e\" use hostPorts 80, 9)"
    );
    assert_eq!(
        one(json!({"privileged": true, "capabilities": {"add": ["SYS_TIME", "CHOWN", "NET_RAW"]}})),
        "non-default capabilities (container \"a\" must not include \"NET_RAW\", \"SYS_TIME\" in \
         securityContext.capabilities.add), privileged (container \"a\" must not set \
         securityContext.privileged=true)"
    );
    assert_eq!(
        one(json!({"procMount": "Unmasked"})),
        "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")"
    );
    assert_eq!(
        whole(json!({"seLinuxOptions": {"type": "x_t", "user": "u", "role": "r"}})),
        "seLinuxOptions (pod and container \"a\" set forbidden securityContext.seLinuxOptions: type \
         \"x_t\"; user may not be set; role may not be set)"
    );
    assert_eq!(
        whole(json!({"seccompProfile": {"type": "Unconfined"}})),
        "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type to \
         \"Unconfined\")"
    );
    assert_eq!(
        whole(json!({"windowsOptions": {"hostProcess": true}})),
        "hostProcess (pod and container \"a\" must not set \
         securityContext.windowsOptions.hostProcess=true)"
    );
    assert_eq!(
        baseline_of(
            json!({"securityContext": {"sysctls": [{"name": "a"}, {"name": "net.ipv4.tcp_rmem"}, {"name": "b"}]}})
        ),
        "forbidden sysctls (a, b)"
    );
    assert_eq!(
        baseline_of(json!({"containers": [
            {"name": "b", "livenessProbe": {"httpGet": {"host": "h"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "g"}}}},
            {"name": "a", "startupProbe": {"tcpSocket": {"host": "h"}}},
            {"name": "c", "readinessProbe": {"httpGet": {"host": "", "port": 1}}},
        ]})),
        "probe or lifecycle host (containers \"a\", \"b\" use probe or lifecycle hosts \"g\", \"h\")"
    );
}

#[test]
fn profiles_in_annotations() {
    let pod = json!({
        "metadata": {"annotations": {
            "container.apparmor.security.beta.kubernetes.io/a": "unconfined",
            "container.apparmor.security.beta.kubernetes.io/b": "localhost/x",
            "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
            "container.seccomp.security.alpha.kubernetes.io/a": "x\"y",
            "container.seccomp.security.alpha.kubernetes.io/other": "unconfined",
        }},
        "spec": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}, "containers": [{"name": "a"}]},
    });
    let app_armor = "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile \
                     type to \"Unconfined\", \
                     \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")";
    assert_eq!(baseline_at(19, &pod), app_armor);
    assert_eq!(
        baseline_at(18, &pod),
        format!(
            "{app_armor}, seccompProfile (forbidden annotations \
             container.seccomp.security.alpha.kubernetes.io/a=\"x\\\"y\", \
             seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
        )
    );
}

#[test]
fn releases_differ() {
    let pod = |spec: Value| json!({"metadata": {}, "spec": spec});
    let sysctl = |name: &str| pod(json!({"securityContext": {"sysctls": [{"name": name}]}}));
    for (name, since) in [
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_fin_timeout", 29),
        ("net.ipv4.tcp_wmem", 32),
        ("net.ipv4.tcp_notsent_lowat", 37),
    ] {
        assert_ne!(baseline_at(since - 1, &sysctl(name)), "", "{name}");
        assert_eq!(baseline_at(since, &sysctl(name)), "", "{name}");
    }
    let engine =
        pod(json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}));
    assert!(baseline_at(30, &engine).contains("container_engine_t"));
    assert_eq!(baseline_at(31, &engine), "");
    let probe =
        pod(json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]}));
    assert_eq!(baseline_at(33, &probe), "");
    assert_ne!(baseline_at(34, &probe), "");

    let escalates = [("/containers/0/securityContext/allowPrivilegeEscalation", json!(true))];
    let at = |minor| restricted_at(Version::Minor(minor), &escalates);
    assert_eq!((at(7).is_empty(), at(8).is_empty()), (true, false));
    let root = [("/securityContext/runAsUser", json!(0))];
    let at = |minor| restricted_at(Version::Minor(minor), &root);
    assert_eq!(at(22), "");
    assert_eq!(at(23), "runAsUser=0 (pod must not set runAsUser=0)");
}

#[test]
fn the_restricted_standard() {
    let none = [
        ("/securityContext", json!({})),
        ("/containers/0/securityContext", json!({})),
        ("/initContainers/0/securityContext", json!({})),
    ];
    assert_eq!(
        restricted_of(&none),
        "allowPrivilegeEscalation != false (containers \"i\", \"c\" must set \
         securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers \
         \"i\", \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true \
         (pod or containers \"i\", \"c\" must set securityContext.runAsNonRoot=true), seccompProfile \
         (pod or containers \"i\", \"c\" must set securityContext.seccompProfile.type to \
         \"RuntimeDefault\" or \"Localhost\")"
    );
    let adds = [(
        "/containers/0/securityContext/capabilities",
        json!({"add": ["NET_BIND_SERVICE", "CHOWN"]}),
    )];
    assert_eq!(
        restricted_of(&adds),
        "unrestricted capabilities (container \"c\" must set \
         securityContext.capabilities.drop=[\"ALL\"]; container \"c\" must not include \"CHOWN\" in \
         securityContext.capabilities.add)"
    );
    let roots = [
        ("/securityContext/runAsNonRoot", json!(false)),
        ("/containers/0/securityContext/runAsNonRoot", json!(false)),
        ("/initContainers/0/securityContext/runAsUser", json!(0)),
    ];
    assert_eq!(
        restricted_of(&roots),
        "runAsNonRoot != true (pod and container \"c\" must not set \
         securityContext.runAsNonRoot=false), runAsUser=0 (container \"i\" must not set runAsUser=0)"
    );
    let volumes = json!([
        {"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {}}, {"name": "c", "hostPath": {}},
        {"name": "d", "later": {}}, {"name": "e", "image": {}},
    ]);
    assert_eq!(
        restricted_of(&[("/volumes", volumes)]),
        "restricted volume types (volumes \"b\", \"c\", \"d\" use restricted volume types \
         \"hostPath\", \"nfs\", \"unknown\")"
    );
    // An ephemeral container is one of the pod's.
    let debug = [("/ephemeralContainers", json!([{"name": "e"}]))];
    assert!(
        restricted_of(&debug).starts_with("allowPrivilegeEscalation != false (container \"e\"")
    );
}

#[test]
fn own_users_and_windows_are_let_off() {
    let own = |minor| {
        restricted_at(
            Version::Minor(minor),
            &[
                ("/hostUsers", json!(false)),
                ("/securityContext/runAsUser", json!(0)),
                ("/securityContext/runAsNonRoot", json!(false)),
            ],
        )
    };
    assert_eq!(own(35), "");
    assert_eq!(own(34).matches("must not set").count(), 2);
    let mut pod = strict();
    pod["spec"]["hostUsers"] = json!(false);
    pod["spec"]["containers"][0]["securityContext"]["procMount"] = json!("Unmasked");
    assert_ne!(baseline_at(34, &pod), "");
    assert_eq!(baseline_at(35, &pod), "");
    // Not by the restricted standard, which then has its own check.
    assert!(judged(Level::Restricted, Version::Latest, &pod).starts_with("procMount (container"));

    let windows = |minor| {
        restricted_at(
            Version::Minor(minor),
            &[
                ("/os", json!({"name": "windows"})),
                ("/securityContext", json!({"runAsNonRoot": true})),
                ("/containers/0/securityContext", json!({})),
                ("/initContainers/0/securityContext", json!({})),
            ],
        )
    };
    assert_eq!(windows(25), "");
    assert_eq!(windows(24).matches("must set").count(), 3);
}
