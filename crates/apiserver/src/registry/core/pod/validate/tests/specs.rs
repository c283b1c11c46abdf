//! Fields of the spec itself.

use serde_json::{Value, json};

use super::{LABEL, creates, messages, pod, validate_create};

#[test]
fn policies_names_and_numbers() {
    let host = "spec.hostname: Invalid value: \"a.b\": must not contain dots";
    creates(&[
        (
            pod(&json!({"restartPolicy": "Once", "dnsPolicy": "Mine", "preemptionPolicy": "No"})),
            &[
                "spec.restartPolicy: Unsupported value: \"Once\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                "spec.dnsPolicy: Unsupported value: \"Mine\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\"",
                "spec.preemptionPolicy: Unsupported value: \"No\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ],
        ),
        (
            pod(&json!({"activeDeadlineSeconds": 0})),
            &[
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            ],
        ),
        (pod(&json!({"hostname": "a.b"})), &[host]),
        (
            pod(
                &json!({"nodeName": "n", "schedulingGates": [{"name": "a.b/c"}, {"name": "a.b/c"}]}),
            ),
            &[
                "spec.schedulingGates[1]: Duplicate value: \"a.b/c\"",
                "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
            ],
        ),
        (
            pod(&json!({"nodeSelector": {"a/b/c": "x y"}})),
            &[
                "spec.nodeSelector: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                "spec.nodeSelector: Invalid value: \"x y\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
        (
            pod(
                &json!({"resourceClaims": [{"name": "a"}, {"name": "a", "resourceClaimName": "x"}]}),
            ),
            &[
                "spec.resourceClaims[0]: Invalid value: {\"Name\":\"a\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
                "spec.resourceClaims[1].name: Duplicate value: \"a\"",
            ],
        ),
    ]);
}

#[test]
fn host_and_users() {
    creates(&[
        (
            pod(
                &json!({"hostUsers": false, "hostPID": true, "hostIPC": true, "hostNetwork": true}),
            ),
            &[
                "spec.hostNetwork: Forbidden: when `hostUsers` is false",
                "spec.HostPID: Forbidden: when `hostUsers` is false",
                "spec.HostIPC: Forbidden: when `hostUsers` is false",
            ],
        ),
        (
            pod(&json!({"hostAliases": [{"ip": "300.1.1.1", "hostnames": ["a_b"]}]})),
            &[
                "spec.hostAliases[0].ip: Invalid value: \"300.1.1.1\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "spec.hostAliases[0].hostnames[0]: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            pod(&json!({"dnsPolicy": "None"})),
            &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            pod(&json!({"dnsPolicy": "None", "dnsConfig": {}})),
            &[
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
            ],
        ),
        (
            pod(
                &json!({"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "x"], "searches": [".", "_a.b", "UP."], "options": [{}]}}),
            ),
            &[
                "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"x\"]: must not have more than 3 nameservers",
                "spec.dnsConfig.nameservers[3]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "spec.dnsConfig.searches[2]: Invalid value: \"UP\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')",
                "spec.dnsConfig.options[0]: Required value: must not be empty",
            ],
        ),
        (
            pod(&json!({"hostnameOverride": "h", "setHostnameAsFQDN": true})),
            &[
                "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            ],
        ),
    ]);
}

#[test]
fn pod_security() {
    let with = |context: Value| pod(&json!({"hostNetwork": true, "securityContext": context}));
    creates(&[
        (
            with(
                json!({"fsGroup": -1, "supplementalGroups": [-2], "fsGroupChangePolicy": "x", "supplementalGroupsPolicy": "y", "seLinuxChangePolicy": "None"}),
            ),
            &[
                "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "spec.securityContext.supplementalGroups[0]: Invalid value: -2: must be between 0 and 2147483647, inclusive",
                "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnRootMismatch\"",
                "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"y\": supported values: \"Merge\", \"Strict\"",
                "spec.securityContext.seLinuxChangePolicy: Unsupported value: \"None\": supported values: \"MountOption\", \"Recursive\"",
            ],
        ),
        (
            with(
                json!({"sysctls": [{"name": "net.core.x", "value": "1"}, {"name": "kernel.a", "value": "1"}, {"name": "kernel.a", "value": "1"}, {"name": "A", "value": ""}]}),
            ),
            &[
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.core.x\": may not be specified when 'hostNetwork' is true",
                "spec.securityContext.sysctls[2].name: Duplicate value: \"kernel.a\"",
                "spec.securityContext.sysctls[3].name: Invalid value: \"A\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            ],
        ),
        (
            pod(
                &json!({"os": {"name": "windows"}, "securityContext": {"runAsUser": 1}, "containers": [{"name": "c", "image": "i", "securityContext": {"privileged": true}}]}),
            ),
            &[
                "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
                "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
            ],
        ),
        (
            pod(
                &json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": ""}}}),
            ),
            &[
                "spec.securityContext.windowsOptions.runAsUserName: Invalid value: \"\": runAsUserName cannot be an empty string",
                "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
            ],
        ),
        (
            pod(&json!({"os": {"name": "plan9"}})),
            &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
        ),
    ]);
}

#[test]
fn scheduling() {
    creates(&[
        (
            pod(
                &json!({"tolerations": [{"operator": "Equal", "value": "x"}, {"key": "a", "operator": "Exists", "value": "x"}, {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 3}, {"key": "a", "operator": "Like", "effect": "Kick"}]}),
            ),
            &[
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
                "spec.tolerations[1].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
                "spec.tolerations[2].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
                "spec.tolerations[3].operator: Unsupported value: \"Like\": supported values: \"Equal\", \"Exists\"",
                "spec.tolerations[3].effect: Unsupported value: \"Kick\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            ],
        ),
        (
            pod(&json!({"topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Cry", "matchLabelKeys": ["a"]},
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2, "labelSelector": {"matchLabels": {"a": "b"}}},
                {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "nodeTaintsPolicy": "No"},
            ]})),
            &[
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Cry\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
                "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
                "spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{z, ScheduleAnyway}\"",
                "spec.topologySpreadConstraints[1].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                "spec.topologySpreadConstraints[2].nodeTaintsPolicy: Unsupported value: \"No\": supported values: \"Honor\", \"Ignore\"",
            ],
        ),
    ]);
}

#[test]
fn affinity() {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = |terms: Value| {
        pod(&json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}}))
    };
    let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let check = |pod: &Value, want: &[String]| {
        assert_eq!(messages(&validate_create(pod)), want);
    };
    check(
        &node(json!([])),
        &[format!("{at}: Required value: must have at least one node selector term")],
    );
    check(
        &node(json!([{"matchExpressions": [
            {"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]},
            {"key": "a", "operator": "Gt"}, {"key": "a", "operator": "Is"},
        ], "matchFields": [{"key": "metadata.namespace", "operator": "In", "values": ["a", "b"]}]}])),
        &[
            format!(
                "{at}[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
            ),
            format!(
                "{at}[0].matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            ),
            format!(
                "{at}[0].matchExpressions[2].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"
            ),
            format!(
                "{at}[0].matchExpressions[3].operator: Invalid value: \"Is\": not a valid selector operator"
            ),
            format!(
                "{at}[0].matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            ),
            format!(
                "{at}[0].matchFields[0].key: Invalid value: \"metadata.namespace\": not a valid field selector key"
            ),
        ],
    );
    let at = "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0]";
    check(
        &pod(
            &json!({"affinity": {"podAntiAffinity": {preferred: [{"weight": 101, "podAffinityTerm": {
                "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["v"]}]},
                "namespaces": ["A"], "topologyKey": "",
            }}]}}}),
        ),
        &[
            format!("{at}.weight: Invalid value: 101: must be in the range 1-100"),
            format!(
                "{at}.podAffinityTerm.labelSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            ),
            format!("{at}.podAffinityTerm.namespace: Invalid value: \"A\": {LABEL}"),
            format!("{at}.podAffinityTerm.topologyKey: Required value: can not be empty"),
            format!(
                "{at}.podAffinityTerm.topologyKey: Invalid value: \"\": name part must be non-empty"
            ),
            format!(
                "{at}.podAffinityTerm.topologyKey: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ),
        ],
    );
}

#[test]
fn annotations() {
    let with = |annotations: Value| {
        let mut pod = pod(&json!({}));
        pod["metadata"]["annotations"] = annotations;
        pod
    };
    creates(&[
        (
            with(
                json!({"controller.kubernetes.io/pod-deletion-cost": "+1", "kubernetes.io/config.mirror": "x"}),
            ),
            &[
                "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer",
                "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set",
            ],
        ),
        (
            with(json!({"container.apparmor.security.beta.kubernetes.io/x": "wild"})),
            &[
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: \"x\": container not found",
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: \"wild\": invalid AppArmor profile name: \"wild\"",
            ],
        ),
    ]);
}
