//! `coxswain up`: a cluster in one process, and another process for every further node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use apiserver::User;
use k8s_openapi::api::core::v1::Node as ApiNode;
use telemetry::task;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::addons;
use crate::cli::{PodArgs, RuntimeKind, UpArgs};
use crate::dir::{ADMIN, ClusterDir, EXTERNAL, Identities, Reach};
use crate::logging::LogArgs;
use crate::machine::{Joining, Machine};
use crate::node::{Node, NodeConfig};
use crate::plan::Plan;
use crate::plane::{self, ControlPlane, Served};

/// How long components may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Prints a line of progress.
struct Progress(Instant);

impl Progress {
    fn done(&self, what: &str) {
        say!("{:>6.0} ms  {what}", self.0.elapsed().as_secs_f64() * 1000.0);
    }
}

/// Runs the cluster until it is interrupted.
pub(crate) fn run(args: UpArgs, log: LogArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(up(args, log));
    // Nothing that is left is worth waiting for.
    runtime.shutdown_background();
    outcome
}

/// Which runtime: real containers for root, a simulation for other users.
pub(crate) fn runtime_kind(wanted: Option<RuntimeKind>) -> Result<RuntimeKind> {
    let root = nix::unistd::geteuid().is_root();
    match wanted {
        Some(RuntimeKind::Embedded) if !root => {
            bail!("--runtime embedded needs root; try --runtime simulated")
        }
        Some(RuntimeKind::Cri(_)) if !root => {
            bail!("--runtime cri needs root; try --runtime simulated")
        }
        Some(kind) => Ok(kind),
        None if root => Ok(RuntimeKind::Embedded),
        None => {
            say!("not root: pods are simulated (run as root for real containers)");
            Ok(RuntimeKind::Simulated)
        }
    }
}

/// The address of the first node: the gateway of its pods, or with a CRI runtime, whose network is
/// its own affair, that of the machine, which pods reach over any gateway.
fn node_address(kind: &RuntimeKind, plan: &Plan) -> Result<IpAddr> {
    match kind {
        RuntimeKind::Embedded => Ok(plan.node_address(0)),
        RuntimeKind::Simulated => Ok(IpAddr::from([127, 0, 0, 1])),
        RuntimeKind::Cri(_) => crate::node::machine_address(),
    }
}

/// A cluster that is being brought up.
struct Cluster {
    kind: RuntimeKind,
    dir: ClusterDir,
    plan: Plan,
    ids: Identities,
    progress: Progress,
    cancel: CancellationToken,
    tasks: TaskTracker,
    pods_may: PodArgs,
    log: LogArgs,
    /// The API server's port.
    port: u16,
}

async fn up(args: UpArgs, log: LogArgs) -> Result<()> {
    let progress = Progress(Instant::now());
    let kind = runtime_kind(args.runtime)?;
    if matches!(kind, RuntimeKind::Cri(_)) && args.nodes > 1 {
        bail!("--nodes needs --runtime embedded or simulated: a CRI runtime is that of one node");
    }
    let listener = plane::listen(args.listen).await?;
    let dir = ClusterDir::open(&args.dir)?;
    let store = plane::open_store(&dir)?;
    progress.done("store");

    let planned = dir.data("cluster.json");
    let mut plan = Plan::open(&planned)?;
    plan.name(&planned, args.identity.name.as_deref(), dir.path())?;
    // Pods reach the server at the node's address; clients of this machine where they were told.
    let real = kind.is_real();
    let address = node_address(&kind, &plan)?;
    let advertise = if real { SocketAddr::new(address, args.listen.port()) } else { args.listen };
    let mut ids = dir.identities(&Reach {
        listen: args.listen,
        advertise,
        kubernetes: plan.service_address(1),
        outside: args.advertise_address,
        sans: &args.identity.tls_sans,
        name: &plan.name,
    })?;
    args.authentication.apply(&mut ids)?;
    ids.authorization = args.authorization.options();
    progress.done("certificates");
    // Logged only now, so that a cluster that cannot start prints its error and nothing else.
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        dir = %dir.path().display(),
        listen = %args.listen,
        nodes = args.nodes,
        runtime = ?kind,
        "the cluster starts"
    );

    let cluster = Cluster {
        kind,
        dir,
        plan,
        ids,
        progress,
        cancel: CancellationToken::new(),
        tasks: TaskTracker::new(),
        pods_may: args.pods,
        log,
        port: args.listen.port(),
    };
    let mut nodes = vec![Arc::new(cluster.open_node(0).await?)];
    let mut machine = None;
    if real {
        cluster.progress.done("container runtime and pod network");
    }
    // The directory is this process's until nothing of the cluster is left.
    let _held = store.clone();
    let outcome = async {
        let mut listeners = vec![listener];
        if real && !args.listen.ip().is_unspecified() && advertise != args.listen {
            listeners.push(plane::listen(advertise).await?);
        }
        if real && args.nodes > 1 {
            machine = Some(Machine::open(&cluster.plan)?);
        }
        let running = (&cluster.cancel, &cluster.tasks);
        let (plan, ids) = (&cluster.plan, &cluster.ids);
        let served = Served {
            advertise,
            admission: args.admission.options(),
            audit: args.audit.options(),
            encryption: args.encryption.options(),
        };
        let plane = ControlPlane::start(store, plan, ids, served, listeners, true, running).await?;
        let names = (0..args.nodes).map(|n| cluster.node_name(n)).collect::<Result<Vec<_>>>()?;
        forget_nodes(&plane, &cluster.dir, &names).await?;
        cluster.progress.done("API server");
        plane.start_controllers(plan, ids, running);
        cluster.progress.done("controllers");
        plane.start_scheduler(running);
        cluster.progress.done("scheduler");
        cluster.run(&plane, args.nodes, &mut nodes, &mut machine).await
    }
    .await;
    match &outcome {
        Ok(()) => {
            say!("stopping");
            tracing::info!("the cluster stops");
        }
        Err(error) => tracing::error!(error = format!("{error:#}"), "the cluster stops"),
    }
    // Nodes first: they still report to the API server that their pods have ended. What cannot be
    // removed keeps nothing else from being removed.
    let mut removed = match machine {
        Some(machine) => machine.destroy().await,
        None => Ok(()),
    };
    cluster.cancel.cancel();
    cluster.tasks.close();
    let _ = tokio::time::timeout(STOP_DEADLINE, cluster.tasks.wait()).await;
    for node in nodes {
        removed = removed.and(node.destroy().await);
    }
    outcome.and(removed)
}

impl Cluster {
    /// Name of node number `n`; the first has the machine's.
    fn node_name(&self, n: u8) -> Result<String> {
        let machine = crate::node::machine_name()?;
        Ok(if n == 0 { machine } else { format!("{machine}-{}", n + 1) })
    }

    /// Opens node number `n` in this process.
    async fn open_node(&self, n: u8) -> Result<Node> {
        let name = self.node_name(n)?;
        let address = match self.kind {
            RuntimeKind::Embedded => self.plan.node_address(n),
            _ => node_address(&self.kind, &self.plan)?,
        };
        Node::open(NodeConfig {
            data: self.dir.node_data(&name),
            name,
            address,
            kind: self.kind.clone(),
            cluster: self.plan.id.clone(),
            cluster_cidr: self.plan.pods,
            pods: Some(self.plan.node_pods(n)),
            cluster_dns: self.plan.service_address(10),
            served_ports: vec![self.port, addons::DNS_PORT],
            api_server: None,
            stop_pods_on_exit: true,
            pods_may: self.pods_may.clone(),
        })
        .await
    }

    /// Starts the nodes and runs until interrupted.
    async fn run(
        &self,
        plane: &ControlPlane,
        count: u8,
        nodes: &mut Vec<Arc<Node>>,
        machine: &mut Option<Machine>,
    ) -> Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let ended = self.cancel.child_token();
        let begun = k8s_openapi::jiff::Timestamp::now().as_second();
        let bring_up = async {
            self.start_node(plane, &nodes[0], &ended)?;
            if self.kind.is_real() {
                self.start_services(plane, &nodes[0]).await?;
            }
            let first = self.node_name(0)?;
            node_ready(plane, &first, begun).await;
            self.progress.done(&format!("node {first} ready"));
            // The first node is there, so that it has the first pod range.
            let mut further = Vec::new();
            for number in 1..count {
                let name = self.node_name(number)?;
                match machine {
                    Some(machine) => {
                        let address = self.plan.namespace_address(number);
                        self.dir.node_identity(&self.ids, &name, address)?;
                        machine.add(Joining {
                            dir: &self.dir,
                            plan: &self.plan,
                            pods_may: &self.pods_may,
                            log: &self.log,
                            name: name.clone(),
                            number,
                        })?;
                    }
                    None => {
                        let node = Arc::new(self.open_node(number).await?);
                        self.start_node(plane, &node, &ended)?;
                        nodes.push(node);
                    }
                }
                further.push(name);
            }
            let all_ready = async {
                for name in further {
                    node_ready(plane, &name, begun).await;
                    self.progress.done(&format!("node {name} ready"));
                }
            };
            tokio::select! {
                () = all_ready => {}
                ended = keep_nodes(machine, true) => return ended,
            }
            crate::daemon::report_ready();
            let config = self.dir.kubeconfig(ADMIN);
            say!("ready\n\n  export KUBECONFIG={}\n", config.display());
            let external = self.dir.kubeconfig(EXTERNAL);
            if external.is_file() {
                say!("  for other machines: {}\n", external.display());
            }
            Ok(())
        };
        let stopped = async {
            tokio::select! {
                _ = interrupt.recv() => Ok(()),
                _ = terminate.recv() => Ok(()),
                reason = plane.store.failed() => bail!("the store has failed: {reason}"),
                () = ended.cancelled() => bail!("the kubelet has ended"),
            }
        };
        tokio::pin!(stopped);
        tokio::select! {
            outcome = bring_up => { let () = outcome?; }
            outcome = &mut stopped => return outcome,
        }
        tokio::select! {
            outcome = &mut stopped => outcome,
            ended = keep_nodes(machine, false) => ended,
        }
    }

    /// Starts the kubelet of a node in this process; `ended` is cancelled if it fails.
    fn start_node(
        &self,
        plane: &ControlPlane,
        node: &Arc<Node>,
        ended: &CancellationToken,
    ) -> Result<()> {
        let name = &node.config.name;
        let issued = self.dir.node_identity(&self.ids, name, node.config.address)?;
        let user = User::new(format!("system:node:{name}"), &["system:nodes"]);
        let (client, informers) = (plane.client(user), plane.informers.clone());
        let (ca, cancel) = (self.ids.ca.cert().to_owned(), self.cancel.clone());
        let (kubelet, failed) = (node.clone(), ended.clone());
        self.tasks.spawn(task::watched("kubelet", async move {
            // However it ends before it is told to: the next start adopts what runs.
            let _ended = failed.drop_guard();
            let informers = (informers.clone(), &informers);
            if let Err(error) = kubelet.run_kubelet(client, informers, issued, ca, cancel).await {
                tracing::error!(error = format!("{error:#}"), "the kubelet has failed");
            }
        }));
        crate::control::serve(&node.config.data, node.runtime.clone(), self.cancel.clone())
    }

    /// The service proxy and cluster DNS, and the image of the tour.
    async fn start_services(&self, plane: &ControlPlane, node: &Arc<Node>) -> Result<()> {
        let admin = plane.client(User::new("kubernetes-admin", &["system:masters"]));
        let address = node.config.address;
        addons::apply_dns(&admin, node.config.cluster_dns, address)
            .await
            .context("making the DNS service")?;
        let (proxied, informers, cancel) =
            (node.clone(), plane.informers.clone(), self.cancel.clone());
        self.tasks.spawn(task::keep("kube-proxy", cancel, move |cancel| {
            let (node, informers) = (proxied.clone(), informers.clone());
            async move {
                if let Err(error) = node.run_proxy(&informers, cancel).await {
                    tracing::error!(error = format!("{error:#}"), "the service proxy has failed");
                }
            }
        }));
        let dns = dns::DnsConfig {
            listen: vec![SocketAddr::new(address, addons::DNS_PORT)],
            domain: crate::node::DOMAIN.to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            metrics: node.metrics.clone(),
        };
        let (informers, cancel) = (plane.informers.clone(), self.cancel.clone());
        self.tasks.spawn(task::keep("dns", cancel, move |cancel| {
            let (informers, dns) = (informers.clone(), dns.clone());
            async move {
                if let Err(error) = dns::run(&informers, dns, cancel).await {
                    tracing::error!(%error, "cluster DNS has failed");
                }
            }
        }));
        if self.kind != RuntimeKind::Embedded {
            return Ok(());
        }
        let importing = node.clone();
        self.tasks.spawn(task::watched("import-demo", async move {
            if let Err(error) = importing.import_demo().await {
                tracing::error!(error = format!("{error:#}"), "the demo image is not there");
            }
        }));
        Ok(())
    }
}

/// Starts every further node again whose process has ended: a node that dies does not take the
/// cluster along. While the cluster is brought up, one that ends by itself has a reason to say.
async fn keep_nodes(machine: &mut Option<Machine>, bringing_up: bool) -> Result<()> {
    let Some(machine) = machine else { return std::future::pending().await };
    loop {
        let ended = machine.ended().await;
        if bringing_up && !ended.killed {
            bail!("node {ended} has ended");
        }
        tracing::error!(node = %ended, "a node's process has ended, and is started again");
        if let Err(error) = machine.restart(&ended) {
            bail!("node {} cannot be started again: {error:#}", ended.name);
        }
    }
}

/// Removes the nodes of an earlier run that this one does not have: pods would be sent to them.
/// Nodes of other machines have no directory here, and stay.
async fn forget_nodes(plane: &ControlPlane, dir: &ClusterDir, names: &[String]) -> Result<()> {
    let admin = plane.client(User::new("kubernetes-admin", &["system:masters"]));
    let nodes = kube::Api::<ApiNode>::all(admin);
    for entry in std::fs::read_dir(dir.nodes()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if names.contains(&name) {
            continue;
        }
        match nodes.delete(&name, &kube::api::DeleteParams::default()).await {
            Err(error) if client::helpers::is_not_found(&error) => {}
            result => drop(result.with_context(|| format!("removing the former node {name}"))?),
        }
    }
    Ok(())
}

/// Resolves when the node takes pods and has said so since `begun`, in seconds of Unix time.
async fn node_ready(plane: &ControlPlane, name: &str, begun: i64) {
    let nodes = plane.informers.informer::<ApiNode>();
    let mut events = nodes.subscribe();
    while let Some(event) = events.recv().await {
        let node = event.object();
        let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let ready = conditions.into_iter().any(|c| {
            let fresh = c.last_heartbeat_time.as_ref().is_some_and(|t| t.0.as_second() >= begun);
            c.type_ == "Ready" && c.status == "True" && fresh
        });
        let tainted = node.spec.as_ref().is_some_and(|s| {
            s.taints.iter().flatten().any(|t| t.key == "node.kubernetes.io/not-ready")
        });
        if node.metadata.name.as_deref() == Some(name) && ready && !tainted {
            return;
        }
    }
    std::future::pending().await
}
