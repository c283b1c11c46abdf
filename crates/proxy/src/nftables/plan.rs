//! The chains, sets and map elements of one service port. Pure: the same rules give the same plan.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use network::nft::{
    AddressType, Data, Direction, Element, FieldType, NatTarget, Register, Rule, Verdict,
};

use super::table::{
    DEAD_IPS, DEAD_NODE_PORTS, MASQUERADE_MARK, NODE_PORTS, REJECT, SERVICE_IPS, octets,
};
use crate::model::{PortId, PortRules};

/// A set that belongs to one service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnSet {
    pub(super) ipv6: bool,
    /// Clients → endpoint for that long; without it position → endpoint.
    pub(super) timeout: Option<Duration>,
}

/// A chain and its rules.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) rules: Vec<Rule>,
}

/// Everything in the table that belongs to one service port.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) sets: BTreeMap<String, (OwnSet, Vec<Element>)>,
    /// A chain only jumps to chains before it.
    pub(super) chains: Vec<Chain>,
    /// Elements of the shared maps.
    pub(super) elements: BTreeMap<&'static str, Vec<Element>>,
}

/// Key and value types of a port's own set.
pub(super) fn map_spec(set: &OwnSet) -> (&'static [FieldType], &'static [FieldType]) {
    const V4: [FieldType; 2] = [FieldType::Ipv4, FieldType::Port];
    const V6: [FieldType; 2] = [FieldType::Ipv6, FieldType::Port];
    let key: &[FieldType] = match (set.timeout, set.ipv6) {
        (None, _) => &[FieldType::Mark],
        (Some(_), false) => &[FieldType::Ipv4],
        (Some(_), true) => &[FieldType::Ipv6],
    };
    (key, if set.ipv6 { &V6 } else { &V4 })
}

/// A name for an object of a port. The kernel takes 255 bytes; the hash keeps cut names apart.
fn name(prefix: &str, id: &PortId) -> String {
    let full = id.to_string();
    let hash = full
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut text = format!("{prefix}-{:08x}-{full}", hash as u32);
    text.truncate(200);
    text
}

/// The set of clients that stick to an endpoint.
pub(super) fn affinity_name(id: &PortId, local: bool) -> String {
    name(if local { "affinity-local" } else { "affinity" }, id)
}

/// An endpoint as a map value.
pub(super) fn target(endpoint: SocketAddr) -> Vec<u8> {
    [octets(endpoint.ip()), padded(endpoint.port()).to_vec()].concat()
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

impl Plan {
    pub(super) fn of(rules: &PortRules, cluster_cidr: IpNet) -> Self {
        let mut plan = Self::default();
        let id = &rules.id;
        let (cluster, local, external) =
            (name("service", id), name("local", id), name("external", id));
        let has_external = rules.node_port.is_some()
            || !rules.external_ips.is_empty()
            || !rules.load_balancer_ips.is_empty();
        if !rules.endpoints.is_empty() {
            let mut first = Vec::new();
            for ip in &rules.cluster_ips {
                // A client outside the pod range may not be able to take an answer from a pod.
                if cluster_cidr.network().is_ipv6() == id.ipv6 {
                    let rule = Rule::new()
                        .is_address(Direction::Destination, *ip)
                        .in_range(Direction::Source, cluster_cidr, false)
                        .add_mark(MASQUERADE_MARK);
                    first.push(rule);
                }
            }
            plan.balance(&cluster, rules, false, first);
        }
        if (rules.internal_local || rules.external_local && has_external)
            && !rules.local_endpoints.is_empty()
        {
            plan.balance(&local, rules, true, Vec::new());
        }
        if has_external && !rules.endpoints.is_empty() {
            plan.external(&external, &cluster, &local, rules, cluster_cidr);
        }
        plan.dispatch(rules, &cluster, &local, &external);
        plan
    }

    /// A chain that picks one endpoint at random, or the one the client had before.
    fn balance(&mut self, chain: &str, rules: &PortRules, local: bool, mut first: Vec<Rule>) {
        let endpoints = if local { &rules.local_endpoints } else { &rules.endpoints };
        let (id, ipv6) = (&rules.id, rules.id.ipv6);
        let set = name(if local { "endpoints-local" } else { "endpoints" }, id);
        let elements = endpoints.iter().enumerate().map(|(position, endpoint)| Element {
            key: (position as u32).to_ne_bytes().to_vec(),
            data: Data::Value(target(*endpoint)),
        });
        self.sets.insert(set.clone(), (OwnSet { ipv6, timeout: None }, elements.collect()));
        let (address, port) = (Register(0), Register(if ipv6 { 4 } else { 1 }));
        let nat = NatTarget { ipv6, address, port: Some(port) };
        let choose =
            Rule::new().random(endpoints.len() as u32, Register(8)).map(&set, Register(8), address);
        if rules.affinity.is_none() {
            first.push(choose.dnat(nat));
        } else {
            let clients = affinity_name(id, local);
            let client = Register(8);
            let known = Rule::new()
                .address(Direction::Source, ipv6, client)
                .map(&clients, client, address)
                .update_set(&clients, client, Some(address), rules.affinity)
                .dnat(nat);
            let remember = choose
                .address(Direction::Source, ipv6, client)
                .update_set(&clients, client, Some(address), rules.affinity)
                .dnat(nat);
            first.extend([known, remember]);
            self.sets.insert(clients, (OwnSet { ipv6, timeout: rules.affinity }, Vec::new()));
        }
        self.chains.push(Chain { name: chain.to_owned(), rules: first });
    }

    /// The chain of traffic to node ports, external IPs and load balancers.
    fn external(
        &mut self,
        chain: &str,
        cluster: &str,
        local: &str,
        rules: &PortRules,
        cluster_cidr: IpNet,
    ) {
        let goto = |chain: &str| Verdict::Goto(chain.to_owned());
        let mut list = Vec::new();
        if !rules.source_ranges.is_empty() {
            list.extend(firewall(rules));
        }
        if rules.external_local {
            // Pods and the node itself are inside: for them every endpoint will do.
            if cluster_cidr.network().is_ipv6() == rules.id.ipv6 {
                let inside = Rule::new().in_range(Direction::Source, cluster_cidr, true);
                list.push(inside.verdict(&goto(cluster)));
            }
            let own = || Rule::new().address_type(Direction::Source, AddressType::Local, true);
            list.push(own().add_mark(MASQUERADE_MARK));
            list.push(own().verdict(&goto(cluster)));
            if !rules.local_endpoints.is_empty() {
                list.push(Rule::new().verdict(&goto(local)));
            }
        } else {
            list.push(Rule::new().add_mark(MASQUERADE_MARK));
            list.push(Rule::new().verdict(&goto(cluster)));
        }
        self.chains.push(Chain { name: chain.to_owned(), rules: list });
    }

    /// Elements of the shared maps: to a chain, or to a refusal if there are no endpoints.
    fn dispatch(&mut self, rules: &PortRules, cluster: &str, local: &str, external: &str) {
        let protocol = [rules.id.protocol.number(), 0, 0, 0];
        let by_address =
            |ip: &IpAddr| [octets(*ip), protocol.to_vec(), padded(rules.port).to_vec()].concat();
        let goto = |chain: &str| Verdict::Goto(chain.to_owned());
        let none = rules.endpoints.is_empty() && rules.local_endpoints.is_empty();
        // With endpoints elsewhere only, another node will answer: silence, not refusal.
        let refusal = if none { goto(REJECT) } else { Verdict::Drop };

        let (internal, inside) = if rules.internal_local {
            (&rules.local_endpoints, local)
        } else {
            (&rules.endpoints, cluster)
        };
        for ip in &rules.cluster_ips {
            if internal.is_empty() {
                self.add(DEAD_IPS, by_address(ip), refusal.clone());
            } else {
                self.add(SERVICE_IPS, by_address(ip), goto(inside));
            }
        }
        let dead = if rules.external_local {
            rules.local_endpoints.is_empty()
        } else {
            rules.endpoints.is_empty()
        };
        let port_key = rules.node_port.map(|port| [protocol, padded(port)].concat());
        let externals = rules.external_ips.iter().chain(&rules.load_balancer_ips);
        let externals: Vec<_> = externals
            .map(by_address)
            .map(|key| (SERVICE_IPS, DEAD_IPS, key))
            .chain(port_key.map(|key| (NODE_PORTS, DEAD_NODE_PORTS, key)))
            .collect();
        for (live_map, dead_map, key) in externals {
            if dead {
                self.add(dead_map, key.clone(), refusal.clone());
            }
            if !rules.endpoints.is_empty() {
                self.add(live_map, key, goto(external));
            }
        }
    }

    fn add(&mut self, map: &'static str, key: Vec<u8>, verdict: Verdict) {
        let list = self.elements.entry(map).or_default();
        // An address may be named twice, as external IP and by the load balancer.
        if !list.iter().any(|element| element.key == key) {
            list.push(Element { key, data: Data::Verdict(verdict) });
        }
    }
}

/// Drops what comes to a load balancer address from outside its source ranges.
fn firewall(rules: &PortRules) -> Vec<Rule> {
    let mut list = Vec::new();
    for ip in &rules.load_balancer_ips {
        let mut rule = Rule::new().is_address(Direction::Destination, *ip);
        for range in &rules.source_ranges {
            rule = rule.in_range(Direction::Source, *range, false);
        }
        list.push(rule.verdict(&Verdict::Drop));
    }
    list
}
