//! The log of a cluster in the background.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use e2e::{Cluster, run, tool};

fn coxswain(words: &str, cluster: &Cluster) -> Command {
    let mut command = Command::new(tool("COXSWAIN"));
    command.args(words.split_whitespace()).arg("--dir").arg(cluster.dir());
    command
}

/// Ends the cluster, and what reads its log, whatever becomes of the test.
struct Background<'c> {
    cluster: &'c Cluster,
    reader: Option<Child>,
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        let _ = run(&mut coxswain("down", self.cluster));
        if let Some(mut reader) = self.reader.take() {
            let _ = reader.kill();
            let _ = reader.wait();
        }
    }
}

#[test]
fn a_cluster_in_the_background_can_be_followed() {
    let cluster = Cluster::place();
    let listen = cluster.listen();
    let up = format!("up --detach --nodes 2 --log-format json --listen {listen}");
    let mut background = Background { cluster: &cluster, reader: None };
    run(&mut coxswain(&up, &cluster)).ok();

    let mut reader = coxswain("logs --follow", &cluster).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines().map_while(Result::ok);
    background.reader = Some(reader);
    let started = lines.find(|line| line.contains("the cluster starts")).expect("a first line");
    let started: serde_json::Value = serde_json::from_str(&started).expect("JSON");
    assert_eq!((&started["level"], &started["nodes"]), (&"INFO".into(), &2.into()));

    // The second node is a process of its own, with a log of its own.
    let name = cluster.kubectl("get nodes -o name").ok();
    let name = name.lines().nth(1).expect("a second node").trim_start_matches("node/");
    let node = run(&mut coxswain(&format!("logs --node {name}"), &cluster)).ok();
    assert!(node.contains("the kubelet starts") && node.contains("\"ready\":true"), "{node}");

    run(&mut coxswain("down", &cluster)).ok();
    lines.find(|line| line.contains("the cluster stops")).expect("the last words");
    let refused = run(&mut coxswain("logs --node ../..", &cluster)).fails();
    assert_eq!(refused, "coxswain: ../.. is no node\n");
    let nonsense = run(&mut coxswain("status --log-level kubelet=loud", &cluster)).fails();
    assert!(nonsense.starts_with("coxswain: log filter \"kubelet=loud\": "), "{nonsense}");
}
