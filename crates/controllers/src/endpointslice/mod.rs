//! Keeps the EndpointSlices of each Service with a selector in step with its pods.

mod endpoint;
mod plan;
mod reconcile;
mod tracker;

use std::sync::Arc;

use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::common::selector::Selector;
use crate::common::{meta, namespaced};
use crate::{Context, Outcome};
use tracker::Tracker;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const BY_SERVICE: &str = "service";
const WORKERS: usize = 5;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    tracker: Tracker,
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    slices: Store<EndpointSlice>,
}

/// The Service whose slice this is, if we manage it.
fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    if meta::label(slice, MANAGED_BY) != Some(MANAGER) {
        return None;
    }
    let name = meta::label(slice, SERVICE_NAME)?;
    Some(ObjectKey::new(meta::namespace(slice), name))
}

pub(crate) async fn run(context: Context) {
    let services: Informer<Service> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let nodes: Informer<Node> = context.informers.informer();
    let slices: Informer<EndpointSlice> = context.informers.informer();
    namespaced::index(services.store());
    namespaced::index(pods.store());
    slices.store().add_index(BY_SERVICE, |slice| {
        service_of(slice).map(|key| key.to_string()).into_iter().collect()
    });
    services.wait_synced().await;
    pods.wait_synced().await;
    nodes.wait_synced().await;
    slices.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: WorkQueue::new(),
        tracker: Tracker::default(),
        services: services.store().clone(),
        pods: pods.store().clone(),
        nodes: nodes.store().clone(),
        slices: slices.store().clone(),
    });
    let handler = controller.clone();
    context.subscribe(&slices, move |event| handler.slice_event(&event));
    let handler = controller.clone();
    context.subscribe(&services, move |event| {
        handler.queue.add(ObjectKey::of(&**event.object()));
    });
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

impl Controller {
    fn slice_event(&self, event: &Event<EndpointSlice>) {
        let slice = event.object();
        let Some(service) = service_of(slice) else { return };
        if matches!(event, Event::Deleted(_)) {
            self.tracker.gone(&service, meta::uid(&**slice));
        }
        self.queue.add(service);
    }

    fn pod_event(&self, event: &Event<Pod>) {
        let enqueue = |pod: &Pod| {
            for service in namespaced::list(&self.services, meta::namespace(pod)) {
                let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                if Selector::exact(selector).matches(pod) {
                    self.queue.add(ObjectKey::of(&*service));
                }
            }
        };
        match event {
            Event::Modified { old, new } if endpoint::same(old, new) => {}
            Event::Modified { old, new } => {
                if old.metadata.labels != new.metadata.labels {
                    enqueue(old);
                }
                enqueue(new);
            }
            Event::Added(pod) | Event::Deleted(pod) => enqueue(pod),
        }
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(service) = self.services.get(&key) else {
            self.tracker.forget(&key);
            return Ok(None);
        };
        let Some(spec) = &service.spec else { return Ok(None) };
        let selector = Selector::exact(spec.selector.as_ref());
        let managed = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
        if !managed || spec.type_.as_deref() == Some("ExternalName") || meta::deleting(&*service) {
            return Ok(None);
        }
        let present = self.slices.by_index(BY_SERVICE, &key.to_string());
        // What we wrote last must be in sight, or it would be written again. Its arrival calls us.
        if !self.tracker.caught_up(&key, &present) {
            return Ok(None);
        }
        let pods = namespaced::list(&self.pods, &key.namespace);
        let pods: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| selector.matches(&**pod)).collect();
        self.reconcile(&key, &service, &pods, present).await?;
        Ok(None)
    }
}
