//! The rules that every engine keeps, by what clients see of it: another engine is one more module
//! in `tests/mod.rs`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fuzz::Random;

use super::testbed::{
    Answer, Client, SHOP, Testbed, WEB, answers, ask, change, endpoint, ip, pod, reset, rules, set,
    web,
};
use crate::model::{PortRules, Protocol};
use Answer::{Dropped, Passed, Refused};
use Client::{Node, Outside};

/// The pod that no service leads to.
const CLIENT: Client = Client::Pod(2);
/// So many connections find each of two or three endpoints, but for one case in a million.
const MANY: usize = 40;

/// The service `shop` at its IPv4 address, served by these pods.
fn shop(pods: &[usize]) -> PortRules {
    rules("shop", SHOP[0], &pods.iter().map(|index| endpoint(*index)).collect::<Vec<_>>())
}

pub(super) fn connections_spread_over_the_endpoints_of_their_port(bed: &mut dyn Testbed) {
    reset(bed, &[]);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Passed, "no port, no translation");
    set(bed, None, Some(&web(&[0, 1])));
    set(bed, None, Some(&shop(&[2])));
    for (client, seen) in [(CLIENT, CLIENT), (Node, Node), (Outside, Node)] {
        let both = BTreeSet::from([0, 1].map(|index| Answer::Pod(index, seen)));
        assert_eq!(answers(bed, client, "10.96.0.7:80", MANY), both, "{client:?}");
        assert_eq!(ask(bed, client, "10.96.0.7:81"), Refused, "a port that it does not serve");
    }
    assert_eq!(ask(bed, Node, "10.96.0.8:80"), Answer::Pod(2, Node));
    assert_eq!(ask(bed, Node, "10.96.0.9:80"), Passed, "nobody's address");
}

pub(super) fn endpoints_that_went_get_no_connections(bed: &mut dyn Testbed) {
    reset(bed, &[&web(&[0, 1])]);
    set(bed, Some(&web(&[0, 1])), Some(&web(&[1])));
    let one = BTreeSet::from([Answer::Pod(1, CLIENT)]);
    assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", MANY), one);
    set(bed, Some(&web(&[1])), Some(&web(&[])));
    for client in [CLIENT, Node, Outside] {
        assert_eq!(ask(bed, client, "10.96.0.7:80"), Refused, "{client:?}: no endpoint is left");
    }
    set(bed, Some(&web(&[])), Some(&web(&[0])));
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT));
    set(bed, Some(&web(&[0])), None);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Passed, "the port went");
}

pub(super) fn protocols_are_apart(bed: &mut dyn Testbed) {
    let mut datagrams = web(&[1]);
    datagrams.id.protocol = Protocol::Udp;
    reset(bed, &[&web(&[0]), &datagrams]);
    let address = SocketAddr::new(ip(WEB[0]), 80);
    let all =
        |bed: &dyn Testbed| [Protocol::Tcp, Protocol::Udp].map(|p| bed.ask(CLIENT, p, address));
    assert_eq!(all(bed), [0, 1].map(|index| Answer::Pod(index, CLIENT)));
    set(bed, Some(&web(&[0])), None);
    assert_eq!(all(bed), [Refused, Answer::Pod(1, CLIENT)]);
    let mut none = datagrams.clone();
    (none.endpoints, none.local_endpoints) = (Vec::new(), Vec::new());
    set(bed, Some(&datagrams), Some(&none));
    assert_eq!(all(bed), [Refused, Refused]);
}

pub(super) fn a_pod_reaches_itself_through_its_service(bed: &mut dyn Testbed) {
    reset(bed, &[&web(&[0])]);
    // It sees the node, by which the answer comes back.
    assert_eq!(ask(bed, Client::Pod(0), "10.96.0.7:80"), Answer::Pod(0, Node));
}

pub(super) fn node_ports_and_external_addresses_serve_everybody(bed: &mut dyn Testbed) {
    let open =
        PortRules { node_port: Some(30080), external_ips: vec![ip("192.0.2.9")], ..web(&[0]) };
    reset(bed, &[]);
    assert_eq!(ask(bed, Outside, "10.60.1.1:30080"), Refused, "nobody's node port");
    set(bed, None, Some(&open));
    for client in [CLIENT, Client::Pod(0), Node, Outside] {
        for address in ["10.60.1.1:30080", "192.0.2.9:80"] {
            let answer = ask(bed, client, address);
            assert_eq!(answer, Answer::Pod(0, Node), "{client:?} {address}");
        }
    }
    let none = PortRules { endpoints: Vec::new(), local_endpoints: Vec::new(), ..open.clone() };
    set(bed, Some(&open), Some(&none));
    for address in ["10.60.1.1:30080", "192.0.2.9:80"] {
        assert_eq!(ask(bed, Outside, address), Refused, "{address}");
    }
    set(bed, Some(&none), Some(&web(&[0])));
    assert_eq!(ask(bed, Outside, "10.60.1.1:30080"), Refused, "the node port went");
    assert_eq!(ask(bed, CLIENT, "192.0.2.9:80"), Passed, "the external address went");
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT));
}

pub(super) fn local_traffic_from_outside_stays_and_keeps_its_source(bed: &mut dyn Testbed) {
    let local = PortRules {
        node_port: Some(30080),
        external_local: true,
        local_endpoints: vec![endpoint(1)],
        ..web(&[0, 1])
    };
    reset(bed, &[&local]);
    let here = BTreeSet::from([Answer::Pod(1, Outside)]);
    assert_eq!(answers(bed, Outside, "10.60.1.1:30080", MANY), here);
    // Whoever is inside may go anywhere.
    for (client, seen) in [(CLIENT, CLIENT), (Node, Node)] {
        let both = BTreeSet::from([0, 1].map(|index| Answer::Pod(index, seen)));
        assert_eq!(answers(bed, client, "10.60.1.1:30080", MANY), both, "{client:?}");
    }
    let elsewhere = PortRules { local_endpoints: Vec::new(), ..local.clone() };
    set(bed, Some(&local), Some(&elsewhere));
    assert_eq!(ask(bed, Outside, "10.60.1.1:30080"), Dropped, "another node will answer");
    assert!(matches!(ask(bed, CLIENT, "10.60.1.1:30080"), Answer::Pod(..)));
}

pub(super) fn local_traffic_from_inside_stays(bed: &mut dyn Testbed) {
    let local =
        PortRules { internal_local: true, local_endpoints: vec![endpoint(1)], ..web(&[0, 1]) };
    reset(bed, &[&local]);
    let here = BTreeSet::from([Answer::Pod(1, CLIENT)]);
    assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", MANY), here);
    let elsewhere = PortRules { local_endpoints: Vec::new(), ..local.clone() };
    set(bed, Some(&local), Some(&elsewhere));
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Dropped, "the endpoints are on other nodes");
    let anywhere = PortRules { internal_local: false, ..elsewhere.clone() };
    set(bed, Some(&elsewhere), Some(&anywhere));
    assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", MANY).len(), 2);
}

pub(super) fn load_balancers_serve_their_source_ranges(bed: &mut dyn Testbed) {
    let balanced = |range: &str| PortRules {
        load_balancer_ips: vec![ip("192.0.2.10")],
        source_ranges: vec![range.parse().unwrap()],
        ..web(&[0])
    };
    let (theirs, others) = (balanced("198.51.100.0/24"), balanced("10.60.0.0/16"));
    reset(bed, &[&theirs]);
    assert_eq!(ask(bed, Outside, "192.0.2.10:80"), Answer::Pod(0, Node));
    set(bed, Some(&theirs), Some(&others));
    assert_eq!(ask(bed, Outside, "192.0.2.10:80"), Dropped);
    assert_eq!(ask(bed, CLIENT, "192.0.2.10:80"), Answer::Pod(0, Node));
    assert_eq!(ask(bed, Outside, "10.96.0.7:80"), Answer::Pod(0, Node), "its own address is open");
}

pub(super) fn clients_with_affinity_stick_until_their_endpoint_goes(bed: &mut dyn Testbed) {
    let sticky =
        |pods: &[usize]| PortRules { affinity: Some(Duration::from_secs(600)), ..web(pods) };
    reset(bed, &[&sticky(&[0, 1])]);
    let first = answers(bed, CLIENT, "10.96.0.7:80", MANY);
    let [Answer::Pod(chosen, _)] = first.into_iter().collect::<Vec<_>>()[..] else {
        panic!("the client got more than one endpoint, or none");
    };
    // The endpoint that it did not choose may come and go.
    let (mine, other) = (sticky(&[chosen]), sticky(&[1 - chosen]));
    set(bed, Some(&sticky(&[0, 1])), Some(&mine));
    set(bed, Some(&mine), Some(&sticky(&[0, 1])));
    let same = BTreeSet::from([Answer::Pod(chosen, CLIENT)]);
    assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", MANY), same);
    set(bed, Some(&sticky(&[0, 1])), Some(&other));
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(1 - chosen, CLIENT));
    // Without affinity every connection chooses.
    set(bed, Some(&other), Some(&web(&[0, 1])));
    assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", MANY).len(), 2);
}

pub(super) fn ipv6_is_served_beside_ipv4(bed: &mut dyn Testbed) {
    let six = |pods: &[usize]| {
        let endpoints = pods.iter().map(|index| SocketAddr::new(pod(*index, true), 8080));
        rules("web", WEB[1], &endpoints.collect::<Vec<_>>())
    };
    reset(bed, &[&web(&[0])]);
    assert_eq!(ask(bed, CLIENT, "[fd00:96::7]:80"), Passed);
    let open = PortRules { node_port: Some(30080), ..six(&[1]) };
    set(bed, None, Some(&open));
    assert_eq!(ask(bed, CLIENT, "[fd00:96::7]:80"), Answer::Pod(1, CLIENT));
    assert_eq!(ask(bed, Node, "[fd00:96::7]:80"), Answer::Pod(1, Node));
    assert_eq!(ask(bed, Outside, "[fd00:60::1]:30080"), Answer::Pod(1, Node));
    assert_eq!(ask(bed, CLIENT, "[fd00:96::7]:81"), Refused);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT), "the other family");
    assert_eq!(ask(bed, Outside, "10.60.1.1:30080"), Refused, "a node port of the other family");
    set(bed, Some(&open), Some(&six(&[])));
    assert_eq!(ask(bed, CLIENT, "[fd00:96::7]:80"), Refused);
    // Nothing of a family is left that no longer has ports.
    reset(bed, &[&web(&[0])]);
    assert_eq!(ask(bed, CLIENT, "[fd00:96::7]:80"), Passed);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT));
}

pub(super) fn an_address_stays_with_the_port_that_had_it_first(bed: &mut dyn Testbed) {
    let claim = |rules: PortRules| PortRules {
        external_ips: vec![ip("192.0.2.9")],
        node_port: Some(30080),
        ..rules
    };
    let (first, second) = (claim(web(&[0])), claim(shop(&[1])));
    reset(bed, &[]);
    set(bed, None, Some(&first));
    set(bed, None, Some(&second));
    let first_serves = |bed: &dyn Testbed| {
        for address in ["192.0.2.9:80", "10.60.1.1:30080"] {
            assert_eq!(ask(bed, Outside, address), Answer::Pod(0, Node), "{address}");
        }
    };
    first_serves(bed);
    assert_eq!(ask(bed, CLIENT, "10.96.0.8:80"), Answer::Pod(1, CLIENT), "its own address");
    set(bed, Some(&second), None);
    first_serves(bed);
}

pub(super) fn a_refused_change_takes_all_others_with_it(bed: &mut dyn Testbed) {
    let (before, after) = (web(&[0]), web(&[1]));
    let crooked = rules("crooked", "10.96.0.9", &[SocketAddr::new(pod(0, true), 8080)]);
    let six = rules("six", WEB[1], &[SocketAddr::new(pod(1, true), 8080)]);
    reset(bed, &[&before]);
    // Others first, others last, and one of the other family.
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let all = [
            change(Some(&before), Some(&after)),
            change(None, Some(&shop(&[1]))),
            change(None, Some(&six)),
            change(None, Some(&crooked)),
        ];
        let changes = order.map(|index| all[index].clone());
        assert!(bed.backend().apply(&changes).is_err(), "{order:?}");
        let same = BTreeSet::from([Answer::Pod(0, CLIENT)]);
        assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", 5), same, "{order:?}");
        for address in ["10.96.0.8:80", "10.96.0.9:80", "[fd00:96::7]:80"] {
            assert_eq!(ask(bed, CLIENT, address), Passed, "{order:?} {address}");
        }
    }
    // Nor does the engine believe that it did any of it.
    let good = [
        change(Some(&before), Some(&after)),
        change(None, Some(&shop(&[0]))),
        change(None, Some(&six)),
    ];
    bed.backend().apply(&good).unwrap();
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(1, CLIENT));
    assert_eq!(ask(bed, CLIENT, "10.96.0.8:80"), Answer::Pod(0, CLIENT));
    assert_eq!(ask(bed, Client::Pod(0), "10.96.0.8:80"), Answer::Pod(0, Node));
    assert_eq!(ask(bed, CLIENT, "[fd00:96::7]:80"), Answer::Pod(1, CLIENT));
    set(bed, Some(&after), None);
    set(bed, Some(&shop(&[0])), None);
    for address in ["10.96.0.7:80", "10.96.0.8:80"] {
        assert_eq!(ask(bed, CLIENT, address), Passed, "{address}");
    }
}

pub(super) fn changes_of_what_is_not_in_force_are_refused(bed: &mut dyn Testbed) {
    reset(bed, &[&web(&[0])]);
    for (old, new, why) in [
        (Some(web(&[1])), Some(web(&[2])), "the port has other rules"),
        (Some(web(&[1])), None, "the port has other rules"),
        (None, Some(web(&[1])), "the port is not new"),
        (Some(shop(&[0])), Some(shop(&[1])), "there is no such port"),
        (Some(shop(&[0])), None, "there is no such port"),
    ] {
        let result = bed.backend().apply(&[change(old.as_ref(), new.as_ref())]);
        assert!(result.is_err(), "{why}: {old:?} {new:?}");
    }
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT));
    assert_eq!(ask(bed, CLIENT, "10.96.0.8:80"), Passed);
    // Several changes of one port follow each other.
    let steps =
        [change(Some(&web(&[0])), Some(&web(&[2]))), change(Some(&web(&[2])), Some(&web(&[1])))];
    bed.backend().apply(&steps).unwrap();
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(1, CLIENT));
}

pub(super) fn reset_puts_these_ports_into_force_and_no_others(bed: &mut dyn Testbed) {
    reset(bed, &[]);
    let old = PortRules { node_port: Some(30080), ..web(&[0, 1]) };
    let six = rules("web", WEB[1], &[SocketAddr::new(pod(1, true), 8080)]);
    for rules in [&old, &six] {
        set(bed, None, Some(rules));
    }
    reset(bed, &[&shop(&[0])]);
    assert_eq!(ask(bed, CLIENT, "10.96.0.8:80"), Answer::Pod(0, CLIENT));
    for address in ["10.96.0.7:80", "[fd00:96::7]:80"] {
        assert_eq!(ask(bed, CLIENT, address), Passed, "{address}");
    }
    assert_eq!(ask(bed, Outside, "10.60.1.1:30080"), Refused);
    // The same port with other rules, and changes from there.
    reset(bed, &[&shop(&[1])]);
    assert_eq!(answers(bed, CLIENT, "10.96.0.8:80", 5), BTreeSet::from([Answer::Pod(1, CLIENT)]));
    set(bed, Some(&shop(&[1])), None);
    assert_eq!(ask(bed, CLIENT, "10.96.0.8:80"), Passed);
}

pub(super) fn reset_mends_what_others_did(bed: &mut dyn Testbed) {
    reset(bed, &[&web(&[0])]);
    bed.disturb();
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Passed);
    reset(bed, &[&web(&[0])]);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT));
    set(bed, Some(&web(&[0])), Some(&web(&[1])));
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(1, CLIENT));
}

/// Rules of one of four ports, by chance.
fn any_rules(random: &mut Random, number: usize) -> PortRules {
    let pods: Vec<usize> = (0..2).filter(|_| random.once_in(2)).collect();
    let own = rules(
        &format!("service-{number}"),
        &format!("10.96.0.{}", 10 + number),
        &pods.iter().map(|index| endpoint(*index)).collect::<Vec<_>>(),
    );
    PortRules {
        node_port: random.once_in(2).then_some(30080 + number as u16),
        external_ips: if random.once_in(2) {
            vec![ip(&format!("192.0.2.{}", 10 + number))]
        } else {
            Vec::new()
        },
        external_local: random.once_in(3),
        internal_local: random.once_in(3),
        ..own
    }
}

pub(super) fn apply_ends_where_reset_begins(bed: &mut dyn Testbed) {
    const PORTS: usize = 4;
    let mut random = Random::new(7);
    let probe = |bed: &dyn Testbed| -> Vec<BTreeSet<Answer>> {
        let of_port = |number: usize| {
            [
                (CLIENT, format!("10.96.0.{}:80", 10 + number)),
                (Node, format!("10.96.0.{}:81", 10 + number)),
                (Outside, format!("10.60.1.1:{}", 30080 + number)),
                (Client::Pod(0), format!("192.0.2.{}:80", 10 + number)),
            ]
        };
        let all = (0..PORTS).flat_map(of_port);
        all.map(|(client, to)| answers(bed, client, &to, MANY / 2)).collect()
    };
    reset(bed, &[]);
    let mut present: Vec<Option<PortRules>> = vec![None; PORTS];
    for _ in 0..4 {
        for _ in 0..5 {
            let number = random.below(PORTS);
            let new = (!random.once_in(4)).then(|| any_rules(&mut random, number));
            set(bed, present[number].as_ref(), new.as_ref());
            present[number] = new;
        }
        let applied = probe(bed);
        reset(bed, &present.iter().flatten().collect::<Vec<_>>());
        assert_eq!(applied, probe(bed), "{present:#?}");
    }
}

pub(super) fn the_same_again_changes_nothing(bed: &mut dyn Testbed) {
    let both = web(&[0, 1]);
    let ranges = ["10.96.0.0/16".parse().unwrap()];
    for _ in 0..2 {
        reset(bed, &[&both]);
        bed.backend().set_service_ranges(&ranges).unwrap();
    }
    for _ in 0..2 {
        set(bed, Some(&both), Some(&both));
        bed.backend().apply(&[]).unwrap();
        let expected = BTreeSet::from([0, 1].map(|index| Answer::Pod(index, CLIENT)));
        assert_eq!(answers(bed, CLIENT, "10.96.0.7:80", MANY), expected);
    }
    for _ in 0..2 {
        bed.backend().remove().unwrap();
        assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Passed);
    }
}

pub(super) fn nothing_leaves_for_an_address_that_no_service_has(bed: &mut dyn Testbed) {
    reset(bed, &[&web(&[0])]);
    let ranges = ["10.96.0.0/16".parse().unwrap()];
    bed.backend().set_service_ranges(&ranges).unwrap();
    for client in [CLIENT, Node] {
        assert_eq!(ask(bed, client, "10.96.0.99:80"), Dropped, "{client:?}");
    }
    assert_eq!(ask(bed, CLIENT, "10.97.0.99:80"), Passed, "outside the range");
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(0, CLIENT));
    // The ranges outlive the rules.
    reset(bed, &[&shop(&[0])]);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Dropped);
    set(bed, None, Some(&web(&[1])));
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(1, CLIENT));
    bed.backend().set_service_ranges(&[]).unwrap();
    assert_eq!(ask(bed, CLIENT, "10.96.0.99:80"), Passed);
}

pub(super) fn remove_takes_everything_away(bed: &mut dyn Testbed) {
    let open =
        PortRules { node_port: Some(30080), external_ips: vec![ip("192.0.2.9")], ..web(&[0]) };
    let six = rules("web", WEB[1], &[SocketAddr::new(pod(1, true), 8080)]);
    reset(bed, &[&open, &six, &shop(&[])]);
    bed.backend().set_service_ranges(&["10.96.0.0/16".parse().unwrap()]).unwrap();
    bed.backend().remove().unwrap();
    let addresses = [
        "10.96.0.7:80",
        "10.96.0.7:81",
        "10.96.0.8:80",
        "10.96.0.9:80",
        "192.0.2.9:80",
        "[fd00:96::7]:80",
    ];
    for address in addresses {
        assert_eq!(ask(bed, CLIENT, address), Passed, "{address}");
    }
    assert_eq!(ask(bed, Outside, "10.60.1.1:30080"), Refused);
    // It can begin again.
    reset(bed, &[&web(&[1])]);
    assert_eq!(ask(bed, CLIENT, "10.96.0.7:80"), Answer::Pod(1, CLIENT));
}

pub(super) fn many_ports_come_and_go_at_once(bed: &mut dyn Testbed) {
    const COUNT: usize = 1000;
    let address = |number: usize| format!("10.97.{}.{}", number / 250, number % 250 + 1);
    let nth = |number: usize, pod: usize| {
        rules(&format!("service-{number}"), &address(number), &[endpoint(pod)])
    };
    let ends = [0, COUNT / 2, COUNT - 1];
    let to = |number: usize| format!("{}:80", address(number));
    reset(bed, &[]);
    let come: Vec<_> = (0..COUNT).map(|n| change(None, Some(&nth(n, n % 2)))).collect();
    bed.backend().apply(&come).unwrap();
    for number in ends {
        let expected = Answer::Pod(number % 2, CLIENT);
        assert_eq!(ask(bed, CLIENT, &to(number)), expected, "{number}");
    }
    let move_on: Vec<_> =
        (0..COUNT).map(|n| change(Some(&nth(n, n % 2)), Some(&nth(n, 1 - n % 2)))).collect();
    bed.backend().apply(&move_on).unwrap();
    for number in ends {
        let expected = Answer::Pod(1 - number % 2, CLIENT);
        assert_eq!(ask(bed, CLIENT, &to(number)), expected, "{number}");
    }
    let all: Vec<_> = (0..COUNT).map(|n| Arc::new(nth(n, 0))).collect();
    bed.backend().reset(&all).unwrap();
    assert_eq!(ask(bed, CLIENT, &to(COUNT - 1)), Answer::Pod(0, CLIENT));
    let go: Vec<_> = (0..COUNT).map(|n| change(Some(&nth(n, 0)), None)).collect();
    bed.backend().apply(&go).unwrap();
    for number in ends {
        assert_eq!(ask(bed, CLIENT, &to(number)), Passed, "{number}");
    }
}
