//! Services by nf_tables, in one table per cluster: a packet finds its service by one map lookup,
//! however many there are.

mod counted;
mod plan;
mod table;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use network::nft::{Batch, Data, Element, Family, Monitor, NftSocket, SetKind, SetSpec};
use network::{conntrack, netns};

use crate::backend::{Backend, Change};
use crate::model::{PortId, PortRules, Protocol};
use counted::Counted;
use plan::{Plan, map_spec};

/// Larger batches are split, so that the kernel can take them in one message.
const MAX_BATCH: usize = 16 << 20;

/// Rules for the cluster's own ports, which are no service's.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Range of the cluster's nodes and pods.
    pub(crate) cluster_cidr: IpNet,
    /// Ports that the processes of nodes serve.
    pub(crate) own_ports: Vec<u16>,
    /// Where the API server is reached.
    pub(crate) api_server: Option<SocketAddr>,
}

/// The nf_tables backend.
pub(crate) struct Nftables {
    table: String,
    netns: Option<PathBuf>,
    kept: Kept,
    /// Ranges of cluster addresses.
    service_ranges: Vec<IpNet>,
    socket: NftSocket,
    /// Endpoint addresses, by which a pod that reaches itself is recognised.
    endpoints: Counted,
    /// Cluster addresses, whose other ports refuse.
    cluster_ips: Counted,
    /// Which port holds a key of a shared map: two services may claim the same external address,
    /// and the first keeps it.
    holders: HashMap<(bool, &'static str, Vec<u8>), PortId>,
    /// Families whose table exists.
    families: HashSet<bool>,
}

impl Nftables {
    /// Opens a socket in the node's network namespace; nothing is changed yet.
    pub(crate) fn open(table: String, netns: Option<PathBuf>, kept: Kept) -> network::Result<Self> {
        let socket = netns::run_in(netns.as_deref(), NftSocket::open)?;
        Ok(Self {
            table,
            netns,
            kept,
            service_ranges: Vec::new(),
            socket,
            endpoints: Counted::new(table::HAIRPIN, table::hairpin_element),
            cluster_ips: Counted::new(table::CLUSTER_IPS, table::address_element),
            holders: HashMap::new(),
            families: HashSet::new(),
        })
    }

    /// Watches for others who disturb the table. Needs a tokio runtime.
    pub(crate) fn monitor(&self) -> network::Result<Monitor> {
        let (own, handle) = (self.socket.port()?, tokio::runtime::Handle::current());
        netns::run_in(self.netns.as_deref(), || {
            let _inside = handle.enter();
            Monitor::open(&self.table, own)
        })
    }

    fn plan(&self, rules: &PortRules) -> Plan {
        Plan::of(rules, self.kept.cluster_cidr)
    }

    /// Makes the table of a family on first use.
    fn ensure_table(&mut self, ipv6: bool) -> network::Result<()> {
        if self.families.insert(ipv6) {
            let mut batch = self.batch(ipv6);
            batch.delete_table();
            table::create(&mut batch, ipv6, &self.kept);
            self.write_service_ranges(&mut batch, ipv6);
            self.socket.commit(batch)?;
        }
        Ok(())
    }

    fn write_service_ranges(&self, batch: &mut Batch, ipv6: bool) {
        let ranges = self.service_ranges.iter().copied();
        table::set_service_ranges(batch, ranges.filter(|r| r.network().is_ipv6() == ipv6));
    }

    fn batch(&self, ipv6: bool) -> Batch {
        Batch::new(if ipv6 { Family::Ip6 } else { Family::Ip }, &self.table)
    }

    fn write(&mut self, batch: &mut Batch, change: &Change) {
        let old = change.old.as_deref().map(|rules| self.plan(rules)).unwrap_or_default();
        let new = change.new.as_deref().map(|rules| self.plan(rules)).unwrap_or_default();

        for (name, (kind, elements)) in &new.sets {
            batch.add_set(&kind.spec(name));
            if old.sets.get(name).is_some_and(|(_, before)| before != elements) {
                batch.flush_set(name);
            }
            if old.sets.get(name).is_none_or(|(_, before)| before != elements) {
                batch.add_elements(name, elements);
            }
        }
        for name in new.chains.iter().map(|chain| &chain.name) {
            batch.add_chain(name);
        }
        for chain in &new.chains {
            batch.flush_chain(&chain.name);
            chain.rules.iter().for_each(|rule| batch.add_rule(&chain.name, rule));
        }
        self.write_elements(batch, change, &old, &new);
        let stale: Vec<_> = old
            .chains
            .iter()
            .map(|chain| &chain.name)
            .filter(|name| !new.chains.iter().any(|chain| chain.name == **name))
            .collect();
        stale.iter().for_each(|chain| batch.flush_chain(chain));
        stale.iter().for_each(|chain| batch.delete_chain(chain));
        for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
            batch.delete_set(name);
        }
        self.count_addresses(batch, change);
    }

    /// Changes the port's elements of the shared maps.
    fn write_elements(&mut self, batch: &mut Batch, change: &Change, old: &Plan, new: &Plan) {
        let Some(id) = change.new.as_ref().or(change.old.as_ref()).map(|rules| &rules.id) else {
            return;
        };
        let lacks = |plan: &Plan, map: &str, element: &Element| {
            plan.elements.get(map).is_none_or(|elements| !elements.contains(element))
        };
        for (map, elements) in &old.elements {
            let mut gone = Vec::new();
            for element in elements.iter().filter(|element| lacks(new, map, element)) {
                let key = (id.ipv6, *map, element.key.clone());
                if self.holders.get(&key) == Some(id) {
                    self.holders.remove(&key);
                    gone.push(element.clone());
                }
            }
            batch.delete_elements(map, &gone);
        }
        for (map, elements) in &new.elements {
            let mut missing = Vec::new();
            for element in elements.iter().filter(|element| lacks(old, map, element)) {
                let key = (id.ipv6, *map, element.key.clone());
                match self.holders.get(&key) {
                    None => {
                        self.holders.insert(key, id.clone());
                        missing.push(element.clone());
                    }
                    Some(holder) => tracing::warn!(%id, %holder, "address claimed twice"),
                }
            }
            batch.add_elements(map, &missing);
        }
    }

    /// Keeps the sets of addresses that service ports share.
    fn count_addresses(&mut self, batch: &mut Batch, change: &Change) {
        type Addresses = fn(&PortRules) -> HashSet<IpAddr>;
        let addresses = |rules: &Option<Arc<PortRules>>, of: Addresses| {
            rules.as_deref().map(of).unwrap_or_default()
        };
        let endpoints: Addresses = |rules| {
            rules.endpoints.iter().chain(&rules.local_endpoints).map(SocketAddr::ip).collect()
        };
        let cluster_ips: Addresses = |rules| rules.cluster_ips.iter().copied().collect();
        for (set, of) in [(&mut self.endpoints, endpoints), (&mut self.cluster_ips, cluster_ips)] {
            set.change(batch, &addresses(&change.old, of), &addresses(&change.new, of));
        }
    }

    fn commit(&mut self, changes: &[Change]) -> network::Result<()> {
        for ipv6 in [false, true] {
            let mine = |change: &&Change| {
                change.old.as_ref().or(change.new.as_ref()).is_some_and(|r| r.id.ipv6 == ipv6)
            };
            let mut batch = self.batch(ipv6);
            for change in changes.iter().filter(mine) {
                self.ensure_table(ipv6)?;
                self.write(&mut batch, change);
                if batch.size() > MAX_BATCH {
                    let full = std::mem::replace(&mut batch, self.batch(ipv6));
                    self.socket.commit(full)?;
                }
            }
            self.socket.commit(batch)?;
        }
        changes.iter().try_for_each(|change| self.release_clients(change))?;
        self.forget_flows(changes)
    }

    /// Clients that stick to an endpoint which has gone choose anew.
    fn release_clients(&mut self, change: &Change) -> network::Result<()> {
        let (Some(old), Some(new)) = (&change.old, &change.new) else { return Ok(()) };
        if new.affinity.is_none() || old.affinity.is_none() {
            return Ok(());
        }
        for (set, before, after) in [
            (plan::affinity_name(&new.id, false), &old.endpoints, &new.endpoints),
            (plan::affinity_name(&new.id, true), &old.local_endpoints, &new.local_endpoints),
        ] {
            let gone: HashSet<Vec<u8>> = before
                .iter()
                .filter(|endpoint| !after.contains(endpoint))
                .map(|endpoint| plan::target(*endpoint))
                .collect();
            if gone.is_empty() || after.is_empty() {
                continue;
            }
            let family = if new.id.ipv6 { Family::Ip6 } else { Family::Ip };
            let stuck: Vec<_> = self
                .socket
                .elements(family, &self.table, &set)?
                .into_iter()
                .filter(|(_, target)| gone.contains(target))
                .map(|(key, _)| Element { key, data: Data::None })
                .collect();
            let mut batch = self.batch(new.id.ipv6);
            batch.delete_elements(&set, &stuck);
            match self.socket.commit(batch) {
                // Some expired meanwhile; those that did not go with their next expiry.
                Err(error) if error.is_not_found() => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// A UDP flow goes on for ever to where its first packet went: forget those to endpoints that
    /// have gone, and those that were let through before the service had an endpoint.
    fn forget_flows(&self, changes: &[Change]) -> network::Result<()> {
        for ipv6 in [false, true] {
            let mut gone: HashSet<SocketAddr> = HashSet::new();
            let mut revived: HashSet<SocketAddr> = HashSet::new();
            for change in changes {
                let (old, new) = (change.old.as_deref(), change.new.as_deref());
                let Some(any) = old.or(new) else { continue };
                if any.id.protocol != Protocol::Udp || any.id.ipv6 != ipv6 {
                    continue;
                }
                // One that terminates may serve on for the traffic that must stay here alone.
                let (before, after) = (reached(old), reached(new));
                let left = |endpoint: &&SocketAddr| !after.iter().any(|l| l.contains(endpoint));
                gone.extend(before.into_iter().flatten().filter(left));
                let found = before.iter().zip(&after).any(|(b, a)| b.is_empty() && !a.is_empty());
                if let (true, Some(new)) = (found, new) {
                    let ips = [&new.cluster_ips, &new.external_ips, &new.load_balancer_ips];
                    let ips = ips.into_iter().flatten();
                    revived.extend(ips.map(|ip| SocketAddr::new(*ip, new.port)));
                }
            }
            if gone.is_empty() && revived.is_empty() {
                continue;
            }
            netns::run_in(self.netns.as_deref(), || {
                conntrack::forget_udp(ipv6, |flow| {
                    let responder = SocketAddr::new(flow.responder, flow.responder_port);
                    let destination = SocketAddr::new(flow.destination, flow.destination_port);
                    (gone.contains(&responder) && responder != destination)
                        || revived.contains(&destination) && responder == destination
                })
            })?;
        }
        Ok(())
    }
}

/// The endpoints of a port: those of traffic that may go anywhere, and of what must stay here.
fn reached(rules: Option<&PortRules>) -> [&[SocketAddr]; 2] {
    rules.map_or([&[], &[]], |rules| [&rules.endpoints, &rules.local_endpoints])
}

impl Backend for Nftables {
    fn apply(&mut self, changes: &[Change]) -> network::Result<()> {
        self.commit(changes)
    }

    fn reset(&mut self, all: &[Arc<PortRules>]) -> network::Result<()> {
        self.endpoints.clear();
        self.cluster_ips.clear();
        self.holders.clear();
        self.families.clear();
        // The table of the common family is there even without services: its absence is a fault.
        self.ensure_table(false)?;
        let changes: Vec<_> =
            all.iter().map(|rules| Change { old: None, new: Some(Arc::clone(rules)) }).collect();
        self.commit(&changes)
    }

    fn set_service_ranges(&mut self, ranges: &[IpNet]) -> network::Result<()> {
        self.service_ranges = ranges.to_vec();
        for ipv6 in self.families.clone() {
            let mut batch = self.batch(ipv6);
            self.write_service_ranges(&mut batch, ipv6);
            self.socket.commit(batch)?;
        }
        Ok(())
    }

    fn remove(&mut self) -> network::Result<()> {
        self.families.clear();
        self.endpoints.clear();
        self.cluster_ips.clear();
        self.holders.clear();
        for ipv6 in [false, true] {
            let mut batch = self.batch(ipv6);
            batch.delete_table();
            self.socket.commit(batch)?;
        }
        Ok(())
    }
}

impl plan::OwnSet {
    fn spec<'a>(&self, name: &'a str) -> SetSpec<'a> {
        let (key, value) = map_spec(self);
        SetSpec {
            name,
            key,
            kind: SetKind::Map(value),
            timeout: self.timeout,
            dynamic: self.timeout.is_some(),
        }
    }
}

#[cfg(test)]
mod tests;
