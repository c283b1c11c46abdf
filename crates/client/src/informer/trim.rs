//! Keeping objects small: a decoded pod of 3 kB of JSON takes 18 kB.
//!
//! A list that grew one by one has room for four, and the structs of a pod are large (a container
//! takes 2.3 kB, a volume 3.3). Components that share their informers read only some of them.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{DynamicObject, PartialObjectMeta};

fn fit<T>(list: &mut Option<Vec<T>>) {
    if let Some(list) = list {
        list.shrink_to_fit();
    }
}

/// Trims the metadata, without the owners of fields: no component reads those, and every object
/// carries them.
pub(super) fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    fit(&mut metadata.owner_references);
    fit(&mut metadata.finalizers);
}

/// Leaves only what identifies an object, and what keeps it: garbage collector and quotas read no
/// more. There is one such for each object of the cluster.
pub(super) fn bare(object: &mut PartialObjectMeta<DynamicObject>) {
    let own = std::mem::take(&mut object.metadata);
    object.types = None;
    object.metadata = ObjectMeta {
        name: own.name,
        namespace: own.namespace,
        uid: own.uid,
        resource_version: own.resource_version,
        owner_references: own.owner_references,
        finalizers: own.finalizers,
        deletion_timestamp: own.deletion_timestamp,
        ..ObjectMeta::default()
    };
}

/// Trims a pod, of which there are the most.
pub(super) fn pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        spec.containers.shrink_to_fit();
        fit(&mut spec.init_containers);
        spec.containers.iter_mut().for_each(container);
        spec.init_containers.iter_mut().flatten().for_each(container);
        fit(&mut spec.volumes);
        fit(&mut spec.tolerations);
        fit(&mut spec.image_pull_secrets);
        fit(&mut spec.topology_spread_constraints);
    }
    if let Some(status) = &mut pod.status {
        fit(&mut status.conditions);
        fit(&mut status.host_ips);
        fit(&mut status.pod_ips);
        for list in [&mut status.container_statuses, &mut status.init_container_statuses] {
            fit(list);
            list.iter_mut().flatten().for_each(container_status);
        }
    }
}

/// The domain of annotations that components read.
const OWN_DOMAIN: &str = "kubernetes.io";

/// Returns true for a key of `kubernetes.io` or of a domain below it.
fn is_own(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain.strip_suffix(OWN_DOMAIN).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Leaves out of a pod what only the kubelet reads: how containers are started and probed, volumes
/// that are neither claims nor disks that a node may have once, and annotations of others.
pub(super) fn unread(pod: &mut Pod) {
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.retain(|key, _| is_own(key));
    }
    pod.metadata.annotations.take_if(|annotations| annotations.is_empty());
    for status in pod.status.iter_mut().flat_map(|status| {
        [&mut status.container_statuses, &mut status.init_container_statuses]
            .into_iter()
            .flat_map(|list| list.iter_mut().flatten())
    }) {
        status.volume_mounts = None;
        status.user = None;
    }
    let Some(spec) = &mut pod.spec else { return };
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|volume| {
            volume.persistent_volume_claim.is_some()
                || volume.ephemeral.is_some()
                || volume.csi.is_some()
                || volume.gce_persistent_disk.is_some()
                || volume.aws_elastic_block_store.is_some()
                || volume.iscsi.is_some()
                || volume.rbd.is_some()
        });
    }
    spec.volumes.take_if(|volumes| volumes.is_empty());
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        container.args = None;
        container.command = None;
        container.env = None;
        container.env_from = None;
        container.lifecycle = None;
        container.liveness_probe = None;
        container.readiness_probe = None;
        container.security_context = None;
        container.startup_probe = None;
        container.termination_message_path = None;
        container.termination_message_policy = None;
        container.volume_devices = None;
        container.volume_mounts = None;
    }
}

fn container(container: &mut Container) {
    fit(&mut container.args);
    fit(&mut container.command);
    fit(&mut container.env);
    fit(&mut container.env_from);
    fit(&mut container.ports);
    fit(&mut container.resize_policy);
    fit(&mut container.volume_mounts);
}

fn container_status(status: &mut ContainerStatus) {
    fit(&mut status.volume_mounts);
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn what_is_shared_has_what_is_read() {
        let text = r#"{"metadata":{"annotations":{"example.com/a":"","a":"","notkubernetes.io/a":"",
            "controller.kubernetes.io/pod-deletion-cost":"1","kubernetes.io/b":"2"}},
            "spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A"}],
            "terminationMessagePath":"/m","ports":[{"containerPort":1}],"command":["x"],"readinessProbe":{"periodSeconds":1},
            "resources":{"requests":{"cpu":"1"}}}],"nodeName":"n","volumes":[
            {"name":"claim","persistentVolumeClaim":{"claimName":"x"}},
            {"name":"config","configMap":{"name":"x"}}]},"status":{"phase":"Running"}}"#;
        let mut pod = Pod::decode(text).unwrap();
        pod.share();
        let kept = r#"{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":"1",
            "kubernetes.io/b":"2"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":1}],
            "resources":{"requests":{"cpu":"1"}}}],"nodeName":"n","volumes":[
            {"name":"claim","persistentVolumeClaim":{"claimName":"x"}}]},"status":{"phase":"Running"}}"#;
        assert_eq!(pod, Pod::decode(kept).unwrap());
    }

    #[test]
    fn annotations_of_others_are_not_held() {
        let mut pod = Pod::decode(r#"{"metadata":{"annotations":{"a.b/c":""}}}"#).unwrap();
        pod.share();
        assert_eq!(pod.metadata.annotations, None);
    }

    #[test]
    fn a_collector_knows_who_an_object_is_and_what_keeps_it() {
        type Metadata = PartialObjectMeta<DynamicObject>;
        let text = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"n","namespace":"s",
            "uid":"u","resourceVersion":"7","finalizers":["a/b"],"labels":{"a":"b"},
            "annotations":{"a":"b"},"deletionTimestamp":"2026-01-01T00:00:00Z","ownerReferences":[
            {"apiVersion":"v1","kind":"Pod","name":"o","uid":"1","blockOwnerDeletion":true}]}}"#;
        let mut object = Metadata::decode(text).unwrap();
        object.share();
        let kept = r#"{"metadata":{"name":"n","namespace":"s","uid":"u","resourceVersion":"7",
            "finalizers":["a/b"],"deletionTimestamp":"2026-01-01T00:00:00Z","ownerReferences":[
            {"apiVersion":"v1","kind":"Pod","name":"o","uid":"1","blockOwnerDeletion":true}]}}"#;
        assert_eq!(object.metadata, Metadata::decode(kept).unwrap().metadata);
        assert_eq!(object.types, None);
    }

    #[test]
    fn nothing_is_reserved_that_is_not_used() {
        let text = r#"{"metadata":{"finalizers":["a/b"],"managedFields":[{"manager":"m"}]},"spec":{"containers":[{"name":"c",
            "env":[{"name":"A"}]}]},"status":{"containerStatuses":[{"name":"c","image":"","imageID":"",
            "ready":true,"restartCount":0}]}}"#;
        let (read, mut trimmed) = (Pod::decode(text).unwrap(), Pod::decode(text).unwrap());
        let variables =
            |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].env.as_ref().unwrap().capacity();
        assert!(variables(&read) > 1, "or this is not needed");
        trimmed.trim();
        assert_eq!(trimmed.spec.as_ref().unwrap().containers.capacity(), 1);
        assert_eq!(variables(&trimmed), 1);
        assert_eq!(trimmed.metadata.managed_fields, None);
        trimmed.metadata.managed_fields = read.metadata.managed_fields.clone();
        assert_eq!(trimmed, read);
    }
}
