//! Keeps the Endpoints object of each Service with a selector: the older form of EndpointSlices.

use std::sync::Arc;

use client::helpers::{is_already_exists, is_not_found};
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service,
};
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use crate::common::trigger_time::{self, TriggerTimes};
use crate::common::{meta, namespaced, pod, pod_control, service};
use crate::{Context, Outcome};
use rules::selector::Selector;

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const OVER_CAPACITY: (&str, &str) = ("endpoints.kubernetes.io/over-capacity", "truncated");
/// Addresses in one object (upstream's `maxCapacity`).
const CAPACITY: usize = 1000;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
    times: TriggerTimes,
}

pub(crate) async fn run(context: Context) {
    let services: Informer<Service> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let endpoints: Informer<Endpoints> = context.informers.informer();
    namespaced::index(services.store());
    namespaced::index(pods.store());
    services.wait_synced().await;
    pods.wait_synced().await;
    endpoints.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("endpoint"),
        services: services.store().clone(),
        pods: pods.store().clone(),
        endpoints: endpoints.store().clone(),
        times: TriggerTimes::default(),
    });
    let queue = controller.queue.clone();
    context.subscribe(&services, move |event| queue.add(ObjectKey::of(&**event.object())));
    let queue = controller.queue.clone();
    context.subscribe(&endpoints, move |event| queue.add(ObjectKey::of(&**event.object())));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, 5, work).await;
}

/// The address of a pod, and whether it is ready; `None` if it is none of the Service's.
fn address(member: &Pod, of: &Service) -> Option<(EndpointAddress, bool)> {
    let not_ready_too = service::publishes_not_ready(of);
    if !service::may_serve(member) || (meta::deleting(member) && !not_ready_too) {
        return None;
    }
    let address = EndpointAddress {
        ip: service::addresses(member).next()?.to_owned(),
        hostname: service::hostname(member, of).map(str::to_owned),
        node_name: pod::node(member).map(str::to_owned),
        target_ref: Some(service::reference(member)),
    };
    Some((address, not_ready_too || pod::is_ready(member)))
}

fn ports(member: &Pod, of: &Service) -> Vec<EndpointPort> {
    let ports = of.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut ports: Vec<EndpointPort> = ports
        .filter_map(|port| {
            Some(EndpointPort {
                port: service::target_port(member, port)?,
                name: port.name.clone(),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_by(|a, b| (&a.name, a.port).cmp(&(&b.name, b.port)));
    ports
}

/// Pods with the same ports share a subset; everything is in order, so that equal pods make equal
/// subsets.
fn subsets(pods: &[Arc<Pod>], of: &Service) -> (Vec<EndpointSubset>, bool) {
    type Members = (Vec<EndpointAddress>, Vec<EndpointAddress>);
    let mut groups: Vec<(Vec<EndpointPort>, Members)> = Vec::new();
    let mut count = 0;
    let mut members: Vec<_> =
        pods.iter().filter_map(|p| address(p, of).map(|(a, ready)| (p, a, ready))).collect();
    members.sort_by(|a, b| (!a.2, &a.1.ip).cmp(&(!b.2, &b.1.ip)));
    let truncated = members.len() > CAPACITY;
    for (member, address, ready) in members.into_iter().take(CAPACITY) {
        let ports = ports(member, of);
        if ports.is_empty() && !service::is_headless(of) {
            continue;
        }
        count += 1;
        let at = match groups.iter().position(|(known, _)| *known == ports) {
            Some(at) => at,
            None => {
                groups.push((ports, Members::default()));
                groups.len() - 1
            }
        };
        let members = &mut groups[at].1;
        if ready { members.0.push(address) } else { members.1.push(address) }
    }
    let some = |list: Vec<EndpointAddress>| (!list.is_empty()).then_some(list);
    groups.sort_by_key(|(ports, _)| ports.first().map(|p| (p.name.clone(), p.port)));
    let subsets = groups.into_iter().map(|(ports, (ready, not_ready))| EndpointSubset {
        addresses: some(ready),
        not_ready_addresses: some(not_ready),
        ports: (!ports.is_empty()).then_some(ports),
    });
    (subsets.collect(), truncated && count > 0)
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
        if let Event::Modified { old, new } = event
            && old.metadata.labels != new.metadata.labels
        {
            enqueue(old);
        }
        enqueue(event.object());
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let present = self.endpoints.get(&key);
        let api = self.context.api::<Endpoints>(&key.namespace);
        let Some(of) = self.services.get(&key) else {
            self.times.forget(&key);
            // Only what we made goes with its Service.
            let ours = present.filter(|e| meta::label(&**e, MANAGED_BY.0) == Some(MANAGED_BY.1));
            if ours.is_some() {
                match api.delete(&key.name, &DeleteParams::default()).await {
                    Err(error) if !is_not_found(&error) => return Err(error.into()),
                    _ => {}
                }
            }
            return Ok(None);
        };
        let selector = of.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let external =
            of.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
        if selector.is_none_or(|selector| selector.is_empty()) || external || meta::deleting(&*of) {
            return Ok(None);
        }
        let selector = Selector::of_map(selector);
        let pods = namespaced::list(&self.pods, &key.namespace);
        let pods: Vec<_> = pods.into_iter().filter(|pod| selector.matches(&**pod)).collect();
        let triggered = self.times.earliest(&key, &of, pods.iter().map(|pod| &**pod));
        let (subsets, truncated) = subsets(&pods, &of);
        let mut labels = service::inherited_labels(&of);
        labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
        let subsets = (!subsets.is_empty()).then_some(subsets);
        let result = match present {
            None => {
                let mut made = Endpoints {
                    metadata: ObjectMeta {
                        name: Some(key.name.clone()),
                        labels: Some(labels),
                        ..ObjectMeta::default()
                    },
                    subsets,
                };
                note_capacity(&mut made, truncated);
                trigger_time::annotate(&mut made.metadata, triggered);
                api.create(&PostParams::default(), &made).await
            }
            Some(present) => {
                let mut changed = (*present).clone();
                changed.subsets = subsets;
                changed.metadata.labels = Some(labels);
                note_capacity(&mut changed, truncated);
                if changed == *present {
                    return Ok(None);
                }
                trigger_time::annotate(&mut changed.metadata, triggered);
                api.replace(&key.name, &PostParams::default(), &changed).await
            }
        };
        match result {
            Err(error) if is_already_exists(&error) => Ok(None),
            Err(error) if pod_control::is_namespace_terminating(&error) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(None),
        }
    }
}

fn note_capacity(endpoints: &mut Endpoints, truncated: bool) {
    if truncated {
        let notes = endpoints.metadata.annotations.get_or_insert_default();
        notes.insert(OVER_CAPACITY.0.into(), OVER_CAPACITY.1.into());
    } else if let Some(notes) = &mut endpoints.metadata.annotations {
        notes.remove(OVER_CAPACITY.0);
        if notes.is_empty() {
            endpoints.metadata.annotations = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_are_grouped_by_their_ports() {
        let of: Service = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        }))
        .unwrap();
        let pod = |ip: &str, port: i32, ready: &str, phase: &str| -> Arc<Pod> {
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": ip, "namespace": "ns", "uid": ip},
                    "spec": {"containers": [{"name": "c",
                        "ports": [{"name": "http", "containerPort": port}]}]},
                    "status": {"phase": phase, "podIP": ip,
                        "conditions": [{"type": "Ready", "status": ready}]},
                }))
                .unwrap(),
            )
        };
        let pods = [
            pod("10.0.0.3", 8080, "True", "Running"),
            pod("10.0.0.1", 8080, "True", "Running"),
            pod("10.0.0.2", 8080, "False", "Running"),
            pod("10.0.0.4", 9090, "True", "Running"),
            pod("10.0.0.5", 8080, "True", "Failed"),
        ];
        let (subsets, truncated) = subsets(&pods, &of);
        let ips = |list: &Option<Vec<EndpointAddress>>| {
            list.iter().flatten().map(|a| a.ip.clone()).collect::<Vec<_>>()
        };
        let summary: Vec<_> = subsets
            .iter()
            .map(|s| {
                let port = s.ports.as_ref().unwrap()[0].port;
                (port, ips(&s.addresses), ips(&s.not_ready_addresses))
            })
            .collect();
        assert!(!truncated);
        let list = |ips: &[&str]| ips.iter().map(|ip| (*ip).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            summary,
            [
                (8080, list(&["10.0.0.1", "10.0.0.3"]), list(&["10.0.0.2"])),
                (9090, list(&["10.0.0.4"]), list(&[])),
            ]
        );
    }
}
