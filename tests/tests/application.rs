//! An application of three tiers, from apply to delete.

use e2e::Cluster;

const APPLICATION: &str = include_str!("../../examples/shop.yaml");

/// Asks the service through its cluster address, from the machine.
fn ask(address: &str) -> Result<String, String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).map_err(|e| e.to_string())?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n")
        .map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(answer) }
}

#[test]
fn an_application_runs_scales_rolls_and_goes() {
    let cluster = Cluster::start();
    cluster.apply(APPLICATION);
    cluster.kubectl("-n shop rollout status deployment/api --timeout=60s").ok();
    cluster.kubectl("-n shop rollout status deployment/front --timeout=60s").ok();
    cluster.wait("-n shop --for=condition=Complete job/seed");
    let seeded = cluster.kubectl("-n shop logs job/seed").ok();
    assert!(seeded.contains("API from api-"), "{seeded}");

    cluster.kubectl("-n shop scale deployment/front --replicas=3").ok();
    cluster.kubectl("-n shop rollout status deployment/front --timeout=60s").ok();

    // A pod is killed under load: no request fails once its endpoint is gone.
    let ip = cluster.kubectl("-n shop get svc front -o jsonpath={.spec.clusterIP}").ok();
    let address = format!("{ip}:80");
    let pod = cluster.kubectl("-n shop get pods -l app=front -o name").ok();
    let victim = pod.lines().next().expect("a pod");
    cluster.kubectl(&format!("-n shop delete {victim}")).ok();
    for _ in 0..200 {
        ask(&address).expect("an answer while a pod is replaced");
    }
    let port = cluster.kubectl("-n shop get svc front -o jsonpath={.spec.ports[0].nodePort}").ok();
    let node =
        cluster.kubectl("get nodes -o jsonpath={.items[0].status.addresses[0].address}").ok();
    ask(&format!("{node}:{port}")).expect("an answer through the node port");

    // A bad image does not take the application down, and is undone.
    cluster.kubectl("-n shop set image deployment/front front=coxswain.local/demo:missing").ok();
    let stuck = cluster.kubectl("-n shop rollout status deployment/front --timeout=3s");
    assert_ne!(stuck.code, 0, "{}", stuck.stdout);
    ask(&address).expect("an answer during a bad rollout");
    cluster.kubectl("-n shop rollout undo deployment/front").ok();
    cluster.kubectl("-n shop rollout status deployment/front --timeout=60s").ok();
    let history = cluster.kubectl("-n shop rollout history deployment/front").ok();
    assert!(history.lines().count() >= 4, "{history}");

    cluster.kubectl("delete namespace shop --timeout=60s").ok();
    let left = cluster.kubectl("get all,cm,secret,endpointslices -n shop -o name").ok();
    assert_eq!(left, "", "the namespace left something behind");
}
