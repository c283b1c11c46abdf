use super::*;
use serde_json::json;

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    catalog.add_namespace("ns");
    let mut service = |name: &str, spec: serde_json::Value| {
        let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        catalog.set_service(&ObjectKey::new("ns", name), Some(&service));
    };
    let ports =
        json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    service(
        "web",
        json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "ports": ports}),
    );
    service("db", json!({"clusterIP": "None"}));
    service("empty", json!({"clusterIP": "None"}));
    service("out", json!({"type": "ExternalName", "externalName": "db.example.com"}));
    let slice = serde_json::from_value(json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": ["10.1.0.1"], "hostname": "db-0"},
            {"addresses": ["10.1.0.2"]},
            {"addresses": ["10.1.0.3"], "conditions": {"ready": false}}
        ]
    }))
    .unwrap();
    catalog.set_slice(&ObjectKey::new("ns", "db-1"), Some(&slice));
    catalog
}

fn ask(name: &str, kind: RecordType) -> Option<Answer> {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    Zone::new("cluster.local").unwrap().answer(&catalog(), &name, kind)
}

fn texts(name: &str, kind: RecordType) -> Vec<String> {
    let answer = ask(name, kind).unwrap();
    answer.answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn services_have_addresses() {
    use RecordType::{A, AAAA};
    for (name, kind, expected) in [
        ("web.ns.svc.cluster.local", A, &["10.96.0.7"][..]),
        ("WEB.ns.SVC.cluster.local", A, &["10.96.0.7"]),
        ("web.ns.svc.cluster.local", AAAA, &["fd00::7"]),
        ("db.ns.svc.cluster.local", A, &["10.1.0.1", "10.1.0.2"]),
        ("db-0.db.ns.svc.cluster.local", A, &["10.1.0.1"]),
        ("10-1-0-2.db.ns.svc.cluster.local", A, &["10.1.0.2"]),
        ("1-2-3-4.ns.pod.cluster.local", A, &["1.2.3.4"]),
        ("out.ns.svc.cluster.local", A, &["db.example.com."]),
        ("dns-version.cluster.local", RecordType::TXT, &["1.1.0"]),
    ] {
        assert_eq!(texts(name, kind), expected, "{name} {kind}");
    }
    let chase = ask("out.ns.svc.cluster.local", A).unwrap().chase;
    assert_eq!(chase.unwrap().to_string(), "db.example.com.");
}

#[test]
fn ports_have_srv_records() {
    let srv = |name| texts(name, RecordType::SRV);
    assert_eq!(srv("_http._tcp.web.ns.svc.cluster.local"), ["0 100 80 web.ns.svc.cluster.local."]);
    assert_eq!(
        srv("_sql._tcp.db.ns.svc.cluster.local"),
        ["0 50 5432 db-0.db.ns.svc.cluster.local.", "0 50 5432 10-1-0-2.db.ns.svc.cluster.local."]
    );
    assert_eq!(srv("web.ns.svc.cluster.local").len(), 2);
    let answer = ask("_sql._tcp.db.ns.svc.cluster.local", RecordType::SRV).unwrap();
    assert_eq!(answer.additionals.len(), 2);
}

#[test]
fn addresses_have_names() {
    let ptr = |name| texts(name, RecordType::PTR);
    assert_eq!(ptr("7.0.96.10.in-addr.arpa"), ["web.ns.svc.cluster.local."]);
    assert_eq!(ptr("1.0.1.10.in-addr.arpa"), ["db-0.db.ns.svc.cluster.local."]);
    assert!(ask("9.9.9.9.in-addr.arpa", RecordType::PTR).is_none(), "somebody else may know");
    assert!(ask("9.9.in-addr.arpa", RecordType::PTR).is_none());
}

#[test]
fn what_is_not_there_is_denied_with_the_zones_soa() {
    for (name, kind, code) in [
        ("none.ns.svc.cluster.local", RecordType::A, Code::NoSuchName),
        ("web.other.svc.cluster.local", RecordType::A, Code::NoSuchName),
        ("web.ns.svc.cluster.local.ns.svc.cluster.local", RecordType::A, Code::NoSuchName),
        ("google.com.ns.svc.cluster.local", RecordType::A, Code::NoSuchName),
        ("empty.ns.svc.cluster.local", RecordType::A, Code::NoSuchName),
        ("_no._tcp.web.ns.svc.cluster.local", RecordType::SRV, Code::NoSuchName),
        ("1-2-3-4.other.pod.cluster.local", RecordType::A, Code::NoSuchName),
        ("web.ns.svc.cluster.local", RecordType::MX, Code::Found),
        ("db.ns.svc.cluster.local", RecordType::AAAA, Code::Found),
        ("ns.svc.cluster.local", RecordType::A, Code::Found),
        ("svc.cluster.local", RecordType::A, Code::Found),
    ] {
        let answer = ask(name, kind).unwrap();
        assert_eq!(answer.code, code, "{name} {kind}");
        assert!(answer.answers.is_empty(), "{name} {kind}");
        assert_eq!(answer.authorities[0].record_type(), RecordType::SOA, "{name} {kind}");
    }
    assert!(ask("example.com", RecordType::A).is_none());
}

#[test]
fn removed_objects_leave_no_names() {
    let mut catalog = catalog();
    catalog.set_service(&ObjectKey::new("ns", "web"), None);
    catalog.set_slice(&ObjectKey::new("ns", "db-1"), None);
    assert!(catalog.by_cluster_ip("10.96.0.7".parse().unwrap()).is_none());
    assert!(catalog.by_endpoint_ip("10.1.0.1".parse().unwrap()).is_empty());
    assert!(catalog.endpoints(&ObjectKey::new("ns", "db")).is_empty());
}
