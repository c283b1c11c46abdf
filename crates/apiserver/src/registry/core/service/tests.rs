//! Table tests of services.

use serde_json::{Value, json};

use super::super::super::testing::{Subject, subject};
use crate::registry::Sub;

fn service() -> Subject {
    subject("", "v1", "Service", json!({"spec": {"ports": [{"port": 80}]}}))
}

fn spec(fragment: Value) -> Value {
    json!({"spec": fragment})
}

#[test]
fn ports() {
    service().creates(&[
        (json!({}), &[]),
        (spec(json!({"ports": null})), &["spec.ports: Required value"]),
        (spec(json!({"ports": null, "clusterIP": "None", "clusterIPs": ["None"]})), &[]),
        (
            spec(json!({"ports": [{"port": 80}, {"name": "b", "port": 80, "nodePort": 31000}, {"name": "b", "port": 81}]})),
            &[
                "spec.ports[0].name: Required value",
                "spec.ports[2].name: Duplicate value: \"b\"",
                "spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
            ],
        ),
        (
            spec(json!({"ports": [{"port": 0, "targetPort": "UPPER", "protocol": "http", "appProtocol": "a b"}]})),
            &[
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].protocol: Unsupported value: \"http\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                "spec.ports[0].targetPort: Invalid value: \"UPPER\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "spec.ports[0].targetPort: Invalid value: \"UPPER\": must contain at least one letter (a-z)",
                "spec.ports[0].appProtocol: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            spec(json!({"type": "NodePort", "ports": [{"name": "a", "port": 1, "nodePort": 31000}, {"name": "b", "port": 2, "nodePort": 31000}]})),
            &["spec.ports[1].nodePort: Duplicate value: 31000"],
        ),
    ]);
}

#[test]
fn types_and_traffic() {
    service().creates(&[
        (
            spec(json!({"type": "Magic", "sessionAffinity": "Maybe"})),
            &[
                "spec.sessionAffinity: Unsupported value: \"Maybe\": supported values: \"ClientIP\", \"None\"",
                "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        (
            spec(json!({"type": "ExternalName", "clusterIP": "1.2.3.4", "clusterIPs": ["1.2.3.4"]})),
            &[
                "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
                "spec.externalName: Required value",
            ],
        ),
        (
            spec(json!({"type": "ExternalName", "externalName": "-a"})),
            &[
                "spec.externalName: Invalid value: \"-a\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            spec(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90_000}}})),
            &[
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400",
            ],
        ),
        (
            spec(json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": 1, "internalTrafficPolicy": "Some", "trafficDistribution": "Far"})),
            &[
                "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
                "spec.healthCheckNodePort: Invalid value: 1: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                "spec.internalTrafficPolicy: Unsupported value: \"Some\": supported values: \"Cluster\", \"Local\"",
                "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\"",
            ],
        ),
        (
            spec(json!({"loadBalancerSourceRanges": ["1.2.3.4"], "allocateLoadBalancerNodePorts": true, "loadBalancerClass": "a/b"})),
            &[
                "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.LoadBalancerSourceRanges[0]: Invalid value: \"1.2.3.4\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
                "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
            ],
        ),
        (
            spec(json!({"externalIPs": ["x", "127.0.0.1", "0.0.0.0"]})),
            &[
                "spec.externalIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "spec.externalIPs[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "spec.externalIPs[2]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)",
            ],
        ),
    ]);
}

#[test]
fn addresses() {
    service().creates(&[
        (
            spec(json!({"clusterIP": "1.1.1.1", "clusterIPs": ["1.1.1.2", "1.1.1.3"], "ipFamilies": ["IPv4", "IPv4", "IPv5"], "ipFamilyPolicy": "Both"})),
            &[
                "spec.clusterIPs: Invalid value: [\"1.1.1.2\",\"1.1.1.3\"]: first value must match `clusterIP`",
                "spec.ipFamilies[1]: Duplicate value: \"IPv4\"",
                "spec.ipFamilies[2]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\"",
                "spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\"",
                "spec.clusterIPs: Invalid value: [\"1.1.1.2\",\"1.1.1.3\"]: may specify no more than one IP for each IP family",
            ],
        ),
        (
            spec(json!({"clusterIP": "None", "clusterIPs": ["None", "x"]})),
            &[
                "spec.clusterIPs: Invalid value: [\"None\",\"x\"]: 'None' must be the first and only value",
                "spec.clusterIPs[1]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
        (
            spec(json!({"clusterIP": "1.1.1.1", "clusterIPs": ["1.1.1.1"], "ipFamilies": ["IPv6"]})),
            &[
                "spec.clusterIPs[0]: Invalid value: \"1.1.1.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
            ],
        ),
        (
            spec(json!({"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]})),
            &[
                "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
            ],
        ),
    ]);
    let with = |ip: &str, families: Value| {
        spec(
            json!({"clusterIP": ip, "clusterIPs": [ip], "ipFamilies": families, "ipFamilyPolicy": "SingleStack"}),
        )
    };
    service().updates(&[
        (with("1.1.1.1", json!(["IPv4"])), json!({"metadata": {"labels": {"a": "b"}}}), &[]),
        (
            with("1.1.1.1", json!(["IPv4"])),
            with("1.1.1.2", json!(["IPv4"])),
            &["spec.clusterIPs[0]: Invalid value: [\"1.1.1.2\"]: may not change once set"],
        ),
        (
            with("1.1.1.1", json!(["IPv4"])),
            spec(json!({"clusterIP": null, "clusterIPs": null})),
            &["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"],
        ),
        (
            spec(json!({"type": "LoadBalancer", "loadBalancerClass": "a/b"})),
            spec(json!({"loadBalancerClass": "a/c"})),
            &["spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set"],
        ),
    ]);
}

#[test]
fn load_balancers_report_addresses() {
    let report = |of: &str, ingress: Value| {
        let status = json!({"status": {"loadBalancer": {"ingress": [ingress]}}});
        service().change(Some(Sub::Status), &spec(json!({"type": of})), &status)
    };
    assert_eq!(report("LoadBalancer", json!({"ip": "1.2.3.4"})), [""; 0]);
    assert_eq!(
        report("ClusterIP", json!({"ip": "1.2.3.4"})),
        [
            "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
        ]
    );
    assert_eq!(
        report("LoadBalancer", json!({"ip": "x", "hostname": "1.2.3.4"})),
        [
            "status.loadBalancer.ingress[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
        ]
    );
}
