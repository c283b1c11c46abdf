//! Warnings compared with upstream's texts.

use serde_json::{Value, json};

use crate::registry::find_kind;

#[track_caller]
fn told(group: &str, kind: &str, object: Value, want: &[&str]) {
    let kind = crate::registry::kinds()
        .find(|k| k.group == group && k.kind == kind)
        .unwrap_or_else(|| panic!("no {kind}"));
    assert!(find_kind(group, kind.version, kind.kind).is_some());
    assert_eq!(super::warnings(kind, &object, None), want);
}

#[test]
fn pods() {
    told(
        "",
        "Pod",
        json!({"metadata": {"name": "web-1"}, "spec": {"containers": [{"name": "c"}]}}),
        &[],
    );
    told(
        "",
        "Pod",
        json!({
            "metadata": {"name": "a.b", "annotations": {
                "scheduler.alpha.kubernetes.io/critical-pod": "",
                "container.seccomp.security.alpha.kubernetes.io/c": "x",
            }},
            "spec": {
                "nodeSelector": {"beta.kubernetes.io/os": "linux"},
                "topologySpreadConstraints": [{"topologyKey": "x"}],
                "hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}, {"ip": "010.0.0.2"}],
                "imagePullSecrets": [{"name": "s"}, {"name": "s"}, {}],
                "terminationGracePeriodSeconds": -1,
                "containers": [
                    {
                        "name": "c", "resources": {"limits": {"memory": "1500m"}},
                        "env": [
                            {"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"},
                            {"name": "A", "value": "3"},
                        ],
                        "ports": [
                            {"containerPort": 80, "protocol": "TCP", "name": "http"},
                            {"containerPort": 80, "protocol": "TCP", "hostPort": 8080},
                        ],
                    },
                    {"name": "d", "ports": [{"containerPort": 81, "protocol": "TCP", "name": "http"}]},
                ],
                "affinity": {"podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "x"}],
                }},
                "volumes": [
                    {"name": "v", "glusterfs": {"path": "x"}},
                    {"name": "w", "configMap": {"name": "m", "items": [
                        {"key": "a", "path": "p"}, {"key": "b", "path": "p/q"},
                    ]}},
                ],
            },
        }),
        &[
            &format!(
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
                apimachinery::names::dns1123_label("a.b").join(" ")
            ),
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \"priorityClassName\" field instead",
            "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+",
            "volume \"w\" (ConfigMap \"m\"): overlapping paths: \"p/q\" with \"p\"",
            "spec.hostAliases[1].ip: duplicate ip \"10.0.0.1\"",
            "spec.imagePullSecrets[1].name: duplicate name \"s\"",
            "spec.imagePullSecrets[2].name: invalid empty name \"\"",
            "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the \"seccompProfile\" field instead",
            "spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer",
            "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
            "spec.containers[1].ports[0]: duplicate port name \"http\" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]",
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod",
            "spec.hostAliases[2].ip: non-standard IP address \"010.0.0.2\" will be considered invalid in a future Kubernetes release: use \"10.0.0.2\"",
        ],
    );
}

#[test]
fn workloads_warn_of_their_templates() {
    let template = json!({"spec": {"nodeSelector": {"beta.kubernetes.io/arch": "x"}}});
    told(
        "apps",
        "Deployment",
        json!({"metadata": {"name": "d"}, "spec": {"template": template}}),
        &[
            "spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        ],
    );
    told(
        "batch",
        "CronJob",
        json!({"metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": template}}}}),
        &[
            "spec.jobTemplate.spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        ],
    );
}

#[test]
fn services_and_addresses() {
    told(
        "",
        "Service",
        json!({"metadata": {"name": "s"}, "spec": {
            "type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "ClientIP",
            "externalIPs": ["192.168.001.2"], "externalName": "x",
            "loadBalancerSourceRanges": ["10.0.0.1/8", "2001:DB8::/32"],
        }}),
        &[
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
            "spec.externalIPs[0]: non-standard IP address \"192.168.001.2\" will be considered invalid in a future Kubernetes release: use \"192.168.1.2\"",
            "spec.loadBalancerSourceRanges[0]: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
            "spec.loadBalancerSourceRanges[1]: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format (\"2001:db8::/32\")",
            "spec.externalName is ignored when spec.type is not \"ExternalName\"",
        ],
    );
    told(
        "",
        "ResourceQuota",
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "2", "limits.cpu": "1"}}}),
        &["ResourceQuota cpu (2) should be less than limits.cpu (1)"],
    );
}

#[test]
fn what_has_no_effect_says_so() {
    let policy = json!({"metadata": {"name": "n"}, "spec": {}});
    told(
        "networking.k8s.io",
        "NetworkPolicy",
        policy,
        &["NetworkPolicy objects are stored by this cluster, but not enforced yet"],
    );
    for (group, name, _) in super::WITHOUT_EFFECT {
        let known = crate::registry::kinds().any(|k| k.group == *group && k.kind == *name);
        // Some kinds are only in versions that are not served.
        assert!(known || name.starts_with("Mutating"), "{name}");
    }
}
