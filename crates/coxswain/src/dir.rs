//! A cluster is a directory: where everything of it is kept.

use std::collections::HashSet;
use std::fs::Permissions;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use apiserver::{Authentication, Authorization, FrontProxy};
use pki::kubeconfig::Cluster;
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
/// The issuer of service account tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The administrator's kubeconfig, and the one for other machines.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const EXTERNAL: &str = "admin-external";
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

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The authority and everything it signs for the control plane.
    pub(crate) fn identities(&self, reach: &Reach<'_>) -> Result<Identities> {
        let Reach { listen, advertise, .. } = *reach;
        let ca = Authority::open(&self.certs(), "ca")?;
        let (names, ips) = reach.names()?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let server = ca.issue_kept(
            "apiserver",
            &Subject {
                name: "kube-apiserver",
                dns: &names,
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
            let cluster = Cluster { name: reach.name, server: url, ca: ca.cert() };
            pki::kubeconfig::write(&self.kubeconfig(file), cluster, name, &issued)?;
            if *file == ADMIN
                && let Some(outside) = reach.outside()
            {
                let server = format!("https://{outside}");
                let cluster = Cluster { server: &server, ..cluster };
                pki::kubeconfig::write(&self.kubeconfig(EXTERNAL), cluster, name, &issued)?;
            }
        }
        // Other API servers take the name of a user from whoever has this certificate, so nothing
        // else is signed by its authority. A directory of its own, because an authority is only
        // made where nothing another one signed is kept.
        let front = Authority::open(&self.certs().join("front-proxy"), "ca")?;
        let identity = front
            .issue_kept("client", &Subject { name: "front-proxy-client", ..Subject::default() })?;
        let front_proxy = FrontProxy { authority: front.cert().to_owned(), identity };
        let signer = pki::Signer::open(&self.certs().join("sa.key"), ISSUER)?;
        let name = reach.name.to_owned();
        Ok(Identities {
            ca: Arc::new(ca),
            server,
            kubelet_client,
            front_proxy,
            signer: Arc::new(signer),
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            advertised,
            name,
        })
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
        let cluster = Cluster { name: &ids.name, server: &ids.advertised, ca: ids.ca.cert() };
        pki::kubeconfig::write(&path, cluster, &user, &issued)?;
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
    pub(crate) ca: Arc<Authority>,
    pub(crate) server: Issued,
    pub(crate) kubelet_client: Issued,
    /// How other API servers know this one.
    pub(crate) front_proxy: FrontProxy,
    pub(crate) signer: Arc<pki::Signer>,
    /// How senders of requests are authenticated besides.
    pub(crate) authentication: Authentication,
    /// The authorizers.
    pub(crate) authorization: Authorization,
    /// URL of the API server for nodes.
    advertised: String,
    /// Name of the cluster in kubeconfigs.
    name: String,
}

/// How the API server is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    /// From this machine.
    pub(crate) listen: SocketAddr,
    /// From nodes and pods.
    pub(crate) advertise: SocketAddr,
    /// By the service that every cluster has.
    pub(crate) kubernetes: IpAddr,
    /// From other machines, if somebody says so.
    pub(crate) outside: Option<IpAddr>,
    /// Further names and addresses.
    pub(crate) sans: &'a [String],
    /// Name of the cluster.
    pub(crate) name: &'a str,
}

impl Reach<'_> {
    /// Where other machines find the server; `None` if it listens on this machine alone.
    fn outside(&self) -> Option<SocketAddr> {
        let own = Some(self.listen.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
        let of_machine = || {
            let found = self.listen.ip().is_unspecified().then(crate::node::machine_address)?;
            found.ok().or_else(|| machine_addresses().first().copied())
        };
        let ip = self.outside.or(own).or_else(of_machine)?;
        Some(SocketAddr::new(ip, self.listen.port()))
    }

    /// Names and addresses in the server's certificate.
    fn names(&self) -> Result<(Vec<String>, Vec<IpAddr>)> {
        const NAMES: &[&str] = &[
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        let mut ips = vec![
            self.listen.ip(),
            IpAddr::from([127, 0, 0, 1]),
            self.advertise.ip(),
            self.kubernetes,
        ];
        ips.extend(self.outside);
        if self.listen.ip().is_unspecified() {
            ips.extend(machine_addresses());
            names.push(crate::node::machine_name()?);
        }
        for san in self.sans {
            match san.parse() {
                Ok(ip) => ips.push(ip),
                Err(_) => {
                    let plain = san.strip_prefix("*.").unwrap_or(san);
                    if rustls::pki_types::DnsName::try_from(plain).is_err() {
                        bail!("--tls-san {san}: neither an address nor a DNS name");
                    }
                    names.push(san.clone());
                }
            }
        }
        let mut seen = HashSet::new();
        ips.retain(|ip| !ip.is_unspecified() && seen.insert(*ip));
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok((names, ips))
    }
}

/// Addresses that others may reach this machine at.
fn machine_addresses() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    });
    let reachable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    addresses.filter(reachable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_for_everybody_names_the_machine() {
        let sans = ["api.example.com".to_owned(), "192.0.2.9".to_owned()];
        let reach = Reach {
            listen: "0.0.0.0:7104".parse().unwrap(),
            advertise: "10.244.0.1:7104".parse().unwrap(),
            kubernetes: "10.96.0.1".parse().unwrap(),
            outside: Some("192.0.2.7".parse().unwrap()),
            sans: &sans,
            name: "demo",
        };
        let (names, ips) = reach.names().unwrap();
        assert!(names.contains(&"api.example.com".to_owned()), "{names:?}");
        assert!(names.contains(&crate::node::machine_name().unwrap()), "{names:?}");
        for ip in ["127.0.0.1", "10.244.0.1", "10.96.0.1", "192.0.2.7", "192.0.2.9"] {
            assert!(ips.contains(&ip.parse().unwrap()), "{ip} in {ips:?}");
        }
        assert!(machine_addresses().iter().all(|ip| ips.contains(ip)));
        assert!(!ips.iter().any(IpAddr::is_unspecified));
        assert_eq!(reach.outside(), Some("192.0.2.7:7104".parse().unwrap()));
        let local = Reach { listen: "127.0.0.1:7104".parse().unwrap(), outside: None, ..reach };
        assert_eq!(local.outside(), None);
        let wrong = ["not a name".to_owned()];
        assert!(Reach { sans: &wrong, ..reach }.names().is_err());
    }

    #[test]
    fn kubeconfigs_are_written_for_here_and_outside() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterDir::open(dir.path()).unwrap();
        let reach = Reach {
            listen: "0.0.0.0:7104".parse().unwrap(),
            advertise: "10.244.0.1:7104".parse().unwrap(),
            kubernetes: "10.96.0.1".parse().unwrap(),
            outside: Some("192.0.2.7".parse().unwrap()),
            sans: &[],
            name: "demo",
        };
        cluster.identities(&reach).unwrap();
        let server = |name| pki::kubeconfig::read(&cluster.kubeconfig(name)).unwrap().server;
        assert_eq!(server(ADMIN), "https://127.0.0.1:7104");
        assert_eq!(server(EXTERNAL), "https://192.0.2.7:7104");
        let admin = pki::kubeconfig::read(&cluster.kubeconfig(ADMIN)).unwrap();
        assert!(admin.client.key.starts_with("-----BEGIN EC PRIVATE KEY"), "{}", admin.client.key);
        pki::tls::client(&admin.client, &admin.ca).unwrap();
        let again = cluster.identities(&reach).unwrap().front_proxy;
        std::fs::remove_dir_all(cluster.certs().join("front-proxy")).unwrap();
        let made = cluster.identities(&reach).unwrap().front_proxy;
        assert_ne!(again.authority, made.authority, "a directory of before gets the authority");
    }
}
