use super::*;
use std::path::Path;

use client::ObjectKey;
use hickory_proto::rr::{Name, Record};
use serde_json::json;
use telemetry::metrics::{Format, Registry};

async fn serve(server: Server) -> SocketAddr {
    let server = Arc::new(server);
    let (socket, listener) = one_port().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&server).serve_udp(Arc::new(socket)));
    tokio::spawn(server.serve_tcp(listener));
    address
}

/// A port that is free for both protocols: one that is free for UDP may be taken for TCP.
async fn one_port() -> (UdpSocket, TcpListener) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
}

pub(super) fn with_headless(endpoints: usize) -> Server {
    with_metrics(endpoints).0
}

fn with_metrics(endpoints: usize) -> (Server, Registry) {
    let forwarder = Forwarder::open(Path::new("/nonexistent"), &[]);
    let registry = Registry::bare();
    let metrics = Metrics::new(&registry, "cluster.local");
    let server = Server::new(Zone::new("cluster.local").unwrap(), forwarder, metrics);
    let service = serde_json::from_value(json!({"metadata": {}, "spec": {"clusterIP": "None"}}));
    let endpoints: Vec<_> = (0..endpoints)
        .map(|n| json!({"addresses": [format!("10.1.{}.{}", n / 250, n % 250)]}))
        .collect();
    let slice = serde_json::from_value(json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "endpoints": endpoints
    }));
    let mut catalog = server.catalog.write();
    catalog.set_service(&ObjectKey::new("ns", "db"), Some(&service.unwrap()));
    catalog.set_slice(&ObjectKey::new("ns", "db-1"), Some(&slice.unwrap()));
    drop(catalog);
    (server, registry)
}

pub(super) fn question(name: &str) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message
}

async fn by_udp(server: SocketAddr, request: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(request, server).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn by_tcp(server: SocketAddr, request: &[u8]) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_u16(request.len() as u16).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut buffer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut buffer).await.unwrap();
    Message::from_vec(&buffer).unwrap()
}

#[tokio::test]
async fn questions_are_told_of_by_type_and_code_and_nothing_else_of_a_client() {
    let (server, registry) = with_metrics(2);
    let address = serve(server).await;
    for i in 0..20 {
        let mut odd = Message::query();
        let name = Name::from_ascii(format!("made-up-{i}.ns.svc.cluster.local.")).unwrap();
        odd.add_query(Query::query(name, RecordType::from(1000 + i)));
        by_udp(address, &odd.to_vec().unwrap()).await;
    }
    by_tcp(address, &question("db.ns.svc.cluster.local.").to_vec().unwrap()).await;
    // The answer is sent before it is counted.
    let line = r#"coredns_dns_requests_total{family="1",proto="tcp",server="dns://:53",type="A",view="",zone="cluster.local."} 1"#;
    let told = async {
        while !registry.encode(Format::Text).lines().any(|l| l == line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), told).await.expect("it is told of");
    let text = registry.encode(Format::Text);
    for line in [
        r#"coredns_dns_requests_total{family="1",proto="udp",server="dns://:53",type="other",view="",zone="cluster.local."} 20"#,
        r#"coredns_dns_responses_total{plugin="kubernetes",rcode="NXDOMAIN",server="dns://:53",view="",zone="cluster.local."} 20"#,
        r#"coredns_dns_request_duration_seconds_count{server="dns://:53",view="",zone="cluster.local."} 21"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("made-up"), "{text}");
}

#[tokio::test]
async fn large_answers_go_by_tcp() {
    let server = serve(with_headless(100)).await;
    let request = question("db.ns.svc.cluster.local.").to_vec().unwrap();
    let answer = by_udp(server, &request).await;
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let answer = by_tcp(server, &request).await;
    assert!(answer.metadata.authoritative && answer.answers.len() == 100);
}

#[tokio::test]
async fn without_upstream_other_names_fail_at_once() {
    let server = serve(with_headless(1)).await;
    let answer = by_udp(server, &question("example.com.").to_vec().unwrap()).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let answer = by_udp(server, &question("x.ns.svc.cluster.local.").to_vec().unwrap()).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn garbage_is_survived() {
    let server = serve(with_headless(1)).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for bytes in [&b""[..], b"\x00", &[0xff; 600], &[0xc0; 64]] {
        socket.send_to(bytes, server).await.unwrap();
    }
    let mut two = question("db.ns.svc.cluster.local.");
    two.add_query(two.queries[0].clone());
    let answer = by_udp(server, &two.to_vec().unwrap()).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
    let answer = by_udp(server, &question("db.ns.svc.cluster.local.").to_vec().unwrap()).await;
    assert_eq!(answer.answers.len(), 1);
}

#[tokio::test]
async fn other_names_are_asked_upstream_once() {
    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, peer)) = upstream.recv_from(&mut buffer).await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut answer = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let name = answer.queries[0].name().clone();
            answer.add_answer(Record::from_rdata(
                name,
                60,
                std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
            ));
            upstream.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    let server = with_headless(1);
    let service =
        json!({"metadata": {}, "spec": {"type": "ExternalName", "externalName": "ext.example"}});
    let service = serde_json::from_value(service).unwrap();
    server.catalog.write().set_service(&ObjectKey::new("ns", "out"), Some(&service));
    let server = Server { forwarder: Forwarder::to(vec![address]), ..server };
    let server = serve(server).await;
    for _ in 0..2 {
        let answer = by_udp(server, &question("ext.example.").to_vec().unwrap()).await;
        assert_eq!(answer.answers.len(), 1);
        assert!(!answer.metadata.authoritative && answer.metadata.recursion_available);
    }
    let answer = by_udp(server, &question("out.ns.svc.cluster.local.").to_vec().unwrap()).await;
    let kinds: Vec<_> = answer.answers.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::CNAME, RecordType::A]);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
}
