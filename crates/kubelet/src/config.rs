//! The configuration of a kubelet.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use client::InformerFactory;
use runtime::Runtime;
use telemetry::metrics::Registry;
use tokio_util::sync::CancellationToken;

/// Everything one kubelet needs. Two kubelets in one process share nothing but the client and
/// the informer factory.
pub struct KubeletConfig {
    /// Client that acts as `system:node:<node_name>`.
    pub client: client::Client,
    /// Informers of kinds that every component of the process reads (services, nodes).
    pub informers: InformerFactory,
    /// Where containers run.
    pub runtime: Arc<dyn Runtime>,
    /// Name of the Node object.
    pub node_name: String,
    /// Address reported as `InternalIP`, where the API server finds the kubelet server.
    pub node_ip: IpAddr,
    /// Directory for pods, logs and volumes of this node; made when absent.
    pub data_dir: PathBuf,
    /// Addresses of the cluster DNS service, for pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster, such as `cluster.local`.
    pub cluster_domain: String,
    /// Labels to set on the Node besides the well-known ones.
    pub node_labels: BTreeMap<String, String>,
    /// Most pods on the node; 110 upstream.
    pub max_pods: u32,
    /// Ports that the node's own processes serve, this one's among them: no pod may have them as host
    /// ports.
    pub own_ports: Vec<u16>,
    /// Kernel parameters that pods may set besides the safe ones, as `kernel.msg*` or
    /// `net.core.somaxconn`. Only such as belong to a namespace of the pod.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Whose credentials are checked before a pod may use an image that is on the node already.
    pub image_credentials: ImageCredentials,
    /// The kubelet's own HTTPS server; `None` serves nothing (simulated nodes).
    pub server: Option<ServerConfig>,
    /// Removes containers and mounts when the kubelet ends. Otherwise the kubelet adopts them at its
    /// next start.
    pub stop_pods_on_exit: bool,
    /// The registry of the kubelet's metrics, which `/metrics` of its server serves.
    pub metrics: Registry,
    /// The certificate that it presents, for the metric of its expiry.
    pub certificate: Option<Arc<pki::ClientCertificate>>,
    /// Ends the kubelet.
    pub cancel: CancellationToken,
}

/// Which images that are on the node already may be used without credentials for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageCredentials {
    /// All.
    NeverVerify,
    /// Those that the kubelet did not pull itself.
    #[default]
    NeverVerifyPreloadedImages,
    /// Those with these names, or below these ending in `/*`.
    NeverVerifyAllowlistedImages(Vec<String>),
    /// None.
    AlwaysVerify,
}

/// The kubelet's HTTPS server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; 10250 by convention.
    pub listen: SocketAddr,
    /// Certificate, key, and the authority that client certificates must come from, as
    /// `pki::tls::server` makes it. Its only protocol is `http/1.1`, because streams are upgraded.
    pub tls: Arc<rustls::ServerConfig>,
}
