//! Services and endpoints from the API, reduced to the fields that answers need.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use client::ObjectKey;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A service as its name resolves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServiceEntry {
    pub(crate) kind: ServiceKind,
    pub(crate) ports: Vec<Port>,
}

/// The target of a service's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ServiceKind {
    /// Its endpoints.
    #[default]
    Headless,
    /// Its cluster addresses.
    Cluster(Vec<IpAddr>),
    /// Another name.
    External(String),
}

/// A named port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// Lower case.
    pub(crate) protocol: String,
    pub(crate) port: u16,
}

/// One address behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointEntry {
    pub(crate) address: IpAddr,
    /// Its host name, or its address with dashes.
    pub(crate) hostname: String,
    pub(crate) ports: Arc<Vec<Port>>,
}

#[derive(Debug, Clone, Default)]
struct Slice {
    service: ObjectKey,
    endpoints: Vec<EndpointEntry>,
}

/// All names of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    namespaces: HashSet<String>,
    services: HashMap<ObjectKey, ServiceEntry>,
    slices: HashMap<ObjectKey, Slice>,
    /// Slices of each service, ordered so that answers are stable.
    slices_of: HashMap<ObjectKey, BTreeMap<String, ObjectKey>>,
    cluster_ips: HashMap<IpAddr, ObjectKey>,
    /// Services and slices that have an endpoint with this address.
    endpoint_ips: HashMap<IpAddr, HashSet<ObjectKey>>,
}

impl Catalog {
    pub(crate) fn add_namespace(&mut self, name: &str) {
        self.namespaces.insert(name.to_owned());
    }

    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// Enters a service, or removes it where `service` is `None`.
    pub(crate) fn set_service(&mut self, key: &ObjectKey, service: Option<&Service>) {
        if let Some(ServiceKind::Cluster(ips)) = self.services.remove(key).map(|entry| entry.kind) {
            for ip in ips {
                if self.cluster_ips.get(&ip) == Some(key) {
                    self.cluster_ips.remove(&ip);
                }
            }
        }
        let Some(entry) = service.map(service_entry) else { return };
        if let ServiceKind::Cluster(ips) = &entry.kind {
            self.cluster_ips.extend(ips.iter().map(|ip| (*ip, key.clone())));
        }
        self.services.insert(key.clone(), entry);
    }

    /// Enters an endpoint slice, or removes it where `slice` is `None`.
    pub(crate) fn set_slice(&mut self, key: &ObjectKey, slice: Option<&EndpointSlice>) {
        if let Some(old) = self.slices.remove(key) {
            for endpoint in &old.endpoints {
                if let Some(keys) = self.endpoint_ips.get_mut(&endpoint.address) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.endpoint_ips.remove(&endpoint.address);
                    }
                }
            }
            if let Some(slices) = self.slices_of.get_mut(&old.service) {
                slices.remove(&key.name);
                if slices.is_empty() {
                    self.slices_of.remove(&old.service);
                }
            }
        }
        let Some(entry) = slice.and_then(|slice| slice_entry(key, slice)) else { return };
        for endpoint in &entry.endpoints {
            self.endpoint_ips.entry(endpoint.address).or_default().insert(key.clone());
        }
        let slices = self.slices_of.entry(entry.service.clone()).or_default();
        slices.insert(key.name.clone(), key.clone());
        self.slices.insert(key.clone(), entry);
    }

    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub(crate) fn service(&self, key: &ObjectKey) -> Option<&ServiceEntry> {
        self.services.get(key)
    }

    /// Ready endpoints of a service.
    pub(crate) fn endpoints(&self, key: &ObjectKey) -> Vec<&EndpointEntry> {
        let slices = self.slices_of.get(key).into_iter().flat_map(BTreeMap::values);
        let mut found: Vec<&EndpointEntry> = Vec::new();
        for endpoint in slices.filter_map(|key| self.slices.get(key)).flat_map(|s| &s.endpoints) {
            if !found.contains(&endpoint) {
                found.push(endpoint);
            }
        }
        found
    }

    /// The service with this cluster address.
    pub(crate) fn by_cluster_ip(&self, ip: IpAddr) -> Option<&ObjectKey> {
        self.cluster_ips.get(&ip)
    }

    /// Services with an endpoint of this address, and the endpoint's host name in each.
    pub(crate) fn by_endpoint_ip(&self, ip: IpAddr) -> Vec<(&ObjectKey, &str)> {
        let keys = self.endpoint_ips.get(&ip).into_iter().flatten();
        let mut found: Vec<_> = keys
            .filter_map(|key| self.slices.get(key))
            .flat_map(|slice| slice.endpoints.iter().map(|endpoint| (&slice.service, endpoint)))
            .filter(|(_, endpoint)| endpoint.address == ip)
            .map(|(service, endpoint)| (service, endpoint.hostname.as_str()))
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

fn service_entry(service: &Service) -> ServiceEntry {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let kind = if spec.type_.as_deref() == Some("ExternalName") {
        ServiceKind::External(spec.external_name.unwrap_or_default())
    } else {
        let ips = spec.cluster_ips.unwrap_or_else(|| spec.cluster_ip.into_iter().collect());
        let ips: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        if ips.is_empty() { ServiceKind::Headless } else { ServiceKind::Cluster(ips) }
    };
    let port = |port: k8s_openapi::api::core::v1::ServicePort| Port {
        name: port.name.unwrap_or_default(),
        protocol: port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase(),
        port: u16::try_from(port.port).unwrap_or(0),
    };
    ServiceEntry { kind, ports: ports.into_iter().map(port).collect() }
}

fn slice_entry(key: &ObjectKey, slice: &EndpointSlice) -> Option<Slice> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    let ports = slice.ports.iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase(),
        port: port.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
    });
    let ports: Arc<Vec<Port>> = Arc::new(ports.collect());
    let mut endpoints = Vec::new();
    for endpoint in slice.endpoints.iter().flatten() {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        if !ready.unwrap_or(true) {
            continue;
        }
        for address in endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
            let given = endpoint.hostname.clone().filter(|name| !name.is_empty());
            endpoints.push(EndpointEntry {
                address,
                hostname: given.unwrap_or_else(|| address.to_string().replace(['.', ':'], "-")),
                ports: Arc::clone(&ports),
            });
        }
    }
    Some(Slice { service: ObjectKey::new(key.namespace.clone(), name), endpoints })
}
