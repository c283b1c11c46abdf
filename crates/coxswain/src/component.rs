//! One component alone in its process, by its kubeconfig: how a cluster spreads over machines.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use client::leader::{LeaderElection, Outcome};
use client::service_account::ServiceAccounts;
use client::{Client, InformerFactory, transport};
use telemetry::metrics::Registry;
use telemetry::task;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::{
    ApiServerArgs, ControllerManagerArgs, KubeletArgs, KubeletCommand, NodeArgs, ProxyArgs,
    RuntimeKind, SchedulerArgs, ServingArgs,
};
use crate::dir::{ClusterDir, Reach};
use crate::node::{Node, NodeConfig, PORT, machine_name, source_towards};
use crate::plan::Plan;
use crate::plane::{self, ControlPlane, Served};
use crate::serving::{self, Access, Endpoints};

/// The name by which the controllers' clients identify themselves.
const MANAGER: &str = "kube-controller-manager";

/// Runs `work` with a token that an interrupt cancels.
fn until_interrupted(work: impl AsyncFnOnce(CancellationToken) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let cancel = CancellationToken::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let token = cancel.clone();
        task::spawn_vital("signals", async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("told to stop");
            token.cancel();
        });
        work(cancel).await
    });
    runtime.shutdown_background();
    outcome
}

/// `coxswain apiserver`.
pub(crate) fn apiserver(args: ApiServerArgs) -> Result<()> {
    until_interrupted(async |cancel| {
        let listener = plane::listen(args.listen).await?;
        let dir = ClusterDir::open(&args.dir)?;
        let store = plane::open_store(&dir)?;
        let planned = dir.data("cluster.json");
        let mut plan = Plan::open(&planned)?;
        plan.name(&planned, args.identity.name.as_deref(), dir.path())?;
        let host = args.advertise_address.unwrap_or_else(|| args.listen.ip());
        if host.is_unspecified() {
            bail!("--advertise-address is needed with --listen {}", args.listen);
        }
        let advertise = SocketAddr::new(host, args.listen.port());
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
        dir.node_identity(&ids, &machine_name()?, host)?;
        if let Some(path) = &args.kubeconfig {
            let admin = dir.kubeconfig("admin");
            std::fs::copy(&admin, path)
                .with_context(|| format!("{} is not writable", path.display()))?;
        }
        let tasks = TaskTracker::new();
        let running = (&cancel, &tasks);
        let served = Served {
            advertise,
            admission: args.admission.options(),
            audit: args.audit.options(),
            encryption: args.encryption.options(),
        };
        let plane =
            ControlPlane::start(store, &plan, &ids, served, vec![listener], false, running).await?;
        say!(
            "serving on {}; pods {}, services {}; kubeconfigs in {}",
            args.listen,
            plan.pods,
            plan.services,
            dir.kubeconfig("admin").parent().unwrap_or(Path::new(".")).display(),
        );
        let outcome = tokio::select! {
            reason = plane.store.failed() => Err(anyhow::anyhow!("the store has failed: {reason}")),
            () = cancel.cancelled() => Ok(()),
        };
        tasks.close();
        tasks.wait().await;
        outcome
    })
}

/// Runs `work` while this process holds the lease `name`.
async fn lead(
    client: &Client,
    name: &str,
    metrics: &Registry,
    cancel: CancellationToken,
    work: impl AsyncFnOnce(CancellationToken),
) -> Result<()> {
    let identity = format!("{}_{}", machine_name()?, std::process::id());
    let election = LeaderElection::new(client.clone(), name, identity, metrics.clone());
    say!("waiting for the lease {name}");
    let outcome = election
        .run(cancel, |token| async {
            say!("leading");
            tracing::info!(lease = name, "leads");
            work(token).await;
        })
        .await;
    tracing::info!(lease = name, ?outcome, "no longer leads");
    match outcome {
        Outcome::Lost => bail!("the lease {name} was lost"),
        Outcome::Cancelled | Outcome::Finished => Ok(()),
    }
}

/// The server that a kubeconfig leads to, as host and port.
fn server_of(kubeconfig: &Path) -> Result<String> {
    let (host, port) = host_and_port(&pki::kubeconfig::read(kubeconfig)?.server)?;
    Ok(format!("{host}:{port}"))
}

/// A client by a kubeconfig, under the name of a component, which counts its requests.
async fn connect(kubeconfig: &Path, name: &'static str, metrics: &Registry) -> Result<Client> {
    let client = transport::https(kubeconfig).await?;
    Ok(transport::named(client, name, &server_of(kubeconfig)?, metrics))
}

/// Serves a component's health and metrics to clients that the API server authorizes.
async fn tell(
    (args, port): (&ServingArgs, u16),
    kubeconfig: &Path,
    client: &Client,
    endpoints: Endpoints,
    cancel: &CancellationToken,
) -> Result<()> {
    if port == 0 {
        return Ok(());
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let issued = match (&args.tls_cert_file, &args.tls_private_key_file) {
        (Some(cert), Some(key)) => pki::Issued { cert: read(cert)?, key: read(key)? },
        _ => pki::self_signed(&pki::Subject {
            name: &machine_name()?,
            ips: &[args.bind_address],
            usage: pki::Usage::Server,
            ..pki::Subject::default()
        })?,
    };
    let ca = pki::kubeconfig::read(kubeconfig)?.ca;
    let tls = pki::tls::server(&issued, &ca, &["http/1.1"])?;
    let address = SocketAddr::new(args.bind_address, port);
    let endpoints = endpoints.guarded(Access::new(client.clone()));
    serving::serve(address, Some(tls), endpoints, cancel.clone()).await?;
    Ok(())
}

/// Serves metrics and health of the service proxy. Services go into force without them.
async fn tell_of_proxy(
    [metrics_at, health_at]: [SocketAddr; 2],
    metrics: &Registry,
    status: &::proxy::Health,
    cancel: &CancellationToken,
) {
    let health = Endpoints::of_health().with_proxy(status.clone());
    let all = Endpoints::new(metrics).with_proxy(status.clone());
    for (address, endpoints) in [(metrics_at, all), (health_at, health)] {
        if let Err(error) = serving::serve(address, None, endpoints, cancel.clone()).await {
            tracing::error!(error = format!("{error:#}"), "the proxy does not tell of itself");
        }
    }
}

/// `coxswain scheduler`.
pub(crate) fn scheduler(args: SchedulerArgs) -> Result<()> {
    until_interrupted(async |cancel| {
        let metrics = serving::registry();
        let client = connect(&args.kubeconfig, "kube-scheduler", &metrics).await?;
        // Pod resources are served by every scheduler, leader or not.
        let all = InformerFactory::new(client.clone(), cancel.clone());
        let resources = Registry::bare();
        scheduler::pod_resources(&resources, &all);
        let endpoints = Endpoints::new(&metrics).with_resources(resources);
        let serving = (&args.serving, args.secure_port);
        tell(serving, &args.kubeconfig, &client, endpoints, &cancel).await?;
        lead(&client, "kube-scheduler", &metrics, cancel, async |cancel| {
            let (client, informers, metrics) = (client.clone(), all.clone(), metrics.clone());
            task::keep("scheduler", cancel, move |cancel| {
                let (client, informers) = (client.clone(), informers.clone());
                let metrics = metrics.clone();
                scheduler::run(scheduler::Config { client, informers, metrics, cancel })
            })
            .await;
        })
        .await
    })
}

/// `coxswain controller-manager`.
pub(crate) fn controller_manager(args: ControllerManagerArgs) -> Result<()> {
    until_interrupted(async |cancel| {
        let metrics = serving::registry();
        let client = connect(&args.kubeconfig, MANAGER, &metrics).await?;
        let endpoints = Endpoints::new(&metrics);
        let serving = (&args.serving, args.secure_port);
        tell(serving, &args.kubeconfig, &client, endpoints, &cancel).await?;
        let root_ca = pki::kubeconfig::read(&args.kubeconfig)?.ca;
        let sign = match &args.service_account_private_key_file {
            Some(path) => {
                // Created by the API server; tokens signed with a new one would not be accepted.
                if !path.is_file() {
                    bail!("{} is missing", path.display());
                }
                let signer = pki::Signer::open(path, crate::dir::ISSUER)?;
                Some(crate::plane::sign_secret(Arc::new(signer)))
            }
            None => None,
        };
        let signing = match (&args.cluster_signing_cert_file, &args.cluster_signing_key_file) {
            (Some(cert), Some(key)) => Some(Arc::new(pki::Authority::load(cert, key)?)),
            _ => None,
        };
        let accounts = ServiceAccounts::new(&args.kubeconfig, "kube-system").await?;
        let own = client.clone();
        let (host, counted) = (server_of(&args.kubeconfig)?, metrics.clone());
        lead(&client, "kube-controller-manager", &metrics, cancel, async |cancel| {
            controllers::run(controllers::Config {
                clients: Box::new(move |name| match name.starts_with("system:") {
                    true => own.clone(),
                    false => transport::named(accounts.client(name), MANAGER, &host, &counted),
                }),
                informers: InformerFactory::new(client.clone(), cancel.clone()),
                cluster_cidr: Some(args.cluster_cidr),
                root_ca,
                sign,
                signing,
                metrics: metrics.clone(),
                cancel,
            })
            .await;
        })
        .await
    })
}

/// `coxswain kubelet`. Its containers go on when it ends; the next one adopts them.
pub(crate) fn kubelet(command: KubeletCommand) -> Result<()> {
    let KubeletCommand { kubelet: args, healthz_port, healthz_bind_address } = command;
    until_interrupted(async |cancel| {
        let health = SocketAddr::new(healthz_bind_address, healthz_port);
        let mut node = node_config(&args, false).await?;
        if health.port() != 0 {
            let endpoints = Endpoints::of_health();
            match serving::serve(health, None, endpoints, cancel.clone()).await {
                Ok(served) => node.served_ports.push(served.port()),
                // Pods run without it.
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the kubelet's health is not served");
                }
            }
        }
        let node = Arc::new(Node::open(node).await?);
        crate::control::serve(&node.config.data, node.runtime.clone(), cancel.clone())?;
        let proxy = args.proxy_kubeconfig();
        let proxy = transport::https(&proxy).await.with_context(|| {
            format!("--proxy-kubeconfig {}: routes to other nodes need it", proxy.display())
        })?;
        let cluster = InformerFactory::new(proxy, cancel.clone());
        run_kubelet(&args, &node, &cluster, cancel).await
    })
}

/// `coxswain proxy`.
pub(crate) fn proxy(args: ProxyArgs) -> Result<()> {
    until_interrupted(async |cancel| {
        let metrics = serving::registry();
        let client = connect(&args.kubeconfig, "kube-proxy", &metrics).await?;
        let informers = InformerFactory::new(client, cancel.clone());
        let status = ::proxy::Health::new(&metrics);
        let ports = [args.metrics_bind_address, args.healthz_bind_address];
        tell_of_proxy(ports, &metrics, &status, &cancel).await;
        let server = ServerAt::find(&pki::kubeconfig::read(&args.kubeconfig)?.server).await;
        let config = proxy::ProxyConfig {
            node_name: args.node_name.map_or_else(machine_name, Ok)?,
            cluster_id: args.cluster_id,
            cluster_cidr: args.cluster_cidr.into(),
            own_ports: (server.ports_here().into_iter())
                .chain([PORT])
                .chain(ports.map(|address| address.port()))
                .collect(),
            api_server: server.0,
            node_netns: None,
            metrics,
            status,
        };
        proxy::run(&informers, config, cancel).await.context("service proxy")
    })
}

/// A further node of `coxswain up`: kubelet and service proxy within a network namespace. It ends
/// with the process that started it, and takes its pods along when it is told to stop.
pub(crate) fn node(args: NodeArgs) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // Every thread to come is in the namespace too.
    network::netns::enter(&args.netns)?;
    until_interrupted(async |cancel| {
        let node = Arc::new(Node::open(node_config(&args.kubelet, true).await?).await?);
        crate::control::serve(&node.config.data, node.runtime.clone(), cancel.clone())?;
        let proxy = transport::https(&args.kubelet.proxy_kubeconfig()).await?;
        let informers = InformerFactory::new(proxy, cancel.clone());
        let import = async {
            // The node ends without it.
            cancel.run_until_cancelled(node.import_demo()).await.unwrap_or(Ok(()))
        };
        let work = async {
            tokio::try_join!(
                run_kubelet(&args.kubelet, &node, &informers, cancel.clone()),
                node.run_proxy(&informers, cancel.clone()),
                import,
            )
        };
        work.await?;
        // It was told to stop; after a failure the next start adopts what runs.
        node.destroy().await
    })
}

/// Host and port of a server's URL.
fn host_and_port(server: &str) -> Result<(String, u16)> {
    let uri: hyper::Uri = server.parse().with_context(|| server.to_owned())?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    Ok((host.to_owned(), uri.port_u16().unwrap_or(443)))
}

/// The address this machine has towards the API server.
fn address_towards(server: &str) -> Result<IpAddr> {
    let (host, port) = host_and_port(server)?;
    source_towards((host.as_str(), port)).with_context(|| format!("finding a way to {server}"))
}

/// Where a kubeconfig has the API server, as far as its name leads anywhere yet.
struct ServerAt(Option<SocketAddr>);

impl ServerAt {
    async fn find(server: &str) -> Self {
        let Ok((host, port)) = host_and_port(server) else { return Self(None) };
        let found = tokio::net::lookup_host((host, port)).await;
        Self(found.ok().and_then(|mut addresses| addresses.next()))
    }

    /// Its port, where it is on this machine: to an address of its own a machine sends from there.
    fn ports_here(&self) -> Vec<u16> {
        let here = |server: &SocketAddr| source_towards(server).is_ok_and(|ip| ip == server.ip());
        self.0.filter(here).map(|server| server.port()).into_iter().collect()
    }
}

/// Opens the node that a kubeconfig speaks for.
async fn node_config(args: &KubeletArgs, stop_pods_on_exit: bool) -> Result<NodeConfig> {
    let credentials = pki::kubeconfig::read(&args.kubeconfig)?;
    let user = credentials.client.identity()?.user;
    let Some(name) = user.strip_prefix("system:node:") else {
        bail!("{} speaks for {user}, which is not a node", args.kubeconfig.display());
    };
    let kind = crate::up::runtime_kind(args.runtime.clone())?;
    let address = match args.node_ip {
        Some(address) => address,
        None => address_towards(&credentials.server)?,
    };
    let server = ServerAt::find(&credentials.server).await;
    let stop_pods_on_exit = stop_pods_on_exit && kind == RuntimeKind::Embedded;
    Ok(NodeConfig {
        name: name.to_owned(),
        address,
        kind,
        cluster: args.cluster_id.clone(),
        cluster_cidr: args.cluster_cidr,
        pods: None,
        cluster_dns: args.cluster_dns,
        served_ports: server.ports_here(),
        api_server: server.0,
        data: args.data_dir.clone(),
        stop_pods_on_exit,
        pods_may: args.pods.clone(),
    })
}

/// Runs the kubelet with its own credentials; `cluster` reads the nodes.
async fn run_kubelet(
    args: &KubeletArgs,
    node: &Node,
    cluster: &InformerFactory,
    cancel: CancellationToken,
) -> Result<()> {
    let credentials = pki::kubeconfig::read(&args.kubeconfig)?;
    let client = transport::https(&args.kubeconfig).await?;
    let own = InformerFactory::new(client.clone(), cancel.clone());
    node.run_kubelet(client, (own, cluster), credentials.client, credentials.ca, cancel).await
}
