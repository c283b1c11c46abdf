//! The rtnetlink socket.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Link, Peer, Route};
use crate::Result;
use crate::netlink::{Message, Reply, Socket};

const REQUEST: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const CREATE: u16 = REQUEST | (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const REPLACE: u16 = REQUEST | (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;

/// Changes links, addresses and routes of the namespace it was opened in.
#[derive(Debug)]
pub struct LinkSocket(Socket);

impl LinkSocket {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Errors
    /// Fails as socket(2) does.
    pub fn open() -> Result<Self> {
        Socket::open(libc::NETLINK_ROUTE).map(Self)
    }

    fn request(&mut self, what: &str, message: RouteNetlinkMessage, flags: u16) -> Result<()> {
        self.0.request(what, encode(&message, flags))
    }

    /// All answers that `read` makes something of.
    fn dump<T>(
        &mut self,
        what: &str,
        message: RouteNetlinkMessage,
        read: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>> {
        let replies = self.0.dump(what, encode(&message, DUMP))?;
        Ok(replies.iter().filter_map(|reply| read(decode(reply)?)).collect())
    }

    /// All links.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.dump("list links", all, |reply| match reply {
            RouteNetlinkMessage::NewLink(link) => read_link(link),
            _ => None,
        })
    }

    /// The link of this name. The kernel is asked for it alone: a list of all links costs ten
    /// milliseconds on a node with a hundred pods.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        let named = link(0, [LinkAttribute::IfName(name.to_owned())]);
        let message = encode(&RouteNetlinkMessage::GetLink(named), REQUEST);
        let replies = match self.0.dump(&format!("find link {name}"), message) {
            Err(error) if error.is_not_found() => return Ok(None),
            result => result?,
        };
        Ok(replies.iter().find_map(|reply| match decode(reply)? {
            RouteNetlinkMessage::NewLink(link) => read_link(link),
            _ => None,
        }))
    }

    /// Makes a bridge with this hardware address; one that exists stays as it is.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_bridge(&mut self, name: &str, address: [u8; 6]) -> Result<()> {
        let bridge = up(link(
            0,
            [
                LinkAttribute::IfName(name.to_owned()),
                LinkAttribute::Address(address.to_vec()),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
            ],
        ));
        let message = RouteNetlinkMessage::NewLink(bridge);
        match self.request(&format!("create bridge {name}"), message, CREATE) {
            Err(error) if error.is_exists() => Ok(()),
            result => result,
        }
    }

    /// Makes a veth pair: `name` here, up, a port of bridge `master` where given; `peer`
    /// in its namespace, not yet up.
    ///
    /// # Errors
    /// The kernel refuses, as for a name that exists.
    pub fn add_veth(
        &mut self,
        name: &str,
        master: Option<u32>,
        peer: Peer<'_>,
        mtu: u32,
    ) -> Result<()> {
        let far = link(
            0,
            [
                LinkAttribute::IfName(peer.name.to_owned()),
                LinkAttribute::Address(peer.address.to_vec()),
                LinkAttribute::Mtu(mtu),
                LinkAttribute::NetNsFd(peer.netns),
            ],
        );
        let near = link(
            0,
            [
                LinkAttribute::IfName(name.to_owned()),
                LinkAttribute::Mtu(mtu),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Veth),
                    LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
                ]),
            ],
        );
        let mut near = up(near);
        near.attributes.extend(master.map(LinkAttribute::Controller));
        let message = RouteNetlinkMessage::NewLink(near);
        self.request(&format!("create veth {name}"), message, CREATE)
    }

    /// Lets a bridge port send a packet back where it came from, as one whose destination a Service
    /// has changed: where bridges call nf_tables (`bridge-nf-call-iptables`) they forward it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_hairpin(&mut self, index: u32) -> Result<()> {
        let port = vec![InfoBridgePort::HairpinMode(true)];
        let info = vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(port)),
        ];
        let message = RouteNetlinkMessage::NewLink(link(index, [LinkAttribute::LinkInfo(info)]));
        self.request(&format!("set hairpin of link {index}"), message, REQUEST)
    }

    /// Makes a link a port of a bridge.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_master(&mut self, index: u32, bridge: u32) -> Result<()> {
        let message =
            RouteNetlinkMessage::NewLink(link(index, [LinkAttribute::Controller(bridge)]));
        self.request(&format!("put link {index} into bridge {bridge}"), message, REQUEST)
    }

    /// Brings a link up.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_up(&mut self, index: u32) -> Result<()> {
        let message = RouteNetlinkMessage::NewLink(up(link(index, [])));
        self.request(&format!("set link {index} up"), message, REQUEST)
    }

    /// Removes a link by name. One that is gone is fine.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete(&mut self, name: &str) -> Result<()> {
        let named = link(0, [LinkAttribute::IfName(name.to_owned())]);
        let message = RouteNetlinkMessage::DelLink(named);
        match self.request(&format!("delete link {name}"), message, REQUEST) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Gives a link an address with its prefix; one it has already is fine.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_address(&mut self, index: u32, address: IpNet) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address.addr());
        message.header.prefix_len = address.prefix_len();
        message.header.index = index;
        if address.addr().is_ipv6() {
            // A pod's address is unique by assignment and must work at once.
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![
            AddressAttribute::Local(address.addr()),
            AddressAttribute::Address(address.addr()),
        ];
        let message = RouteNetlinkMessage::NewAddress(message);
        self.request(&format!("add address {address}"), message, REPLACE)
    }

    /// Addresses of the family of `like` with their prefixes and link indexes.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn addresses(&mut self, like: IpAddr) -> Result<Vec<(u32, IpNet)>> {
        let mut all = AddressMessage::default();
        all.header.family = family(like);
        self.dump("list addresses", RouteNetlinkMessage::GetAddress(all), |reply| match reply {
            RouteNetlinkMessage::NewAddress(address) => read_address(&address),
            _ => None,
        })
    }

    /// Adds a route or replaces the one to the same destination.
    ///
    /// # Errors
    /// The kernel refuses, as for a gateway it cannot reach.
    pub fn add_route(&mut self, route: &Route) -> Result<()> {
        let message = RouteNetlinkMessage::NewRoute(route_message(route));
        self.request(&format!("add route {}", route.destination), message, REPLACE)
    }

    /// Removes a route; one that is gone is fine.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete_route(&mut self, route: &Route) -> Result<()> {
        let message = RouteNetlinkMessage::DelRoute(route_message(route));
        match self.request(&format!("delete route {}", route.destination), message, REQUEST) {
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }

    /// Unicast routes of the main table.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let all = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        self.dump("list routes", all, |reply| match reply {
            RouteNetlinkMessage::NewRoute(route) => read_route(&route),
            _ => None,
        })
    }
}

fn encode(message: &RouteNetlinkMessage, flags: u16) -> Message {
    let mut payload = vec![0; message.buffer_len()];
    message.serialize(&mut payload);
    Message::new(message.message_type(), flags).raw(&payload)
}

/// `None` for one that cannot be read, such as of a device that the library does not know.
fn decode(reply: &Reply) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = reply.kind;
    RouteNetlinkMessage::deserialize(&header, &reply.payload).ok()
}

fn link(index: u32, attributes: impl Into<Vec<LinkAttribute>>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes.into();
    message
}

/// The same link, brought up.
fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn route_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(route.destination.addr()),
        destination_prefix_length: route.destination.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        // A route without a gateway reaches its destination on the link itself.
        scope: if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if route.destination.prefix_len() > 0 {
        let network = route.destination.network();
        message.attributes.push(RouteAttribute::Destination(network.into()));
    }
    let gateway = route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into()));
    message.attributes.extend(gateway);
    message.attributes.extend(route.link.map(RouteAttribute::Oif));
    message
}

fn read_link(message: LinkMessage) -> Option<Link> {
    let (mut name, mut master, mut address) = (None, None, Vec::new());
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value),
            LinkAttribute::Controller(value) => master = Some(value),
            LinkAttribute::Address(value) => address = value,
            _ => {}
        }
    }
    let up = message.header.flags.contains(LinkFlags::Up);
    Some(Link { index: message.header.index, name: name?, master, up, address })
}

fn read_address(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let (mut local, mut given) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => given = Some(*address),
            _ => {}
        }
    }
    let address = IpNet::new(local.or(given)?, message.header.prefix_len).ok()?;
    Some((message.header.index, address))
}

fn read_route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let mut destination = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let (mut gateway, mut link) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = read_ip(address)?,
            RouteAttribute::Gateway(address) => gateway = read_ip(address),
            RouteAttribute::Oif(index) => link = Some(*index),
            _ => {}
        }
    }
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?;
    Some(Route { destination, gateway, link })
}

fn read_ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
