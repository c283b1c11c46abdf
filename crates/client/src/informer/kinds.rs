//! The kinds that informers hold. Each is decoded by one function, which is compiled here: as
//! generic code the decoder of a large kind would be compiled again in every crate that reads it.

use k8s_openapi::api::{
    admissionregistration::v1 as admissionregistration, apps::v1 as apps, batch::v1 as batch,
    certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, networking::v1 as networking, node::v1 as node,
    policy::v1 as policy, rbac::v1 as rbac, resource::v1 as resource, scheduling::v1 as scheduling,
    storage::v1 as storage, storagemigration::v1 as storagemigration,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as aggregation;
use kube::core::{DynamicObject, PartialObjectMeta};

use super::{Kind, trim};

macro_rules! kinds {
    ($($kind:ty),* $(,)?) => {$(
        impl Kind for $kind {
            fn decode(text: &str) -> serde_json::Result<Self> {
                serde_json::from_str(text)
            }
        }
    )*};
}

kinds!(
    DynamicObject,
    admissionregistration::ValidatingAdmissionPolicy,
    apps::ControllerRevision,
    apps::DaemonSet,
    apps::Deployment,
    apps::ReplicaSet,
    apps::StatefulSet,
    aggregation::APIService,
    apiextensions::CustomResourceDefinition,
    batch::CronJob,
    certificates::CertificateSigningRequest,
    certificates::ClusterTrustBundle,
    batch::Job,
    coordination::Lease,
    core::ConfigMap,
    core::Endpoints,
    core::Event,
    core::Namespace,
    core::Node,
    core::PersistentVolume,
    core::PersistentVolumeClaim,
    core::ReplicationController,
    core::ResourceQuota,
    core::Secret,
    core::Service,
    core::ServiceAccount,
    discovery::EndpointSlice,
    networking::ServiceCIDR,
    node::RuntimeClass,
    policy::PodDisruptionBudget,
    rbac::ClusterRole,
    resource::ResourceClaim,
    scheduling::PriorityClass,
    storage::CSINode,
    storage::StorageClass,
    storage::VolumeAttachment,
    storage::VolumeAttributesClass,
    storagemigration::StorageVersionMigration,
);

impl Kind for certificates::PodCertificateRequest {
    fn decode(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Its controllers ask for its age alone.
    fn share(&mut self) {
        self.spec.stub_pkc_s10_request.0 = Vec::new();
        self.spec.unverified_user_annotations = None;
        self.status = None;
    }
}

impl Kind for core::Pod {
    fn decode(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    fn trim(&mut self) {
        trim::metadata(&mut self.metadata);
        trim::pod(self);
    }

    fn share(&mut self) {
        trim::unread(self);
    }
}

impl Kind for PartialObjectMeta<DynamicObject> {
    fn decode(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    fn share(&mut self) {
        trim::bare(self);
    }
}
