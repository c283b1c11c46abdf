//! The proxy's loop: from API events to the backend.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::informer::Selection;
use client::{Event, Informer, InformerFactory, ObjectKey};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::jiff::Timestamp;
use network::nft::Monitor;
use telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, Change};
use crate::health::HealthServers;
use crate::metrics::{self, Metrics};
use crate::model::{NodeTopology, PortRules, rules_of};
use crate::nftables::{Kept, Nftables};
use crate::status::Health;

const BY_SERVICE: &str = "kube-proxy/service";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How long to wait after a refusal by the kernel, doubled up to the limit.
const RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(30);
/// Changes of one transaction whose latency is measured.
const MAX_TRIGGERS: usize = 1000;

/// How the proxy of a node is set up.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// The node.
    pub node_name: String,
    /// Names the nf_tables table, so that clusters on one machine keep apart.
    pub cluster_id: String,
    /// The cluster's pod range.
    pub cluster_cidr: IpNet,
    /// Ports that the processes of nodes serve themselves, by whatever transport: no service takes
    /// them at an address of this node or, in the cluster's range, of another.
    pub own_ports: Vec<u16>,
    /// Where this proxy reaches the API server, if that is not within its process: no service takes
    /// this either, or its end would never be heard of.
    pub api_server: Option<SocketAddr>,
    /// The node's network namespace; `None` where the node is the machine.
    pub node_netns: Option<PathBuf>,
    /// The registry of the proxy's metrics.
    pub metrics: Registry,
    /// Where it tells how it is.
    pub status: Health,
}

/// Runs the proxy until cancelled, then removes its rules.
///
/// # Errors
/// Where nf_tables cannot be used at all.
pub async fn run(
    factory: &InformerFactory,
    config: ProxyConfig,
    cancel: CancellationToken,
) -> network::Result<()> {
    tracing::info!(node = config.node_name, "the service proxy starts");
    let services = factory.informer::<Service>();
    let slices = factory.informer::<EndpointSlice>();
    let node = Selection::fields(format!("metadata.name={}", config.node_name));
    let nodes = factory.select::<Node>(node);
    let ranges = factory.informer::<ServiceCIDR>();
    slices.store().add_index(BY_SERVICE, |slice: &EndpointSlice| {
        service_of(slice).map(|key| key.to_string()).into_iter().collect()
    });
    let table = format!("coxswain-{}", config.cluster_id);
    let kept = Kept {
        cluster_cidr: config.cluster_cidr,
        own_ports: config.own_ports,
        api_server: config.api_server,
    };
    let backend = Nftables::open(table, config.node_netns.clone(), kept)?;
    let monitor = backend.monitor()?;
    let proxy = Proxy {
        health: HealthServers::new(config.node_netns.clone()),
        metrics: Metrics::of(&config.metrics),
        status: config.status,
        triggers: Vec::new(),
        node_name: config.node_name,
        services,
        slices,
        nodes,
        ranges,
        backend: Some(Box::new(backend)),
        applied: HashMap::new(),
        dirty: HashSet::new(),
        topology: NodeTopology::default(),
        service_ranges: Vec::new(),
        whole: true,
    };
    proxy.run(monitor, cancel).await
}

struct Proxy {
    node_name: String,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    nodes: Informer<Node>,
    ranges: Informer<ServiceCIDR>,
    /// Away while a blocking task works with it.
    backend: Option<Box<dyn Backend>>,
    /// Ports in force by service.
    applied: HashMap<ObjectKey, Vec<Arc<PortRules>>>,
    dirty: HashSet<ObjectKey>,
    topology: NodeTopology,
    /// The ranges of cluster addresses that are in force.
    service_ranges: Vec<IpNet>,
    /// Everything must be written anew.
    whole: bool,
    health: HealthServers,
    metrics: Arc<Metrics>,
    status: Health,
    /// When the changes happened that are not in force yet.
    triggers: Vec<Timestamp>,
}

impl Proxy {
    async fn run(mut self, mut monitor: Monitor, cancel: CancellationToken) -> network::Result<()> {
        let mut services = self.services.subscribe();
        let mut slices = self.slices.subscribe();
        let mut nodes = self.nodes.subscribe();
        let mut ranges = self.ranges.subscribe();
        let synced = async {
            tokio::join!(self.services.wait_synced(), self.slices.wait_synced());
        };
        if cancel.run_until_cancelled(synced).await.is_none() {
            return self.remove().await;
        }
        let mut retry = None;
        loop {
            // Whatever has come by now goes into one transaction.
            while let Ok(event) = services.try_recv() {
                self.changed(&event);
            }
            while let Ok(event) = slices.try_recv() {
                self.touch(&event);
            }
            while nodes.try_recv().is_ok() {}
            while ranges.try_recv().is_ok() {}
            self.locate();
            match self.sync().await {
                Ok(()) => retry = None,
                Err(error) => {
                    let wait = retry.map_or(RETRY, |last: Duration| (last * 2).min(MAX_RETRY));
                    tracing::error!(%error, ?wait, "services are not in force");
                    self.whole = true;
                    retry = Some(wait);
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return self.remove().await,
                Some(event) = services.recv() => self.changed(&event),
                Some(event) = slices.recv() => self.touch(&event),
                Some(_) = nodes.recv() => {}
                Some(_) = ranges.recv() => {}
                disturbed = monitor.disturbed() => {
                    disturbed?;
                    tracing::warn!("somebody removed nf_tables rules of ours: writing them anew");
                    self.whole = true;
                }
                () = tokio::time::sleep(retry.unwrap_or_default()), if retry.is_some() => {}
            }
        }
    }

    fn changed(&mut self, event: &Event<Service>) {
        self.metrics.service();
        self.status.queued();
        self.dirty.insert(ObjectKey::of(&**event.object()));
    }

    fn touch(&mut self, event: &Event<EndpointSlice>) {
        self.metrics.endpoints();
        self.status.queued();
        // Objects that exist at the start say nothing about programming latency.
        if self.status.has_synced() && self.triggers.len() < MAX_TRIGGERS {
            self.triggers.extend(metrics::trigger(event.object()));
        }
        self.dirty.extend(service_of(event.object()));
        if let Event::Modified { old, .. } = event {
            self.dirty.extend(service_of(old));
        }
    }

    /// Follows the node's own labels.
    fn locate(&mut self) {
        let node = self.nodes.store().get(&ObjectKey::cluster(&self.node_name));
        self.status.node(node.as_deref());
        let topology = NodeTopology::of(&self.node_name, node.as_deref());
        if topology != self.topology {
            self.topology = topology;
            self.dirty.extend(self.services.store().list().iter().map(|s| ObjectKey::of(&**s)));
        }
    }

    async fn sync(&mut self) -> network::Result<()> {
        let changes = self.changes();
        let Some(mut backend) = self.backend.take() else { return Ok(()) };
        let whole = std::mem::take(&mut self.whole);
        let ranges = self.wanted_ranges();
        let moved = (ranges != self.service_ranges).then(|| ranges.clone());
        if changes.is_empty() && !whole && moved.is_none() {
            self.backend = Some(backend);
            self.triggers.clear();
            self.metrics.settled();
            self.status.synced();
            return Ok(());
        }
        let begun = Instant::now();
        let all: Vec<_> = self.applied.values().flatten().cloned().collect();
        let work = tokio::task::spawn_blocking(move || {
            let result = if whole {
                backend.reset(&all)
            } else {
                backend.apply(&changes).or_else(|error| {
                    tracing::warn!(%error, "a change was refused: writing all services anew");
                    backend.reset(&all)
                })
            };
            let set = |ranges: Vec<IpNet>| backend.set_service_ranges(&ranges);
            let result = result.and_then(|()| moved.map_or(Ok(()), set));
            (backend, result)
        });
        let (backend, result) =
            work.await.map_err(|error| network::Error::Invalid(error.to_string()))?;
        self.backend = Some(backend);
        let triggers = std::mem::take(&mut self.triggers);
        self.metrics.synced(begun, whole, result.is_ok(), &triggers);
        if result.is_ok() {
            self.service_ranges = ranges;
            self.metrics.settled();
            self.status.synced();
        }
        result
    }

    /// All ranges that cluster addresses come from.
    fn wanted_ranges(&self) -> Vec<IpNet> {
        let all = self.ranges.store().list();
        let specs = all.iter().filter_map(|range| range.spec.as_ref());
        let cidrs = specs.flat_map(|spec| spec.cidrs.iter().flatten());
        let mut ranges: Vec<IpNet> = cidrs.filter_map(|cidr| cidr.parse().ok()).collect();
        ranges.sort();
        ranges
    }

    /// Returns the changes of the dirty services and enters them into `applied`.
    fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let service = self.services.store().get(&key);
            let slices = self.slices.store().by_index(BY_SERVICE, &key.to_string());
            let wanted = service
                .as_deref()
                .map(|service| rules_of(service, &slices, &self.topology))
                .unwrap_or_default();
            let here = wanted.iter().map(|rules| rules.ready_here).max().unwrap_or(0);
            self.health.update(&key.namespace, &key.name, service.as_deref(), here);
            let old = self.applied.remove(&key).unwrap_or_default();
            let gone = old.iter().filter(|old| !wanted.iter().any(|rules| rules.id == old.id));
            changes.extend(gone.map(|old| Change { old: Some(Arc::clone(old)), new: None }));
            let wanted: Vec<_> = wanted.into_iter().map(Arc::new).collect();
            for new in &wanted {
                let old = old.iter().find(|old| old.id == new.id);
                if old != Some(new) {
                    changes.push(Change { old: old.cloned(), new: Some(Arc::clone(new)) });
                }
            }
            if !wanted.is_empty() {
                self.applied.insert(key, wanted);
            }
        }
        // A port that goes must free its address before another takes it.
        changes.sort_by_key(|change| change.new.is_some());
        changes
    }

    async fn remove(mut self) -> network::Result<()> {
        let Some(mut backend) = self.backend.take() else { return Ok(()) };
        let work = tokio::task::spawn_blocking(move || backend.remove());
        work.await.map_err(|error| network::Error::Invalid(error.to_string()))?
    }
}

fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let labels = slice.metadata.labels.as_ref()?;
    let name = labels.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some(ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), name))
}
