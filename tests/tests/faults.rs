//! Crashes, stops and bad starts.

use std::net::TcpListener;
use std::process::Command;

use e2e::{Cluster, run, tool};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 2
  containers: [{name: web, image: "coxswain.local/demo:v1"}]
"#;

#[test]
fn acknowledged_writes_and_containers_outlive_a_crash() {
    let mut cluster = Cluster::start();
    cluster.apply(POD);
    cluster.wait("--for=condition=Ready pod/web");
    let id = "get pod web -o jsonpath={.status.containerStatuses[0].containerID}";
    let before = cluster.kubectl(id).ok();

    // Writers that note what was acknowledged, killed in the middle of it.
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let command = cluster.kubectl_command();
            std::thread::spawn(move || {
                let words = format!(
                    "i=0; while [ $i -lt 200 ]; do \
                     $0 create configmap w{w}-$i --from-literal=i=$i -o name || exit 0; i=$((i+1)); done"
                );
                let mut shell = Command::new("sh");
                shell.args(["-c", &words]).arg(command.get_program());
                for (name, value) in command.get_envs() {
                    if let Some(value) = value {
                        shell.env(name, value);
                    }
                }
                run(&mut shell).stdout
            })
        })
        .collect();
    // The crash comes once writes are under way.
    while cluster.kubectl("get configmap w0-5 -o name").code != 0 {}
    cluster.kill();
    let acknowledged: Vec<String> = writers
        .into_iter()
        .flat_map(|w| w.join().expect("a writer").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(acknowledged.len() > 5, "{acknowledged:?}");

    cluster.up();
    let stored = cluster.kubectl("get configmaps -o name").ok();
    for name in &acknowledged {
        assert!(stored.lines().any(|line| line == name), "{name} was acknowledged and is lost");
    }
    cluster.wait("--for=condition=Ready pod/web");
    assert_eq!(cluster.kubectl(id).ok(), before, "the container was replaced");
}

#[test]
fn a_stop_leaves_nothing_and_a_start_finds_everything() {
    let mut cluster = Cluster::start();
    cluster.apply(POD);
    cluster.wait("--for=condition=Ready pod/web");
    cluster.kubectl("create configmap kept --from-literal=a=b").ok();
    let dir = cluster.dir().to_string_lossy().into_owned();
    cluster.stop();
    assert_eq!(e2e::traces(&dir), Vec::<String>::new());
    cluster.up();
    assert_eq!(cluster.kubectl("get configmap kept -o jsonpath={.data.a}").ok(), "b");
    cluster.wait("--for=condition=Ready pod/web");
}

#[test]
fn bad_starts_say_why_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_string_lossy().into_owned();
    let start = |listen: &str, dir: &str| {
        run(Command::new(tool("COXSWAIN")).args(["up", "--listen", listen, "--dir", dir]))
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let garbage = dir.path().join("garbage");
    std::fs::create_dir_all(garbage.join("certs")).expect("made");
    std::fs::write(garbage.join("certs/ca.crt"), "not a certificate").expect("written");
    for (outcome, word) in [
        (start(&address, &path), "cannot listen on"),
        (start("127.0.0.1:0", &file.to_string_lossy()), "is not writable"),
        (start("127.0.0.1:0", &garbage.to_string_lossy()), "ca.crt"),
    ] {
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.trim().lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn two_clusters_run_side_by_side_and_a_directory_is_held_by_one() {
    let (first, second) = (Cluster::start(), Cluster::start());
    for cluster in [&first, &second] {
        cluster.apply(POD);
    }
    for cluster in [&first, &second] {
        cluster.wait("--for=condition=Ready pod/web");
    }
    let held = run(Command::new(tool("COXSWAIN"))
        .args(["up", "--listen", "127.0.0.1:0", "--dir"])
        .arg(first.dir()));
    assert_eq!(held.code, 1);
    assert!(held.stderr.contains("in use"), "{}", held.stderr);
}
