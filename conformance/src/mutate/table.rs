//! The mutations.

use std::sync::Arc;

use serde_json::json;

use super::Mutation;
use super::lie::Lie::{self, *};

/// Kinds that are led through every verb.
const KINDS: &str = "(FlowSchema|PriorityLevelConfiguration|Policy|PolicyBinding|CronJob|Ingress|\
    IngressClass|EndpointSlice|RuntimeClasses|CSIStorageCapacities|NetworkPolicy) API operations";
/// Further ones of them.
const LIVES: &str = "lifecycle of (a CSIDriver|a csinode|a StorageClass|a VolumeAttachment|\
    a VolumeAttributesClass|a ServiceAccount|a ResourceQuota|an Endpoint|PodTemplates)|CRUD Tests|lease API|\
    patch a secret|ConfigMap lifecycle|LimitRange by collection|HTTP methods|Events (API )?should|\
    create a PodDisruptionBudget|collection of (PodDis|Replica)|listing (mut|val)";

/// All mutations.
pub(super) fn mutations() -> Vec<Mutation> {
    let told = |field, value| Told(field, Arc::new(value));
    let rows: Vec<(&'static str, Lie, &'static [&'static str])> = vec![
        // The API itself.
        (
            "label-selectors",
            Parameter("labelSelector"),
            &[
                "Selectors should select by every label operator",
                "Selectors should hold for deletecollection",
                "Watchers should observe add",
                "if it stops meeting the requirements of the selector",
                KINDS,
                LIVES,
            ],
        ),
        ("field-selectors", Parameter("fieldSelector"), &["Selectors should select by the fields"]),
        ("limit", Parameter("limit"), &["return chunks of", "keep pages consistent"]),
        (
            "continue",
            Parameter("continue"),
            &["return chunks of", "keep pages consistent", "continue token"],
        ),
        (
            "resource-version",
            Parameter("resourceVersion"),
            &[
                "watching from a specific resource version",
                "restart watching from the last",
                "in same order",
                "honour Exact, NotOlderThan",
                "resource version that is not reached",
            ],
        ),
        ("version-match", Parameter("resourceVersionMatch"), &["honour Exact, NotOlderThan"]),
        ("initial-events", Parameter("sendInitialEvents"), &["sendInitialEvents"]),
        ("watch-timeout", Parameter("timeoutSeconds"), &["should end after timeoutSeconds"]),
        ("hidden-added", Silent("ADDED"), &["Watchers should", KINDS, "Events should"]),
        (
            "hidden-modified",
            Silent("MODIFIED"),
            &[
                "Watchers should (observe|be able)",
                KINDS,
                "lifecycle of PodTemplates",
                "Deployment RollingUpdateDeployment",
            ],
        ),
        (
            "hidden-deleted",
            Silent("DELETED"),
            &["Watchers should (observe|be able)", KINDS, "should be submitted and removed"],
        ),
        (
            "no-delete",
            NoDelete,
            &[
                KINDS,
                LIVES,
                "Garbage collector should (delete (pods|RS)|keep|orphan|not)",
                "Namespaces .Serial. should ensure",
                "hold to the preconditions",
                "keep an object until its last finalizer",
                "delete a collection",
                "by collection",
                "capture the life of",
                "deletecollection",
                "should be possible to delete",
                "grace period",
                "should delete a job",
            ],
        ),
        (
            "dry-run",
            Parameter("dryRun"),
            &["leave nothing behind in a dry run", "can dry-run update Pods"],
        ),
        ("preconditions", Unknown(&["preconditions"]), &["hold to the preconditions"]),
        (
            "propagation",
            Unknown(&["propagationPolicy"]),
            &[
                "orphan pods created by rc",
                "PropagationPolicy is Orphan",
                "keep the rc around",
                "controllerRef",
            ],
        ),
        (
            "sent-version",
            Unknown(&["metadata.resourceVersion"]),
            &[KINDS, "honour a resource version inside", "lifecycle of a ServiceAccount"],
        ),
        ("field-validation", Parameter("fieldValidation"), &["FieldValidation should detect"]),
        ("warnings", NoHeader("warning"), &["FieldValidation should detect"]),
        (
            "accept",
            Header("accept"),
            &[
                "Table transformation",
                "PartialObjectMetadata",
                "media type",
                "read and write YAML",
                "protobuf",
                "AggregatedDiscovery",
            ],
        ),
        (
            "content-type",
            OtherPatch("json-patch+json", "application/merge-patch+json"),
            &["JSON patches"],
        ),
        (
            "strategic-as-merge",
            OtherPatch("strategic-merge", "application/merge-patch+json"),
            &["strategic merge patch by their keys"],
        ),
        (
            "apply-as-merge",
            OtherPatch("apply-patch", "application/merge-patch+json"),
            &["ServerSideApply should (create|give|remove|not|merge|ignore|leave|demand)"],
        ),
        (
            "force",
            Parameter("force"),
            &["force apply is used", "give up ownership", "take over by server-side"],
        ),
        (
            "managed-fields",
            Hidden(&["managedFields"]),
            &[
                "applied object if it does not",
                "give up ownership",
                "by their keys and owners",
                "managers of updates",
            ],
        ),
        (
            "field-manager",
            Parameter("fieldManager"),
            &["ServerSideApply should", "take over by server-side"],
        ),
        (
            "finalizers",
            Unknown(&["finalizers"]),
            &[
                "until its last finalizer",
                "apply a finalizer to a Namespace",
                "should delete pod first",
                "keep the rc around",
            ],
        ),
        (
            "owners",
            Unknown(&["ownerReferences"]),
            &["dependency circle", "owner that never was", "valid owner and owner"],
        ),
        (
            "status-writes",
            NoWrite("/status"),
            &[
                "apply changes to a namespace status",
                "apply changes to a resourcequota status",
                "FlowSchema API",
                "Status endpoints",
                "job status",
                "daemon set status",
                "patch a pod status",
                "PodStatus",
                "status lifecycle",
                "update/patch PodDisruptionBudget status",
                "volumeattachment status",
                "pv/pvc status",
                "lifecycle of a node",
                "readiness gates",
                "ServiceCIDR API",
            ],
        ),
        (
            "scale-writes",
            NoWrite("/scale"),
            &[
                "scale subresource",
                "ReplicationController scale",
                "autoscaling/v1",
                "should scale a replication",
            ],
        ),
        (
            "generation",
            Hidden(&["metadata.generation"]),
            &["generation of a spec", "Pod Generation", "lifecycle of a Deployment"],
        ),
        ("generate-name", Unknown(&["generateName"]), &["Generated names"]),
        (
            "names",
            told("metadata.name", json!("wrong")),
            &[KINDS, "Selectors should select", "Table transformation should return pod"],
        ),
        (
            "used",
            Hidden(&["status.used"]),
            &["ResourceQuota should create", "with best effort scope", "terminating scopes"],
        ),
        ("scopes", Unknown(&["scopes"]), &["with best effort scope", "terminating scopes"]),
        ("immutable", Unknown(&["immutable"]), &["should be immutable"]),
        (
            "git-version",
            Hidden(&["gitVersion"]),
            &["find the server version", "all data is printed"],
        ),
        ("verbs", Hidden(&["verbs"]), &[KINDS, "aggregated discovery interface .Con"]),
        (
            "preferred",
            told("preferredVersion", json!({"groupVersion": "x/v0"})),
            &["validate PreferredVersion"],
        ),
        (
            "groups",
            Hidden(&["groups"]),
            &[
                "locate the groupVersion",
                "webhook resources in discovery",
                "definition resources in discovery",
            ],
        ),
        ("openapi", Empty("/openapi"), &["OpenAPI should describe", "explain should describe"]),
        ("health", Blank("z"), &["answer at livez"]),
        // Workloads.
        ("strategy", Unknown(&["spec.strategy"]), &["RecreateDeployment", "proportional scaling"]),
        ("history-limit", Unknown(&["revisionHistoryLimit"]), &["delete old replica sets"]),
        ("paused", Unknown(&["spec.paused"]), &["hold changes while it is paused"]),
        ("progress-deadline", Unknown(&["progressDeadlineSeconds"]), &["progress deadline passes"]),
        (
            "template",
            Unknown(&["template.metadata"]),
            &["RollingUpdateDeployment", "support rollover"],
        ),
        ("update-strategy", Unknown(&["updateStrategy"]), &["canary updates"]),
        ("pod-management", Unknown(&["podManagementPolicy"]), &["Burst scaling"]),
        (
            "replicas",
            Unknown(&["spec.replicas"]),
            &[
                "Scaling should happen",
                "list, patch and delete a collection of StatefulSets",
                "Replace and Patch",
                "working scale",
                "serve a basic image",
            ],
        ),
        (
            "completions",
            Unknown(&["completions", "completionMode"]),
            &["Indexed job", "locally restarted", "execute all indexes"],
        ),
        (
            "failure-policy",
            Unknown(&["podFailurePolicy"]),
            &["fail the job early", "DisruptionTarget condition", "FailIndex action"],
        ),
        ("success-policy", Unknown(&["successPolicy"]), &["with successPolicy"]),
        (
            "backoff",
            Unknown(&["backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes"]),
            &["exceed backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes"],
        ),
        ("suspend", Unknown(&["suspend"]), &["created in suspend state", "lifecycle of a job"]),
        ("time-to-live", Unknown(&["ttlSecondsAfterFinished"]), &["time to live"]),
        (
            "deadline",
            Unknown(&["activeDeadlineSeconds"]),
            &[
                "exceeds active deadline",
                "activeDeadlineSeconds to be",
                "terminating scopes",
                "start at 1 and increment",
            ],
        ),
        (
            "budget",
            Unknown(&["minAvailable", "maxUnavailable"]),
            &["block an eviction", "a percentage counts", "status updated"],
        ),
        (
            "eviction",
            NoPost("/eviction"),
            &["block an eviction", "a percentage counts", "DisruptionTarget condition"],
        ),
        (
            "observed",
            Hidden(&["observedGeneration"]),
            &["hold changes while", "eventually converge", "proportional"],
        ),
        (
            "conditions",
            Hidden(&["conditions"]),
            &[
                "progress deadline",
                "Status endpoints",
                "should invoke init",
                "Job should fail",
                "DisruptionController should observe",
                "failure condition on",
            ],
        ),
        // Pods.
        (
            "run-as-user",
            Unknown(&["runAsUser"]),
            &[
                "runAsUser",
                "RunAsUser And",
                "EmptyDir volumes should support .non-root",
                "as non-root",
                "set as non-root",
                "with an explicit root",
            ],
        ),
        (
            "groups-of-pods",
            Unknown(&["runAsGroup", "supplementalGroups", "fsGroup"]),
            &["RunAsGroup", "SupplementalGroups", "fsGroup set", "FsGroup is present"],
        ),
        (
            "privileges",
            Unknown(&[
                "allowPrivilegeEscalation",
                "capabilities",
                "seccompProfile",
                "sysctls",
                "readOnlyRootFilesystem",
                "runAsNonRoot",
            ]),
            &[
                "privilege escalation when false",
                "drop and add capabilities",
                "seccomp profile",
                "sysctls",
                "not write to root filesystem",
                "explicit root user",
            ],
        ),
        (
            "env",
            Unknown(&["env"]),
            &[
                "Downward API should provide",
                "environment variable .Node",
                "pods in env vars",
                "Variable Expansion should",
                "key of their environment",
            ],
        ),
        ("env-from", Unknown(&["envFrom"]), &["various prefixes", "via the environment"]),
        ("command", Unknown(&["command"]), &["default command", "container's command"]),
        (
            "args",
            Unknown(&["args"]),
            &[
                "default arguments",
                "command and arguments",
                "container's args",
                "print the output to logs",
                "exits should run with the expected",
            ],
        ),
        ("working-dir", Unknown(&["workingDir"]), &["working directory"]),
        (
            "liveness",
            Unknown(&["livenessProbe"]),
            &["should be restarted with", "monotonically increasing"],
        ),
        (
            "readiness",
            Unknown(&["readinessProbe"]),
            &[
                "before initial delay",
                "that fails should never be ready",
                "pods that are not ready",
            ],
        ),
        ("initial-delay", Unknown(&["initialDelaySeconds"]), &["before initial delay"]),
        ("startup", Unknown(&["startupProbe"]), &["until its startup probe", "Sidecar containers"]),
        ("hooks", Unknown(&["lifecycle"]), &["Lifecycle Hook", "PreStop should"]),
        (
            "termination-message",
            Unknown(&["terminationMessagePolicy", "terminationMessagePath"]),
            &["from log output", "non-default path"],
        ),
        ("messages", Hidden(&["terminated.message"]), &["report termination message (if|from)"]),
        ("init-containers", Unknown(&["initContainers"]), &["InitContainer", "Sidecar"]),
        (
            "restart-policy",
            Unknown(&["spec.restartPolicy"]),
            &[
                "expected status",
                "RestartNever pod",
                "restart is Never",
                "report termination message",
            ],
        ),
        (
            "restart-count",
            told("restartCount", json!(0)),
            &[
                "should be restarted with",
                "monotonically",
                "locally restarted",
                "RestartAlways pod",
                "expected status",
            ],
        ),
        ("grace", Unknown(&["terminationGracePeriodSeconds"]), &["within their grace period"]),
        ("host-aliases", Unknown(&["hostAliases"]), &["hostAliases"]),
        (
            "host-names",
            Unknown(&["spec.hostname", "subdomain"]),
            &["host name and subdomain", "pods for Hostname", "entries for the cluster"],
        ),
        ("process-namespace", Unknown(&["shareProcessNamespace"]), &["process namespace"]),
        (
            "resources",
            Unknown(&["resources"]),
            &[
                "cpu limit .Node",
                "memory (limit|request) .Node",
                "limits.cpu/memory and",
                "memory limit$",
                "matching resource requests",
                "capture the life of a pod",
                "resource limits of pods",
            ],
        ),
        ("resize", NoWrite("/resize"), &["InPlace Resize"]),
        ("ephemeral", NoWrite("/ephemeralcontainers"), &["Ephemeral Containers"]),
        (
            "logs",
            Blank("/log"),
            &[
                "print the output to logs",
                "use the image defaults",
                "retrieve and filter logs",
                "EmptyDir volumes (should|volume)",
                "consumable",
                "provide podname",
                "in a volume subpath .Con",
                "Subpath Atomic",
            ],
        ),
        (
            "log-options",
            Parameter("tailLines"),
            &["print the output to logs", "retrieve and filter logs"],
        ),
        ("qos", Hidden(&["qosClass"]), &["QOS Class"]),
        ("host-ip", Hidden(&["hostIP"]), &["get a host IP"]),
        ("readiness-gates", Unknown(&["readinessGates"]), &["readiness gates"]),
        (
            "runtime-class",
            Unknown(&["runtimeClassName"]),
            &["RuntimeClass should (reject|schedule a Pod requesting a RuntimeClass and)"],
        ),
        (
            "service-links",
            Unknown(&["enableServiceLinks"]),
            &["environment variables for services"],
        ),
        // Volumes.
        (
            "modes",
            Unknown(&["defaultMode", "items.mode"]),
            &["defaultMode set", "(Item|item) (M|m)ode set", "mode on item", "DefaultMode on"],
        ),
        ("medium", Unknown(&["medium"]), &["EmptyDir volumes .*tmpfs"]),
        (
            "items",
            Unknown(&["configMap.items", "secret.items"]),
            &["with mappings", "Projected combined"],
        ),
        (
            "sub-paths",
            Unknown(&["subPath", "subPathExpr"]),
            &[
                "Subpath Atomic",
                "values in a volume subpath",
                "writing subpaths",
                "managed /etc/hosts",
            ],
        ),
        (
            "data-changes",
            Unknown(&["data", "stringData", "binaryData"]),
            &[
                "updates should be reflected",
                "binary data",
                "Projected combined",
                "wrapper volumes should not",
                "consumable (from|in)",
            ],
        ),
        (
            "metadata-changes",
            Unknown(&["metadata.annotations", "metadata.labels"]),
            &["on modification", "update the label"],
        ),
        (
            "token-audience",
            Unknown(&["audience", "audiences"]),
            &["projected service account token", "another audience"],
        ),
        // Services.
        ("affinity", Unknown(&["sessionAffinity"]), &["session affinity"]),
        (
            "service-type",
            Unknown(&["spec.type"]),
            &[
                "NodePort service .Con",
                "type from",
                "ExternalName services",
                "addresses and ports once",
            ],
        ),
        ("external-name", Unknown(&["externalName"]), &["ExternalName"]),
        (
            "service-selector",
            Unknown(&["spec.selector"]),
            &[
                "serve a basic endpoint",
                "multiport endpoints",
                "different protocols",
                "Pods matching a Service",
                "DNS for services",
                "proxy through a service",
            ],
        ),
        (
            "service-ports",
            Unknown(&["targetPort"]),
            &["serve a basic endpoint", "multiport endpoints", "different protocols"],
        ),
        (
            "endpoint-ready",
            Hidden(&["subsets"]),
            &[
                "serve a basic endpoint",
                "create Endpoints for Pods",
                "endpoints latency",
                "lifecycle of an Endpoint",
                "pointing to API Server",
            ],
        ),
        (
            "slices",
            Hidden(&["endpoints"]),
            &[
                "EndpointSlices for Pods",
                "mirror a custom",
                "pointing to API Server",
                "EndpointSlice API operations",
            ],
        ),
        (
            "cluster-ip",
            Hidden(&["clusterIP"]),
            &[
                "serve a basic endpoint",
                "partial qualified names",
                "session affinity work for service",
                "ExternalName to ClusterIP",
            ],
        ),
        (
            "dns-config",
            Unknown(&["dnsConfig", "dnsPolicy"]),
            &["pod DNS nameservers", "pod resolv.conf"],
        ),
        ("proxied-query", Blank("/echo"), &["proxy through a service"]),
        ("host-port", Unknown(&["hostPort"]), &["hostPort"]),
        ("host-network", Unknown(&["hostNetwork"]), &["managed /etc/hosts"]),
        // Users.
        (
            "impersonation",
            Header("impersonate"),
            &[
                "RBAC should (allow|refuse)",
                "Impersonation should",
                "SelfSubjectReview API",
                "NodeAuthorizer",
            ],
        ),
        (
            "allowed",
            told("allowed", json!(true)),
            &["SubjectReview should", "SelfSubjectReview should"],
        ),
        ("user-info", Hidden(&["user"]), &["successful TokenReview"]),
        (
            "automount",
            Unknown(&["automountServiceAccountToken"]),
            &["opting out", "update a ServiceAccount", "lifecycle of a ServiceAccount"],
        ),
        ("approval", NoWrite("/approval"), &["CSR API operations"]),
        ("keys", Empty("/openid"), &["OIDC discovery"]),
        ("aggregation-rule", Unknown(&["aggregationRule"]), &["labelled cluster roles"]),
        ("resource-names", Unknown(&["resourceNames"]), &["single objects by name"]),
        // Scheduling.
        (
            "node-selector",
            Unknown(&["nodeSelector"]),
            &["NodeSelector is respected", "complex daemon"],
        ),
        (
            "tolerations",
            Unknown(&["tolerations"]),
            &["taints-tolerations", "NoExecuteTaintManager"],
        ),
        ("spread", Unknown(&["topologySpreadConstraints"]), &["MaxSkew=1"]),
        ("pod-affinity", Unknown(&["affinity"]), &["anti-affinity apart", "required NodeAffinity"]),
        (
            "gates",
            Unknown(&["schedulingGates"]),
            &["non-empty schedulingGates", "wait for conditions"],
        ),
        (
            "priority",
            Unknown(&["priorityClassName"]),
            &[
                "basic preemption",
                "by critical pod",
                "disruption condition",
                "preemption running path",
                "set by admission",
            ],
        ),
        ("defaults", Unknown(&["defaultRequest", "default"]), &["has those defaults applied"]),
        // Metrics and events.
        ("metrics", Blank("/metrics"), &["all metrics from API server"]),
        ("summary", Empty("/api/v1/nodes"), &["tell what pods use"]),
    ];
    rows.into_iter().map(|(name, lie, meant)| Mutation { name, lie, meant }).collect()
}
