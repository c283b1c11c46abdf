//! The pod network in network namespaces of its own. Needs root.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use network::link::{LinkSocket, Route};
use network::netns;
use network::nft::{Batch, Family, Monitor, NftSocket};
use network::pod::{HostPort, PodNetwork, PodNetworkConfig, Transport};

/// Ports that nodes serve themselves.
const OWN_PORTS: [u16; 2] = [7700, 10250];

/// Two nodes joined by a veth pair, as namespaces that end with the test.
struct Lab {
    dir: tempfile::TempDir,
    pins: Vec<PathBuf>,
}

impl Lab {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        Self { dir: tempfile::tempdir().unwrap(), pins: Vec::new() }
    }

    fn namespace(&mut self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        netns::create(&path).unwrap();
        self.pins.push(path.clone());
        path
    }

    fn node(&self, netns: &Path, range: &str) -> PodNetwork {
        PodNetwork::open(PodNetworkConfig {
            bridge: "cxstest".into(),
            node_netns: Some(netns.to_owned()),
            state_dir: self.dir.path().join(range.replace('/', "-")),
            pod_cidr: range.parse().unwrap(),
            cluster_cidr: "10.50.0.0/16".parse().unwrap(),
            own_ports: OWN_PORTS.to_vec(),
            mtu: 1500,
        })
        .unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.pins.iter().for_each(|pin| netns::unpin(pin).unwrap());
    }
}

/// Serves one connection in a namespace and returns the peer's address.
fn serve(netns: &Path, port: u16) -> std::thread::JoinHandle<IpAddr> {
    let open = || Ok(TcpListener::bind(("0.0.0.0", port)).unwrap());
    let listener = netns::run_in(Some(netns), open).unwrap();
    std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        peer.ip()
    })
}

fn get(netns: &Path, address: IpAddr, port: u16) -> String {
    netns::run_in(Some(netns), || {
        let timeout = std::time::Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&(address, port).into(), timeout).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Ok(text)
    })
    .unwrap()
}

#[test]
fn pods_host_ports_and_teardown() {
    let mut lab = Lab::new();
    let (node, a, b) = (lab.namespace("node"), lab.namespace("a"), lab.namespace("b"));
    netns::run_in(Some(&node), || {
        let mut links = LinkSocket::open()?;
        let index = links.link("lo")?.unwrap().index;
        links.set_up(index)
    })
    .unwrap();
    let network = lab.node(&node, "10.50.1.0/24");
    let port = HostPort { transport: Transport::Tcp, host_ip: None, host_port: 8080, pod_port: 80 };
    let started = std::time::Instant::now();
    let ip_a = network.attach("pod-a", &a, &[port]).unwrap();
    eprintln!("attach took {:?}", started.elapsed());
    let ip_b = network.attach("pod-b", &b, &[]).unwrap();
    assert_ne!(ip_a, ip_b);

    // Pod to pod keeps the source address.
    let server = serve(&a, 80);
    assert_eq!(get(&b, ip_a, 80), "hello");
    assert_eq!(server.join().unwrap(), ip_b);

    // The node reaches the pod by its host port, on loopback too; so do other pods and the pod.
    for (from, address) in [
        (&node, network.gateway()),
        (&node, "127.0.0.1".parse().unwrap()),
        (&b, network.gateway()),
        (&a, network.gateway()),
    ] {
        let server = serve(&a, 80);
        assert_eq!(get(from, address, 8080), "hello", "from {} to {address}", from.display());
        server.join().unwrap();
    }

    network.detach("pod-a").unwrap();
    network.detach("pod-a").unwrap();
    netns::run_in(Some(&node), || {
        let mut nft = NftSocket::open()?;
        assert!(nft.elements(Family::Ip, "cxstest", "host-ports")?.is_empty());
        Ok(())
    })
    .unwrap();
    network.destroy().unwrap();
    netns::run_in(Some(&node), || {
        let names: Vec<_> = LinkSocket::open()?.links()?.into_iter().map(|l| l.name).collect();
        assert!(!names.iter().any(|name| name.starts_with("cx")), "{names:?}");
        assert!(!NftSocket::open()?.has_table(Family::Ip, "cxstest")?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_nodes_own_ports_lead_to_no_pod() {
    let mut lab = Lab::new();
    let (node, a) = (lab.namespace("node"), lab.namespace("a"));
    netns::run_in(Some(&node), || {
        let mut links = LinkSocket::open()?;
        let index = links.link("lo")?.unwrap().index;
        links.set_up(index)
    })
    .unwrap();
    let network = lab.node(&node, "10.50.1.0/24");
    let address = network.gateway();
    let port = |host_ip, host_port| HostPort {
        transport: Transport::Tcp,
        host_ip,
        host_port,
        pod_port: 80,
    };
    let ports = [port(None, OWN_PORTS[0]), port(Some(address), OWN_PORTS[1]), port(None, 8080)];
    let pod = network.attach("pod-a", &a, &ports).unwrap();
    // Another cluster of the machine, whose pod has the ports too.
    let other = PodNetwork::open(PodNetworkConfig {
        bridge: "cxsother".into(),
        node_netns: Some(node.clone()),
        state_dir: lab.dir.path().join("other"),
        pod_cidr: "10.51.1.0/24".parse().unwrap(),
        cluster_cidr: "10.51.0.0/16".parse().unwrap(),
        own_ports: Vec::new(),
        mtu: 1500,
    })
    .unwrap();
    let b = lab.namespace("b");
    other.attach("pod-b", &b, &OWN_PORTS.map(|own| port(None, own))).unwrap();
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    for own in OWN_PORTS {
        for (from, to, seen) in
            [(&node, loopback, loopback), (&node, address, address), (&a, address, pod)]
        {
            let server = serve(&node, own);
            assert_eq!(get(from, to, own), "hello", "from {} to {to}:{own}", from.display());
            assert_eq!(server.join().unwrap(), seen, "the node itself answers");
        }
    }
    let server = serve(&a, 80);
    assert_eq!(get(&node, loopback, 8080), "hello", "other ports lead there still");
    server.join().unwrap();
    network.destroy().unwrap();
    other.destroy().unwrap();
}

#[test]
fn nodes_route_to_each_others_pods() {
    let mut lab = Lab::new();
    let (one, two) = (lab.namespace("one"), lab.namespace("two"));
    let (a, b) = (lab.namespace("a"), lab.namespace("b"));
    let ends = [(&one, "192.0.2.1/24"), (&two, "192.0.2.2/24")];
    let far = std::fs::File::open(&two).unwrap();
    netns::run_in(Some(&one), || {
        let netns = std::os::fd::AsRawFd::as_raw_fd(&far);
        let peer = network::link::Peer { name: "wire", netns, address: [2, 0, 0, 0, 0, 9] };
        LinkSocket::open()?.add_veth("wire", None, peer, 1500)
    })
    .unwrap();
    for (netns, address) in ends {
        netns::run_in(Some(netns), || {
            let mut links = LinkSocket::open()?;
            let index = links.link("wire")?.unwrap().index;
            links.set_up(index)?;
            links.add_address(index, address.parse().unwrap())
        })
        .unwrap();
    }
    let (first, second) = (lab.node(&one, "10.50.1.0/24"), lab.node(&two, "10.50.2.0/24"));
    let (ip_one, ip_two): (IpAddr, IpAddr) =
        ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    first.set_node_routes(&[(second.pod_cidr(), ip_two)]).unwrap();
    second.set_node_routes(&[(first.pod_cidr(), ip_one)]).unwrap();
    let ip_a = first.attach("a", &a, &[]).unwrap();
    let ip_b = second.attach("b", &b, &[]).unwrap();
    let server = serve(&b, 80);
    assert_eq!(get(&a, ip_b, 80), "hello");
    assert_eq!(server.join().unwrap(), ip_a, "no masquerading within the cluster");

    // A pod that talks to the world outside the cluster's range takes its node's address.
    let server = serve(&two, 81);
    assert_eq!(get(&a, ip_two, 81), "hello");
    assert_eq!(server.join().unwrap(), ip_one);

    first.set_node_routes(&[]).unwrap();
    let routes = netns::run_in(Some(&one), || LinkSocket::open()?.routes()).unwrap();
    let gone = |route: &Route| route.destination != second.pod_cidr();
    assert!(routes.iter().all(gone), "{routes:?}");
}

#[tokio::test]
async fn a_foreign_flush_is_noticed_and_our_own_changes_are_not() {
    let mut lab = Lab::new();
    let node = lab.namespace("node");
    let mut nft = netns::run_in(Some(&node), NftSocket::open).unwrap();
    let handle = tokio::runtime::Handle::current();
    let own = nft.port().unwrap();
    let mut monitor = netns::run_in(Some(&node), || {
        let _inside = handle.enter();
        Monitor::open("mine", own)
    })
    .unwrap();
    for delete in [false, true] {
        let mut batch = Batch::new(Family::Ip, "mine");
        batch.add_table();
        batch.add_chain("c");
        if delete {
            batch.delete_chain("c");
        }
        nft.commit(batch).unwrap();
    }
    let foreign = std::process::Command::new("nsenter")
        .arg(format!("--net={}", node.display()))
        .args(["nft", "flush", "ruleset"])
        .status()
        .unwrap();
    assert!(foreign.success());
    let patience = std::time::Duration::from_secs(10);
    tokio::time::timeout(patience, monitor.disturbed()).await.unwrap().unwrap();
    assert!(!nft.has_table(Family::Ip, "mine").unwrap(), "the first notice is the flush");
}

#[tokio::test]
async fn what_is_done_to_the_bridge_is_noticed_and_pods_that_come_and_go_are_not() {
    let mut lab = Lab::new();
    let (node, a) = (lab.namespace("node"), lab.namespace("a"));
    let network = lab.node(&node, "10.50.1.0/24");
    let mut monitor = network.monitor().unwrap();
    network.attach("pod-a", &a, &[]).unwrap();
    network.detach("pod-a").unwrap();
    let moment = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(moment, monitor.disturbed()).await.is_err(), "pods are no news");
    assert!(!network.repair().unwrap());
    for how in [
        &["link", "set", "cxstest", "down"][..],
        &["address", "flush", "dev", "cxstest"],
        &["link", "delete", "cxstest"],
    ] {
        let ip = std::process::Command::new("nsenter")
            .arg(format!("--net={}", node.display()))
            .arg("ip")
            .args(how)
            .status()
            .unwrap();
        assert!(ip.success());
        let patience = std::time::Duration::from_secs(10);
        tokio::time::timeout(patience, monitor.disturbed()).await.unwrap().unwrap();
        assert!(network.repair().unwrap(), "after {how:?}");
        // A new bridge is told of once more.
        while tokio::time::timeout(moment, monitor.disturbed()).await.is_ok() {
            assert!(!network.repair().unwrap());
        }
    }
    network.destroy().unwrap();
}
