//! Further nodes of a cluster on one machine: each a network namespace and a process of its own
//! that runs its kubelet and service proxy over HTTPS, as on a machine of its own.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use network::pod::{MachineNetwork, NodeNamespace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::cli::PodArgs;
use crate::dir::ClusterDir;
use crate::logging::LogArgs;
use crate::plan::Plan;

/// How long a node may take to stop its pods.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A process that lasts so long was started well.
const STEADY: Duration = Duration::from_secs(30);
/// Wait before one that did not is started again.
const RESTART_FIRST: Duration = Duration::from_millis(500);
const RESTART_LAST: Duration = Duration::from_secs(30);

/// The further nodes, and the bridge between them.
pub(crate) struct Machine {
    network: MachineNetwork,
    nodes: Vec<Member>,
}

struct Member {
    name: String,
    namespace: NodeNamespace,
    /// Arguments of its process.
    args: Vec<OsString>,
    process: Child,
    /// How often its process has ended soon after it was started.
    failures: u32,
    started: Instant,
    /// When one that has ended is to be started again.
    due: Option<Instant>,
}

impl Member {
    /// Waits for the end of the process and then until it may be started again. It may be called
    /// again before that: what has been waited counts.
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.process.wait().await;
        if self.due.is_none() {
            self.failures = if self.started.elapsed() < STEADY { self.failures + 1 } else { 0 };
            let wait = match self.failures {
                0 => Duration::ZERO,
                n => RESTART_FIRST.saturating_mul(1 << n.min(10)).min(RESTART_LAST),
            };
            self.due = Some(Instant::now() + wait);
        }
        if let Some(due) = self.due {
            tokio::time::sleep_until(due.into()).await;
        }
        status
    }
}

/// A node's process has ended.
pub(crate) struct Ended {
    position: usize,
    pub(crate) name: String,
    status: String,
    /// By somebody else, not by itself.
    pub(crate) killed: bool,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.status)
    }
}

/// The configuration handed to a further node.
pub(crate) struct Joining<'a> {
    pub(crate) dir: &'a ClusterDir,
    pub(crate) plan: &'a Plan,
    pub(crate) pods_may: &'a PodArgs,
    pub(crate) log: &'a LogArgs,
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
        let Joining { dir, plan, pods_may, log, name, number } = node;
        let data = dir.node_data(&name);
        runtime::private::directory(&data).with_context(|| data.display().to_string())?;
        let address = plan.namespace_address(number);
        let namespace = self
            .network
            .add_node(&name, &data.join("netns"), address)
            .with_context(|| format!("making the network namespace of node {name}"))?;
        let paths = [
            ("--netns", namespace.netns.clone()),
            ("--data-dir", data.clone()),
            ("--kubeconfig", dir.kubeconfig(&format!("kubelet-{name}"))),
            ("--proxy-kubeconfig", dir.kubeconfig("kube-proxy")),
        ];
        let options = [
            ("--cluster-id", plan.id.clone()),
            ("--cluster-cidr", plan.pods.to_string()),
            ("--cluster-dns", plan.service_address(10).to_string()),
            ("--node-ip", address.to_string()),
        ];
        let mut args: Vec<OsString> = vec!["node".into()];
        args.extend(paths.into_iter().flat_map(|(option, path)| [option.into(), path.into()]));
        args.extend(options.into_iter().flat_map(|(option, value)| [option.into(), value.into()]));
        args.extend(pods_may.to_args().into_iter().map(OsString::from));
        args.extend(log.to_node_args(&data));
        let process = spawn(&args)?;
        let started = Instant::now();
        self.nodes.push(Member { name, namespace, args, process, failures: 0, started, due: None });
        Ok(())
    }

    /// Starts a node's process again; its containers have gone on, and it adopts them.
    pub(crate) fn restart(&mut self, ended: &Ended) -> Result<()> {
        let node = &mut self.nodes[ended.position];
        node.due = None;
        node.process = spawn(&node.args)?;
        node.started = Instant::now();
        Ok(())
    }

    /// Resolves when a node's process has ended.
    pub(crate) async fn ended(&mut self) -> Ended {
        let waits = self.nodes.iter_mut().enumerate().map(|(position, node)| {
            Box::pin(async move {
                let status = node.ended().await;
                Ended {
                    position,
                    name: node.name.clone(),
                    killed: status.as_ref().is_ok_and(|status| status.signal().is_some()),
                    status: status.map_or_else(|e| e.to_string(), |s| s.to_string()),
                }
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

fn spawn(args: &[OsString]) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("coxswain").args(args).stdin(Stdio::null());
    command.spawn().context("starting a node's process")
}
