//! A node as a network namespace on one machine: several nodes on a laptop.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::network::{fnv, index_of, prefixed, stable_mac, sysctl};
use super::rules;
use crate::link::{LinkSocket, Peer, Route};
use crate::{Error, Result, netns};

/// The bridge between a machine and the nodes that are namespaces on it.
#[derive(Debug)]
pub struct MachineNetwork {
    bridge: String,
    range: IpNet,
    address: IpAddr,
}

/// A node that is a network namespace.
#[derive(Debug)]
pub struct NodeNamespace {
    /// Where the namespace is pinned.
    pub netns: PathBuf,
    /// The node's address.
    pub address: IpAddr,
    link: String,
}

impl MachineNetwork {
    /// Makes the bridge with the first address of `range`, forwarding, and masquerading of what
    /// leaves the machine.
    ///
    /// # Errors
    /// Without privilege, or where the kernel refuses.
    pub fn open(cluster: &str, range: IpNet) -> Result<Self> {
        let bridge = format!("cxm{:08x}", fnv(cluster));
        let address = range
            .hosts()
            .next()
            .ok_or_else(|| Error::Invalid(format!("node range {range} holds no address")))?;
        let mut links = LinkSocket::open()?;
        links.add_bridge(&bridge, stable_mac(&bridge))?;
        let index = index_of(&bridge)?;
        links.set_up(index)?;
        links.add_address(index, prefixed(address, range.prefix_len())?)?;
        sysctl("net/ipv4/ip_forward", "1")?;
        rules::install(&bridge, range, range, &[])?;
        Ok(Self { bridge, range, address })
    }

    /// The machine's own address on the bridge: the address of its node.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Makes a node: a namespace pinned at `path` with `address` on the bridge. One that exists is
    /// kept.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn add_node(&self, name: &str, path: &Path, address: IpAddr) -> Result<NodeNamespace> {
        let link = format!("cxn{:08x}", fnv(&format!("{}/{name}", self.bridge)));
        let node = NodeNamespace { netns: path.to_owned(), address, link };
        if netns::is_pinned(path) {
            return Ok(node);
        }
        netns::create(path)?;
        let file =
            std::fs::File::open(path).map_err(Error::io(format!("open {}", path.display())))?;
        let peer = Peer { name: "eth0", netns: file.as_raw_fd(), address: stable_mac(&node.link) };
        let mut links = LinkSocket::open()?;
        links.delete(&node.link)?;
        links.add_veth(&node.link, Some(index_of(&self.bridge)?), peer, 1500)?;
        // A node reaches itself by another one's node port.
        links.set_hairpin(index_of(&node.link)?)?;
        let destination: IpNet = if address.is_ipv4() {
            IpNet::V4(ipnet::Ipv4Net::default())
        } else {
            IpNet::V6(ipnet::Ipv6Net::default())
        };
        netns::run_in(Some(path), || {
            let mut links = LinkSocket::open()?;
            links.set_up(index_of("lo")?)?;
            let eth0 = index_of("eth0")?;
            links.set_up(eth0)?;
            links.add_address(eth0, prefixed(address, self.range.prefix_len())?)?;
            links.add_route(&Route { destination, gateway: Some(self.address), link: Some(eth0) })
        })?;
        Ok(node)
    }

    /// Removes a node's namespace and link.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove_node(&self, node: &NodeNamespace) -> Result<()> {
        LinkSocket::open()?.delete(&node.link)?;
        netns::unpin(&node.netns)
    }

    /// Removes the bridge and the rules.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn destroy(&self) -> Result<()> {
        LinkSocket::open()?.delete(&self.bridge)?;
        rules::remove(&self.bridge)
    }
}
