//! The fixed part of the table: base chains, dispatch maps, masquerading, refusal.

use std::net::IpAddr;

use ipnet::IpNet;
use network::nft::{
    AddressType, Batch, CLAIMED_MARK, CT_STATUS_DNAT, ChainType, Data, Direction, Element,
    FieldType, Hook, MetaKey, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT, Register, Rule,
    SetKind, SetSpec, Verdict,
};

use super::Kept;

/// Address . protocol . port → chain of the service port.
pub(super) const SERVICE_IPS: &str = "service-ips";
/// Protocol . port → chain of the service port.
pub(super) const NODE_PORTS: &str = "service-nodeports";
/// Address . protocol . port → refusal.
pub(super) const DEAD_IPS: &str = "no-endpoint-services";
/// Protocol . port → refusal.
pub(super) const DEAD_NODE_PORTS: &str = "no-endpoint-nodeports";
/// Endpoint . endpoint: a pod that reaches itself.
pub(super) const HAIRPIN: &str = "hairpin";
/// Every cluster address, however many ports it serves.
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
/// Chain of what goes to a cluster address that no service has.
const UNALLOCATED: &str = "unallocated-ips";
/// Chain that refuses.
pub(super) const REJECT: &str = "reject";
/// On packets whose source must become the node's, so that the answer comes back.
pub(super) const MASQUERADE_MARK: u32 = 0x4000;

const SERVICES: &str = "services";
const CHECK: &str = "endpoints-check";

/// Makes everything that does not depend on a service.
pub(super) fn create(batch: &mut Batch, ipv6: bool, kept: &Kept) {
    let address = if ipv6 { FieldType::Ipv6 } else { FieldType::Ipv4 };
    let by_address = [address, FieldType::Protocol, FieldType::Port];
    let by_port = [FieldType::Protocol, FieldType::Port];
    batch.add_table();
    for (name, key, kind) in [
        (SERVICE_IPS, &by_address[..], SetKind::VerdictMap),
        (NODE_PORTS, &by_port, SetKind::VerdictMap),
        (DEAD_IPS, &by_address, SetKind::VerdictMap),
        (DEAD_NODE_PORTS, &by_port, SetKind::VerdictMap),
        (HAIRPIN, &[address, address], SetKind::Set),
        (CLUSTER_IPS, &[address], SetKind::Set),
    ] {
        batch.add_set(&SetSpec { name, key, kind, timeout: None, dynamic: false });
    }
    for chain in [SERVICES, CHECK, REJECT, UNALLOCATED] {
        batch.add_chain(chain);
    }
    for (chain, hook) in [("nat-prerouting", Hook::Prerouting), ("nat-output", Hook::Output)] {
        batch.add_base_chain(chain, ChainType::Nat, hook, PRIORITY_DSTNAT);
        batch.add_rule(chain, &Rule::new().verdict(&Verdict::Jump(SERVICES.to_owned())));
    }
    for (chain, hook) in [
        ("filter-input", Hook::Input),
        ("filter-forward", Hook::Forward),
        ("filter-output", Hook::Output),
    ] {
        batch.add_base_chain(chain, ChainType::Filter, hook, PRIORITY_FILTER);
        batch.add_rule(chain, &Rule::new().verdict(&Verdict::Jump(CHECK.to_owned())));
    }
    for (chain, maps) in
        [(SERVICES, (SERVICE_IPS, NODE_PORTS)), (CHECK, (DEAD_IPS, DEAD_NODE_PORTS))]
    {
        for rule in exempt(ipv6, kept) {
            batch.add_rule(chain, &rule.verdict(&Verdict::Return));
        }
        dispatch(batch, chain, maps, ipv6, own_range(ipv6, kept));
    }
    // A packet to a port that the address serves has another destination by now.
    let other_port = Rule::new()
        .address(Direction::Destination, ipv6, Register(0))
        .in_set(CLUSTER_IPS, Register(0))
        .verdict(&Verdict::Goto(REJECT.to_owned()));
    batch.add_rule(CHECK, &other_port);
    batch.add_rule(CHECK, &Rule::new().verdict(&Verdict::Jump(UNALLOCATED.to_owned())));
    batch.add_rule(
        REJECT,
        &Rule::new().meta(MetaKey::L4Proto, Register(0)).equals(Register(0), &[6]).reset(),
    );
    batch.add_rule(REJECT, &Rule::new().reject(ipv6));

    batch.add_base_chain("nat-postrouting", ChainType::Nat, Hook::Postrouting, PRIORITY_SRCNAT);
    let marked = Rule::new().has_mark(MASQUERADE_MARK).clear_mark(MASQUERADE_MARK).masquerade();
    batch.add_rule("nat-postrouting", &marked);
    let width = if ipv6 { 4 } else { 1 };
    let hairpin = Rule::new()
        .ct_status(CT_STATUS_DNAT)
        .address(Direction::Source, ipv6, Register(0))
        .address(Direction::Destination, ipv6, Register(width))
        .in_set(HAIRPIN, Register(0))
        .masquerade();
    batch.add_rule("nat-postrouting", &hairpin);
}

/// Drops what is still addressed to these ranges: it would leave by the default route.
pub(super) fn set_service_ranges(batch: &mut Batch, ranges: impl Iterator<Item = IpNet>) {
    batch.flush_chain(UNALLOCATED);
    for range in ranges {
        let rule = Rule::new().in_range(Direction::Destination, range, true);
        batch.add_rule(UNALLOCATED, &rule.verdict(&Verdict::Drop));
    }
}

/// The cluster's range, if it is of this family.
fn own_range(ipv6: bool, kept: &Kept) -> Option<IpNet> {
    Some(kept.cluster_cidr).filter(|range| range.network().is_ipv6() == ipv6)
}

/// Rules of which one holds for what no service may take, by an external address of a node or by a
/// node port: the ports of the cluster's own processes, and what another cluster has claimed.
fn exempt(ipv6: bool, kept: &Kept) -> Vec<Rule> {
    let local = || Rule::new().address_type(Direction::Destination, AddressType::Local, true);
    let own = own_range(ipv6, kept);
    let mut rules: Vec<Rule> = local().to_each_port(&kept.own_ports).collect();
    if let Some(range) = own {
        let nodes = Rule::new().in_range(Direction::Destination, range, true);
        rules.extend(nodes.to_each_port(&kept.own_ports));
    }
    if let Some(server) = kept.api_server.filter(|server| server.is_ipv6() == ipv6) {
        let there = Rule::new().is_address(Direction::Destination, server.ip());
        rules.extend(there.to_each_port(&[server.port()]));
    }
    let claimed = local().has_mark(CLAIMED_MARK);
    rules.push(match own {
        Some(range) => claimed.in_range(Direction::Destination, range, false),
        None => claimed,
    });
    rules
}

/// Leads packets to the chains of services by address, and by port where they are for this node.
fn dispatch(
    batch: &mut Batch,
    chain: &str,
    (ips, ports): (&str, &str),
    ipv6: bool,
    own: Option<IpNet>,
) {
    let width = if ipv6 { 4 } else { 1 };
    let by_address = Rule::new()
        .address(Direction::Destination, ipv6, Register(0))
        .meta(MetaKey::L4Proto, Register(width))
        .port(Direction::Destination, Register(width + 1))
        .verdict_map(ips, Register(0));
    batch.add_rule(chain, &by_address);
    let by_port = |rule: Rule| {
        rule.meta(MetaKey::L4Proto, Register(0))
            .port(Direction::Destination, Register(1))
            .verdict_map(ports, Register(0))
    };
    for rule in Rule::for_this_node(own, by_port) {
        batch.add_rule(chain, &rule);
    }
}

pub(super) fn hairpin_element(address: IpAddr) -> Element {
    let octets = octets(address);
    Element { key: [octets.clone(), octets].concat(), data: Data::None }
}

pub(super) fn address_element(address: IpAddr) -> Element {
    Element { key: octets(address), data: Data::None }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
