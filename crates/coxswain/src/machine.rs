//! Further nodes of a cluster on one machine: each a network namespace and a process of its own
//! that runs its kubelet and service proxy over HTTPS, as on a machine of its own.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use network::pod::{MachineNetwork, NodeNamespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::dir::ClusterDir;
use crate::plan::Plan;

/// How long a node may take to stop its pods.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The further nodes, and the bridge between them.
pub(crate) struct Machine {
    network: MachineNetwork,
    nodes: Vec<Member>,
}

struct Member {
    name: String,
    namespace: NodeNamespace,
    process: Child,
}

/// What a further node is told.
pub(crate) struct Joining<'a> {
    pub(crate) dir: &'a ClusterDir,
    pub(crate) plan: &'a Plan,
    pub(crate) name: String,
    pub(crate) number: u8,
}

impl Machine {
    /// Makes the bridge that nodes are attached to.
    pub(crate) fn open(plan: &Plan) -> Result<Self> {
        let network = MachineNetwork::open(&plan.id, IpNet::V4(plan.machine_range()))
            .context("making the network between nodes")?;
        Ok(Self { network, nodes: Vec::new() })
    }

    /// Makes a node's namespace and starts its process. The node's kubeconfig is there already.
    pub(crate) fn add(&mut self, node: Joining<'_>) -> Result<()> {
        let Joining { dir, plan, name, number } = node;
        let data = dir.node_data(&name);
        std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
        let address = plan.namespace_address(number);
        let namespace = self
            .network
            .add_node(&name, &data.join("netns"), address)
            .with_context(|| format!("making the network namespace of node {name}"))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("coxswain").arg("node").arg("--netns").arg(&namespace.netns);
        command.arg("--data-dir").arg(&data);
        command.arg("--kubeconfig").arg(dir.kubeconfig(&format!("kubelet-{name}")));
        command.arg("--proxy-kubeconfig").arg(dir.kubeconfig("kube-proxy"));
        let options = [
            ("--cluster-id", plan.id.clone()),
            ("--cluster-cidr", plan.pods.to_string()),
            ("--cluster-dns", plan.service_address(10).to_string()),
            ("--node-ip", address.to_string()),
        ];
        for (option, value) in &options {
            command.args([OsStr::new(option), OsStr::new(value)]);
        }
        let process = command.stdin(Stdio::null()).spawn().context("starting a node's process")?;
        self.nodes.push(Member { name, namespace, process });
        Ok(())
    }

    /// Resolves when a node's process has ended by itself.
    pub(crate) async fn ended(&mut self) -> String {
        let waits = self.nodes.iter_mut().map(|node| {
            Box::pin(async {
                let status = node.process.wait().await;
                format!(
                    "{} ({})",
                    node.name,
                    status.map_or_else(|e| e.to_string(), |s| s.to_string())
                )
            })
        });
        if waits.len() == 0 {
            return std::future::pending().await;
        }
        futures::future::select_all(waits).await.0
    }

    /// Stops every node and removes what was made for it.
    pub(crate) async fn destroy(mut self) -> Result<()> {
        for pid in self.nodes.iter().filter_map(|node| node.process.id()) {
            // One that has just ended needs no telling.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let mut late = Vec::new();
        let mut removed = Ok(());
        for node in &mut self.nodes {
            if tokio::time::timeout(STOP_DEADLINE, node.process.wait()).await.is_err() {
                late.push(node.name.clone());
                // It may have ended just now.
                let _ = node.process.kill().await;
            }
            removed = removed.and(self.network.remove_node(&node.namespace));
        }
        removed.and(self.network.destroy())?;
        if !late.is_empty() {
            bail!("these nodes had to be killed: {}", late.join(", "));
        }
        Ok(())
    }
}
