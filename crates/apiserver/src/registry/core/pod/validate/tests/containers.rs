//! Containers.

use serde_json::json;

use super::{LABEL, container, creates, pod};

#[test]
fn names_images_and_policies() {
    let bad_name = format!("spec.containers[0].name: Invalid value: \"A_b\": {LABEL}");
    creates(&[
        (pod(&json!({})), &[]),
        (pod(&json!({"containers": null})), &["spec.containers: Required value"]),
        (
            pod(&json!({"containers": [{}]})),
            &[
                "spec.containers[0].name: Required value",
                "spec.containers[0].image: Required value",
            ],
        ),
        (container(&json!({"name": "A_b"})), &[&bad_name]),
        (
            pod(&json!({"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]})),
            &["spec.containers[1].name: Duplicate value: \"a\""],
        ),
        (
            container(
                &json!({"image": " i", "imagePullPolicy": "Maybe", "terminationMessagePolicy": "x"}),
            ),
            &[
                "spec.containers[0].terminationMessagePolicy: Unsupported value: \"x\": supported values: \"File\", \"FallbackToLogsOnError\"",
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
                "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
            ],
        ),
        (
            container(&json!({"restartPolicy": "Sometimes"})),
            &[
                "spec.containers[0].restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ],
        ),
    ]);
}

#[test]
fn ports() {
    creates(&[
        (
            container(&json!({"ports": [
                {"name": "http", "containerPort": 80},
                {"name": "http", "containerPort": 81},
            ]})),
            &["spec.containers[0].ports[1].name: Duplicate value: \"http\""],
        ),
        (
            container(&json!({"ports": [{"name": "UPPER", "containerPort": 0}]})),
            &[
                "spec.containers[0].ports[0].name: Invalid value: \"UPPER\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "spec.containers[0].ports[0].name: Invalid value: \"UPPER\": must contain at least one letter (a-z)",
                "spec.containers[0].ports[0].containerPort: Required value",
            ],
        ),
        (
            container(
                &json!({"ports": [{"containerPort": 65536, "hostPort": -1, "protocol": "tcp"}]}),
            ),
            &[
                "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            container(&json!({"ports": [
                {"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80},
            ]})),
            &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
        ),
        (
            pod(&json!({"hostNetwork": true, "containers": [
                {"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]},
            ]})),
            &[
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
            ],
        ),
    ]);
}

#[test]
fn environment() {
    let at =
        |from: serde_json::Value| container(&json!({"env": [{"name": "A", "valueFrom": from}]}));
    creates(&[
        (
            container(&json!({"env": [{"name": ""}, {"name": "a=b"}]})),
            &[
                "spec.containers[0].env[0].name: Required value",
                "spec.containers[0].env[1].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            ],
        ),
        (
            at(json!({})),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ],
        ),
        (
            container(
                &json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ],
        ),
        (
            at(json!({"fieldRef": {"fieldPath": "metadata.labels"}})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            at(json!({"fieldRef": {"fieldPath": "metadata.whoops"}})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.whoops\": error converting fieldPath: field label not supported: metadata.whoops",
            ],
        ),
        (at(json!({"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}})), &[]),
        (
            at(json!({"fieldRef": {"fieldPath": "metadata.name['key']"}})),
            &[
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['key']\": error converting fieldPath: field label does not support subscript: metadata.name['key']",
            ],
        ),
        (
            at(json!({"secretKeyRef": {"name": "a", "key": "a/b"}})),
            &[
                "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            ],
        ),
        (
            at(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "10m"}})),
            &[
                "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
            ],
        ),
        (
            container(&json!({"envFrom": [{}, {"configMapRef": {}, "secretRef": {"name": "s"}}]})),
            &[
                "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
                "spec.containers[0].envFrom[1].configMapRef.name: Required value",
                "spec.containers[0].envFrom: Invalid value: \"\": may not have more than one field specified at a time",
            ],
        ),
    ]);
}

#[test]
fn probes_and_hooks() {
    creates(&[
        (
            container(
                &json!({"livenessProbe": {"exec": {}, "httpGet": {"port": 80}, "successThreshold": 2}}),
            ),
            &[
                "spec.containers[0].livenessProbe.exec.command: Required value",
                "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            container(
                &json!({"readinessProbe": {"periodSeconds": -1, "terminationGracePeriodSeconds": 5}}),
            ),
            &[
                "spec.containers[0].readinessProbe: Required value: must specify a handler type",
                "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
            ],
        ),
        (
            container(
                &json!({"startupProbe": {"httpGet": {"port": 0, "scheme": "FTP", "httpHeaders": [{"name": "X_Y", "value": ""}]}}}),
            ),
            &[
                "spec.containers[0].startupProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
                "spec.containers[0].startupProbe.httpGet.httpHeaders: Invalid value: \"X_Y\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
            ],
        ),
        (
            container(
                &json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}, "stopSignal": "SIGTERM"}}),
            ),
            &[
                "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
                "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
            ],
        ),
    ]);
}

#[test]
fn init_and_ephemeral_containers() {
    let init = |fragment: serde_json::Value| {
        let mut c = json!({"name": "i", "image": "i"});
        apimachinery::patch::merge_patch(&mut c, &fragment);
        pod(&json!({"initContainers": [c]}))
    };
    creates(&[
        (
            init(
                json!({"name": "c", "lifecycle": {}, "readinessProbe": {"exec": {"command": ["x"]}}}),
            ),
            &[
                "spec.initContainers[0].name: Duplicate value: \"c\"",
                "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            init(
                json!({"restartPolicy": "Always", "readinessProbe": {"exec": {"command": ["x"]}}}),
            ),
            &[],
        ),
        (
            init(json!({"restartPolicy": "Always", "restartPolicyRules": [{"action": "Restart"}]})),
            &[
                "spec.initContainers[0].restartPolicyRules: Forbidden: restartPolicyRules are not allowed for init containers with restart policy Always",
            ],
        ),
        (
            pod(&json!({"ephemeralContainers": [
                {"name": "e", "image": "i", "targetContainerName": "x", "lifecycle": {},
                 "ports": [{"containerPort": 1}]},
            ]})),
            &[
                "spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"",
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
                "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral Container",
                "spec.ephemeralContainers: Forbidden: cannot be set on create",
            ],
        ),
    ]);
}

#[test]
fn resources() {
    let with = |resources: serde_json::Value| container(&json!({"resources": resources}));
    creates(&[
        (
            with(json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            with(
                json!({"limits": {"cpus": "1", "storage": "1", "memory": "-1"}, "requests": {"memory": "-1"}}),
            ),
            &[
                "spec.containers[0].resources.limits[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.limits[cpus]: Invalid value: \"cpus\": must be a standard resource for containers",
                "spec.containers[0].resources.limits[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.containers[0].resources.limits[storage]: Invalid value: \"storage\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
                "spec.containers[0].resources.requests[cpus]: Invalid value: \"cpus\": must be a standard resource for containers",
                "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.containers[0].resources.requests[storage]: Invalid value: \"storage\": must be a standard resource for containers",
            ],
        ),
        (
            with(json!({"requests": {"example.com/gpu": "500m"}})),
            &[
                "spec.containers[0].resources.requests[example.com/gpu]: Invalid value: \"500m\": must be an integer",
                "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        ),
        (
            with(json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}})),
            &[
                "spec.containers[0].resources.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 2",
            ],
        ),
        (
            with(json!({"limits": {"hugepages-2Mi": "3Mi"}})),
            &[
                "spec.containers[0].resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
                "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
            ],
        ),
        (
            with(json!({"claims": [{"name": "x"}, {"name": "x"}]})),
            &[
                "spec.containers[0].resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty",
                "spec.containers[0].resources.claims[1]: Duplicate value: \"x\"",
                "spec.containers[0].resources.claims[1]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty",
            ],
        ),
        (
            pod(
                &json!({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "storage": "1"}},
                "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]}),
            ),
            &[
                "spec.resources.limits[storage]: Unsupported value: \"storage\": supported values: \"cpu\", \"hugepages-\", \"memory\"",
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            ],
        ),
        (
            pod(
                &json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "resizePolicy": [
                    {"resourceName": "cpu", "restartPolicy": "RestartContainer"},
                    {"resourceName": "cpu", "restartPolicy": "NotRequired"},
                ]}]}),
            ),
            &[
                "spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'",
                "spec.containers[0].resizePolicy[1]: Duplicate value: \"cpu\"",
            ],
        ),
    ]);
}

#[test]
fn security_contexts() {
    let with = |context: serde_json::Value| container(&json!({"securityContext": context}));
    creates(&[
        (
            with(json!({"runAsUser": -1, "procMount": "Unmasked"})),
            &[
                "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
            ],
        ),
        (
            with(json!({"privileged": true, "allowPrivilegeEscalation": false})),
            &[
                "spec.containers[0].securityContext: Invalid value: {\"Capabilities\":null,\"Privileged\":true,\"SELinuxOptions\":null,\"WindowsOptions\":null,\"RunAsUser\":null,\"RunAsGroup\":null,\"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,\"AllowPrivilegeEscalation\":false,\"ProcMount\":null,\"SeccompProfile\":null,\"AppArmorProfile\":null}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ],
        ),
        (
            with(
                json!({"seccompProfile": {"type": "Localhost"}, "appArmorProfile": {"type": "Wild"}}),
            ),
            &[
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
                "spec.containers[0].securityContext.appArmorProfile.type: Unsupported value: \"Wild\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
            ],
        ),
        (
            with(json!({"seccompProfile": {"type": "Unconfined", "localhostProfile": "x"}})),
            &[
                "spec.containers[0].securityContext.seccompProfile.localhostProfile: Invalid value: {\"Type\":\"Unconfined\",\"LocalhostProfile\":\"x\"}: can only be set when seccomp type is Localhost",
            ],
        ),
    ]);
}
