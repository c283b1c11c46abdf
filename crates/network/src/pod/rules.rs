//! The pod network's nf_tables table: masquerading of what leaves the cluster, and host ports.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{HostPort, Transport};
use crate::Result;
use crate::nft::{
    AddressType, Batch, CLAIMED_MARK, CT_STATUS_DNAT, ChainType, Data, Direction, Element, Family,
    FieldType, Hook, MetaKey, NatTarget, NftSocket, PRIORITY_DSTNAT, PRIORITY_MANGLE,
    PRIORITY_SRCNAT, Register, Rule, SetKind, SetSpec, Verdict,
};

/// On packets to a host port whose answer would not come back through this node.
const HAIRPIN_MARK: u32 = 0x2000;

/// Host ports on every address: protocol . port → address . port.
const PORTS: &str = "host-ports";
/// Host ports on one address: address . protocol . port → address . port.
const ADDRESS_PORTS: &str = "host-address-ports";

/// Makes the table anew except for the host ports it holds. Packets to a port of `own` at an address
/// of the node are left alone, whatever host ports there are.
pub(super) fn install(table: &str, pods: IpNet, cluster: IpNet, own: &[u16]) -> Result<()> {
    if pods.network().is_ipv6() {
        return Ok(());
    }
    let mut batch = Batch::new(Family::Ip, table);
    batch.add_table();
    let target = [FieldType::Ipv4, FieldType::Port];
    for (name, key) in [
        (PORTS, &[FieldType::Protocol, FieldType::Port][..]),
        (ADDRESS_PORTS, &[FieldType::Ipv4, FieldType::Protocol, FieldType::Port]),
    ] {
        let kind = SetKind::Map(&target);
        batch.add_set(&SetSpec { name, key, kind, timeout: None, dynamic: false });
    }
    batch.add_chain("host-ports");
    batch.add_base_chain("prerouting", ChainType::Nat, Hook::Prerouting, PRIORITY_DSTNAT);
    batch.add_base_chain("output", ChainType::Nat, Hook::Output, PRIORITY_DSTNAT);
    batch.add_base_chain("postrouting", ChainType::Nat, Hook::Postrouting, PRIORITY_SRCNAT);
    for (chain, hook) in [("claim-prerouting", Hook::Prerouting), ("claim-output", Hook::Output)] {
        batch.add_base_chain(chain, ChainType::Filter, hook, PRIORITY_MANGLE);
    }
    for chain in
        ["host-ports", "prerouting", "output", "postrouting", "claim-prerouting", "claim-output"]
    {
        batch.flush_chain(chain);
    }
    let local = || Rule::new().address_type(Direction::Destination, AddressType::Local, true);
    for chain in ["claim-prerouting", "claim-output"] {
        let addresses = local().in_range(Direction::Destination, cluster, true);
        for rule in local().to_each_port(own).chain([addresses]) {
            batch.add_rule(chain, &rule.add_mark(CLAIMED_MARK));
        }
    }
    for rule in Rule::new().to_each_port(own) {
        batch.add_rule("host-ports", &rule.verdict(&Verdict::Return));
    }
    for chain in ["prerouting", "output"] {
        let jump = |rule: Rule| rule.verdict(&Verdict::Jump("host-ports".to_owned()));
        for rule in Rule::for_this_node(Some(cluster), jump) {
            batch.add_rule(chain, &rule);
        }
    }
    let loopback = IpNet::from(ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8));
    for source in [pods, loopback] {
        let rule = Rule::new().in_range(Direction::Source, source, true).add_mark(HAIRPIN_MARK);
        batch.add_rule("host-ports", &rule);
    }
    let target = NatTarget { ipv6: false, address: Register(0), port: Some(Register(1)) };
    let by_address = Rule::new()
        .address(Direction::Destination, false, Register(4))
        .meta(MetaKey::L4Proto, Register(5))
        .port(Direction::Destination, Register(6))
        .map(ADDRESS_PORTS, Register(4), Register(0))
        .dnat(target);
    let by_port = Rule::new()
        .meta(MetaKey::L4Proto, Register(4))
        .port(Direction::Destination, Register(5))
        .map(PORTS, Register(4), Register(0))
        .dnat(target);
    batch.add_rule("host-ports", &by_address);
    batch.add_rule("host-ports", &by_port);
    let hairpin = Rule::new().has_mark(HAIRPIN_MARK).ct_status(CT_STATUS_DNAT).masquerade();
    batch.add_rule("postrouting", &hairpin);
    let outward = Rule::new()
        .in_range(Direction::Source, pods, true)
        .in_range(Direction::Destination, cluster, false)
        .interface(MetaKey::OifName, table, false)
        .masquerade();
    batch.add_rule("postrouting", &outward);
    NftSocket::open()?.commit(batch)
}

/// Removes the table.
pub(super) fn remove(table: &str) -> Result<()> {
    let mut batch = Batch::new(Family::Ip, table);
    batch.delete_table();
    NftSocket::open()?.commit(batch)
}

/// Leads host ports to a pod.
pub(super) fn add_host_ports(table: &str, pod: IpAddr, ports: &[HostPort]) -> Result<()> {
    let IpAddr::V4(pod) = pod else { return Ok(()) };
    let mut batch = Batch::new(Family::Ip, table);
    for port in ports {
        let mut key = match port.host_ip {
            Some(IpAddr::V4(address)) => address.octets().to_vec(),
            Some(IpAddr::V6(_)) => continue,
            None => Vec::new(),
        };
        let map = if key.is_empty() { PORTS } else { ADDRESS_PORTS };
        key.extend([protocol(port.transport), 0, 0, 0]);
        key.extend(padded(port.host_port));
        let data = Data::Value([&pod.octets()[..], &padded(port.pod_port)].concat());
        batch.add_elements(map, &[Element { key, data }]);
    }
    NftSocket::open()?.commit(batch)
}

/// Removes every host port that leads to a pod.
pub(super) fn remove_host_ports(table: &str, pod: IpAddr) -> Result<()> {
    let IpAddr::V4(pod) = pod else { return Ok(()) };
    let mut socket = NftSocket::open()?;
    let mut batch = Batch::new(Family::Ip, table);
    for map in [PORTS, ADDRESS_PORTS] {
        let found = match socket.elements(Family::Ip, table, map) {
            // The table was removed, and the ports with it.
            Err(error) if error.is_not_found() => continue,
            result => result?,
        };
        let ours: Vec<_> = found
            .into_iter()
            .filter(|(_, value)| value.starts_with(&pod.octets()))
            .map(|(key, _)| Element { key, data: Data::None })
            .collect();
        batch.delete_elements(map, &ours);
    }
    socket.commit(batch)
}

fn protocol(transport: Transport) -> u8 {
    (match transport {
        Transport::Tcp => libc::IPPROTO_TCP,
        Transport::Udp => libc::IPPROTO_UDP,
        Transport::Sctp => libc::IPPROTO_SCTP,
    }) as u8
}

/// A port in a register: network order, padded.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}
