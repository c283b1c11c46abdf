//! Descriptions, from the documentation that `k8s-openapi` carries with its types.

use serde_json::{Map, Value, json};

/// Calls the generator for every listed type; what they refer to comes along.
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
        k8s_openapi::api::scheduling::v1 { PriorityClass }
        k8s_openapi::api::coordination::v1 { Lease }
        k8s_openapi::api::node::v1 { RuntimeClass }
        k8s_openapi::api::certificates::v1 { CertificateSigningRequest }
        k8s_openapi::api::admissionregistration::v1 { MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration }
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 { CustomResourceDefinition }
        k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 { APIService }
        k8s_openapi::api::authentication::v1 { SelfSubjectReview TokenRequest TokenReview }
        k8s_openapi::api::authorization::v1 { LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview }
        k8s_openapi::api::flowcontrol::v1 { FlowSchema PriorityLevelConfiguration }
        k8s_openapi::api::resource::v1 { DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice }
        k8s_openapi::apimachinery::pkg::apis::meta::v1 { DeleteOptions Status }
    }
    generator.take_definitions(true)
}

/// Copies the descriptions of a type and its fields.
pub(super) fn add(schema: &mut Value, described: &Value, wrap: bool) {
    if described["description"].is_string() {
        schema["description"] = described["description"].clone();
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        let text = &described["properties"][name]["description"];
        if !text.is_string() {
            continue;
        }
        // In v3 nothing may stand beside a bare reference.
        if let (true, Some(reference)) = (wrap, property.get("$ref").cloned()) {
            *property = json!({"allOf": [{ "$ref": reference }]});
        }
        property["description"] = text.clone();
    }
}
