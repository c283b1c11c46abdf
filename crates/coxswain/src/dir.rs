//! A cluster is a directory: where everything of it is kept.

use std::fs::Permissions;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use pki::{Authority, Issued, Subject, Usage};

/// The directory of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterDir(PathBuf);

/// A component's user, as its certificate says it.
const COMPONENTS: &[(&str, &str, &str)] = &[
    ("admin", "kubernetes-admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
];
/// The service proxy's, which runs on nodes.
const PROXY: &str = "kube-proxy";

impl ClusterDir {
    /// Opens or makes the directory.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        for sub in ["certs", "kubeconfig", "data"] {
            let dir = path.join(sub);
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("{} is not writable", dir.display()))?;
        }
        close(path)?;
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where the nodes' directories are.
    pub(crate) fn nodes(&self) -> PathBuf {
        self.data("nodes")
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.0.join("certs")
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.0.join("data").join(name)
    }

    pub(crate) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.0.join("kubeconfig").join(format!("{name}.conf"))
    }

    /// Directory of everything of a node.
    pub(crate) fn node_data(&self, node: &str) -> PathBuf {
        self.nodes().join(node)
    }

    /// The authority and everything it signs for the control plane, which is reached at `listen`
    /// from this machine and at `advertise` from nodes and pods.
    pub(crate) fn identities(
        &self,
        listen: SocketAddr,
        advertise: SocketAddr,
        kubernetes: IpAddr,
    ) -> Result<Identities> {
        let ca = Authority::open(&self.certs(), "ca")?;
        let mut ips = vec![listen.ip(), IpAddr::from([127, 0, 0, 1]), advertise.ip(), kubernetes];
        ips.dedup();
        const NAMES: &[&str] = &[
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let server = ca.issue_kept(
            "apiserver",
            &Subject {
                name: "kube-apiserver",
                dns: NAMES,
                ips: &ips,
                usage: Usage::Server,
                ..Subject::default()
            },
        )?;
        // Kubelets know this name. To the API server it may reach kubelets and nothing else, so a
        // node that gives the API server's own address for its kubelet's learns nothing.
        let kubelet_client = ca.issue_kept(
            "apiserver-kubelet-client",
            &Subject { name: "kube-apiserver-kubelet-client", ..Subject::default() },
        )?;
        let host =
            if listen.ip().is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { listen.ip() };
        let local = format!("https://{}", SocketAddr::new(host, listen.port()));
        let advertised = format!("https://{advertise}");
        let proxy = (PROXY, "system:kube-proxy", "");
        let here = COMPONENTS.iter().map(|component| (component, &local));
        for ((file, name, group), url) in here.chain([(&proxy, &advertised)]) {
            let issued = ca.issue_kept(file, &Subject { name, group, ..Subject::default() })?;
            pki::kubeconfig::write(&self.kubeconfig(file), url, ca.cert(), name, &issued)?;
        }
        let signer = pki::Signer::open(
            &self.certs().join("sa.key"),
            "https://kubernetes.default.svc.cluster.local",
        )?;
        Ok(Identities { ca, server, kubelet_client, signer: Arc::new(signer), advertised })
    }

    /// A node's certificate, for its kubelet as a client and as a server, and its kubeconfig.
    pub(crate) fn node_identity(
        &self,
        ids: &Identities,
        name: &str,
        address: IpAddr,
    ) -> Result<Issued> {
        let file = format!("kubelet-{name}");
        let user = format!("system:node:{name}");
        let subject = Subject {
            name: &user,
            group: "system:nodes",
            dns: &[name],
            ips: &[address],
            usage: Usage::Node,
        };
        let issued = ids.ca.issue_kept(&file, &subject)?;
        let path = self.kubeconfig(&file);
        pki::kubeconfig::write(&path, &ids.advertised, ids.ca.cert(), &user, &issued)?;
        Ok(issued)
    }
}

/// Closes to others what is not for them, also what was made when nobody took care. Certificates
/// themselves are public.
fn close(path: &Path) -> Result<()> {
    let private = |path: &Path, mode: u32| -> std::io::Result<()> {
        let found = path.symlink_metadata()?;
        if found.is_symlink() || found.mode() & 0o777 & !mode == 0 {
            return Ok(());
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode))
    };
    let close = || -> std::io::Result<()> {
        for sub in ["data", "kubeconfig", "certs"] {
            let dir = path.join(sub);
            if sub != "certs" {
                private(&dir, 0o700)?;
            }
            for entry in std::fs::read_dir(&dir)? {
                let (path, kind) = entry.and_then(|e| Ok((e.path(), e.file_type()?)))?;
                let public = path.extension().is_some_and(|e| e == "crt" || e == "pub");
                if kind.is_dir() {
                    private(&path, 0o700)?;
                } else if kind.is_file() && !public {
                    private(&path, 0o600)?;
                }
            }
        }
        Ok(())
    };
    close().with_context(|| format!("closing {} to others", path.display()))
}

/// Certificates and keys of the control plane.
pub(crate) struct Identities {
    pub(crate) ca: Authority,
    pub(crate) server: Issued,
    pub(crate) kubelet_client: Issued,
    pub(crate) signer: Arc<pki::Signer>,
    /// URL of the API server for nodes.
    advertised: String,
}
