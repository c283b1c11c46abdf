//! Keeps the EndpointSlices of each Service with a selector in step with its pods.

mod endpoint;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::helpers::owner_ref;
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::common::slices::{Group, Slices, Template, Wanted};
use crate::common::trigger_time::TriggerTimes;
use crate::common::{meta, namespaced, service};
use crate::{Context, Outcome};
use rules::selector::Selector;

const MANAGER: &str = "endpointslice-controller.k8s.io";
const WORKERS: usize = 5;

struct Controller {
    queue: WorkQueue<ObjectKey>,
    slices: Slices,
    times: TriggerTimes,
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
}

pub(crate) async fn run(context: Context) {
    let services: Informer<Service> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let nodes: Informer<Node> = context.informers.informer();
    let slices: Informer<EndpointSlice> = context.informers.informer();
    namespaced::index(services.store());
    namespaced::index(pods.store());
    let controller = Arc::new(Controller {
        queue: context.queue("endpoint_slice"),
        slices: Slices::new(&context, &slices, MANAGER),
        times: TriggerTimes::default(),
        services: services.store().clone(),
        pods: pods.store().clone(),
        nodes: nodes.store().clone(),
    });
    services.wait_synced().await;
    pods.wait_synced().await;
    nodes.wait_synced().await;
    slices.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&slices, move |event| {
        if let Some(service) = handler.slices.noted(&event) {
            handler.queue.add(service);
        }
    });
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

fn families(of: &Service) -> Vec<String> {
    let spec = of.spec.as_ref();
    let families = spec.and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if families.is_empty() { vec!["IPv4".to_owned()] } else { families }
}

impl Controller {
    fn pod_event(&self, event: &Event<Pod>) {
        let enqueue = |pod: &Pod| {
            for service in namespaced::list(&self.services, meta::namespace(pod)) {
                let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                if Selector::of_map(selector).matches(pod) {
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
        let Some(of) = self.services.get(&key) else {
            self.slices.forget(&key);
            self.times.forget(&key);
            return Ok(None);
        };
        let Some(spec) = &of.spec else { return Ok(None) };
        let selector = Selector::of_map(spec.selector.as_ref());
        let managed = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
        if !managed || spec.type_.as_deref() == Some("ExternalName") || meta::deleting(&*of) {
            return Ok(None);
        }
        let pods = namespaced::list(&self.pods, &key.namespace);
        let pods = pods.iter().filter(|pod| selector.matches(&***pod) && service::may_serve(pod));
        let pods: Vec<_> = pods.collect();
        let mut wanted = Wanted::default();
        for family in families(&of) {
            for pod in &pods {
                let endpoint = endpoint::endpoint(pod, &of, &self.nodes, &family);
                let Some(endpoint) = endpoint else { continue };
                wanted.add(Group::new(&family, endpoint::ports(pod, &of)), endpoint);
            }
            wanted.ensure(&family);
        }
        let members = pods.iter().map(|pod| &***pod);
        let template = || Template {
            owner: owner_ref(&*of),
            labels: service::inherited_labels(&of),
            annotations: BTreeMap::new(),
            triggered: self.times.earliest(&key, &of, members),
        };
        self.slices.write(&key, template, wanted).await?;
        Ok(None)
    }
}
