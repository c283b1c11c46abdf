//! The table of controllers.

use futures::future::BoxFuture;

use crate::context::Context;

/// A controller that can be started, again and again.
pub(crate) struct Controller {
    /// Upstream's name of the controller.
    pub(crate) name: &'static str,
    /// The service account in `kube-system` it acts as; with a colon, the user.
    pub(crate) identity: &'static str,
    /// Runs it; returns when its context is cancelled.
    pub(crate) start: fn(Context) -> BoxFuture<'static, ()>,
}

macro_rules! controllers {
    ($($name:literal as $identity:literal => $start:path,)*) => {
        &[$(Controller {
            name: $name,
            identity: $identity,
            start: |context| Box::pin($start(context)),
        }),*]
    };
}

/// Every controller.
pub(crate) const CONTROLLERS: &[Controller] = controllers![
    "serviceaccount-controller" as "service-account-controller" => crate::service_account::run,
    "root-ca-certificate-publisher-controller" as "root-ca-cert-publisher" => crate::root_ca::run,
    "replicaset-controller" as "replicaset-controller" => crate::replicaset::run_replica_sets,
    "replicationcontroller-controller" as "replication-controller"
        => crate::replicaset::run_replication_controllers,
    "deployment-controller" as "deployment-controller" => crate::deployment::run,
    "job-controller" as "job-controller" => crate::job::run,
    "ttl-after-finished-controller" as "ttl-after-finished-controller"
        => crate::ttl_after_finished::run,
    "cronjob-controller" as "cronjob-controller" => crate::cronjob::run,
    "daemonset-controller" as "daemon-set-controller" => crate::daemonset::run,
    "statefulset-controller" as "statefulset-controller" => crate::statefulset::run,
    "disruption-controller" as "disruption-controller" => crate::disruption::run,
    "clusterrole-aggregation-controller" as "clusterrole-aggregation-controller"
        => crate::cluster_role_aggregation::run,
    "certificatesigningrequest-signing-controller" as "certificate-controller"
        => crate::certificates::run_signing,
    "certificatesigningrequest-approving-controller" as "certificate-controller"
        => crate::certificates::run_approving,
    "certificatesigningrequest-cleaner-controller" as "certificate-controller"
        => crate::certificates::run_cleaning,
    "podcertificaterequest-cleaner-controller" as "podcertificaterequestcleaner"
        => crate::certificates::run_cleaning_of_pods,
    "kube-apiserver-serving-clustertrustbundle-publisher-controller"
        as "kube-apiserver-serving-clustertrustbundle-publisher"
        => crate::certificates::run_publishing,
    "validatingadmissionpolicy-status-controller" as "validatingadmissionpolicy-status-controller"
        => crate::policy_status::run,
    "persistentvolumeclaim-protection-controller" as "pvc-protection-controller"
        => crate::pvc_protection::run,
    "persistentvolume-protection-controller" as "pv-protection-controller"
        => crate::pv_protection::run,
    "volumeattributesclass-protection-controller" as "volumeattributesclass-protection-controller"
        => crate::vac_protection::run,
    "node-lifecycle-controller" as "node-controller" => crate::node_lifecycle::run,
    "taint-eviction-controller" as "node-controller" => crate::taint_eviction::run,
    "node-ipam-controller" as "node-controller" => crate::node_ipam::run,
    "pod-garbage-collector-controller" as "pod-garbage-collector" => crate::pod_gc::run,
    "endpointslice-controller" as "endpointslice-controller" => crate::endpointslice::run,
    "endpointslice-mirroring-controller" as "endpointslicemirroring-controller"
        => crate::endpointslice_mirroring::run,
    "namespace-controller" as "namespace-controller" => crate::namespace::run,
    "garbage-collector-controller" as "generic-garbage-collector" => crate::gc::run,
    "resourcequota-controller" as "resourcequota-controller" => crate::resourcequota::run,
    "serviceaccount-token-controller" as "system:kube-controller-manager" => crate::tokens::run,
    "legacy-serviceaccount-token-cleaner-controller" as "legacy-service-account-token-cleaner"
        => crate::token_cleaner::run,
    "storage-version-migrator-controller" as "storage-version-migrator-controller"
        => crate::storage_version_migrator::run,
    "endpoints-controller" as "endpoint-controller" => crate::endpoints::run,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = CONTROLLERS.iter().map(|c| c.name).collect();
        assert_eq!(names.len(), CONTROLLERS.len());
    }
}
