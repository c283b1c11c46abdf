//! Mirrors Endpoints that people write for Services without a selector (KEP-0752) to EndpointSlices,
//! which is what proxies read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use client::helpers::owner_ref;
use client::informer::Informer;
use client::{ObjectKey, Store};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use crate::common::meta;
use crate::common::slices::{Group, Slices, Template, Wanted};
use crate::common::trigger_time;
use crate::{Context, Outcome};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations of the Endpoints alone.
const OWN_ANNOTATIONS: [&str; 2] =
    [trigger_time::ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration"];
/// Addresses of a subset beyond these are not mirrored.
const MAX_ADDRESSES: usize = 1000;
const WORKERS: usize = 5;

struct Controller {
    slices: Slices,
    services: Store<Service>,
    endpoints: Store<Endpoints>,
}

pub(crate) async fn run(context: Context) {
    let services: Informer<Service> = context.informers.informer();
    let endpoints: Informer<Endpoints> = context.informers.informer();
    let slices: Informer<EndpointSlice> = context.informers.informer();
    let controller = Arc::new(Controller {
        slices: Slices::new(&context, &slices, MANAGER),
        services: services.store().clone(),
        endpoints: endpoints.store().clone(),
    });
    services.wait_synced().await;
    endpoints.wait_synced().await;
    slices.wait_synced().await;
    let queue = context.queue("endpoint_slice_mirroring");
    let (handler, add) = (controller.clone(), queue.clone());
    context.subscribe(&slices, move |event| {
        if let Some(service) = handler.slices.noted(&event) {
            add.add(service);
        }
    });
    let add = queue.clone();
    context.subscribe(&services, move |event| add.add(ObjectKey::of(&**event.object())));
    let add = queue.clone();
    context.subscribe(&endpoints, move |event| add.add(ObjectKey::of(&**event.object())));
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let leads = |notes: &BTreeMap<String, String>| notes.contains_key(LEADER);
    meta::label(endpoints, SKIP) != Some("true")
        && !endpoints.metadata.annotations.as_ref().is_some_and(leads)
}

impl Controller {
    async fn sync(&self, key: ObjectKey) -> Outcome {
        let endpoints = self.endpoints.get(&key).filter(|endpoints| is_mirrored(endpoints));
        let service = self.services.get(&key);
        let selects =
            |service: &Service| service.spec.as_ref().is_some_and(|s| s.selector.is_some());
        let (Some(endpoints), Some(_)) = (endpoints, service.filter(|s| !selects(s))) else {
            self.slices.clear(&key).await?;
            return Ok(None);
        };
        let mut wanted = Wanted::default();
        endpoints.subsets.iter().flatten().for_each(|subset| mirror(subset, &mut wanted));
        let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
        annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
        let template = || Template {
            owner: owner_ref(&*endpoints),
            labels: endpoints.metadata.labels.clone().unwrap_or_default(),
            annotations,
            triggered: None,
        };
        self.slices.write(&key, template, wanted).await?;
        Ok(None)
    }
}

/// The endpoints of a subset.
fn mirror(subset: &EndpointSubset, wanted: &mut Wanted) {
    let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
    });
    let ports: Vec<_> = ports.collect();
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
    for (address, ready) in ready.chain(not_ready).take(MAX_ADDRESSES) {
        let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        wanted.add(Group::new(family, ports.clone()), endpoint(address, ip, ready));
    }
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..Default::default() }),
        hostname: address.hostname.clone().filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_subset_becomes_endpoints_of_each_family() {
        let subset = from_value(json!({
            "addresses": [{"ip": "10.1.0.1", "nodeName": "n"}, {"ip": "fd00::0:1"}],
            "notReadyAddresses": [{"ip": "10.1.0.2"}, {"ip": "nonsense"}],
            "ports": [{"name": "b", "port": 2}, {"name": "a", "port": 1, "protocol": "UDP"}],
        }));
        let mut wanted = Wanted::default();
        mirror(&subset.unwrap(), &mut wanted);
        let port = |name: &str, port, protocol: &str| EndpointPort {
            app_protocol: None,
            name: Some(name.into()),
            port: Some(port),
            protocol: Some(protocol.into()),
        };
        let ports = vec![port("a", 1, "UDP"), port("b", 2, "TCP")];
        let address = |ip: &str| EndpointAddress { ip: ip.into(), ..Default::default() };
        let made = |ip: &str, ready| endpoint(&address(ip), ip.parse().unwrap(), ready);
        let mut first = made("10.1.0.1", true);
        first.node_name = Some("n".into());
        let mut expected = Wanted::default();
        expected.add(Group::new("IPv4", ports.clone()), first);
        expected.add(Group::new("IPv6", ports.clone()), made("fd00::1", true));
        expected.add(Group::new("IPv4", ports), made("10.1.0.2", false));
        assert_eq!(wanted, expected);
    }

    #[test]
    fn some_endpoints_are_not_mirrored() {
        for (metadata, expected) in [
            (json!({}), true),
            (json!({"labels": {SKIP: "true"}}), false),
            (json!({"labels": {SKIP: "false"}}), true),
            (json!({"annotations": {LEADER: "{}"}}), false),
        ] {
            let endpoints: Endpoints = from_value(json!({"metadata": metadata})).unwrap();
            assert_eq!(is_mirrored(&endpoints), expected, "{metadata}");
        }
    }
}
