//! Host-local address management: who holds which address, kept in one file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Addresses of one range and their owners. Every change is on disk before the call returns.
#[derive(Debug)]
pub struct Ipam {
    range: IpNet,
    path: PathBuf,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    last: Option<IpAddr>,
    owners: BTreeMap<IpAddr, String>,
}

impl Ipam {
    /// Opens the file at `path`, or starts empty. Addresses outside `range` are forgotten.
    ///
    /// # Errors
    /// Where the file is unreadable or not ours.
    pub fn open(range: IpNet, path: &Path) -> Result<Self> {
        let context = || format!("read {}", path.display());
        let mut state: State = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Error::Invalid(format!("{}: {error}", context())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(Error::io(context())(error)),
        };
        state.owners.retain(|address, _| range.contains(address));
        Ok(Self { range, path: path.to_owned(), state })
    }

    /// The first address of the range after the network's own: the bridge's.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        step(self.range.network(), 1)
    }

    /// The range.
    #[must_use]
    pub fn range(&self) -> IpNet {
        self.range
    }

    /// Gives `owner` an address; the one it has, where it has one. Freed addresses are used again
    /// as late as possible, so that stale connections do not meet a new pod.
    ///
    /// # Errors
    /// [`Error::Exhausted`], or where the file cannot be written.
    pub fn allocate(&mut self, owner: &str) -> Result<IpAddr> {
        if let Some(address) = self.address_of(owner) {
            return Ok(address);
        }
        let first = step(self.gateway(), 1);
        let last = self.state.last.filter(|last| self.range.contains(last));
        let start = last.map_or(first, |last| step(last, 1));
        let mut candidate = if self.usable(start) { start } else { first };
        let begin = candidate;
        while self.state.owners.contains_key(&candidate) {
            candidate = step(candidate, 1);
            if !self.usable(candidate) {
                candidate = first;
            }
            if candidate == begin {
                return Err(Error::Exhausted(self.range));
            }
        }
        self.state.owners.insert(candidate, owner.to_owned());
        self.state.last = Some(candidate);
        self.save()?;
        Ok(candidate)
    }

    /// Takes the owner's address back. Idempotent.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn release(&mut self, owner: &str) -> Result<()> {
        let before = self.state.owners.len();
        self.state.owners.retain(|_, name| name != owner);
        if self.state.owners.len() == before { Ok(()) } else { self.save() }
    }

    /// The owners of addresses.
    #[must_use]
    pub fn owners(&self) -> Vec<String> {
        self.state.owners.values().cloned().collect()
    }

    /// The address `owner` holds.
    #[must_use]
    pub fn address_of(&self, owner: &str) -> Option<IpAddr> {
        self.state.owners.iter().find(|(_, name)| *name == owner).map(|(address, _)| *address)
    }

    fn usable(&self, address: IpAddr) -> bool {
        let broadcast = address.is_ipv4() && address == self.range.broadcast();
        self.range.contains(&address) && !broadcast
    }

    fn save(&self) -> Result<()> {
        let context = || format!("write {}", self.path.display());
        let bytes = serde_json::to_vec(&self.state)
            .map_err(|error| Error::Invalid(format!("{}: {error}", context())))?;
        let temporary = self.path.with_extension("tmp");
        std::fs::write(&temporary, bytes).map_err(Error::io(context()))?;
        std::fs::rename(&temporary, &self.path).map_err(Error::io(context()))
    }
}

fn step(address: IpAddr, by: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(v4.to_bits().wrapping_add(by).into()),
        IpAddr::V6(v6) => IpAddr::V6(v6.to_bits().wrapping_add(by.into()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_persistent_and_reused_late() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ipam.json");
        let range = "10.1.2.0/29".parse().unwrap();
        let mut ipam = Ipam::open(range, &path).unwrap();
        let got: Vec<_> =
            ["a", "b", "c"].iter().map(|o| ipam.allocate(o).unwrap().to_string()).collect();
        assert_eq!(got, ["10.1.2.2", "10.1.2.3", "10.1.2.4"]);
        ipam.release("a").unwrap();

        let mut ipam = Ipam::open(range, &path).unwrap();
        assert_eq!(ipam.allocate("b").unwrap().to_string(), "10.1.2.3");
        assert_eq!(ipam.allocate("d").unwrap().to_string(), "10.1.2.5");
        assert_eq!(ipam.allocate("e").unwrap().to_string(), "10.1.2.6");
        assert_eq!(ipam.allocate("f").unwrap().to_string(), "10.1.2.2");
        let full = ipam.allocate("g").unwrap_err();
        assert_eq!(full.to_string(), "no IP addresses available in range 10.1.2.0/29");
    }
}
