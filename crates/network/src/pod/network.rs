//! Attaching pods to the node's bridge.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use parking_lot::Mutex;

use super::{Ipam, rules};
use crate::link::{LinkMonitor, LinkSocket, Peer, Route};
use crate::{Error, Result, netns};

/// How a node's pod network is made.
#[derive(Debug, Clone)]
pub struct PodNetworkConfig {
    /// Name of the bridge and of the nf_tables table; see [`bridge_name`].
    pub bridge: String,
    /// The node's network namespace; `None` where the node is the machine.
    pub node_netns: Option<PathBuf>,
    /// Directory for the address file.
    pub state_dir: PathBuf,
    /// The node's pod range.
    pub pod_cidr: IpNet,
    /// Addresses that are reached without masquerading: the whole cluster's pod range.
    pub cluster_cidr: IpNet,
    /// Ports that the node's own processes serve, by whatever transport: no host port takes them.
    pub own_ports: Vec<u16>,
    /// Largest packet.
    pub mtu: u32,
}

/// Transport protocol of a host port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the node that leads to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Protocol.
    pub transport: Transport,
    /// Node address; `None` means every local one.
    pub host_ip: Option<IpAddr>,
    /// Port on the node.
    pub host_port: u16,
    /// Port in the pod.
    pub pod_port: u16,
}

/// A node's pod network. Calls block for some milliseconds.
#[derive(Debug)]
pub struct PodNetwork {
    config: PodNetworkConfig,
    ipam: Mutex<Ipam>,
    /// It was taken apart on purpose. Held while it is made whole, too.
    destroyed: Mutex<bool>,
}

/// A bridge name for this cluster and node that fits an interface name (15 bytes).
#[must_use]
pub fn bridge_name(cluster: &str, node: &str) -> String {
    format!("cxs{:08x}", fnv(&format!("{cluster}/{node}")))
}

impl PodNetwork {
    /// Makes the bridge, its address, forwarding and masquerading, or finds them.
    ///
    /// # Errors
    /// Without privilege, or where the kernel lacks a feature, named in the message.
    pub fn open(config: PodNetworkConfig) -> Result<Self> {
        std::fs::create_dir_all(&config.state_dir)
            .map_err(Error::io(format!("create {}", config.state_dir.display())))?;
        let ipam = Ipam::open(config.pod_cidr, &config.state_dir.join("ipam.json"))?;
        let network = Self { ipam: Mutex::new(ipam), config, destroyed: Mutex::new(false) };
        network.ensure()?;
        Ok(network)
    }

    /// Restores what was removed: bridge, address, forwarding, rules.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn ensure(&self) -> Result<()> {
        let config = &self.config;
        let gateway = self.ipam.lock().gateway();
        netns::run_in(config.node_netns.as_deref(), || {
            let mut links = LinkSocket::open()?;
            links
                .add_bridge(&config.bridge, stable_mac(&config.bridge))
                .map_err(|e| e.lacking("network bridges (CONFIG_BRIDGE)"))?;
            let index = index_of(&config.bridge)?;
            links.set_up(index)?;
            links.add_address(index, prefixed(gateway, config.pod_cidr.prefix_len())?)?;
            sysctl("net/ipv4/ip_forward", "1")?;
            // NodePorts answer on 127.0.0.1 too, so martian filtering must not drop the replies.
            sysctl(&format!("net/ipv4/conf/{}/route_localnet", config.bridge), "1")?;
            if config.pod_cidr.network().is_ipv6() {
                sysctl("net/ipv6/conf/all/forwarding", "1")?;
            }
            let (pods, cluster) = (config.pod_cidr, config.cluster_cidr);
            rules::install(&config.bridge, pods, cluster, &config.own_ports)
                .map_err(|e| e.lacking("nf_tables with NAT (CONFIG_NF_TABLES, CONFIG_NFT_NAT)"))
        })
    }

    /// Notices of what is done to the bridge. Needs a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn monitor(&self) -> Result<LinkMonitor> {
        let runtime = tokio::runtime::Handle::current();
        netns::run_in(self.config.node_netns.as_deref(), || {
            let _entered = runtime.enter();
            LinkMonitor::open(&self.config.bridge)
        })
    }

    /// Makes the bridge again if somebody removed it, took it down or took its address, and puts
    /// the pods' interfaces back into it. Says whether that was necessary.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn repair(&self) -> Result<bool> {
        let destroyed = self.destroyed.lock();
        if *destroyed || self.is_whole()? {
            return Ok(false);
        }
        self.ensure()?;
        let owners = self.ipam.lock().owners();
        let bridge_name = &self.config.bridge;
        netns::run_in(self.config.node_netns.as_deref(), || {
            let mut links = LinkSocket::open()?;
            let bridge = index_of(bridge_name)?;
            let present = links.links()?;
            for owner in owners {
                let name = veth_name(&owner);
                // A pod that is just being attached has none yet, and finds the new bridge.
                let Some(link) = present.iter().find(|link| link.name == name) else { continue };
                if link.master != Some(bridge) {
                    links.set_master(link.index, bridge)?;
                    links.set_hairpin(link.index)?;
                }
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn is_whole(&self) -> Result<bool> {
        let gateway = self.gateway();
        netns::run_in(self.config.node_netns.as_deref(), || {
            let mut links = LinkSocket::open()?;
            let Some(bridge) = links.link(&self.config.bridge)? else { return Ok(false) };
            let addressed = links
                .addresses(gateway)?
                .iter()
                .any(|(index, address)| *index == bridge.index && address.addr() == gateway);
            Ok(bridge.up && addressed)
        })
    }

    /// The range pods get their addresses from.
    #[must_use]
    pub fn pod_cidr(&self) -> IpNet {
        self.config.pod_cidr
    }

    /// The address of the bridge: the pods' gateway, by which they reach the node.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        self.ipam.lock().gateway()
    }

    /// Gives the pod in `pod_netns` the interface `eth0`, an address and its host ports, and
    /// returns the address.
    ///
    /// # Errors
    /// [`Error::Exhausted`], or where the kernel refuses; nothing is left behind then.
    pub fn attach(&self, owner: &str, pod_netns: &Path, ports: &[HostPort]) -> Result<IpAddr> {
        let address = self.ipam.lock().allocate(owner)?;
        let result = self.connect(owner, address, pod_netns).and_then(|()| {
            netns::run_in(self.config.node_netns.as_deref(), || {
                rules::add_host_ports(&self.config.bridge, address, ports)
            })
        });
        if result.is_err() {
            self.detach(owner).ok();
        }
        result.map(|()| address)
    }

    fn connect(&self, owner: &str, address: IpAddr, pod_netns: &Path) -> Result<()> {
        let config = &self.config;
        let (name, mac) = (veth_name(owner), pod_mac(address));
        let pod =
            File::open(pod_netns).map_err(Error::io(format!("open {}", pod_netns.display())))?;
        netns::run_in(config.node_netns.as_deref(), || {
            let mut links = LinkSocket::open()?;
            let bridge = index_of(&config.bridge)?;
            let peer = Peer { name: "eth0", netns: pod.as_raw_fd(), address: mac };
            links
                .add_veth(&name, Some(bridge), peer, config.mtu)
                .map_err(|e| e.lacking("virtual Ethernet pairs (CONFIG_VETH)"))?;
            links.set_hairpin(index_of(&name)?)
        })?;
        let (gateway, prefix) = (self.gateway(), config.pod_cidr.prefix_len());
        netns::run_in(Some(pod_netns), || {
            let mut links = LinkSocket::open()?;
            links.set_up(index_of("lo")?)?;
            let eth0 = index_of("eth0")?;
            links.set_up(eth0)?;
            links.add_address(eth0, prefixed(address, prefix)?)?;
            let any = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let destination = any.parse().map_err(|_| Error::Invalid(any.to_owned()))?;
            links.add_route(&Route { destination, gateway: Some(gateway), link: Some(eth0) })
        })
    }

    /// Takes the pod's interface, host ports and address away. Idempotent.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(&self, owner: &str) -> Result<()> {
        let address = self.address_of(owner);
        netns::run_in(self.config.node_netns.as_deref(), || {
            LinkSocket::open()?.delete(&veth_name(owner))?;
            match address {
                Some(address) => rules::remove_host_ports(&self.config.bridge, address),
                None => Ok(()),
            }
        })?;
        self.ipam.lock().release(owner)
    }

    /// Detaches every owner that is not in `alive`: what a crash left behind.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn retain(&self, alive: impl Fn(&str) -> bool) -> Result<()> {
        let owners = self.ipam.lock().owners();
        owners.iter().filter(|owner| !alive(owner)).try_for_each(|owner| self.detach(owner))
    }

    /// The address `owner` holds.
    #[must_use]
    pub fn address_of(&self, owner: &str) -> Option<IpAddr> {
        self.ipam.lock().address_of(owner)
    }

    /// Makes the routes to other nodes' pod ranges exactly these (range, node address). A node that
    /// is not adjacent is left to the routes that are there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_node_routes(&self, nodes: &[(IpNet, IpAddr)]) -> Result<()> {
        let config = &self.config;
        netns::run_in(config.node_netns.as_deref(), || {
            let mut links = LinkSocket::open()?;
            let wanted = |route: &Route| {
                nodes
                    .iter()
                    .any(|(range, via)| route.destination == *range && route.gateway == Some(*via))
            };
            for route in links.routes()? {
                let ours = route.gateway.is_some()
                    && config.cluster_cidr.contains(&route.destination)
                    && route.destination != config.cluster_cidr;
                if ours && !wanted(&route) {
                    links.delete_route(&route)?;
                }
            }
            for (range, via) in nodes {
                let route = Route { destination: *range, gateway: Some(*via), link: None };
                match links.add_route(&route) {
                    // No link leads to the gateway itself.
                    Err(e) if matches!(e.errno(), Some(libc::EINVAL | libc::ENETUNREACH)) => {}
                    result => result?,
                }
            }
            Ok(())
        })
    }

    /// Removes the bridge, the rules and every address.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn destroy(&self) -> Result<()> {
        *self.destroyed.lock() = true;
        self.retain(|_| false)?;
        netns::run_in(self.config.node_netns.as_deref(), || {
            LinkSocket::open()?.delete(&self.config.bridge)?;
            rules::remove(&self.config.bridge)
        })
    }
}

fn veth_name(owner: &str) -> String {
    format!("cxv{:08x}", fnv(owner))
}

pub(super) fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

pub(super) fn stable_mac(name: &str) -> [u8; 6] {
    let [a, b, c, d] = fnv(name).to_be_bytes();
    [0x02, 0x58, a, b, c, d]
}

fn pod_mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [0x0a, 0x58, a, b, c, d]
        }
        IpAddr::V6(v6) => stable_mac(&v6.to_string()),
    }
}

pub(super) fn prefixed(address: IpAddr, prefix: u8) -> Result<IpNet> {
    IpNet::new(address, prefix).map_err(|error| Error::Invalid(format!("{address}: {error}")))
}

pub(super) fn index_of(name: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(name)
        .map_err(|error| Error::io(format!("find link {name}"))(error.into()))
}

pub(super) fn sysctl(name: &str, value: &str) -> Result<()> {
    std::fs::write(format!("/proc/sys/{name}"), value)
        .map_err(Error::io(format!("set sysctl {name}")))
}
