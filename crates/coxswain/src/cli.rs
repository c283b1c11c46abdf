//! The command line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use apiserver::AdmissionOptions;
use clap::{Parser, Subcommand};
use ipnet::Ipv4Net;
use kubelet::ImageCredentials;

use crate::audit_args::AuditArgs;
use crate::authentication::AuthenticationArgs;
use crate::authorization::AuthorizationArgs;
use crate::encryption_args::EncryptionArgs;
use crate::logging::{self, LogArgs, LogsArgs};
use crate::{component, control, daemon, demo};

/// Kubernetes in one binary.
#[derive(Parser)]
#[command(name = "coxswain", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a cluster in this process.
    Up(UpArgs),
    /// Stops the cluster that runs in a directory.
    Down(DirArgs),
    /// Says whether a cluster runs in a directory; exit code 1 if not.
    Status(DirArgs),
    /// Prints the log of a cluster that runs in the background.
    Logs(LogsArgs),
    /// Prints the administrator's kubeconfig, or merges it into kubectl's.
    Kubeconfig(KubeconfigArgs),
    /// Works with container images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// The commands of the demo image.
    #[command(subcommand)]
    Demo(DemoCommand),
    /// Tests a cluster, this one or any other.
    Conformance(conformance::Args),
    /// Runs the API server alone.
    Apiserver(ApiServerArgs),
    /// Runs the scheduler alone.
    Scheduler(SchedulerArgs),
    /// Runs the controllers alone.
    ControllerManager(ControllerManagerArgs),
    /// Runs the kubelet alone; it is the node that its kubeconfig speaks for.
    Kubelet(KubeletCommand),
    /// Runs the service proxy alone.
    Proxy(ProxyArgs),
    /// Runs a further node of `up`.
    #[command(hide = true)]
    Node(NodeArgs),
}

/// Which cluster.
#[derive(clap::Args)]
pub(crate) struct DirArgs {
    /// Directory of the cluster.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
}

#[derive(Subcommand)]
enum ImageCommand {
    /// Imports an archive (OCI layout or `docker save`) into the running cluster's nodes.
    Import {
        /// The archive.
        archive: PathBuf,
        #[command(flatten)]
        cluster: DirArgs,
    },
    /// Lists the images of the running cluster's nodes.
    Ls(DirArgs),
    /// Writes the demo image as an OCI layout tar.
    BuildDemo {
        /// The file to write.
        #[arg(default_value = "demo.tar")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum DemoCommand {
    /// Answers HTTP with the host's name.
    Serve {
        /// Port to listen on.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Fetches a URL; fails unless it answers with success.
    Get {
        /// The URL.
        url: String,
    },
}

/// How a node runs pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuntimeKind {
    /// Real containers, by this binary. Needs root.
    Embedded,
    /// Pods are reported as running; nothing runs.
    Simulated,
    /// Real containers, by the runtime that serves CRI on this socket. Needs root.
    Cri(PathBuf),
}

impl RuntimeKind {
    /// Returns true if containers are processes, with addresses and streams.
    pub(crate) fn is_real(&self) -> bool {
        !matches!(self, Self::Simulated)
    }
}

/// Why text names no runtime.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRuntime {
    #[error(
        "cri: wants the absolute path of a socket, such as cri:/run/containerd/containerd.sock"
    )]
    Socket,
    #[error("expected embedded, simulated or cri:<socket>")]
    Unknown,
}

impl FromStr for RuntimeKind {
    type Err = NoRuntime;

    fn from_str(text: &str) -> Result<Self, NoRuntime> {
        match (text, text.strip_prefix("cri:")) {
            ("embedded", _) => Ok(Self::Embedded),
            ("simulated", _) => Ok(Self::Simulated),
            (_, Some(socket)) => {
                // Other kubelets are given the socket as a URL.
                let path = PathBuf::from(socket.strip_prefix("unix://").unwrap_or(socket));
                if path.is_absolute() { Ok(Self::Cri(path)) } else { Err(NoRuntime::Socket) }
            }
            _ => Err(NoRuntime::Unknown),
        }
    }
}

/// The names of the cluster and of its API server.
#[derive(clap::Args, Clone)]
pub(crate) struct IdentityArgs {
    /// Name of the cluster in kubeconfigs; after the directory if left out.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A further name or address in the API server's certificate; may be given several times.
    #[arg(long = "tls-san")]
    pub(crate) tls_sans: Vec<String>,
}

/// Options of `kubeconfig`.
#[derive(clap::Args)]
pub(crate) struct KubeconfigArgs {
    #[command(flatten)]
    pub(crate) cluster: DirArgs,
    /// Merges it into the file that kubectl uses, in place of entries of the same names.
    #[arg(long)]
    pub(crate) merge: bool,
    /// The one for other machines.
    #[arg(long)]
    pub(crate) external: bool,
}

/// Why an address to listen on is none.
#[derive(Debug)]
struct NoAddress {
    /// The port that seems to be meant.
    port: u16,
}

impl std::error::Error for NoAddress {}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        write!(
            f,
            "an address and a port are needed, such as 127.0.0.1:{port} for this machine alone or \
             0.0.0.0:{port} for every address"
        )
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, NoAddress> {
    let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(6443);
    text.parse().map_err(|_| NoAddress { port })
}

/// Which admission plugins run; upstream's options.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct AdmissionArgs {
    /// Admission plugins that run besides those that do by default, as AlwaysPullImages,EventRateLimit.
    #[arg(long, value_delimiter = ',')]
    enable_admission_plugins: Vec<String>,
    /// Admission plugins that do not run although they do by default.
    #[arg(long, value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// File with an AdmissionConfiguration.
    #[arg(long)]
    admission_control_config_file: Option<PathBuf>,
}

impl AdmissionArgs {
    pub(crate) fn options(&self) -> AdmissionOptions {
        AdmissionOptions {
            enable: self.enable_admission_plugins.clone(),
            disable: self.disable_admission_plugins.clone(),
            config_file: self.admission_control_config_file.clone(),
        }
    }
}

/// Options of `up`.
#[derive(clap::Args, Clone)]
pub(crate) struct UpArgs {
    /// Directory that holds everything of the cluster.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Address of the API server.
    #[arg(long, default_value = "127.0.0.1:6443", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    /// Address that others reach this machine at, for the kubeconfig they use.
    #[arg(long)]
    pub(crate) advertise_address: Option<IpAddr>,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// How many nodes; each after the first is a network namespace with a kubelet of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) nodes: u8,
    /// How pods run: embedded, simulated or cri:<socket>; embedded for root, else simulated.
    #[arg(long)]
    pub(crate) runtime: Option<RuntimeKind>,
    /// Returns once the cluster is ready and leaves it running in the background.
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) pods: PodArgs,
    #[command(flatten)]
    pub(crate) authentication: AuthenticationArgs,
    #[command(flatten)]
    pub(crate) authorization: AuthorizationArgs,
    #[command(flatten)]
    pub(crate) admission: AdmissionArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    #[command(flatten)]
    pub(crate) encryption: EncryptionArgs,
}

/// Privileges that nodes grant to pods.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct PodArgs {
    /// Kernel parameters that pods may set besides the safe ones, as kernel.msg*,net.core.somaxconn.
    #[arg(long, value_delimiter = ',')]
    pub(crate) allowed_unsafe_sysctls: Vec<String>,
    /// Which images on a node a pod may use without credentials for them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) image_pull_credentials_verification_policy: ImagePolicy,
    /// Images for NeverVerifyAllowlistedImages, as docker.io/library/busybox or
    /// registry.example/team/*.
    #[arg(long, value_delimiter = ',')]
    pub(crate) preloaded_images_verification_allowlist: Vec<String>,
}

/// Which images on a node need no credentials; upstream's names.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub(crate) enum ImagePolicy {
    NeverVerify,
    #[default]
    NeverVerifyPreloadedImages,
    NeverVerifyAllowlistedImages,
    AlwaysVerify,
}

impl PodArgs {
    pub(crate) fn image_credentials(&self) -> ImageCredentials {
        match self.image_pull_credentials_verification_policy {
            ImagePolicy::NeverVerify => ImageCredentials::NeverVerify,
            ImagePolicy::NeverVerifyPreloadedImages => ImageCredentials::NeverVerifyPreloadedImages,
            ImagePolicy::NeverVerifyAllowlistedImages => {
                ImageCredentials::NeverVerifyAllowlistedImages(
                    self.preloaded_images_verification_allowlist.clone(),
                )
            }
            ImagePolicy::AlwaysVerify => ImageCredentials::AlwaysVerify,
        }
    }

    /// The same options for another process.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let policy = self.image_pull_credentials_verification_policy;
        let policy = clap::ValueEnum::to_possible_value(&policy);
        let lists = [
            ("--allowed-unsafe-sysctls", self.allowed_unsafe_sysctls.join(",")),
            (
                "--preloaded-images-verification-allowlist",
                self.preloaded_images_verification_allowlist.join(","),
            ),
            (
                "--image-pull-credentials-verification-policy",
                policy.map(|policy| policy.get_name().to_owned()).unwrap_or_default(),
            ),
        ];
        let given = lists.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(option, value)| format!("{option}={value}")).collect()
    }
}

/// Options of `apiserver`.
#[derive(clap::Args)]
pub(crate) struct ApiServerArgs {
    /// Directory that holds the certificates, the kubeconfigs it writes and the data.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:6443", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// Address that nodes and pods reach it at; that of `--listen` if left out.
    #[arg(long)]
    pub(crate) advertise_address: Option<IpAddr>,
    /// Where the administrator's kubeconfig is written besides the directory.
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) authentication: AuthenticationArgs,
    #[command(flatten)]
    pub(crate) authorization: AuthorizationArgs,
    #[command(flatten)]
    pub(crate) admission: AdmissionArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    #[command(flatten)]
    pub(crate) encryption: EncryptionArgs,
}

/// The port of a component's `/metrics`, and `/healthz`, `/livez` and `/readyz`.
#[derive(clap::Args)]
pub(crate) struct ServingArgs {
    /// Address of the component's health and metrics.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) bind_address: IpAddr,
    /// Certificate of that port; self-signed if left out.
    #[arg(long, requires = "tls_private_key_file")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(long, requires = "tls_cert_file")]
    pub(crate) tls_private_key_file: Option<PathBuf>,
}

/// Options of `scheduler`.
#[derive(clap::Args)]
pub(crate) struct SchedulerArgs {
    /// How the API server is reached.
    #[arg(long)]
    pub(crate) kubeconfig: PathBuf,
    /// Port of its health and metrics, by HTTPS; 0 for none.
    #[arg(long, default_value_t = 10_259)]
    pub(crate) secure_port: u16,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
}

/// Options of `controller-manager`.
#[derive(clap::Args)]
pub(crate) struct ControllerManagerArgs {
    /// How the API server is reached.
    #[arg(long)]
    pub(crate) kubeconfig: PathBuf,
    /// Range that nodes get their pod ranges from.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) cluster_cidr: Ipv4Net,
    /// Key that signs the tokens in Secrets, `certs/sa.key` of the API server; without it such
    /// Secrets are not filled.
    #[arg(long)]
    pub(crate) service_account_private_key_file: Option<PathBuf>,
    /// Certificate of the authority that signs CertificateSigningRequests, `certs/ca.crt` of the
    /// API server; without it and its key they stay unsigned.
    #[arg(long, requires = "cluster_signing_key_file")]
    pub(crate) cluster_signing_cert_file: Option<PathBuf>,
    /// Key of that authority.
    #[arg(long, requires = "cluster_signing_cert_file")]
    pub(crate) cluster_signing_key_file: Option<PathBuf>,
    /// Port of its health and metrics, by HTTPS; 0 for none.
    #[arg(long, default_value_t = 10_257)]
    pub(crate) secure_port: u16,
    #[command(flatten)]
    pub(crate) serving: ServingArgs,
}

/// Options of `kubelet`.
#[derive(clap::Args)]
pub(crate) struct KubeletCommand {
    #[command(flatten)]
    pub(crate) kubelet: KubeletArgs,
    /// Port of its health, for everybody who can connect; 0 for none.
    #[arg(long, default_value_t = 10_248)]
    pub(crate) healthz_port: u16,
    /// Address of that port.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) healthz_bind_address: IpAddr,
}

/// Options of a kubelet, also of a further node's.
#[derive(clap::Args)]
pub(crate) struct KubeletArgs {
    /// How the API server is reached, with the node's certificate.
    #[arg(long)]
    pub(crate) kubeconfig: PathBuf,
    /// How the other nodes are read, for routes to their pods: a node's own certificate shows it
    /// only itself. kube-proxy.conf beside --kubeconfig if left out.
    #[arg(long)]
    pub(crate) proxy_kubeconfig: Option<PathBuf>,
    /// Directory for images, pods, volumes and logs.
    #[arg(long, default_value = "/var/lib/coxswain/node")]
    pub(crate) data_dir: PathBuf,
    /// The node's address; that towards the API server if left out.
    #[arg(long)]
    pub(crate) node_ip: Option<IpAddr>,
    /// How pods run: embedded, simulated or cri:<socket>; embedded for root, else simulated.
    #[arg(long)]
    pub(crate) runtime: Option<RuntimeKind>,
    /// Address of the cluster's DNS service.
    #[arg(long, default_value = "10.96.0.10")]
    pub(crate) cluster_dns: IpAddr,
    /// Range of all pods.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) cluster_cidr: Ipv4Net,
    /// Keeps the links and tables of several clusters on one machine apart.
    #[arg(long, default_value = "default")]
    pub(crate) cluster_id: String,
    #[command(flatten)]
    pub(crate) pods: PodArgs,
}

impl KubeletArgs {
    /// The file of the service proxy's credentials.
    pub(crate) fn proxy_kubeconfig(&self) -> PathBuf {
        let beside = || self.kubeconfig.with_file_name("kube-proxy.conf");
        self.proxy_kubeconfig.clone().unwrap_or_else(beside)
    }
}

/// Options of `proxy`.
#[derive(clap::Args)]
pub(crate) struct ProxyArgs {
    /// How the API server is reached.
    #[arg(long)]
    pub(crate) kubeconfig: PathBuf,
    /// Name of the node; the machine's if left out.
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// Range of all pods.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) cluster_cidr: Ipv4Net,
    /// Keeps the tables of several clusters on one machine apart.
    #[arg(long, default_value = "default")]
    pub(crate) cluster_id: String,
    /// Address of its metrics, which everybody may read who can connect.
    #[arg(long, default_value = "127.0.0.1:10249")]
    pub(crate) metrics_bind_address: SocketAddr,
    /// Address of its health, for those who send traffic to this node's ports.
    #[arg(long, default_value = "0.0.0.0:10256")]
    pub(crate) healthz_bind_address: SocketAddr,
}

/// Options of `node`.
#[derive(clap::Args)]
pub(crate) struct NodeArgs {
    /// Network namespace of the node.
    #[arg(long)]
    pub(crate) netns: PathBuf,
    #[command(flatten)]
    pub(crate) kubelet: KubeletArgs,
}

/// As many open files as the system allows: the customary 1024 are used up by as many clients. Go's
/// runtime does the same for upstream.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Nothing is lost where it cannot be raised.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Runs the command; every failure is one line and exit code 1.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    // Libraries that make their own TLS clients find this one; it is the first, so it cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = matches!(
        cli.command,
        Command::Image(_) | Command::Demo(_) | Command::Status(_) | Command::Conformance(_)
    );
    if !own {
        // Files of a cluster are private to its owner unless they are created with another mode.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        raise_descriptor_limit();
    }
    let mut log = cli.log;
    if let Command::Up(args) = &cli.command
        && daemon::is_background()
    {
        log.or_to_file(args.dir.join("data").join(logging::CLUSTER_LOG));
    }
    if let Err(error) = log.init() {
        eprintln!("coxswain: {error:#}");
        return ExitCode::FAILURE;
    }
    let outcome = match cli.command {
        Command::Up(args) if args.detach => daemon::detach(&args.dir),
        Command::Up(args) => crate::up::run(args, log),
        Command::Logs(args) => logging::show(&args),
        Command::Down(DirArgs { dir }) => daemon::down(&dir),
        Command::Status(DirArgs { dir }) => daemon::status(&dir),
        Command::Kubeconfig(args) => crate::kubeconfig::run(&args),
        Command::Image(ImageCommand::BuildDemo { out }) => demo::build(&out),
        Command::Image(ImageCommand::Import { archive, cluster }) => {
            control::import(&cluster.dir, &archive)
        }
        Command::Image(ImageCommand::Ls(cluster)) => control::list(&cluster.dir),
        Command::Demo(DemoCommand::Serve { port }) => on_one_thread(demo::serve(port)),
        Command::Demo(DemoCommand::Get { url }) => on_one_thread(demo::get(&url)),
        Command::Conformance(args) => return conformance::run(args),
        Command::Apiserver(args) => component::apiserver(args),
        Command::Scheduler(args) => component::scheduler(args),
        Command::ControllerManager(args) => component::controller_manager(args),
        Command::Kubelet(args) => component::kubelet(args),
        Command::Proxy(args) => component::proxy(args),
        Command::Node(args) => component::node(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coxswain: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_one_thread(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_may_do_reaches_further_nodes() {
        #[derive(Parser)]
        struct Node {
            #[command(flatten)]
            pods: PodArgs,
        }
        let given = "up --allowed-unsafe-sysctls kernel.msg*,net.core.somaxconn \
                     --image-pull-credentials-verification-policy NeverVerifyAllowlistedImages \
                     --preloaded-images-verification-allowlist a.example/*";
        let first = Node::parse_from(given.split_whitespace()).pods;
        assert_eq!(first.allowed_unsafe_sysctls, ["kernel.msg*", "net.core.somaxconn"]);
        let list = ImageCredentials::NeverVerifyAllowlistedImages(vec!["a.example/*".to_owned()]);
        assert_eq!(first.image_credentials(), list);
        let further = std::iter::once("node".to_owned()).chain(first.to_args());
        let further = Node::parse_from(further).pods;
        assert_eq!(further.allowed_unsafe_sysctls, first.allowed_unsafe_sysctls);
        assert_eq!(further.image_credentials(), list);
        let plain = Node::parse_from(["up"]).pods;
        assert_eq!(plain.image_credentials(), ImageCredentials::default());
    }

    #[test]
    fn a_bare_port_is_explained() {
        assert!(listen_address("127.0.0.1:7104").is_ok());
        for (wrong, port) in [("7104", "7104"), ("localhost:7104", "7104"), ("x", "6443")] {
            let why = listen_address(wrong).unwrap_err().to_string();
            assert!(why.contains(&format!("127.0.0.1:{port}")), "{why}");
        }
    }

    #[test]
    fn runtimes_have_names() {
        let socket = Ok(RuntimeKind::Cri("/run/c.sock".into()));
        assert_eq!("embedded".parse(), Ok(RuntimeKind::Embedded));
        assert_eq!("simulated".parse(), Ok(RuntimeKind::Simulated));
        assert_eq!("cri:/run/c.sock".parse(), socket);
        assert_eq!("cri:unix:///run/c.sock".parse(), socket);
        for wrong in ["", "docker", "cri", "cri:", "cri:run/c.sock"] {
            assert!(wrong.parse::<RuntimeKind>().is_err(), "{wrong}");
        }
    }
}
