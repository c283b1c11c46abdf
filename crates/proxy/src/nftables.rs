//! Services by nf_tables, in one table per cluster: a packet finds its service by one map lookup,
//! however many there are.

mod counted;
mod flows;
mod plan;
mod table;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use network::netns;
use network::nft::{Batch, Element, Family, Monitor, NftSocket, SetKind, SetSpec};

use crate::backend::{Backend, Change};
use crate::model::{PortId, PortRules};
use counted::Counted;
use plan::{Plan, map_spec};

/// Most bytes of a transaction, which the kernel takes in one message.
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
    in_force: HashMap<PortId, Arc<PortRules>>,
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
            in_force: HashMap::new(),
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

    /// Turns to a family's table, and makes it on first use.
    fn enter_table(&mut self, batch: &mut Batch, ipv6: bool) {
        batch.set_family(family(ipv6));
        if self.families.insert(ipv6) {
            batch.delete_table();
            table::create(batch, ipv6, &self.kept);
            self.write_service_ranges(batch, ipv6);
        }
    }

    fn write_service_ranges(&self, batch: &mut Batch, ipv6: bool) {
        let ranges = self.service_ranges.iter().copied();
        table::set_service_ranges(batch, ranges.filter(|r| r.network().is_ipv6() == ipv6));
    }

    fn batch(&self) -> Batch {
        Batch::new(Family::Ip, &self.table)
    }

    /// Removes the tables that are there; a kernel may know only one of the families.
    fn delete_tables(&mut self, batch: &mut Batch) -> network::Result<()> {
        for family in [Family::Ip, Family::Ip6] {
            if self.socket.has_table(family, &self.table)? {
                batch.set_family(family);
                batch.delete_table();
            }
        }
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        self.in_force.clear();
        self.families.clear();
        self.endpoints.clear();
        self.cluster_ips.clear();
        self.holders.clear();
    }

    fn write_all(&mut self, all: &[Arc<PortRules>]) -> network::Result<()> {
        let mut batch = self.batch();
        self.delete_tables(&mut batch)?;
        // The table of the common family is there even without services: its absence is a fault.
        self.enter_table(&mut batch, false);
        for rules in all {
            self.write(&mut batch, &Change { old: None, new: Some(Arc::clone(rules)) });
            if batch.size() > MAX_BATCH {
                let full = std::mem::replace(&mut batch, self.batch());
                self.socket.commit(full)?;
            }
        }
        self.socket.commit(batch)
    }

    /// Refuses changes of something else than what is in force.
    fn check(&self, changes: &[Change]) -> network::Result<()> {
        let mut changed: HashMap<&PortId, Option<&Arc<PortRules>>> = HashMap::new();
        for change in changes {
            let Some(id) = change.id() else { continue };
            let present = changed.get(id).copied().unwrap_or_else(|| self.in_force.get(id));
            if present != change.old.as_ref() {
                return Err(network::Error::Invalid(format!("{id} is not in force like that")));
            }
            changed.insert(id, change.new.as_ref());
        }
        Ok(())
    }

    /// Writes a change, and notes it as done.
    fn write(&mut self, batch: &mut Batch, change: &Change) {
        let Some(id) = change.id() else { return };
        self.enter_table(batch, id.ipv6);
        match &change.new {
            Some(rules) => self.in_force.insert(id.clone(), Arc::clone(rules)),
            None => self.in_force.remove(id),
        };
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
        self.write_elements(batch, id, &old, &new);
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
    fn write_elements(&mut self, batch: &mut Batch, id: &PortId, old: &Plan, new: &Plan) {
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

    /// Commits one transaction for all changes, or takes the notes of them back.
    fn commit(&mut self, changes: &[Change]) -> network::Result<()> {
        let families = self.families.clone();
        let mut batch = self.batch();
        changes.iter().for_each(|change| self.write(&mut batch, change));
        let result = if batch.size() > MAX_BATCH {
            Err(network::Error::Invalid(format!("{} changes are too many", changes.len())))
        } else {
            self.socket.commit(batch)
        };
        if result.is_err() {
            let mut unsent = self.batch();
            for change in changes.iter().rev() {
                self.write(&mut unsent, &change.reversed());
            }
            self.families = families;
        }
        result
    }
}

fn family(ipv6: bool) -> Family {
    if ipv6 { Family::Ip6 } else { Family::Ip }
}

impl Backend for Nftables {
    fn apply(&mut self, changes: &[Change]) -> network::Result<()> {
        self.check(changes)?;
        self.commit(changes)?;
        // The rules are in force: an error now is one of connections that began before.
        if let Err(error) = changes.iter().try_for_each(|change| self.release_clients(change)) {
            tracing::warn!(%error, "clients stick to endpoints that went: writing services anew");
            let all: Vec<_> = self.in_force.values().cloned().collect();
            self.reset(&all)?;
        }
        if let Err(error) = self.forget_flows(changes) {
            tracing::warn!(%error, "UDP flows to endpoints that went are not forgotten");
        }
        Ok(())
    }

    fn reset(&mut self, all: &[Arc<PortRules>]) -> network::Result<()> {
        self.write_all(all).inspect_err(|_| self.forget())
    }

    fn set_service_ranges(&mut self, ranges: &[IpNet]) -> network::Result<()> {
        let before = std::mem::replace(&mut self.service_ranges, ranges.to_vec());
        let mut batch = self.batch();
        for ipv6 in &self.families {
            batch.set_family(family(*ipv6));
            self.write_service_ranges(&mut batch, *ipv6);
        }
        let result = self.socket.commit(batch);
        if result.is_err() {
            self.service_ranges = before;
        }
        result
    }

    fn remove(&mut self) -> network::Result<()> {
        let mut batch = self.batch();
        self.delete_tables(&mut batch)?;
        self.socket.commit(batch)
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
