//! Isolation: tenants cannot harm a node, and a node keeps its tenants' data apart.

use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use e2e::Cluster;

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: users}
spec:
  hostUsers: false
  restartPolicy: Never
  securityContext: {fsGroup: 4242}
  volumes:
  - name: data
    emptyDir: {}
  - name: demo
    image: {reference: "coxswain.local/demo:v1", pullPolicy: IfNotPresent}
  initContainers:
  - name: write
    image: coxswain.local/busybox:v1
    command: [sh, -c, "echo \"GREETING='hello there'\" > /data/env; ls -ldn /data"]
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: read
    image: coxswain.local/busybox:v1
    command: [sh, -c, "echo $GREETING; tr -s ' ' < /proc/self/uid_map; ls /img/coxswain"]
    env:
    - name: GREETING
      valueFrom: {fileKeyRef: {volumeName: data, path: env, key: GREETING}}
    volumeMounts: [{name: demo, mountPath: /img}]
---
apiVersion: v1
kind: Pod
metadata: {name: sysctl}
spec:
  securityContext: {sysctls: [{name: kernel.core_pattern, value: "|/x"}]}
  containers: [{name: a, image: coxswain.local/busybox:v1}]
---
apiVersion: v1
kind: Pod
metadata: {name: counted}
spec:
  containers:
  - {name: a, image: coxswain.local/busybox:v1, command: [sh, -c, "trap 'exit 3' TERM; sleep 1000 & wait"]}
"#;

#[test]
fn tenants_are_kept_apart_from_the_node() {
    let mut cluster = Cluster::start();
    cluster.import_busybox();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("readable");
    cluster.apply(PODS);
    // Clients that say nothing do not stand before those that do.
    let connect = |_| TcpStream::connect(cluster.listen()).expect("accepted");
    let silent: Vec<TcpStream> = (0..600).map(connect).collect();
    let begun = Instant::now();
    cluster.kubectl("get --raw /readyz").ok();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(silent);
    // Output from before the client attached is not lost.
    let run = "run early --image=coxswain.local/busybox:v1 -i --rm --restart=Never -q -- echo out";
    assert!(cluster.kubectl(run).ok().contains("out"));

    cluster.wait("--for=jsonpath={.status.phase}=Succeeded pod/users");
    let log = cluster.kubectl("logs users -c read").ok();
    assert!(log.starts_with("hello there\n") && log.contains("/img/coxswain"), "{log}");
    let map: Vec<_> = log.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert!(map.len() == 3 && map[0] == "0" && map[1] != "0" && map[2] == "65536", "{log}");
    let log = cluster.kubectl("logs users -c write").ok();
    assert!(log.starts_with("drwxrwsrwx") && log.contains(" 4242 "), "{log}");

    cluster.wait("--for=jsonpath={.status.reason}=SysctlForbidden pod/sysctl");
    let now = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("readable");
    assert_eq!(now, pattern);

    // Nothing of the directory is for others.
    for name in ["data", "data/store", "data/nodes", "kubeconfig"] {
        let mode = std::fs::metadata(cluster.dir().join(name)).expect(name).mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    for entry in std::fs::read_dir(cluster.dir().join("data/store")).expect("the store") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }

    // Restarts are counted on over `down` and `up`.
    let count = "get pod counted -o jsonpath={.status.containerStatuses[0].restartCount}";
    cluster.wait("--for=condition=Ready pod/counted");
    let mut last: i32 = cluster.kubectl(count).ok().parse().expect("a count");
    for _ in 0..2 {
        cluster.stop();
        cluster.up();
        cluster.wait("--for=condition=Ready pod/counted");
        let now: i32 = cluster.kubectl(count).ok().parse().expect("a count");
        assert!(now > last, "{now} after {last}");
        last = now;
        let ended =
            "get pod counted -o jsonpath={.status.containerStatuses[0].lastState.terminated}";
        assert!(!cluster.kubectl(ended).ok().is_empty());
    }
}
