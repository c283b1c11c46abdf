//! Allocates service addresses and node ports.
//!
//! Filled from the stored services at start; a reservation precedes the commit, so concurrent
//! creations never share an address. The caller releases a reservation whose commit fails.

use std::collections::HashSet;
use std::net::{AddrParseError, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::Ipv4Net;
use parking_lot::Mutex;
use rand::RngExt;

/// The reason why an address cannot be allocated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("failed to allocate IP: range is full")]
    Full,
    #[error("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    Malformed(#[source] AddrParseError),
    #[error(
        "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of \
         valid IPs is {range}"
    )]
    Reserved { ip: Ipv4Addr, range: Ipv4Net },
    #[error("failed to allocate IP {0}: the provided network does not match the current range")]
    Outside(Ipv4Addr),
    #[error("failed to allocate IP {0}: provided IP is already allocated")]
    Taken(Ipv4Addr),
    #[error("failed to allocate IP: the addresses of some stored services cannot be read")]
    Unknown,
}

/// The reason why a node port cannot be allocated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error("failed to allocate a nodePort: range is full")]
    Full,
    #[error("provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}")]
    Outside,
    #[error("provided port is already allocated")]
    Taken,
}

/// Addresses of the service range.
pub(crate) struct Addresses {
    range: Ipv4Net,
    taken: Mutex<HashSet<Ipv4Addr>>,
    /// Services have addresses that this server could not read: nothing is given out.
    unknown: AtomicBool,
}

impl Addresses {
    pub(crate) fn new(range: Ipv4Net) -> Self {
        Self { range, taken: Mutex::new(HashSet::new()), unknown: AtomicBool::new(false) }
    }

    /// Says if there are addresses in use that are not known here.
    pub(crate) fn set_unknown(&self, unknown: bool) {
        self.unknown.store(unknown, Ordering::Release);
    }

    /// Returns true if there are addresses in use that are not known here.
    pub(crate) fn are_unknown(&self) -> bool {
        self.unknown.load(Ordering::Acquire)
    }

    /// Takes a free address outside the lower band, which is reserved for addresses requested by
    /// number (KEP-3070: min(max(16, size/16), 256) addresses).
    pub(crate) fn allocate(&self) -> Result<Ipv4Addr, AddressError> {
        if self.are_unknown() {
            return Err(AddressError::Unknown);
        }
        let size = 1u32 << (32 - self.range.prefix_len());
        let band = (size / 16).clamp(16, 256).min(size.saturating_sub(2));
        let base = u32::from(self.range.network());
        let mut taken = self.taken.lock();
        let upper = band + 1..size - 1;
        let start =
            if upper.is_empty() { upper.start } else { rand::rng().random_range(upper.clone()) };
        let order = (start..upper.end).chain(upper.start..start).chain(1..=band);
        for offset in order {
            let ip = Ipv4Addr::from(base + offset);
            if taken.insert(ip) {
                return Ok(ip);
            }
        }
        Err(AddressError::Full)
    }

    /// The address that the client requests, if services may have it.
    fn usable(&self, ip: &str) -> Result<Ipv4Addr, AddressError> {
        let ip: Ipv4Addr = ip.parse().map_err(AddressError::Malformed)?;
        if self.range.contains(&ip) && ip != self.range.network() && ip != self.range.broadcast() {
            return Ok(ip);
        }
        Err(AddressError::Reserved { ip, range: self.range })
    }

    /// Checks for a dry run that the address could be allocated if it were free.
    pub(crate) fn could_have(&self, ip: &str) -> Result<(), AddressError> {
        self.usable(ip).map(drop)
    }

    /// Takes the address that the client requests.
    pub(crate) fn reserve(&self, ip: &str) -> Result<(), AddressError> {
        if let Some(ip) = ip.parse().ok().filter(|ip| !self.range.contains(ip)) {
            return Err(AddressError::Outside(ip));
        }
        let ip = self.usable(ip)?;
        if self.taken.lock().insert(ip) { Ok(()) } else { Err(AddressError::Taken(ip)) }
    }

    pub(crate) fn release(&self, ip: &str) {
        if let Ok(ip) = ip.parse() {
            self.taken.lock().remove(&ip);
        }
    }
}

/// Ports of the node port range, per protocol.
pub(crate) struct NodePorts {
    taken: Mutex<HashSet<(String, u16)>>,
}

const FIRST: u16 = 30_000;
const LAST: u16 = 32_767;

impl NodePorts {
    pub(crate) fn new() -> Self {
        Self { taken: Mutex::new(HashSet::new()) }
    }

    pub(crate) fn allocate(&self, protocol: &str) -> Result<u16, PortError> {
        let mut taken = self.taken.lock();
        let start = rand::rng().random_range(FIRST..=LAST);
        (start..=LAST)
            .chain(FIRST..start)
            .find(|port| taken.insert((protocol.to_owned(), *port)))
            .ok_or(PortError::Full)
    }

    pub(crate) fn reserve(&self, protocol: &str, port: i64) -> Result<(), PortError> {
        let port = u16::try_from(port)
            .ok()
            .filter(|p| (FIRST..=LAST).contains(p))
            .ok_or(PortError::Outside)?;
        if self.taken.lock().insert((protocol.to_owned(), port)) {
            Ok(())
        } else {
            Err(PortError::Taken)
        }
    }

    pub(crate) fn release(&self, protocol: &str, port: u16) {
        self.taken.lock().remove(&(protocol.to_owned(), port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_once() {
        let addresses = Addresses::new("10.96.0.0/28".parse().unwrap());
        addresses.reserve("10.96.0.10").unwrap();
        assert!(
            addresses.reserve("10.96.0.10").unwrap_err().to_string().contains("already allocated")
        );
        assert!(
            addresses.reserve("10.97.0.10").unwrap_err().to_string().contains("does not match")
        );
        assert!(
            addresses
                .reserve("10.96.0.15")
                .unwrap_err()
                .to_string()
                .contains("(10.96.0.15) is not in")
        );
        // A dry run does not check that the address is free, and has one range only.
        assert!(addresses.could_have("10.96.0.10").is_ok());
        assert!(
            addresses
                .could_have("10.97.0.10")
                .unwrap_err()
                .to_string()
                .contains("(10.97.0.10) is not in")
        );
        let mut seen = HashSet::new();
        while let Ok(ip) = addresses.allocate() {
            assert!(seen.insert(ip));
        }
        assert_eq!(seen.len(), 13, "14 usable addresses less one reserved");
        addresses.release("10.96.0.10");
        assert_eq!(addresses.allocate().unwrap().to_string(), "10.96.0.10");
    }
}
