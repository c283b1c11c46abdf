//! Links and routes, as rtnetlink reports and takes them.

use std::net::IpAddr;
use std::os::fd::RawFd;

use ipnet::IpNet;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// True if it is administratively up.
    pub up: bool,
    /// Hardware address.
    pub address: Vec<u8>,
}

/// The far end of a new veth pair.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a str,
    /// An open descriptor of the network namespace it goes to.
    pub netns: RawFd,
    /// Its hardware address.
    pub address: [u8; 6],
}

/// A unicast route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination; `0.0.0.0/0` for the default.
    pub destination: IpNet,
    /// Next hop; `None` for what the link reaches itself.
    pub gateway: Option<IpAddr>,
    /// Index of the outgoing link; `None` lets the kernel find it.
    pub link: Option<u32>,
}
