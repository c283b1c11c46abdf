//! `coxswain up`: every component in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use apiserver::{ApiServer, User};
use client::{Client, InformerFactory};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node as ApiNode;
use store::{Embedded, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::{RuntimeKind, UpArgs};
use crate::dir::{ClusterDir, Identities};
use crate::node::Node;
use crate::plan::Plan;
use crate::{addons, demo};

/// How long components may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Prints a line of progress.
struct Progress(Instant);

impl Progress {
    fn done(&self, what: &str) {
        println!("{:>6.0} ms  {what}", self.0.elapsed().as_secs_f64() * 1000.0);
    }
}

/// Runs the cluster until it is interrupted.
pub(crate) fn run(args: UpArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(up(args));
    // Nothing that is left is worth waiting for.
    runtime.shutdown_background();
    outcome
}

/// Which runtime: real containers for root, a simulation for everybody else.
fn runtime_kind(wanted: Option<RuntimeKind>) -> Result<RuntimeKind> {
    let root = nix::unistd::geteuid().is_root();
    match wanted {
        Some(RuntimeKind::Embedded) if !root => {
            bail!("--runtime embedded needs root; try --runtime simulated")
        }
        Some(kind) => Ok(kind),
        None if root => Ok(RuntimeKind::Embedded),
        None => {
            println!("not root: pods are simulated (run as root for real containers)");
            Ok(RuntimeKind::Simulated)
        }
    }
}

/// The running control plane.
struct ControlPlane {
    server: ApiServer,
    store: Arc<dyn Store>,
    informers: InformerFactory,
}

impl ControlPlane {
    fn client(&self, user: User) -> Client {
        client::transport::in_process(self.server.in_process(), user)
    }
}

async fn up(args: UpArgs) -> Result<()> {
    let progress = Progress(Instant::now());
    let kind = runtime_kind(args.runtime)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let dir = ClusterDir::open(&args.dir)?;
    let store: Arc<dyn Store> =
        Arc::new(Embedded::open(&dir.data("store"), store::Options::default())?);
    crate::daemon::write_pid(&dir)?;
    progress.done("store");

    let plan = Plan::open(&dir.data("cluster.json"))?;
    let own = plan.node_address(0);
    let ids = dir.identities(args.listen, &[own, plan.service_address(1)])?;
    progress.done("certificates");

    let node = Node::open(&dir, &plan, kind, crate::node::machine_name()?, 0).await?;
    if kind == RuntimeKind::Embedded {
        progress.done("container runtime and pod network");
    }
    let cancel = CancellationToken::new();
    let tasks = TaskTracker::new();
    let outcome = run_cluster(
        &args, kind, &dir, &plan, &ids, listener, store, &node, &cancel, &tasks, &progress,
    )
    .await;
    if outcome.is_ok() {
        println!("stopping");
    }
    cancel.cancel();
    tasks.close();
    let _ = tokio::time::timeout(STOP_DEADLINE, tasks.wait()).await;
    node.destroy().await?;
    outcome
}

#[allow(clippy::too_many_arguments)]
async fn run_cluster(
    args: &UpArgs,
    kind: RuntimeKind,
    dir: &ClusterDir,
    plan: &Plan,
    ids: &Identities,
    listener: TcpListener,
    store: Arc<dyn Store>,
    node: &Node,
    cancel: &CancellationToken,
    tasks: &TaskTracker,
    progress: &Progress,
) -> Result<()> {
    let real = kind == RuntimeKind::Embedded;
    // Pods reach the server at the node's address; clients of this machine where they were told.
    let advertise =
        if real { SocketAddr::new(node.address, args.listen.port()) } else { args.listen };
    let server = ApiServer::start(apiserver::Config {
        store: store.clone(),
        service_range: plan.services,
        signer: ids.signer.clone(),
        kubelet_tls: Arc::new(pki::tls::client(&ids.kubelet_client, ids.ca.cert())?),
        advertise,
    })
    .await?;
    let tls = || pki::tls::server(&ids.server, ids.ca.cert(), &["h2", "http/1.1"]);
    let mut listeners = vec![listener];
    if real && !args.listen.ip().is_unspecified() {
        listeners.push(
            TcpListener::bind(advertise)
                .await
                .with_context(|| format!("cannot listen on {advertise}"))?,
        );
    }
    for listener in listeners {
        let (server, tls, cancel) = (server.clone(), tls()?, cancel.clone());
        tasks.spawn(async move { server.serve(listener, tls, cancel).await });
    }
    progress.done("API server");

    let reader = client::transport::in_process(
        server.in_process(),
        User::new("system:kube-controller-manager", &[]),
    );
    let plane =
        ControlPlane { server, store, informers: InformerFactory::new(reader, cancel.clone()) };
    start_controllers(&plane, plan, ids, cancel, tasks);
    progress.done("controllers");
    tasks.spawn(scheduler::run(scheduler::Config {
        client: plane.client(User::new("system:kube-scheduler", &[])),
        informers: plane.informers.clone(),
        cancel: cancel.clone(),
    }));
    progress.done("scheduler");

    let user = User::new(format!("system:node:{}", node.name), &["system:nodes"]);
    let kubelet = node.start_kubelet(
        dir,
        &ids.ca,
        plane.client(user),
        plane.informers.clone(),
        plan.service_address(10),
        cancel.clone(),
    )?;
    let failed = cancel.child_token();
    {
        let failed = failed.clone();
        tasks.spawn(async move {
            match kubelet.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("coxswain: kubelet: {error}"),
                Err(panic) => eprintln!("coxswain: kubelet: {panic}"),
            }
            failed.cancel();
        });
    }
    crate::control::serve(&dir.data("control.sock"), node.runtime.clone(), cancel.clone())?;
    if real {
        start_services(&plane, plan, node, cancel, tasks).await?;
        import_demo(dir, node, tasks).await;
    }

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ready = node_ready(&plane, &node.name);
    tokio::pin!(ready);
    let mut waiting = true;
    loop {
        tokio::select! {
            () = &mut ready, if waiting => {
                waiting = false;
                progress.done("node ready");
                crate::daemon::report_ready();
                println!("ready\n\n  export KUBECONFIG={}\n", dir.kubeconfig("admin").display());
            }
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            reason = plane.store.failed() => bail!("the store has failed: {reason}"),
            () = failed.cancelled() => bail!("the kubelet has ended"),
        }
    }
}

fn start_controllers(
    plane: &ControlPlane,
    plan: &Plan,
    ids: &Identities,
    cancel: &CancellationToken,
    tasks: &TaskTracker,
) {
    let server = plane.server.clone();
    let clients = move |name: &str| {
        client::transport::in_process(
            server.in_process(),
            User::service_account("kube-system", name),
        )
    };
    tasks.spawn(controllers::run(controllers::Config {
        clients: Box::new(clients),
        informers: plane.informers.clone(),
        cluster_cidr: Some(plan.pods),
        root_ca: ids.ca.cert().to_owned(),
        cancel: cancel.clone(),
    }));
}

/// The service proxy and cluster DNS.
async fn start_services(
    plane: &ControlPlane,
    plan: &Plan,
    node: &Node,
    cancel: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<()> {
    let admin = plane.client(User::new("kubernetes-admin", &["system:masters"]));
    addons::apply_dns(&admin, plan.service_address(10), node.address)
        .await
        .context("making the DNS service")?;
    let proxy = proxy::ProxyConfig {
        node_name: node.name.clone(),
        cluster_id: plan.id.clone(),
        cluster_cidr: IpNet::V4(plan.pods),
        node_netns: None,
    };
    let (informers, token) = (plane.informers.clone(), cancel.clone());
    tasks.spawn(async move {
        if let Err(error) = proxy::run(&informers, proxy, token).await {
            eprintln!("coxswain: service proxy: {error}");
        }
    });
    let dns = dns::DnsConfig {
        listen: vec![SocketAddr::new(node.address, addons::DNS_PORT)],
        domain: crate::node::DOMAIN.to_owned(),
        resolv_conf: "/etc/resolv.conf".into(),
    };
    let (informers, token) = (plane.informers.clone(), cancel.clone());
    tasks.spawn(async move {
        if let Err(error) = dns::run(&informers, dns, token).await {
            eprintln!("coxswain: cluster DNS: {error}");
        }
    });
    Ok(())
}

/// Gives the node the demo image, unless it has it.
async fn import_demo(dir: &ClusterDir, node: &Node, tasks: &TaskTracker) {
    if matches!(node.runtime.image_status(demo::IMAGE).await, Ok(Some(_))) {
        return;
    }
    let (out, runtime) = (dir.data("demo.tar"), node.runtime.clone());
    tasks.spawn(async move {
        let built = {
            let out = out.clone();
            tokio::task::spawn_blocking(move || demo::build(&out)).await
        };
        let outcome = match built {
            Ok(Ok(())) => runtime.import_image(&out).await.map(drop).map_err(anyhow::Error::from),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        };
        let _ = std::fs::remove_file(&out);
        if let Err(error) = outcome {
            eprintln!("coxswain: the demo image was not imported: {error:#}");
        }
    });
}

/// Resolves when the node is ready and takes pods.
async fn node_ready(plane: &ControlPlane, name: &str) {
    let nodes = plane.informers.informer::<ApiNode>();
    let mut events = nodes.subscribe();
    while let Some(event) = events.recv().await {
        let node = event.object();
        let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
        let tainted = node.spec.as_ref().is_some_and(|s| {
            s.taints.iter().flatten().any(|t| t.key == "node.kubernetes.io/not-ready")
        });
        if node.metadata.name.as_deref() == Some(name) && ready && !tainted {
            return;
        }
    }
    std::future::pending().await
}
