//! Events of all informers as one stream of changes.

use client::informer::{Informer, Kind};
use client::{Event, InformerFactory};
use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController,
    ResourceRequirements, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Resource;

use crate::pod::{is_over, node_name};

/// One event of a kind the scheduler looks at. A pod that is over counts as deleted.
#[derive(Debug)]
pub(crate) enum Change {
    Node(Event<Node>),
    Pod(Event<Pod>),
    Namespace(Event<Namespace>),
    Claim(Event<PersistentVolumeClaim>),
    Volume(Event<PersistentVolume>),
    Class(Event<StorageClass>),
    Service(Event<Service>),
    ReplicationController(Event<ReplicationController>),
    ReplicaSet(Event<ReplicaSet>),
    StatefulSet(Event<StatefulSet>),
    Budget(Event<PodDisruptionBudget>),
}

/// All changes to come, the present state first.
pub(crate) type Changes = SelectAll<BoxStream<'static, Change>>;

/// Follows every kind; returns when all first lists are complete.
pub(crate) async fn follow(informers: &InformerFactory) -> Changes {
    let (nodes, namespaces, services, budgets, pods) = tokio::join!(
        of(informers.informer(), Change::Node),
        of(informers.informer(), Change::Namespace),
        of(informers.informer(), Change::Service),
        of(informers.informer(), Change::Budget),
        pods(informers.informer()),
    );
    let (classes, volumes, claims) = tokio::join!(
        of(informers.informer(), Change::Class),
        of(informers.informer(), Change::Volume),
        of(informers.informer(), Change::Claim),
    );
    let (controllers, replica_sets, stateful_sets) = tokio::join!(
        of(informers.informer(), Change::ReplicationController),
        of(informers.informer(), Change::ReplicaSet),
        of(informers.informer(), Change::StatefulSet),
    );
    stream::select_all([
        nodes,
        namespaces,
        services,
        budgets,
        pods,
        classes,
        volumes,
        claims,
        controllers,
        replica_sets,
        stateful_sets,
    ])
}

async fn of<K: Kind>(
    informer: Informer<K>,
    wrap: fn(Event<K>) -> Change,
) -> BoxStream<'static, Change> {
    informer.wait_synced().await;
    let mut events = informer.subscribe();
    stream::poll_fn(move |cx| events.poll_recv(cx)).map(wrap).boxed()
}

async fn pods(informer: Informer<Pod>) -> BoxStream<'static, Change> {
    informer.wait_synced().await;
    let mut events = informer.subscribe();
    let alive = stream::poll_fn(move |cx| events.poll_recv(cx));
    alive.filter_map(async |event| alive_only(event).map(Change::Pod)).boxed()
}

fn alive_only(event: Event<Pod>) -> Option<Event<Pod>> {
    match event {
        Event::Added(pod) if is_over(&pod) => None,
        Event::Modified { old, new } if is_over(&new) => {
            (!is_over(&old)).then_some(Event::Deleted(new))
        }
        event => Some(event),
    }
}

/// The effect of a change on unschedulable pods.
impl Change {
    /// Upstream's name of the change, in metrics.
    pub(crate) fn label(&self) -> &'static str {
        macro_rules! label {
            ($event:expr, $resource:literal) => {
                match $event {
                    Event::Added(_) => concat!($resource, "Add"),
                    Event::Modified { .. } => concat!($resource, "Update"),
                    Event::Deleted(_) => concat!($resource, "Delete"),
                }
            };
        }
        match self {
            Self::Node(event) => label!(event, "Node"),
            Self::Pod(event) => label!(event, "AssignedPod"),
            Self::Namespace(event) => label!(event, "Namespace"),
            Self::Claim(event) => label!(event, "PersistentVolumeClaim"),
            Self::Volume(event) => label!(event, "PersistentVolume"),
            Self::Class(event) => label!(event, "StorageClass"),
            Self::Service(event) => label!(event, "Service"),
            Self::ReplicationController(event) => label!(event, "ReplicationController"),
            Self::ReplicaSet(event) => label!(event, "ReplicaSet"),
            Self::StatefulSet(event) => label!(event, "StatefulSet"),
            Self::Budget(event) => label!(event, "PodDisruptionBudget"),
        }
    }

    /// A node that was not there before.
    pub(crate) fn new_node(&self) -> Option<&Node> {
        match self {
            Self::Node(Event::Added(node)) => Some(node),
            _ => None,
        }
    }

    /// A new node, or one of which an aspect is different now.
    pub(crate) fn node_with_new<T: PartialEq>(
        &self,
        aspect: impl for<'n> Fn(&'n Node) -> Option<&'n T>,
    ) -> bool {
        match self {
            Self::Node(Event::Added(_)) => true,
            Self::Node(Event::Modified { old, new }) => aspect(old) != aspect(new),
            _ => false,
        }
    }

    /// A new node, or one with other labels.
    pub(crate) fn node_with_new_labels(&self) -> bool {
        self.node_with_new(|node| node.metadata.labels.as_ref())
    }

    /// A new node, or one with other taints.
    pub(crate) fn node_with_new_taints(&self) -> bool {
        self.node_with_new(|node| node.spec.as_ref()?.taints.as_ref())
    }

    /// A pod that has left its node.
    pub(crate) fn departed_pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(Event::Deleted(pod)) if node_name(pod).is_some() => Some(pod),
            _ => None,
        }
    }

    /// A pod that is new on its node.
    pub(crate) fn arrived_pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(Event::Added(pod)) if node_name(pod).is_some() => Some(pod),
            Self::Pod(Event::Modified { old, new })
                if node_name(old).is_none() && node_name(new).is_some() =>
            {
                Some(new)
            }
            _ => None,
        }
    }

    /// A pod that stays on its node: before and now.
    pub(crate) fn changed_pod(&self) -> Option<(&Pod, &Pod)> {
        match self {
            Self::Pod(Event::Modified { old, new }) if node_name(old).is_some() => Some((old, new)),
            _ => None,
        }
    }

    /// A claim of this pod that is new or different.
    pub(crate) fn claim_for(&self, pod: &Pod) -> bool {
        let Self::Claim(Event::Added(claim) | Event::Modified { new: claim, .. }) = self else {
            return false;
        };
        claim.metadata.namespace == pod.metadata.namespace
            && crate::pod::volumes(pod)
                .filter_map(|volume| crate::pod::claim_of(pod, volume))
                .any(|(name, _)| claim.metadata.name.as_deref() == Some(&name))
    }

    /// Returns true if it can matter to any waiting pod; most changes of pods and nodes are mere
    /// status.
    pub(crate) fn may_help(&self) -> bool {
        match self {
            Self::Claim(_) | Self::Volume(_) | Self::Class(_) => true,
            Self::Node(Event::Added(_) | Event::Deleted(_)) => true,
            Self::Node(_) => {
                self.node_with_new(|node| node.spec.as_ref())
                    || self.node_with_new_labels()
                    || self.node_with_new(|node| node.status.as_ref()?.allocatable.as_ref())
            }
            Self::Pod(Event::Added(pod) | Event::Deleted(pod)) => node_name(pod).is_some(),
            Self::Pod(Event::Modified { old, new }) => {
                node_name(new).is_some()
                    && (node_name(old).is_none()
                        || old.meta().labels != new.meta().labels
                        || old.meta().generation != new.meta().generation
                        || !actual_resources(old).eq(actual_resources(new)))
            }
            _ => false,
        }
    }
}

/// The actual resources of a pod's containers, which an in-place resize changes.
fn actual_resources(pod: &Pod) -> impl Iterator<Item = Option<&ResourceRequirements>> {
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    statuses.map(|status| status.resources.as_ref())
}
