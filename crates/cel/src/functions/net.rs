//! Addresses and networks.

use std::net::{IpAddr, Ipv6Addr};

use super::quoted::Quoted;
use super::strings::text;
use super::{Outcome, Row, address};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    ("ip", "string_to_ip", "(string) -> IP", ip),
    ("family", "ip_family", ".(IP) -> int", family),
    ("ip.isCanonical", "ip_is_canonical", "(string) -> bool", is_canonical),
    ("isUnspecified", "ip_is_unspecified", ".(IP) -> bool", is_unspecified),
    ("isLoopback", "ip_is_loopback", ".(IP) -> bool", is_loopback),
    (
        "isLinkLocalMulticast",
        "ip_is_link_local_multicast",
        ".(IP) -> bool",
        is_link_local_multicast,
    ),
    ("isLinkLocalUnicast", "ip_is_link_local_unicast", ".(IP) -> bool", is_link_local_unicast),
    ("isGlobalUnicast", "ip_is_global_unicast", ".(IP) -> bool", is_global_unicast),
    ("isIP", "is_ip", "(string) -> bool", is_ip),
    ("string", "ip_to_string", "(IP) -> string", ip_text),
    ("cidr", "string_to_cidr", "(string) -> CIDR", cidr),
    ("containsIP", "cidr_contains_ip_string", ".(CIDR, string) -> bool", contains_ip),
    ("containsIP", "cidr_contains_ip_ip", ".(CIDR, IP) -> bool", contains_ip),
    ("containsCIDR", "cidr_contains_cidr_string", ".(CIDR, string) -> bool", contains_cidr),
    ("containsCIDR", "cidr_contains_cidr", ".(CIDR, CIDR) -> bool", contains_cidr),
    ("ip", "cidr_ip", ".(CIDR) -> IP", cidr_ip),
    ("prefixLength", "cidr_prefix_length", ".(CIDR) -> int", prefix_length),
    ("masked", "cidr_masked", ".(CIDR) -> CIDR", masked),
    ("isCIDR", "is_cidr", "(string) -> bool", is_cidr),
    ("string", "cidr_to_string", "(CIDR) -> string", cidr_text),
];

/// An address with the length of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub(crate) address: IpAddr,
    pub(crate) bits: u8,
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    /// The bits of an address that the prefix covers, or None for the other family.
    fn network(&self, address: IpAddr) -> Option<u128> {
        match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                Some(u128::from(u32::from(other)) >> shift)
            }
            (IpAddr::V6(_), IpAddr::V6(other)) => {
                Some(u128::from(other).checked_shr(128 - u32::from(self.bits)).unwrap_or(0))
            }
            _ => None,
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.network(address).is_some_and(|network| Some(network) == self.network(self.address))
    }

    fn masked(&self) -> Cidr {
        let network = self.network(self.address).unwrap_or(0);
        let address = match self.address {
            IpAddr::V4(_) => {
                let bits = u64::from(network as u32) << (32 - u32::from(self.bits));
                IpAddr::V4((bits as u32).into())
            }
            IpAddr::V6(_) => {
                let bits = network.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6(bits.into())
            }
        };
        Cidr { address, bits: self.bits }
    }
}

fn parse_ip(text: &str) -> Result<IpAddr, EvalError> {
    let raw = Quoted(text);
    let zoned = text.split_once('%').filter(|(_, zone)| !zone.is_empty());
    if zoned.is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok()) {
        let message = format!("IP address {raw:?} with zone value is not allowed");
        return Err(EvalError::new(message));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(EvalError::new(format!("IPv4-mapped IPv6 address {raw:?} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(EvalError::new(format!(
            "IP Address {raw:?} parse error during conversion from string: ParseAddr({raw:?}): {}",
            address::why_not(text)
        ))),
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, EvalError> {
    let raw = Quoted(text);
    const PREFIX: &str = "network address parse error during conversion from string: ";
    let wrong =
        |why: &str| EvalError::new(format!("{PREFIX}{PREFIX}netip.ParsePrefix({raw:?}): {why}"));
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    if address.contains('%') {
        return Err(wrong("IPv6 zones cannot be present in a prefix"));
    }
    let address: IpAddr = address.parse().map_err(|_| {
        wrong(&format!("ParseAddr({:?}): {}", Quoted(address), address::why_not(address)))
    })?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    if !digits || (bits.len() > 1 && bits.starts_with('0')) {
        return Err(wrong(&format!("bad bits after slash: {:?}", Quoted(bits))));
    }
    let bits = bits
        .parse()
        .ok()
        .filter(|bits| *bits <= most)
        .ok_or_else(|| wrong("prefix length out of range"))?;
    match address {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            Err(EvalError::new(format!("{PREFIX}IPv4-mapped IPv6 address {raw:?} is not allowed")))
        }
        address => Ok(Cidr { address, bits }),
    }
}

fn ip_of(args: &[Value<'_>]) -> Result<IpAddr, EvalError> {
    match args.first() {
        Some(Value::Opaque(Opaque::Ip(ip))) => Ok(*ip),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn cidr_of(args: &[Value<'_>]) -> Result<Cidr, EvalError> {
    match args.first() {
        Some(Value::Opaque(Opaque::Cidr(cidr))) => Ok(*cidr),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn ip<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    parse_ip(text(args, 0)?).map(|ip| Value::Opaque(Opaque::Ip(ip)))
}

fn family<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(if ip_of(args)?.is_ipv4() { 4 } else { 6 }))
}

fn is_canonical<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let raw = text(args, 0)?;
    Ok(Value::Bool(parse_ip(raw)?.to_string() == raw))
}

fn is_unspecified<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(ip_of(args)?.is_unspecified()))
}

fn is_loopback<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(ip_of(args)?.is_loopback()))
}

fn link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_link_local_multicast<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(link_local_multicast(ip_of(args)?)))
}

fn is_link_local_unicast<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(link_local_unicast(ip_of(args)?)))
}

fn is_global_unicast<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let ip = ip_of(args)?;
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let other = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast;
    Ok(Value::Bool(!other && !link_local_unicast(ip)))
}

fn is_ip<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(parse_ip(text(args, 0)?).is_ok()))
}

fn ip_text<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(ip_of(args)?.to_string()))
}

fn cidr<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    parse_cidr(text(args, 0)?).map(|cidr| Value::Opaque(Opaque::Cidr(cidr)))
}

fn contains_ip<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let ip = match &args[1] {
        // Upstream does not tell what is wrong with the text here.
        Value::String(raw) => parse_ip(raw).map_err(|_| EvalError::no_such_overload())?,
        _ => ip_of(&args[1..])?,
    };
    Ok(Value::Bool(cidr_of(args)?.contains(ip)))
}

fn contains_cidr<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let other = match &args[1] {
        Value::String(raw) => parse_cidr(raw)?,
        _ => cidr_of(&args[1..])?,
    };
    let cidr = cidr_of(args)?;
    Ok(Value::Bool(cidr.bits <= other.bits && cidr.contains(other.address)))
}

fn cidr_ip<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Opaque(Opaque::Ip(cidr_of(args)?.address)))
}

fn prefix_length<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(cidr_of(args)?.bits.into()))
}

fn masked<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Opaque(Opaque::Cidr(cidr_of(args)?.masked())))
}

fn is_cidr<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(parse_cidr(text(args, 0)?).is_ok()))
}

fn cidr_text<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(cidr_of(args)?.to_string()))
}
