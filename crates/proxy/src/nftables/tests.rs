//! Services between pods in network namespaces. Needs root.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use network::link::{LinkSocket, Route};
use network::pod::{PodNetwork, PodNetworkConfig};

use super::*;

const SERVICE: &str = "10.96.0.7";
const PATIENCE: Duration = Duration::from_secs(5);

/// A node with three pods, as namespaces that end with the test.
struct Lab {
    node: PathBuf,
    pods: Vec<(PathBuf, IpAddr)>,
    backend: Nftables,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let namespace = |name: &str| {
            let path = dir.path().join(name);
            netns::create(&path).unwrap();
            path
        };
        let node = namespace("node");
        let cluster_cidr = "10.60.0.0/16".parse().unwrap();
        let network = PodNetwork::open(PodNetworkConfig {
            bridge: "cxsproxy".into(),
            node_netns: Some(node.clone()),
            state_dir: dir.path().join("network"),
            pod_cidr: "10.60.1.0/24".parse().unwrap(),
            cluster_cidr,
            own_ports: Vec::new(),
            mtu: 1500,
        })
        .unwrap();
        let pods = ["a", "b", "c"].map(|name| {
            let path = namespace(name);
            let address = network.attach(name, &path, &[]).unwrap();
            (path, address)
        });
        netns::run_in(Some(&node), || {
            let mut links = LinkSocket::open()?;
            let lo = links.link("lo")?.unwrap().index;
            links.set_up(lo)?;
            // A machine has a default route; this one leads nowhere.
            let bridge = links.link("cxsproxy")?.unwrap().index;
            let gateway = Some("10.60.1.250".parse().unwrap());
            let destination = "0.0.0.0/0".parse().unwrap();
            links.add_route(&Route { destination, gateway, link: Some(bridge) })
        })
        .unwrap();
        let kept = Kept {
            cluster_cidr,
            own_ports: vec![7700],
            api_server: Some("192.0.2.1:6443".parse().unwrap()),
        };
        let mut backend = Nftables::open("test".into(), Some(node.clone()), kept).unwrap();
        backend.reset(&[]).unwrap();
        Self { node, pods: pods.into(), backend, _dir: dir }
    }

    fn pod(&self, index: usize) -> &Path {
        &self.pods[index].0
    }

    fn endpoint(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.pods[index].1, 8080)
    }

    fn set(&mut self, old: Option<&PortRules>, new: Option<&PortRules>) {
        let wrap = |rules: Option<&PortRules>| rules.cloned().map(Arc::new);
        self.backend.apply(&[Change { old: wrap(old), new: wrap(new) }]).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for path in self.pods.iter().map(|(path, _)| path).chain([&self.node]) {
            netns::unpin(path).unwrap();
        }
    }
}

fn rules(protocol: Protocol, endpoints: &[SocketAddr]) -> PortRules {
    PortRules {
        id: PortId {
            namespace: "ns".into(),
            service: "web".into(),
            port: "http".into(),
            protocol,
            ipv6: false,
        },
        port: 80,
        cluster_ips: vec![SERVICE.parse().unwrap()],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        node_port: None,
        internal_local: false,
        external_local: false,
        affinity: None,
        endpoints: endpoints.to_vec(),
        local_endpoints: endpoints.to_vec(),
        ready_here: endpoints.len(),
    }
}

/// Answers every connection with the pod's name and the client's address, for the test's life.
fn serve(netns: &Path, name: &'static str) {
    let open = || Ok(TcpListener::bind("0.0.0.0:8080").unwrap());
    let listener = netns::run_in(Some(netns), open).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            stream.write_all(format!("{name} {peer}").as_bytes()).ok();
        }
    });
}

fn get(netns: &Path, address: &str) -> std::io::Result<String> {
    let connect = || {
        Ok(TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE).and_then(
            |mut stream| {
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                Ok(text)
            },
        ))
    };
    netns::run_in(Some(netns), connect).unwrap()
}

fn seen(netns: &Path, address: &str, times: usize) -> BTreeSet<String> {
    (0..times).map(|_| get(netns, address).unwrap()).collect()
}

#[test]
fn connections_spread_over_endpoints_and_follow_changes() {
    let mut lab = Lab::new();
    serve(lab.pod(0), "a");
    serve(lab.pod(1), "b");
    let both = rules(Protocol::Tcp, &[lab.endpoint(0), lab.endpoint(1)]);
    lab.set(None, Some(&both));
    let client = lab.pods[2].1;
    let all = seen(lab.pod(2), "10.96.0.7:80", 40);
    let expected = BTreeSet::from([format!("a {client}"), format!("b {client}")]);
    assert_eq!(all, expected, "both answer, and see the client itself");

    for from in [lab.pod(2), &lab.node] {
        let error = get(from, "10.96.0.7:81").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "a port it does not serve: {error}");
    }

    // From the node, and from a pod to itself, the source changes so that the answer comes back.
    assert_eq!(seen(&lab.node.clone(), "10.96.0.7:80", 40).len(), 2);
    let one = rules(Protocol::Tcp, &[lab.endpoint(0)]);
    lab.set(Some(&both), Some(&one));
    assert_eq!(seen(lab.pod(2), "10.96.0.7:80", 20), BTreeSet::from([format!("a {client}")]));
    assert_eq!(get(lab.pod(0), "10.96.0.7:80").unwrap(), "a 10.60.1.1");

    let none = rules(Protocol::Tcp, &[]);
    lab.set(Some(&one), Some(&none));
    for from in [lab.pod(2).to_owned(), lab.node.clone()] {
        let error = get(&from, "10.96.0.7:80").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
    lab.set(Some(&none), None);
    let mut nft = netns::run_in(Some(&lab.node), NftSocket::open).unwrap();
    let chains = nft.chains(Family::Ip, "test").unwrap();
    assert!(chains.iter().all(|chain| !chain.contains('/')), "{chains:?}");
    for set in [table::HAIRPIN, table::CLUSTER_IPS] {
        assert!(nft.elements(Family::Ip, "test", set).unwrap().is_empty(), "{set}");
    }
}

#[test]
fn node_ports_work_from_everywhere_and_local_ones_keep_the_source() {
    let mut lab = Lab::new();
    serve(lab.pod(0), "a");
    let mut open = rules(Protocol::Tcp, &[lab.endpoint(0)]);
    open.node_port = Some(30080);
    open.external_ips = vec!["192.0.2.9".parse().unwrap()];
    lab.set(None, Some(&open));
    let node = lab.node.clone();
    for (from, address) in [
        (lab.pod(2), "10.60.1.1:30080"),
        (lab.pod(0), "10.60.1.1:30080"),
        (&node, "10.60.1.1:30080"),
        (&node, "127.0.0.1:30080"),
        (lab.pod(2), "192.0.2.9:80"),
    ] {
        assert_eq!(get(from, address).unwrap(), "a 10.60.1.1", "{} {address}", from.display());
    }
    let mut local = open.clone();
    local.external_local = true;
    lab.set(Some(&open), Some(&local));
    let client = lab.pods[2].1;
    assert_eq!(get(lab.pod(2), "10.60.1.1:30080").unwrap(), format!("a {client}"));
    assert_eq!(get(&node, "127.0.0.1:30080").unwrap(), "a 10.60.1.1");

    // A second service with the same external address must not take the first one down.
    let mut thief = open.clone();
    thief.id.service = "thief".into();
    (thief.node_port, thief.cluster_ips) = (Some(30080), vec!["10.96.0.8".parse().unwrap()]);
    lab.set(None, Some(&thief));
    assert!(get(lab.pod(2), "192.0.2.9:80").is_ok());
    lab.set(Some(&thief), None);
    assert!(get(lab.pod(2), "192.0.2.9:80").is_ok());
}

#[test]
fn what_the_node_serves_itself_is_no_services() {
    let mut lab = Lab::new();
    serve(lab.pod(0), "a");
    let open = || Ok(TcpListener::bind("0.0.0.0:7700").unwrap());
    let listener = netns::run_in(Some(&lab.node), open).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"node").ok();
        }
    });
    // Another node of the cluster, and where this one reaches the API server.
    let far = ["10.60.2.1", "192.0.2.1"].map(|ip| ip.parse().unwrap());
    let mut thief = rules(Protocol::Tcp, &[lab.endpoint(0)]);
    (thief.port, thief.node_port) = (7700, Some(7700));
    thief.external_ips = vec!["10.60.1.1".parse().unwrap(), far[0]];
    thief.load_balancer_ips = vec!["10.60.1.1".parse().unwrap(), far[1]];
    let mut dead = thief.clone();
    (dead.endpoints, dead.local_endpoints) = (Vec::new(), Vec::new());
    let node = lab.node.clone();
    for (old, new) in [(None, &thief), (Some(&thief), &dead)] {
        lab.set(old, Some(new));
        for (from, address) in
            [(lab.pod(2), "10.60.1.1:7700"), (&node, "10.60.1.1:7700"), (&node, "127.0.0.1:7700")]
        {
            assert_eq!(get(from, address).unwrap(), "node", "{} {address}", from.display());
        }
    }
    lab.set(Some(&dead), Some(&thief));
    assert!(get(lab.pod(2), "10.96.0.7:7700").unwrap().starts_with('a'), "its own address serves");
    assert!(get(lab.pod(2), "192.0.2.1:7700").unwrap().starts_with('a'), "so does another port");
    assert!(connects_nowhere(&node, "10.60.2.1:7700"), "another node's");
    let mut server = thief.clone();
    server.port = 6443;
    lab.set(Some(&thief), Some(&server));
    assert!(connects_nowhere(&node, "192.0.2.1:6443"), "the API server's");
    assert!(get(lab.pod(2), "10.60.2.1:6443").unwrap().starts_with('a'));
}

/// True if no one answers.
fn connects_nowhere(netns: &Path, address: &str) -> bool {
    let patience = Duration::from_millis(500);
    let connect = || Ok(TcpStream::connect_timeout(&address.parse().unwrap(), patience).is_err());
    netns::run_in(Some(netns), connect).unwrap()
}

#[test]
fn clients_with_affinity_stick() {
    let mut lab = Lab::new();
    serve(lab.pod(0), "a");
    serve(lab.pod(1), "b");
    let mut sticky = rules(Protocol::Tcp, &[lab.endpoint(0), lab.endpoint(1)]);
    sticky.affinity = Some(Duration::from_secs(60));
    lab.set(None, Some(&sticky));
    let first = seen(lab.pod(2), "10.96.0.7:80", 20);
    assert_eq!(first.len(), 1, "{first:?}");

    // The endpoint it stuck to goes: the client gets the other one.
    let (kept, other) =
        if first.iter().any(|text| text.starts_with('a')) { (1, "b") } else { (0, "a") };
    let mut rest = sticky.clone();
    rest.endpoints = vec![lab.endpoint(kept)];
    lab.set(Some(&sticky), Some(&rest));
    assert!(get(lab.pod(2), "10.96.0.7:80").unwrap().starts_with(other));
}

#[test]
fn udp_flows_move_to_a_new_endpoint() {
    let mut lab = Lab::new();
    for (index, name) in [(0, "a"), (1, "b")] {
        let open = || Ok(UdpSocket::bind("0.0.0.0:8080").unwrap());
        let socket = netns::run_in(Some(lab.pod(index)), open).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                socket.send_to(name.as_bytes(), peer).ok();
            }
        });
    }
    let first = rules(Protocol::Udp, &[lab.endpoint(0)]);
    lab.set(None, Some(&first));
    let open = || Ok(UdpSocket::bind("0.0.0.0:0").unwrap());
    let socket = netns::run_in(Some(lab.pod(2)), open).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect("10.96.0.7:80").unwrap();
    let ask = || {
        let mut buffer = [0; 64];
        socket.send(b"who").unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(ask(), "a");
    let second = rules(Protocol::Udp, &[lab.endpoint(1)]);
    lab.set(Some(&first), Some(&second));
    assert_eq!(ask(), "b", "the same flow, from the same port");

    // One that terminates serves on for the traffic that must stay on the node, until it is gone.
    let [a, b, elsewhere] = [0, 1, 2].map(|index| lab.endpoint(index));
    let here = |endpoints: &[SocketAddr]| PortRules {
        internal_local: true,
        local_endpoints: endpoints.to_vec(),
        ..rules(Protocol::Udp, &[elsewhere])
    };
    let (last, none, next) = (here(&[b]), here(&[]), here(&[a]));
    lab.set(Some(&second), Some(&last));
    assert_eq!(ask(), "b");
    lab.set(Some(&last), Some(&none));
    socket.send(b"who").unwrap();
    lab.set(Some(&none), Some(&next));
    assert_eq!(ask(), "a", "nothing leads to where an endpoint was");
}

#[test]
fn nothing_leaves_for_an_address_that_no_service_has() {
    let mut lab = Lab::new();
    serve(lab.pod(0), "a");
    lab.set(None, Some(&rules(Protocol::Tcp, &[lab.endpoint(0)])));
    let send = |lab: &Lab| {
        let send = || Ok(UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", "10.96.0.99:53"));
        netns::run_in(Some(&lab.node), send).unwrap()
    };
    send(&lab).unwrap();
    lab.backend.set_service_ranges(&["10.96.0.0/16".parse().unwrap()]).unwrap();
    assert_eq!(send(&lab).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    assert!(get(lab.pod(2), "10.96.0.7:80").unwrap().starts_with('a'));
    // A table that is made anew has them too.
    lab.backend.reset(&[]).unwrap();
    assert!(send(&lab).is_err());
    lab.backend.set_service_ranges(&[]).unwrap();
    send(&lab).unwrap();
}
