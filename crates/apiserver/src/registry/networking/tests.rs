//! Table tests of the networking group.

use serde_json::{Value, json};

use super::super::testing::{Subject, subject};

fn of(kind: &str, base: Value) -> Subject {
    subject("networking.k8s.io", "v1", kind, base)
}

#[test]
fn ingresses() {
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let base = json!({"spec": {"defaultBackend": backend}});
    let path = |path: Value| json!({"spec": {"rules": [{"http": {"paths": [path]}}]}});
    let ingress = of("Ingress", base);
    ingress.creates(&[
        (json!({}), &[]),
        (
            json!({"spec": {"defaultBackend": null}}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        ),
        (
            json!({"spec": {"defaultBackend": {"service": {"name": "S", "port": {"name": "a", "number": 1}}}}}),
            &[
                "spec.defaultBackend.service.name: Invalid value: \"S\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                "spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number",
            ],
        ),
        (
            json!({"spec": {"defaultBackend": {"service": null}}}),
            &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
        ),
        (
            json!({"spec": {"defaultBackend": {"service": null, "resource": {"kind": "", "name": "a/b"}}}}),
            &[
                "spec.defaultBackend.resource.kind: Required value",
                "spec.defaultBackend.resource.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        (
            json!({"spec": {"rules": [{"host": "1.2.3.4"}, {"host": "*.A"}, {"http": {"paths": []}}], "tls": [{"hosts": ["a_b"], "secretName": "S"}]}}),
            &[
                "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
                "spec.rules[1].host: Invalid value: \"*.A\": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.rules[2].http.paths: Required value",
                "spec.tls[0].hosts[0]: Invalid value: \"a_b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.tls[0].secretName: Invalid value: \"S\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
        (
            path(json!({"backend": backend})),
            &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
        ),
        (
            path(json!({"pathType": "Prefix", "path": "a//b/..", "backend": backend})),
            &[
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must be an absolute path",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must not contain '//'",
                "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": cannot end with '/..'",
            ],
        ),
        (
            path(json!({"pathType": "Regex", "path": "/", "backend": {"service": {"name": "s"}}})),
            &[
                "spec.rules[0].http.paths[0].pathType: Unsupported value: \"Regex\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
                "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
            ],
        ),
        (
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}, "spec": {"ingressClassName": "b"}}),
            &[
                "annotations.kubernetes.io/ingress.class: Invalid value: \"a\": must match `ingressClassName` when both are specified",
            ],
        ),
    ]);
    let loose = json!({"spec": {"tls": [{"secretName": "S"}]}});
    ingress.updates(&[(loose, json!({"metadata": {"labels": {"a": "b"}}}), &[])]);
}

#[test]
fn ingress_classes() {
    let class = of("IngressClass", json!({"spec": {"controller": "example.com/c"}}));
    class.creates(&[
        (json!({}), &[]),
        (
            json!({"spec": {"controller": "c", "parameters": {"kind": "K", "name": "", "scope": "Namespace"}}}),
            &[
                "spec.controller: Invalid value: \"c\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                "spec.parameters.name: Required value",
                "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
            ],
        ),
        (
            json!({"spec": {"parameters": {"kind": "K", "name": "n", "namespace": "x"}}}),
            &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        ),
    ]);
    class.updates(&[(
        json!({}),
        json!({"spec": {"controller": "example.com/d"}}),
        &["spec.controller: Invalid value: \"example.com/d\": field is immutable"],
    )]);
}

#[test]
fn network_policies() {
    let policy = of("NetworkPolicy", json!({"spec": {"podSelector": {}}}));
    let peer = |peer: Value| json!({"spec": {"ingress": [{"from": [peer]}]}});
    let port = |port: Value| json!({"spec": {"egress": [{"ports": [port]}]}});
    policy.creates(&[
        (json!({}), &[]),
        (peer(json!({})), &["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        (
            peer(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "x"]}})),
            &[
                "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
            ],
        ),
        (
            port(json!({"protocol": "icmp", "port": 80, "endPort": 70})),
            &[
                "spec.egress[0].ports[0].protocol: Unsupported value: \"icmp\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
                "spec.egress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
            ],
        ),
        (
            port(json!({"port": "http", "endPort": 70})),
            &[
                "spec.egress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric",
            ],
        ),
        (
            json!({"spec": {"policyTypes": ["Ingress", "Sideways"]}}),
            &[
                "spec.policyTypes[1]: Unsupported value: \"Sideways\": supported values: \"Ingress\", \"Egress\"",
            ],
        ),
    ]);
}
