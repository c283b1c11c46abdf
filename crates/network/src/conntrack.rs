//! Forgetting tracked connections whose translation has become wrong.

use std::net::IpAddr;

use crate::Result;
use crate::netlink::{Attribute, Attributes, Message, Socket};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
const REQUEST: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const NESTED: u16 = 0x8000;

/// One tracked connection: what its first packet was addressed to, and who really answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Address the first packet was sent to.
    pub destination: IpAddr,
    /// Port the first packet was sent to.
    pub destination_port: u16,
    /// Address that answers: the endpoint, where the destination was translated.
    pub responder: IpAddr,
    /// Port that answers.
    pub responder_port: u16,
}

/// Forgets the UDP flows that `stale` picks, in the calling thread's network namespace, and
/// returns how many.
///
/// # Errors
/// The kernel refuses; a flow that ended meanwhile is fine.
pub fn forget_udp(ipv6: bool, stale: impl Fn(&Flow) -> bool) -> Result<usize> {
    let family = (if ipv6 { libc::AF_INET6 } else { libc::AF_INET }) as u8;
    let mut socket = Socket::open(libc::NETLINK_NETFILTER)?;
    let header = [family, 0, 0, 0];
    let found = socket.dump("list tracked connections", Message::new(GET, DUMP).raw(&header))?;
    let mut forgotten = 0;
    for reply in &found {
        let Some(attributes) = reply.payload.get(4..).map(Attributes) else { continue };
        let Some(original) = attributes.find(TUPLE_ORIGINAL) else { continue };
        let Some(flow) = attributes.find(TUPLE_REPLY).and_then(|reply| flow(original, reply))
        else {
            continue;
        };
        if !stale(&flow) {
            continue;
        }
        let message = Message::new(DELETE, REQUEST)
            .raw(&header)
            .attr(TUPLE_ORIGINAL | NESTED, original.value);
        match socket.request("forget tracked connection", message) {
            Err(error) if error.is_not_found() => {}
            result => {
                result?;
                forgotten += 1;
            }
        }
    }
    Ok(forgotten)
}

struct Tuple {
    source: IpAddr,
    destination: IpAddr,
    protocol: i32,
    source_port: u16,
    destination_port: u16,
}

fn flow(original: Attribute<'_>, reply: Attribute<'_>) -> Option<Flow> {
    let (original, reply) = (tuple(original)?, tuple(reply)?);
    (original.protocol == libc::IPPROTO_UDP).then_some(Flow {
        destination: original.destination,
        destination_port: original.destination_port,
        responder: reply.source,
        responder_port: reply.source_port,
    })
}

fn tuple(attribute: Attribute<'_>) -> Option<Tuple> {
    let (ip, protocol) = (attribute.nested().find(1)?, attribute.nested().find(2)?);
    let address = |v4, v6| {
        let v4 = ip.nested().find(v4).and_then(|a| a.value.first_chunk::<4>().copied());
        let v6 = ip.nested().find(v6).and_then(|a| a.value.first_chunk::<16>().copied());
        v4.map(IpAddr::from).or_else(|| v6.map(IpAddr::from))
    };
    let port = |kind| {
        let found = protocol.nested().find(kind)?;
        found.value.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
    };
    Some(Tuple {
        source: address(1, 3)?,
        destination: address(2, 4)?,
        protocol: i32::from(*protocol.nested().find(1)?.value.first()?),
        source_port: port(2)?,
        destination_port: port(3)?,
    })
}
