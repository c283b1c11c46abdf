//! An engine that translates nothing: it looks connections up in the rules as they are meant.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::testbed::{Answer, Client, NODE, OUTSIDE, PODS, Testbed, ip, pod};
use crate::backend::{Backend, Change};
use crate::model::{PortId, PortRules, Protocol};

/// The addresses at which a port is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Address(IpAddr),
    /// Those of the node in one family.
    Node {
        ipv6: bool,
    },
}

type Claim = (Place, u16, Protocol);

#[derive(Debug, Clone, Default)]
struct Engine {
    ports: HashMap<PortId, Arc<PortRules>>,
    /// Which port serves what is claimed.
    holders: HashMap<Claim, PortId>,
    service_ranges: Vec<IpNet>,
    /// Nothing was put into force since everything was taken away.
    removed: bool,
}

fn claims(rules: &PortRules) -> impl Iterator<Item = Claim> {
    let PortId { protocol, ipv6, .. } = rules.id;
    let ips = [&rules.cluster_ips, &rules.external_ips, &rules.load_balancer_ips];
    let by_address =
        ips.into_iter().flatten().map(move |ip| (Place::Address(*ip), rules.port, protocol));
    by_address.chain(rules.node_port.map(move |port| (Place::Node { ipv6 }, port, protocol)))
}

impl Engine {
    fn change(&mut self, change: &Change) -> network::Result<()> {
        let refused = |why: &str| Err(network::Error::Invalid(why.to_owned()));
        let Some(id) = change.id() else { return Ok(()) };
        if self.ports.get(id) != change.old.as_ref() {
            return refused("not in force");
        }
        self.ports.remove(id);
        if let Some(rules) = &change.new {
            if rules.endpoints.iter().any(|endpoint| endpoint.is_ipv6() != id.ipv6) {
                return refused("an endpoint of another family");
            }
            self.ports.insert(id.clone(), Arc::clone(rules));
        }
        let kept: Vec<Claim> = change.new.iter().flat_map(|rules| claims(rules)).collect();
        self.holders.retain(|claim, holder| holder != id || kept.contains(claim));
        for claim in kept {
            self.holders.entry(claim).or_insert_with(|| id.clone());
        }
        Ok(())
    }
}

impl Backend for Engine {
    fn apply(&mut self, changes: &[Change]) -> network::Result<()> {
        let mut next = self.clone();
        changes.iter().try_for_each(|change| next.change(change))?;
        *self = Self { removed: false, ..next };
        Ok(())
    }

    fn reset(&mut self, all: &[Arc<PortRules>]) -> network::Result<()> {
        self.remove()?;
        let new = |rules: &Arc<PortRules>| Change { old: None, new: Some(Arc::clone(rules)) };
        self.apply(&all.iter().map(new).collect::<Vec<_>>())
    }

    fn set_service_ranges(&mut self, ranges: &[IpNet]) -> network::Result<()> {
        self.service_ranges = ranges.to_vec();
        Ok(())
    }

    fn remove(&mut self) -> network::Result<()> {
        self.ports.clear();
        self.holders.clear();
        self.removed = true;
        Ok(())
    }
}

/// The engine with the connections that were made through it.
#[derive(Debug, Default)]
pub(super) struct InMemory {
    engine: Engine,
    asked: Cell<usize>,
    /// The endpoint of each client that sticks to one.
    stuck: RefCell<HashMap<(PortId, Client), SocketAddr>>,
}

impl InMemory {
    fn choose(&self, rules: &PortRules, client: Client, endpoints: &[SocketAddr]) -> SocketAddr {
        self.asked.set(self.asked.get() + 1);
        let any = endpoints[self.asked.get() % endpoints.len()];
        if rules.affinity.is_none() {
            return any;
        }
        let mut stuck = self.stuck.borrow_mut();
        let chosen = stuck.entry((rules.id.clone(), client)).or_insert(any);
        if !endpoints.contains(chosen) {
            *chosen = any;
        }
        *chosen
    }

    /// The outcome of a connection that `rules` serve.
    fn serve(&self, rules: &PortRules, client: Client, to: IpAddr) -> Answer {
        let external = !rules.cluster_ips.contains(&to);
        let source = ip(OUTSIDE[usize::from(to.is_ipv6())]);
        let admitted = rules.source_ranges.is_empty()
            || rules.source_ranges.iter().any(|range| range.contains(&source));
        if rules.load_balancer_ips.contains(&to) && client == Client::Outside && !admitted {
            return Answer::Dropped;
        }
        let (local, keeps_source) = if external {
            let outside = client == Client::Outside;
            (rules.external_local && outside, rules.external_local && client != Client::Node)
        } else {
            (rules.internal_local, client != Client::Outside || rules.internal_local)
        };
        let endpoints = if local { &rules.local_endpoints } else { &rules.endpoints };
        if endpoints.is_empty() {
            // Another node may have endpoints and answer.
            let nowhere = rules.endpoints.is_empty() && rules.local_endpoints.is_empty();
            return if nowhere { Answer::Refused } else { Answer::Dropped };
        }
        let chosen = self.choose(rules, client, endpoints);
        let index = (0..PODS).find(|index| pod(*index, to.is_ipv6()) == chosen.ip());
        let index = index.expect("endpoints are pods");
        let keeps_source = keeps_source && client != Client::Pod(index);
        Answer::Pod(index, if keeps_source { client } else { Client::Node })
    }
}

impl Testbed for InMemory {
    fn backend(&mut self) -> &mut dyn Backend {
        &mut self.engine
    }

    fn ask(&self, client: Client, protocol: Protocol, to: SocketAddr) -> Answer {
        let engine = &self.engine;
        let at_node = NODE.iter().any(|node| ip(node) == to.ip());
        let by_address = engine.holders.get(&(Place::Address(to.ip()), to.port(), protocol));
        let by_port = || {
            engine
                .holders
                .get(&(Place::Node { ipv6: to.is_ipv6() }, to.port(), protocol))
                .filter(|_| at_node)
        };
        if let Some(holder) = by_address.or_else(by_port) {
            return self.serve(&engine.ports[holder], client, to.ip());
        }
        let of_service = engine.ports.values().any(|rules| rules.cluster_ips.contains(&to.ip()));
        if of_service || at_node {
            return Answer::Refused;
        }
        let unallocated = engine.service_ranges.iter().any(|range| range.contains(&to.ip()));
        if unallocated && !engine.removed { Answer::Dropped } else { Answer::Passed }
    }

    fn disturb(&mut self) {
        self.engine.ports.clear();
        self.engine.holders.clear();
    }
}
