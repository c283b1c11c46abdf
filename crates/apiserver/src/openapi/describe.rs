//! Descriptions from the documentation that `k8s-openapi` carries with its types.

use serde_json::{Map, Value, json};

/// Descriptions that the types lack: enumerated values with their meaning, and lists.
const ADDED: &str = include_str!("descriptions.facts");

pub(super) const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
pub(super) const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// Calls the generator for every listed type; types they refer to are included.
macro_rules! register {
    ($generator:ident; $($module:path { $($kind:ident)+ })+) => {
        $({
            use $module as module;
            $($generator.subschema_for::<module::$kind>();)+
        })+
    };
}

/// Documented definitions by OpenAPI name.
pub(super) fn definitions() -> Map<String, Value> {
    let mut generator = schemars::SchemaGenerator::default();
    register! { generator;
        k8s_openapi::api::core::v1 { Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount }
        k8s_openapi::api::apps::v1 { ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet }
        k8s_openapi::api::batch::v1 { CronJob Job }
        k8s_openapi::api::autoscaling::v1 { HorizontalPodAutoscaler Scale }
        k8s_openapi::api::autoscaling::v2 { HorizontalPodAutoscaler }
        k8s_openapi::api::policy::v1 { Eviction PodDisruptionBudget }
        k8s_openapi::api::rbac::v1 { ClusterRole ClusterRoleBinding Role RoleBinding }
        k8s_openapi::api::networking::v1 { Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR }
        k8s_openapi::api::discovery::v1 { EndpointSlice }
        k8s_openapi::api::events::v1 { Event }
        k8s_openapi::api::storage::v1 { CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass }
        k8s_openapi::api::storagemigration::v1 { StorageVersionMigration }
        k8s_openapi::api::scheduling::v1 { PriorityClass }
        k8s_openapi::api::coordination::v1 { Lease }
        k8s_openapi::api::node::v1 { RuntimeClass }
        k8s_openapi::api::certificates::v1 { CertificateSigningRequest ClusterTrustBundle PodCertificateRequest }
        k8s_openapi::api::admissionregistration::v1 { MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration }
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 { CustomResourceDefinition }
        k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 { APIService }
        k8s_openapi::api::authentication::v1 { SelfSubjectReview TokenRequest TokenReview }
        k8s_openapi::api::authorization::v1 { LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview }
        k8s_openapi::api::flowcontrol::v1 { FlowSchema PriorityLevelConfiguration }
        k8s_openapi::api::resource::v1 { DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice }
        k8s_openapi::apimachinery::pkg::apis::meta::v1 { APIGroup APIGroupList APIResourceList APIVersions DeleteOptions Status }
    }
    let mut found = generator.take_definitions(true);
    for line in ADDED.lines().filter(|line| !line.starts_with('#')) {
        let mut parts = line.splitn(3, ' ');
        let (Some(name), Some(field), Some(text)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let described = found.entry(name).or_insert_with(|| json!({}));
        let place = match field {
            "-" => &mut described["description"],
            _ => &mut described["properties"][field]["description"],
        };
        let text = text.replace("\\n", "\n");
        *place = match text.strip_prefix('+') {
            Some(more) => format!("{}{more}", place.as_str().unwrap_or_default()).into(),
            None => text.into(),
        };
    }
    found
}

/// Copies the descriptions of a type and its fields.
pub(super) fn add(schema: &mut Value, described: &Value, wrap: bool) {
    if described["description"].is_string() {
        schema["description"] = described["description"].clone();
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        let text = match (&described["properties"][name]["description"], name.as_str()) {
            (Value::String(text), _) => text.as_str(),
            (_, "apiVersion") => API_VERSION,
            (_, "kind") => KIND,
            _ => continue,
        };
        // In v3 a bare reference may not have siblings.
        if let (true, Some(own)) = (wrap, property.as_object_mut())
            && let Some(reference) = own.remove("$ref")
        {
            own.insert("allOf".into(), json!([{ "$ref": reference }]));
        }
        property["description"] = text.into();
    }
}
