//! The rtnetlink socket.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Link, Peer, Route};
use crate::Result;
use crate::netlink::{Attributes, Message, Socket};

const REQUEST: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const CREATE: u16 = REQUEST | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const REPLACE: u16 = REQUEST | (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;

const VETH_INFO_PEER: u16 = 1;

/// Changes links, addresses and routes of the namespace it was opened in.
#[derive(Debug)]
pub struct LinkSocket(Socket);

impl LinkSocket {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Errors
    /// What socket(2) says.
    pub fn open() -> Result<Self> {
        Socket::open(libc::NETLINK_ROUTE).map(Self)
    }

    /// All links.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let message = Message::new(libc::RTM_GETLINK, DUMP).raw(&ifinfo(0, 0, 0));
        let replies = self.0.dump("list links", message)?;
        Ok(replies.iter().filter_map(|reply| parse_link(&reply.payload)).collect())
    }

    /// The link of this name.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Makes a bridge with this hardware address; one that exists stays as it is.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn add_bridge(&mut self, name: &str, address: [u8; 6]) -> Result<()> {
        let message = Message::new(libc::RTM_NEWLINK, CREATE)
            .raw(&ifinfo(0, libc::IFF_UP as u32, libc::IFF_UP as u32))
            .str(libc::IFLA_IFNAME, name)
            .attr(libc::IFLA_ADDRESS, &address)
            .nest(libc::IFLA_LINKINFO, |m| m.str(libc::IFLA_INFO_KIND, "bridge"));
        match self.0.request(&format!("create bridge {name}"), message) {
            Err(error) if error.is_exists() => Ok(()),
            result => result,
        }
    }

    /// Makes a veth pair: `name` here, up, a port of bridge `master` where given; `peer`
    /// in its namespace, not yet up.
    ///
    /// # Errors
    /// Where the kernel refuses, as for a name that exists.
    pub fn add_veth(
        &mut self,
        name: &str,
        master: Option<u32>,
        peer: Peer<'_>,
        mtu: u32,
    ) -> Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, CREATE)
            .raw(&ifinfo(0, libc::IFF_UP as u32, libc::IFF_UP as u32))
            .str(libc::IFLA_IFNAME, name)
            .u32(libc::IFLA_MTU, mtu);
        if let Some(master) = master {
            message = message.u32(libc::IFLA_MASTER, master);
        }
        let message = message.nest(libc::IFLA_LINKINFO, |m| {
            m.str(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, |m| {
                m.nest(VETH_INFO_PEER, |m| {
                    m.raw(&ifinfo(0, 0, 0))
                        .str(libc::IFLA_IFNAME, peer.name)
                        .attr(libc::IFLA_ADDRESS, &peer.address)
                        .u32(libc::IFLA_MTU, mtu)
                        .u32(libc::IFLA_NET_NS_FD, peer.netns as u32)
                })
            })
        });
        self.0.request(&format!("create veth {name}"), message)
    }

    /// Lets a bridge port send a packet back where it came from, as one whose destination a Service
    /// has changed: where bridges call nf_tables (`bridge-nf-call-iptables`) they forward it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn set_hairpin(&mut self, index: u32) -> Result<()> {
        const IFLA_BRPORT_MODE: u16 = 4;
        let message = Message::new(libc::RTM_SETLINK, REQUEST)
            .raw(&[libc::AF_BRIDGE as u8, 0, 0, 0])
            .raw(&index.to_ne_bytes())
            .raw(&[0; 8])
            .nest(libc::IFLA_PROTINFO, |m| m.attr(IFLA_BRPORT_MODE, &[1]));
        self.0.request(&format!("set hairpin of link {index}"), message)
    }

    /// Makes a link a port of a bridge.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn set_master(&mut self, index: u32, bridge: u32) -> Result<()> {
        let message = Message::new(libc::RTM_NEWLINK, REQUEST)
            .raw(&ifinfo(index, 0, 0))
            .u32(libc::IFLA_MASTER, bridge);
        self.0.request(&format!("put link {index} into bridge {bridge}"), message)
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn set_up(&mut self, index: u32) -> Result<()> {
        let up = libc::IFF_UP as u32;
        let message = Message::new(libc::RTM_NEWLINK, REQUEST).raw(&ifinfo(index, up, up));
        self.0.request(&format!("set link {index} up"), message)
    }

    /// Removes a link by name. One that is gone is fine.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        let message = Message::new(libc::RTM_DELLINK, REQUEST)
            .raw(&ifinfo(0, 0, 0))
            .str(libc::IFLA_IFNAME, name);
        match self.0.request(&format!("delete link {name}"), message) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Gives a link an address with its prefix; one it has already is fine.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn add_address(&mut self, index: u32, address: IpNet) -> Result<()> {
        let family = family(address.addr());
        // IFA_F_NODAD: a pod's address is unique by assignment and must work at once.
        let flags = if address.addr().is_ipv6() { 0x02 } else { 0 };
        let bytes = octets(address.addr());
        let message = Message::new(libc::RTM_NEWADDR, REPLACE)
            .raw(&[family, address.prefix_len(), flags, 0])
            .raw(&index.to_ne_bytes())
            .attr(libc::IFA_LOCAL, &bytes)
            .attr(libc::IFA_ADDRESS, &bytes);
        self.0.request(&format!("add address {address}"), message)
    }

    /// Addresses with their prefixes and link indexes.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn addresses(&mut self) -> Result<Vec<(u32, IpNet)>> {
        let message = Message::new(libc::RTM_GETADDR, DUMP).raw(&[0; 8]);
        let replies = self.0.dump("list addresses", message)?;
        Ok(replies.iter().filter_map(|reply| parse_address(&reply.payload)).collect())
    }

    /// Adds a route or replaces the one to the same destination.
    ///
    /// # Errors
    /// Where the kernel refuses, as for a gateway it cannot reach.
    pub fn add_route(&mut self, route: &Route) -> Result<()> {
        self.0.request(
            &format!("add route {}", route.destination),
            route_message(libc::RTM_NEWROUTE, REPLACE, route),
        )
    }

    /// Removes a route; one that is gone is fine.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn delete_route(&mut self, route: &Route) -> Result<()> {
        let message = route_message(libc::RTM_DELROUTE, REQUEST, route);
        match self.0.request(&format!("delete route {}", route.destination), message) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Unicast routes of the main table.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let message = Message::new(libc::RTM_GETROUTE, DUMP).raw(&[0; 12]);
        let replies = self.0.dump("list routes", message)?;
        Ok(replies.iter().filter_map(|reply| parse_route(&reply.payload)).collect())
    }
}

fn ifinfo(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

fn route_message(kind: u16, flags: u16, route: &Route) -> Message {
    // A route without a gateway reaches its destination on the link itself.
    let scope = if route.gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    let mut message = Message::new(kind, flags).raw(&[
        family(route.destination.addr()),
        route.destination.prefix_len(),
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        scope,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ]);
    if route.destination.prefix_len() > 0 {
        message = message.attr(libc::RTA_DST, &octets(route.destination.network()));
    }
    if let Some(gateway) = route.gateway {
        message = message.attr(libc::RTA_GATEWAY, &octets(gateway));
    }
    if let Some(link) = route.link {
        message = message.u32(libc::RTA_OIF, link);
    }
    message
}

fn parse_link(payload: &[u8]) -> Option<Link> {
    let word = |at: usize| payload.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let attributes = Attributes(payload.get(16..)?);
    Some(Link {
        index: word(4)?,
        up: word(8)? & libc::IFF_UP as u32 != 0,
        name: attributes.find(libc::IFLA_IFNAME)?.str().to_owned(),
        master: attributes.find(libc::IFLA_MASTER).map(|master| master.u32()),
        address: attributes.find(libc::IFLA_ADDRESS).map(|a| a.value.to_vec()).unwrap_or_default(),
    })
}

fn parse_address(payload: &[u8]) -> Option<(u32, IpNet)> {
    let index = u32::from_ne_bytes(payload.get(4..8)?.try_into().ok()?);
    let attributes = Attributes(payload.get(8..)?);
    let address =
        attributes.find(libc::IFA_LOCAL).or_else(|| attributes.find(libc::IFA_ADDRESS))?;
    Some((index, IpNet::new(parse_ip(address.value)?, payload[1]).ok()?))
}

fn parse_route(payload: &[u8]) -> Option<Route> {
    let [family, prefix, _, _, table, _, _, kind] = *payload.first_chunk::<8>()?;
    if table != libc::RT_TABLE_MAIN || kind != libc::RTN_UNICAST {
        return None;
    }
    let attributes = Attributes(payload.get(12..)?);
    let any = match i32::from(family) {
        libc::AF_INET => IpAddr::from([0; 4]),
        libc::AF_INET6 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let destination = match attributes.find(libc::RTA_DST) {
        Some(attribute) => parse_ip(attribute.value)?,
        None => any,
    };
    Some(Route {
        destination: IpNet::new(destination, prefix).ok()?,
        gateway: attributes.find(libc::RTA_GATEWAY).and_then(|a| parse_ip(a.value)),
        link: attributes.find(libc::RTA_OIF).map(|a| a.u32()),
    })
}

fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        16 => bytes.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    }
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
