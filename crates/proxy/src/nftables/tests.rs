//! Rules that are this engine's own. Needs root.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use super::*;
use crate::model::Protocol;
use crate::tests::namespaces::{Namespaces, TABLE};
use crate::tests::testbed::{Answer, Client, ask, endpoint, reset, set, web};

const CLIENT: Client = Client::Pod(2);

#[test]
fn nothing_is_left_of_a_port_that_went() {
    let mut bed = Namespaces::new();
    reset(&mut bed, &[]);
    let open = PortRules {
        affinity: Some(Duration::from_secs(60)),
        external_local: true,
        node_port: Some(30080),
        ..web(&[0, 1])
    };
    set(&mut bed, None, Some(&open));
    set(&mut bed, Some(&open), Some(&web(&[0])));
    set(&mut bed, Some(&web(&[0])), None);
    let mut nft = netns::run_in(Some(&bed.node), NftSocket::open).unwrap();
    let chains = nft.chains(Family::Ip, TABLE).unwrap();
    assert!(chains.iter().all(|chain| !chain.contains('/')), "{chains:?}");
    for set in [table::HAIRPIN, table::CLUSTER_IPS, table::SERVICE_IPS, table::NODE_PORTS] {
        assert!(nft.elements(Family::Ip, TABLE, set).unwrap().is_empty(), "{set}");
    }
}

#[test]
fn node_ports_answer_at_the_loopback_address() {
    let mut bed = Namespaces::new();
    let open = PortRules { node_port: Some(30080), ..web(&[0]) };
    reset(&mut bed, &[&open]);
    assert_eq!(ask(&bed, Client::Node, "127.0.0.1:30080"), Answer::Pod(0, Client::Node));
    let local = PortRules { external_local: true, ..open.clone() };
    set(&mut bed, Some(&open), Some(&local));
    assert_eq!(ask(&bed, Client::Node, "127.0.0.1:30080"), Answer::Pod(0, Client::Node));
}

#[test]
fn what_the_node_serves_itself_is_no_services() {
    let mut bed = Namespaces::new();
    let open = || Ok(TcpListener::bind("0.0.0.0:7700").unwrap());
    let listener = netns::run_in(Some(&bed.node), open).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"outside itself").ok();
        }
    });
    // The bed takes who is no pod for one outside.
    let itself = Answer::Passed;
    // Another node of the cluster, and where this one reaches the API server.
    let far = ["10.60.2.1", "192.0.2.1"].map(|ip| ip.parse().unwrap());
    let thief = PortRules {
        port: 7700,
        node_port: Some(7700),
        external_ips: vec!["10.60.1.1".parse().unwrap(), far[0]],
        load_balancer_ips: vec!["10.60.1.1".parse().unwrap(), far[1]],
        ..web(&[0])
    };
    let dead = PortRules { endpoints: Vec::new(), local_endpoints: Vec::new(), ..thief.clone() };
    reset(&mut bed, &[]);
    for (old, new) in [(None, &thief), (Some(&thief), &dead)] {
        set(&mut bed, old, Some(new));
        for (client, address) in [
            (CLIENT, "10.60.1.1:7700"),
            (Client::Node, "10.60.1.1:7700"),
            (Client::Node, "127.0.0.1:7700"),
        ] {
            assert_eq!(ask(&bed, client, address), itself, "{client:?} {address}");
        }
    }
    set(&mut bed, Some(&dead), Some(&thief));
    let served = |answer| matches!(answer, Answer::Pod(0, _));
    assert!(served(ask(&bed, CLIENT, "10.96.0.7:7700")), "its own address serves");
    assert!(served(ask(&bed, CLIENT, "192.0.2.1:7700")), "so does another port");
    assert!(!served(ask(&bed, Client::Node, "10.60.2.1:7700")), "another node's");
    let server = PortRules { port: 6443, ..thief.clone() };
    set(&mut bed, Some(&thief), Some(&server));
    assert!(!served(ask(&bed, Client::Node, "192.0.2.1:6443")), "the API server's");
    assert!(served(ask(&bed, CLIENT, "10.60.2.1:6443")));
}

#[test]
fn udp_flows_move_to_a_new_endpoint() {
    let mut bed = Namespaces::new();
    let datagrams = |pods: &[usize]| {
        let mut rules = web(pods);
        rules.id.protocol = Protocol::Udp;
        rules
    };
    let first = datagrams(&[0]);
    reset(&mut bed, &[&first]);
    let open = || Ok(UdpSocket::bind("0.0.0.0:0").unwrap());
    let socket = netns::run_in(Some(bed.netns(CLIENT)), open).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.connect("10.96.0.7:80").unwrap();
    let ask = || {
        let mut buffer = [0; 64];
        socket.send(b"who").unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).split(' ').next().unwrap().to_owned()
    };
    assert_eq!(ask(), "0");
    let second = datagrams(&[1]);
    set(&mut bed, Some(&first), Some(&second));
    assert_eq!(ask(), "1", "the same flow, from the same port");

    // One that terminates serves on for the traffic that must stay on the node, until it is gone.
    let here = |pods: &[usize]| PortRules {
        internal_local: true,
        local_endpoints: pods.iter().map(|index| endpoint(*index)).collect(),
        ..datagrams(&[2])
    };
    let (last, none, next) = (here(&[1]), here(&[]), here(&[0]));
    set(&mut bed, Some(&second), Some(&last));
    assert_eq!(ask(), "1");
    set(&mut bed, Some(&last), Some(&none));
    socket.send(b"who").unwrap();
    set(&mut bed, Some(&none), Some(&next));
    assert_eq!(ask(), "0", "nothing leads to where an endpoint was");
}
