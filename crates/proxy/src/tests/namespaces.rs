//! nf_tables between network namespaces: a node, its pods, and a machine outside. Needs root.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use ipnet::IpNet;
use network::link::{LinkSocket, Peer, Route};
use network::netns;
use network::nft::{Batch, ChainType, Family, Hook, NftSocket, PRIORITY_DSTNAT, Rule};
use network::pod::{PodNetwork, PodNetworkConfig};

use super::testbed::{Answer, CLUSTER, Client, NODE, OUTSIDE, PODS, Testbed, ip, pod};
use crate::backend::Backend;
use crate::model::Protocol;
use crate::nftables::{Kept, Nftables};

pub(crate) const TABLE: &str = "test";
/// Where a pod answers.
const PORT: u16 = 8080;
/// Where the machine outside answers whatever it is sent.
const DISCARD: u16 = 9;
/// The node's addresses on the link to the machine outside.
const UPLINK: [&str; 2] = ["198.51.100.1", "fd00:99::1"];
/// So long nobody answers who is taken for nobody: more than the second after which a lost packet
/// is sent again.
const SILENCE: Duration = Duration::from_millis(1500);

/// The namespaces, which end with the test.
pub(crate) struct Namespaces {
    pub(crate) node: PathBuf,
    pub(crate) pods: Vec<PathBuf>,
    outside: PathBuf,
    pub(crate) engine: Nftables,
    reached: Once,
    _dir: tempfile::TempDir,
}

fn net(address: &str, prefix: u8) -> IpNet {
    IpNet::new(ip(address), prefix).unwrap()
}

fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> T {
    netns::run_in(Some(netns), || Ok(work())).unwrap()
}

/// Gives a link addresses and default routes by a gateway in each family.
fn address(link: &str, addresses: &[IpNet], gateways: &[&str]) {
    let mut links = LinkSocket::open().unwrap();
    let index = links.link(link).unwrap().unwrap().index;
    links.set_up(index).unwrap();
    for address in addresses {
        links.add_address(index, *address).unwrap();
    }
    for gateway in gateways.iter().map(|gateway| ip(gateway)) {
        let (whole, any) = if gateway.is_ipv6() { (128, "::") } else { (32, "0.0.0.0") };
        let direct = IpNet::new(gateway, whole).unwrap();
        links.add_route(&Route { destination: direct, gateway: None, link: Some(index) }).unwrap();
        let route = Route { destination: net(any, 0), gateway: Some(gateway), link: Some(index) };
        links.add_route(&route).unwrap();
    }
}

/// Answers every connection and datagram with a name and its sender's address, for the life of the
/// process.
fn serve(netns: &Path, name: &'static str, port: u16) {
    let open =
        || (TcpListener::bind(("::", port)).unwrap(), UdpSocket::bind(("::", port)).unwrap());
    let (listener, socket) = inside(netns, open);
    let answer = move |peer: SocketAddr| format!("{name} {}", peer.ip().to_canonical());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(peer) = stream.peer_addr() else { continue };
            stream.write_all(answer(peer).as_bytes()).ok();
        }
    });
    std::thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
            socket.send_to(answer(peer).as_bytes(), peer).ok();
        }
    });
}

/// Makes the machine outside answer at every address and port.
fn answer_everywhere(outside: &Path) {
    inside(outside, || {
        let mut batch = Batch::new(Family::Ip, TABLE);
        for (family, address) in [(Family::Ip, OUTSIDE[0]), (Family::Ip6, OUTSIDE[1])] {
            batch.set_family(family);
            batch.add_table();
            batch.add_base_chain("in", ChainType::Nat, Hook::Prerouting, PRIORITY_DSTNAT);
            batch.add_rule("in", &Rule::new().dnat_to(ip(address), DISCARD));
        }
        NftSocket::open().unwrap().commit(batch).unwrap();
    });
    serve(outside, "outside", DISCARD);
}

impl Namespaces {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let namespace = |name: &str| {
            let path = dir.path().join(name);
            netns::create(&path).unwrap();
            path
        };
        let (node, outside) = (namespace("node"), namespace("outside"));
        let cluster_cidr = CLUSTER.parse().unwrap();
        let network = PodNetwork::open(PodNetworkConfig {
            bridge: "cxsproxy".into(),
            node_netns: Some(node.clone()),
            state_dir: dir.path().join("network"),
            pod_cidr: net(NODE[0], 24).trunc(),
            cluster_cidr,
            own_ports: Vec::new(),
            mtu: 1500,
        })
        .unwrap();
        let end = std::fs::File::open(&outside).unwrap();
        inside(&node, || {
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
            address("lo", &[], &[]);
            address("cxsproxy", &[net(NODE[1], 64)], &[]);
            let peer = Peer { name: "up", netns: end.as_raw_fd(), address: [2, 0, 0, 0, 0, 9] };
            LinkSocket::open().unwrap().add_veth("up", None, peer, 1500).unwrap();
        });
        inside(&outside, || {
            address("lo", &[], &[]);
            address("up", &[net(OUTSIDE[0], 24), net(OUTSIDE[1], 64)], &UPLINK);
        });
        inside(&node, || address("up", &[net(UPLINK[0], 24), net(UPLINK[1], 64)], &OUTSIDE));
        answer_everywhere(&outside);
        let pods = ["0", "1", "2"].into_iter().enumerate().map(|(index, name)| {
            let path = namespace(name);
            assert_eq!(network.attach(name, &path, &[]).unwrap(), pod(index, false));
            // By the node even to each other, as the answers to translated packets must go.
            let own = IpNet::new(pod(index, true), 128).unwrap();
            inside(&path, || address("eth0", &[own], &NODE[1..]));
            serve(&path, name, PORT);
            path
        });
        let pods: Vec<_> = pods.collect();
        assert_eq!(pods.len(), PODS);
        let kept = Kept {
            cluster_cidr,
            own_ports: vec![7700],
            api_server: Some("192.0.2.1:6443".parse().unwrap()),
        };
        let engine = Nftables::open(TABLE.into(), Some(node.clone()), kept).unwrap();
        Self { node, pods, outside, engine, reached: Once::new(), _dir: dir }
    }

    pub(crate) fn netns(&self, client: Client) -> &Path {
        match client {
            Client::Pod(index) => &self.pods[index],
            Client::Node => &self.node,
            Client::Outside => &self.outside,
        }
    }

    /// Waits until the links take IPv6, which they do not in their first second.
    fn wait_reached(&self) {
        let outside = SocketAddr::new(ip(OUTSIDE[1]), DISCARD);
        for pod in &self.pods {
            let reached = |_: &u32| inside(pod, || talk(Protocol::Tcp, outside)).is_ok();
            assert!((0..20).find(reached).is_some(), "the machine outside is not reached");
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for path in self.pods.iter().chain([&self.node, &self.outside]) {
            netns::unpin(path).ok();
        }
    }
}

/// Everything a server says to one who asks; the error where there is none.
fn talk(protocol: Protocol, to: SocketAddr) -> std::io::Result<String> {
    let mut text = String::new();
    if protocol == Protocol::Tcp {
        TcpStream::connect_timeout(&to, SILENCE)?.read_to_string(&mut text)?;
        return Ok(text);
    }
    let any = if to.is_ipv6() { "::" } else { "0.0.0.0" };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(SILENCE))?;
    socket.connect(to)?;
    socket.send(b"who")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn client(address: IpAddr) -> Client {
    let is = |text: &&str| ip(text) == address;
    if NODE.iter().chain(&UPLINK).any(is) {
        return Client::Node;
    }
    if OUTSIDE.iter().any(is) {
        return Client::Outside;
    }
    let of_pod = |index: &usize| [false, true].iter().any(|ipv6| pod(*index, *ipv6) == address);
    Client::Pod((0..PODS).find(of_pod).unwrap_or_else(|| panic!("nobody has {address}")))
}

impl Testbed for Namespaces {
    fn backend(&mut self) -> &mut dyn Backend {
        &mut self.engine
    }

    fn ask(&self, from: Client, protocol: Protocol, to: SocketAddr) -> Answer {
        if to.is_ipv6() {
            self.reached.call_once(|| self.wait_reached());
        }
        match inside(self.netns(from), || talk(protocol, to)) {
            Ok(text) => match text.split_once(' ') {
                Some(("outside", _)) => Answer::Passed,
                Some((name, seen)) => Answer::Pod(name.parse().unwrap(), client(ip(seen))),
                None => panic!("{to} says {text:?}"),
            },
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => Answer::Refused,
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Answer::Dropped,
                _ => panic!("{from:?} to {to}: {error}"),
            },
        }
    }

    fn disturb(&mut self) {
        let mut batch = Batch::new(Family::Ip, TABLE);
        batch.delete_table();
        inside(&self.node, || NftSocket::open().unwrap().commit(batch).unwrap());
    }
}
