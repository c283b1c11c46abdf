//! Rules as lists of expressions.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::consts::*;
use crate::netlink::Message;

/// A 32-bit register, 0 to 15. Longer values take the following ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u32);

impl Register {
    fn number(self) -> u32 {
        // NFT_REG32_00
        8 + self.0
    }
}

/// The decision on a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It ends here.
    Drop,
    /// It passes this base chain.
    Accept,
    /// Back to the calling chain.
    Return,
    /// To a chain and back.
    Jump(String),
    /// To a chain.
    Goto(String),
}

/// Properties of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MetaKey {
    /// The mark.
    Mark = 3,
    /// Name of the incoming interface.
    IifName = 6,
    /// Name of the outgoing interface.
    OifName = 7,
    /// Network protocol family.
    NfProto = 15,
    /// Transport protocol.
    L4Proto = 16,
}

/// Properties of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CtKey {
    /// State bits.
    State = 0,
    /// Status bits.
    Status = 2,
}

/// Status bit of a connection whose destination was translated.
pub const CT_STATUS_DNAT: u32 = 1 << 5;

/// Source or destination of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Source.
    Source,
    /// Destination.
    Destination,
}

/// Kinds of addresses by the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum AddressType {
    /// One of this machine.
    Local = 2,
}

/// Where translation takes the address and port from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatTarget {
    /// True for an IPv6 address.
    pub ipv6: bool,
    /// Register of the address.
    pub address: Register,
    /// Register of the port.
    pub port: Option<Register>,
}

/// A rule under construction: expressions are evaluated in order until one does not match.
#[derive(Debug, Clone)]
pub struct Rule(Message);

impl Default for Rule {
    fn default() -> Self {
        Self::new()
    }
}

/// On packets to an address of the node, or to a port of it, that belongs to one cluster, set by
/// that cluster: several may run on one machine, and none may answer in another's place.
pub const CLAIMED_MARK: u32 = 0x0020_0000;

impl Rule {
    /// An empty rule.
    #[must_use]
    pub fn new() -> Self {
        Self(Message::fragment())
    }

    pub(super) fn fragment(&self) -> &Message {
        &self.0
    }

    fn expression(self, name: &str, build: impl FnOnce(Message) -> Message) -> Self {
        Self(self.0.nest(LIST_ELEM, |m| m.str(EXPR_NAME, name).nest(EXPR_DATA, build)))
    }

    /// Loads a property of the packet.
    #[must_use]
    pub fn meta(self, key: MetaKey, into: Register) -> Self {
        self.expression("meta", |m| m.be32(1, into.number()).be32(2, key as u32))
    }

    /// Sets a property of the packet from a register.
    #[must_use]
    pub fn set_meta(self, key: MetaKey, from: Register) -> Self {
        self.expression("meta", |m| m.be32(2, key as u32).be32(3, from.number()))
    }

    /// Loads a property of the connection.
    #[must_use]
    pub fn ct(self, key: CtKey, into: Register) -> Self {
        self.expression("ct", |m| m.be32(1, into.number()).be32(2, key as u32))
    }

    fn payload(self, base: u32, offset: u32, length: u32, into: Register) -> Self {
        self.expression("payload", |m| {
            m.be32(1, into.number()).be32(2, base).be32(3, offset).be32(4, length)
        })
    }

    /// Loads an address of the packet.
    #[must_use]
    pub fn address(self, direction: Direction, ipv6: bool, into: Register) -> Self {
        let (offset, length) = match (direction, ipv6) {
            (Direction::Source, false) => (12, 4),
            (Direction::Destination, false) => (16, 4),
            (Direction::Source, true) => (8, 16),
            (Direction::Destination, true) => (24, 16),
        };
        self.payload(1, offset, length, into)
    }

    /// Loads a port of the packet (TCP, UDP, SCTP).
    #[must_use]
    pub fn port(self, direction: Direction, into: Register) -> Self {
        let offset = if direction == Direction::Source { 0 } else { 2 };
        self.payload(2, offset, 2, into)
    }

    fn compare(self, register: Register, operation: u32, value: &[u8]) -> Self {
        self.expression("cmp", |m| {
            m.be32(1, register.number()).be32(2, operation).nest(3, |m| m.attr(DATA_VALUE, value))
        })
    }

    /// Goes on where the register has this value.
    #[must_use]
    pub fn equals(self, register: Register, value: &[u8]) -> Self {
        self.compare(register, 0, value)
    }

    /// Goes on where the register has another value.
    #[must_use]
    pub fn differs(self, register: Register, value: &[u8]) -> Self {
        self.compare(register, 1, value)
    }

    /// `(register & mask) ^ xor`, in place.
    #[must_use]
    pub fn bitwise(self, register: Register, mask: &[u8], xor: &[u8]) -> Self {
        self.expression("bitwise", |m| {
            m.be32(1, register.number())
                .be32(2, register.number())
                .be32(3, mask.len() as u32)
                .nest(4, |m| m.attr(DATA_VALUE, mask))
                .nest(5, |m| m.attr(DATA_VALUE, xor))
        })
    }

    /// Goes on where an address is in the range, or outside of it.
    #[must_use]
    pub fn in_range(self, direction: Direction, range: IpNet, inside: bool) -> Self {
        let (network, mask) = (octets(range.network()), octets(range.netmask()));
        let zero = vec![0; mask.len()];
        let register = Register(0);
        let rule =
            self.address(direction, network.len() == 16, register).bitwise(register, &mask, &zero);
        if inside { rule.equals(register, &network) } else { rule.differs(register, &network) }
    }

    /// Goes on where an address is this one.
    #[must_use]
    pub fn is_address(self, direction: Direction, address: IpAddr) -> Self {
        let register = Register(0);
        self.address(direction, address.is_ipv6(), register).equals(register, &octets(address))
    }

    /// Goes on where the interface has this name, or another.
    #[must_use]
    pub fn interface(self, key: MetaKey, name: &str, same: bool) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        let rule = self.meta(key, Register(0));
        if same { rule.equals(Register(0), &bytes) } else { rule.differs(Register(0), &bytes) }
    }

    /// Goes on where all these bits of the mark are set.
    #[must_use]
    pub fn has_mark(self, bits: u32) -> Self {
        let register = Register(0);
        self.meta(MetaKey::Mark, register)
            .bitwise(register, &bits.to_ne_bytes(), &[0; 4])
            .equals(register, &bits.to_ne_bytes())
    }

    /// Rules of which one holds where the packet is for this machine, but not for what another
    /// cluster on it has claimed ([`CLAIMED_MARK`]); in `own` this cluster claims them.
    #[must_use]
    pub fn for_this_node(own: Option<IpNet>, then: impl Fn(Self) -> Self) -> Vec<Self> {
        let here = || Self::new().address_type(Direction::Destination, AddressType::Local, true);
        let unclaimed = here()
            .meta(MetaKey::Mark, Register(0))
            .bitwise(Register(0), &CLAIMED_MARK.to_ne_bytes(), &[0; 4])
            .equals(Register(0), &[0; 4]);
        let own = own.map(|range| here().in_range(Direction::Destination, range, true));
        own.into_iter().chain([unclaimed]).map(then).collect()
    }

    /// A rule for each of these ports that goes on where the packet goes to it, by whatever
    /// transport.
    pub fn to_each_port(self, ports: &[u16]) -> impl Iterator<Item = Self> {
        let register = Register(0);
        ports.iter().map(move |port| {
            let rule = self.clone().port(Direction::Destination, register);
            rule.equals(register, &port.to_be_bytes())
        })
    }

    /// Sets bits of the mark.
    #[must_use]
    pub fn add_mark(self, bits: u32) -> Self {
        let register = Register(0);
        self.meta(MetaKey::Mark, register)
            .bitwise(register, &(!bits).to_ne_bytes(), &bits.to_ne_bytes())
            .set_meta(MetaKey::Mark, register)
    }

    /// Clears bits of the mark.
    #[must_use]
    pub fn clear_mark(self, bits: u32) -> Self {
        let register = Register(0);
        self.meta(MetaKey::Mark, register)
            .bitwise(register, &(!bits).to_ne_bytes(), &[0; 4])
            .set_meta(MetaKey::Mark, register)
    }

    /// Goes on where any of these status bits of the connection is set.
    #[must_use]
    pub fn ct_status(self, bits: u32) -> Self {
        let register = Register(0);
        self.ct(CtKey::Status, register)
            .bitwise(register, &bits.to_ne_bytes(), &[0; 4])
            .differs(register, &[0; 4])
    }

    /// Goes on where the address is of this kind (or is not).
    #[must_use]
    pub fn address_type(self, direction: Direction, kind: AddressType, same: bool) -> Self {
        const RESULT_ADDRTYPE: u32 = 3;
        let flag = if direction == Direction::Source { 1 } else { 2 };
        let register = Register(0);
        let value = (kind as u32).to_ne_bytes();
        let rule = self.expression("fib", |m| {
            m.be32(1, register.number()).be32(2, RESULT_ADDRTYPE).be32(3, flag)
        });
        if same { rule.equals(register, &value) } else { rule.differs(register, &value) }
    }

    /// Goes on where the key at `key` is in the set.
    #[must_use]
    pub fn in_set(self, set: &str, key: Register) -> Self {
        self.expression("lookup", |m| m.str(1, set).be32(2, key.number()))
    }

    /// Goes on where the key at `key` is not in the set.
    #[must_use]
    pub fn not_in_set(self, set: &str, key: Register) -> Self {
        self.expression("lookup", |m| m.str(1, set).be32(2, key.number()).be32(5, 1))
    }

    /// Loads what the map has for the key; does not go on where it has nothing.
    #[must_use]
    pub fn map(self, map: &str, key: Register, into: Register) -> Self {
        self.expression("lookup", |m| m.str(1, map).be32(2, key.number()).be32(3, into.number()))
    }

    /// Obeys the verdict the map has for the key; goes on where it has none.
    #[must_use]
    pub fn verdict_map(self, map: &str, key: Register) -> Self {
        self.expression("lookup", |m| m.str(1, map).be32(2, key.number()).be32(3, 0))
    }

    /// Adds the key, with data for a map, or renews its lifetime.
    #[must_use]
    pub fn update_set(
        self,
        set: &str,
        key: Register,
        data: Option<Register>,
        timeout: Option<Duration>,
    ) -> Self {
        const UPDATE: u32 = 1;
        self.expression("dynset", |m| {
            let m = m.str(1, set).be32(3, UPDATE).be32(4, key.number());
            let m = match data {
                Some(data) => m.be32(5, data.number()),
                None => m,
            };
            match timeout {
                Some(timeout) => m.be64(6, timeout.as_millis() as u64),
                None => m,
            }
        })
    }

    /// Loads a random number from zero to `modulus` - 1, in host order.
    #[must_use]
    pub fn random(self, modulus: u32, into: Register) -> Self {
        self.expression("numgen", |m| {
            m.be32(1, into.number()).be32(2, modulus).be32(3, 1).be32(4, 0)
        })
    }

    /// Loads a constant.
    #[must_use]
    pub fn load(self, value: &[u8], into: Register) -> Self {
        self.expression("immediate", |m| {
            m.be32(1, into.number()).nest(2, |m| m.attr(DATA_VALUE, value))
        })
    }

    /// Translates the destination.
    #[must_use]
    pub fn dnat(self, target: NatTarget) -> Self {
        let family = if target.ipv6 { libc::NFPROTO_IPV6 } else { libc::NFPROTO_IPV4 };
        self.expression("nat", |m| {
            let m = m.be32(1, 1).be32(2, family as u32).be32(3, target.address.number());
            match target.port {
                Some(port) => m.be32(5, port.number()),
                None => m,
            }
        })
    }

    /// Translates the destination to a constant.
    #[must_use]
    pub fn dnat_to(self, address: IpAddr, port: u16) -> Self {
        let (value, ipv6) = (octets(address), address.is_ipv6());
        let port_register = Register(if ipv6 { 4 } else { 1 });
        let mut port_bytes = port.to_be_bytes().to_vec();
        port_bytes.resize(4, 0);
        self.load(&value, Register(0)).load(&port_bytes, port_register).dnat(NatTarget {
            ipv6,
            address: Register(0),
            port: Some(port_register),
        })
    }

    /// Translates the source to the outgoing interface's address.
    #[must_use]
    pub fn masquerade(self) -> Self {
        const FULLY_RANDOM: u32 = 1 << 4;
        self.expression("masq", |m| m.be32(1, FULLY_RANDOM))
    }

    /// Refuses TCP with a reset.
    #[must_use]
    pub fn reset(self) -> Self {
        const RESET: u32 = 1;
        self.expression("reject", |m| m.be32(1, RESET))
    }

    /// Refuses with "port unreachable". The code that holds for both families is one of `inet`
    /// tables; in a table of one family it would drop in silence.
    #[must_use]
    pub fn reject(self, ipv6: bool) -> Self {
        const ICMP: u32 = 0;
        let port_unreachable = if ipv6 { 4 } else { 3 };
        self.expression("reject", |m| m.be32(1, ICMP).attr(2, &[port_unreachable]))
    }

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: &Verdict) -> Self {
        self.expression("immediate", |m| {
            m.be32(1, 0).nest(2, |m| write_verdict(m, DATA_VERDICT, verdict))
        })
    }
}

pub(super) fn write_verdict(message: Message, kind: u16, verdict: &Verdict) -> Message {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Return => (-5, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
    };
    message.nest(kind, |m| {
        let m = m.be32(VERDICT_CODE, code as u32);
        match chain {
            Some(chain) => m.str(VERDICT_CHAIN, chain),
            None => m,
        }
    })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
