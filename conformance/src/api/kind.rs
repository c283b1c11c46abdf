//! The kinds that cases use.

use std::borrow::Cow;

/// A resource: where it is served and what its objects are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// Version of the group.
    pub version: Cow<'static, str>,
    /// The resource's name in paths.
    pub plural: Cow<'static, str>,
    /// The kind of its objects.
    pub kind: Cow<'static, str>,
    /// True if objects live in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// A kind that the cluster gets during a case.
    #[must_use]
    pub fn custom(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) -> Self {
        let own = |text: &str| Cow::Owned(text.to_owned());
        Self {
            group: own(group),
            version: own(version),
            plural: own(plural),
            kind: own(kind),
            namespaced,
        }
    }

    /// `v1` or `group/version`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of its group and version.
    #[must_use]
    pub fn root(&self) -> String {
        let prefix = if self.group.is_empty() { "/api" } else { "/apis" };
        format!("{prefix}/{}", self.api_version())
    }

    /// The path of its collection, of a namespace or of all.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", self.root(), self.plural),
            None => format!("{}/{}", self.root(), self.plural),
        }
    }
}

macro_rules! kinds {
    ($($name:ident $scope:ident $group:literal $version:literal $plural:literal $kind:literal;)*) => {
        $(
            #[doc = concat!($kind, " of ", $version, ".")]
            pub const $name: Kind = Kind {
                group: Cow::Borrowed($group),
                version: Cow::Borrowed($version),
                plural: Cow::Borrowed($plural),
                kind: Cow::Borrowed($kind),
                namespaced: kinds!(@$scope),
            };
        )*
        /// Every kind above.
        pub const ALL: &[Kind] = &[$($name),*];
    };
    (@ns) => { true };
    (@cluster) => { false };
}

kinds! {
    BINDING ns "" "v1" "bindings" "Binding";
    CONFIG_MAP ns "" "v1" "configmaps" "ConfigMap";
    CORE_EVENT ns "" "v1" "events" "Event";
    ENDPOINTS ns "" "v1" "endpoints" "Endpoints";
    LIMIT_RANGE ns "" "v1" "limitranges" "LimitRange";
    NAMESPACE cluster "" "v1" "namespaces" "Namespace";
    NODE cluster "" "v1" "nodes" "Node";
    PERSISTENT_VOLUME cluster "" "v1" "persistentvolumes" "PersistentVolume";
    PERSISTENT_VOLUME_CLAIM ns "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim";
    POD ns "" "v1" "pods" "Pod";
    POD_TEMPLATE ns "" "v1" "podtemplates" "PodTemplate";
    REPLICATION_CONTROLLER ns "" "v1" "replicationcontrollers" "ReplicationController";
    RESOURCE_QUOTA ns "" "v1" "resourcequotas" "ResourceQuota";
    SECRET ns "" "v1" "secrets" "Secret";
    SERVICE ns "" "v1" "services" "Service";
    SERVICE_ACCOUNT ns "" "v1" "serviceaccounts" "ServiceAccount";

    CONTROLLER_REVISION ns "apps" "v1" "controllerrevisions" "ControllerRevision";
    DAEMON_SET ns "apps" "v1" "daemonsets" "DaemonSet";
    DEPLOYMENT ns "apps" "v1" "deployments" "Deployment";
    REPLICA_SET ns "apps" "v1" "replicasets" "ReplicaSet";
    STATEFUL_SET ns "apps" "v1" "statefulsets" "StatefulSet";

    CRON_JOB ns "batch" "v1" "cronjobs" "CronJob";
    JOB ns "batch" "v1" "jobs" "Job";
    HPA ns "autoscaling" "v2" "horizontalpodautoscalers" "HorizontalPodAutoscaler";
    POD_DISRUPTION_BUDGET ns "policy" "v1" "poddisruptionbudgets" "PodDisruptionBudget";

    CERTIFICATE_SIGNING_REQUEST cluster "certificates.k8s.io" "v1" "certificatesigningrequests"
        "CertificateSigningRequest";
    EVENT ns "events.k8s.io" "v1" "events" "Event";
    LEASE ns "coordination.k8s.io" "v1" "leases" "Lease";
    PRIORITY_CLASS cluster "scheduling.k8s.io" "v1" "priorityclasses" "PriorityClass";
    RUNTIME_CLASS cluster "node.k8s.io" "v1" "runtimeclasses" "RuntimeClass";

    ENDPOINT_SLICE ns "discovery.k8s.io" "v1" "endpointslices" "EndpointSlice";
    INGRESS ns "networking.k8s.io" "v1" "ingresses" "Ingress";
    INGRESS_CLASS cluster "networking.k8s.io" "v1" "ingressclasses" "IngressClass";
    IP_ADDRESS cluster "networking.k8s.io" "v1" "ipaddresses" "IPAddress";
    NETWORK_POLICY ns "networking.k8s.io" "v1" "networkpolicies" "NetworkPolicy";
    SERVICE_CIDR cluster "networking.k8s.io" "v1" "servicecidrs" "ServiceCIDR";

    CLUSTER_ROLE cluster "rbac.authorization.k8s.io" "v1" "clusterroles" "ClusterRole";
    CLUSTER_ROLE_BINDING cluster "rbac.authorization.k8s.io" "v1" "clusterrolebindings"
        "ClusterRoleBinding";
    ROLE ns "rbac.authorization.k8s.io" "v1" "roles" "Role";
    ROLE_BINDING ns "rbac.authorization.k8s.io" "v1" "rolebindings" "RoleBinding";
    SELF_SUBJECT_REVIEW cluster "authentication.k8s.io" "v1" "selfsubjectreviews"
        "SelfSubjectReview";
    TOKEN_REVIEW cluster "authentication.k8s.io" "v1" "tokenreviews" "TokenReview";
    LOCAL_SUBJECT_ACCESS_REVIEW ns "authorization.k8s.io" "v1" "localsubjectaccessreviews"
        "LocalSubjectAccessReview";
    SELF_SUBJECT_ACCESS_REVIEW cluster "authorization.k8s.io" "v1" "selfsubjectaccessreviews"
        "SelfSubjectAccessReview";
    SELF_SUBJECT_RULES_REVIEW cluster "authorization.k8s.io" "v1" "selfsubjectrulesreviews"
        "SelfSubjectRulesReview";
    SUBJECT_ACCESS_REVIEW cluster "authorization.k8s.io" "v1" "subjectaccessreviews"
        "SubjectAccessReview";

    CSI_DRIVER cluster "storage.k8s.io" "v1" "csidrivers" "CSIDriver";
    CSI_NODE cluster "storage.k8s.io" "v1" "csinodes" "CSINode";
    CSI_STORAGE_CAPACITY ns "storage.k8s.io" "v1" "csistoragecapacities" "CSIStorageCapacity";
    STORAGE_CLASS cluster "storage.k8s.io" "v1" "storageclasses" "StorageClass";
    VOLUME_ATTACHMENT cluster "storage.k8s.io" "v1" "volumeattachments" "VolumeAttachment";
    VOLUME_ATTRIBUTES_CLASS cluster "storage.k8s.io" "v1" "volumeattributesclasses"
        "VolumeAttributesClass";

    DEVICE_CLASS cluster "resource.k8s.io" "v1" "deviceclasses" "DeviceClass";
    RESOURCE_CLAIM ns "resource.k8s.io" "v1" "resourceclaims" "ResourceClaim";
    RESOURCE_CLAIM_TEMPLATE ns "resource.k8s.io" "v1" "resourceclaimtemplates"
        "ResourceClaimTemplate";
    RESOURCE_SLICE cluster "resource.k8s.io" "v1" "resourceslices" "ResourceSlice";

    STORAGE_MIGRATION cluster "storagemigration.k8s.io" "v1" "storageversionmigrations" "StorageVersionMigration";
    FLOW_SCHEMA cluster "flowcontrol.apiserver.k8s.io" "v1" "flowschemas" "FlowSchema";
    PRIORITY_LEVEL cluster "flowcontrol.apiserver.k8s.io" "v1" "prioritylevelconfigurations"
        "PriorityLevelConfiguration";
    MUTATING_WEBHOOK cluster "admissionregistration.k8s.io" "v1" "mutatingwebhookconfigurations"
        "MutatingWebhookConfiguration";
    VALIDATING_WEBHOOK cluster "admissionregistration.k8s.io" "v1"
        "validatingwebhookconfigurations" "ValidatingWebhookConfiguration";
    MUTATING_POLICY cluster "admissionregistration.k8s.io" "v1" "mutatingadmissionpolicies"
        "MutatingAdmissionPolicy";
    MUTATING_POLICY_BINDING cluster "admissionregistration.k8s.io" "v1"
        "mutatingadmissionpolicybindings" "MutatingAdmissionPolicyBinding";
    VALIDATING_POLICY cluster "admissionregistration.k8s.io" "v1" "validatingadmissionpolicies"
        "ValidatingAdmissionPolicy";
    VALIDATING_POLICY_BINDING cluster "admissionregistration.k8s.io" "v1"
        "validatingadmissionpolicybindings" "ValidatingAdmissionPolicyBinding";
    API_SERVICE cluster "apiregistration.k8s.io" "v1" "apiservices" "APIService";
    CUSTOM_RESOURCE_DEFINITION cluster "apiextensions.k8s.io" "v1" "customresourcedefinitions"
        "CustomResourceDefinition";
}
