//! Sandboxes: namespaces, shared memory, network and cgroup of a pod.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use network::netns;
use network::pod::{HostPort, Transport};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sethostname};

use super::state::{SANDBOX_FILE, Sandbox, SandboxRecord, save};
use super::users::Held;
use super::{Embedded, Inner, blocking, network_error, new_id};
use crate::api::*;
use crate::spec::ProcessId;
use crate::sysctl::{self, Namespace};
use crate::{Error, Result, shim};

impl Embedded {
    pub(super) async fn run_sandbox(&self, config: SandboxConfig) -> Result<String> {
        let id = new_id();
        let sandbox = Sandbox::new(SandboxRecord {
            id: id.clone(),
            config,
            created_at: Timestamp::now(),
            ips: Vec::new(),
            state: SandboxState::NotReady,
            pause: None,
        });
        self.0.sandboxes.reserve(&sandbox)?;
        let (inner, handle) = (Arc::clone(&self.0), Arc::clone(&sandbox));
        let made = blocking(move || {
            // It goes on when nobody waits for it any more; whoever removes the sandbox does.
            let _one_at_a_time = handle.lifecycle.blocking_lock();
            let mut record = handle.record.read().clone();
            inner.sandboxes.get(&record.id)?;
            inner.make_sandbox(&mut record)?;
            record.state = SandboxState::Ready;
            save(&inner.sandbox_dir(&record.id).join(SANDBOX_FILE), &record)?;
            *handle.record.write() = record;
            Ok(())
        })
        .await;
        if let Err(error) = made {
            self.remove_sandbox(&id).await.ok();
            return Err(error);
        }
        Ok(id)
    }

    pub(super) async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let Ok(sandbox) = self.0.sandboxes.get(id) else { return Ok(()) };
        let containers = self.0.containers.of_sandbox(id);
        let stops = containers.iter().map(|container| {
            let id = container.record.read().id.clone();
            async move { self.stop(&id, Duration::ZERO).await }
        });
        futures::future::try_join_all(stops).await?;
        let _one_at_a_time = sandbox.lifecycle.lock().await;
        let (inner, handle) = (Arc::clone(&self.0), Arc::clone(&sandbox));
        blocking(move || {
            let mut record = handle.record.read().clone();
            inner.unmake_sandbox(&record)?;
            record.pause = None;
            record.state = SandboxState::NotReady;
            let directory = inner.sandbox_dir(&record.id);
            if directory.exists() {
                save(&directory.join(SANDBOX_FILE), &record)?;
            }
            *handle.record.write() = record;
            Ok(())
        })
        .await
    }

    pub(super) async fn sandbox_resources(&self, id: &str) -> Result<Resources> {
        let (inner, sandbox) = (Arc::clone(&self.0), self.0.sandboxes.get(id)?);
        blocking(move || Ok(inner.hierarchies.limits(&inner.cgroup_of(&sandbox)))).await
    }

    pub(super) async fn update_sandbox_resources(&self, id: &str, new: Resources) -> Result<()> {
        let (inner, sandbox) = (Arc::clone(&self.0), self.0.sandboxes.get(id)?);
        blocking(move || Ok(inner.hierarchies.set_limits(&inner.cgroup_of(&sandbox), &new)?)).await
    }

    pub(super) async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let Ok(sandbox) = self.0.sandboxes.get(id) else { return Ok(()) };
        self.stop_sandbox(id).await?;
        for container in self.0.containers.of_sandbox(id) {
            let id = container.record.read().id.clone();
            self.remove(&id).await?;
        }
        let (inner, record) = (Arc::clone(&self.0), sandbox.record.read().clone());
        blocking(move || {
            inner
                .hierarchies
                .remove(&inner.pod_cgroup(&record.config.linux.cgroup_parent, &record.id))?;
            crate::tree::remove_all(&inner.sandbox_dir(&record.id))?;
            Ok(crate::tree::remove_all(&inner.sandbox_files(&record.id))?)
        })
        .await?;
        self.0.sandboxes.remove(id);
        Ok(())
    }
}

impl Inner {
    fn cgroup_of(&self, sandbox: &Sandbox) -> String {
        let record = sandbox.record.read();
        self.pod_cgroup(&record.config.linux.cgroup_parent, &record.id)
    }

    fn make_sandbox(&self, record: &mut SandboxRecord) -> Result<()> {
        let directory = self.sandbox_dir(&record.id);
        let files = self.sandbox_files(&record.id);
        crate::private::directory(&files)?;
        // Before anything is made, so that a crash of this process leaves nothing unknown.
        save(&files.join(SANDBOX_FILE), record)?;
        crate::private::directory(&directory)?;
        std::fs::create_dir_all(directory.join("shm"))?;
        let config = &record.config;
        let cgroup = self.pod_cgroup(&config.linux.cgroup_parent, &record.id);
        self.hierarchies.create(&cgroup)?;
        if let Some(resources) = &config.linux.resources {
            self.hierarchies.set_limits(&cgroup, resources)?;
        }
        write_files(&files, config)?;
        let namespaces = &config.linux.namespaces;
        self.make_namespaces(&directory, config)
            .map_err(|error| Error::Internal(format!("failed to create pod sandbox: {error}")))?;
        if namespaces.ipc != NamespaceMode::Node {
            let (uid, gid) =
                namespaces.user.as_ref().and_then(UserNamespace::root).unwrap_or((0, 0));
            let options = format!("mode=1777,size=65536k,uid={uid},gid={gid}");
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("shm"), &directory.join("shm"), Some("tmpfs"), flags, Some(&*options))?;
        }
        if namespaces.network != NamespaceMode::Node {
            let address = self.attach_network(&record.id, config, &directory.join("net"))?;
            record.ips = vec![address];
        }
        if namespaces.pid == NamespaceMode::Pod {
            record.pause = Some(self.start_pause(&cgroup)?);
        }
        Ok(())
    }

    /// Makes the pod's namespaces on a thread that dies with them pinned. Those of a pod with a
    /// user namespace belong to that.
    fn make_namespaces(&self, directory: &Path, config: &SandboxConfig) -> Result<()> {
        let options = &config.linux.namespaces;
        let (network, ipc) =
            (options.network != NamespaceMode::Node, options.ipc != NamespaceMode::Node);
        let held = match &options.user {
            None => None,
            Some(user) => Some(self.hold_user_namespace(user, network, ipc, directory)?),
        };
        // A pod in the node's network has the node's name too.
        let kinds = [
            ("net", network, CloneFlags::CLONE_NEWNET),
            ("uts", network, CloneFlags::CLONE_NEWUTS),
            ("ipc", ipc, CloneFlags::CLONE_NEWIPC),
        ];
        let kinds = kinds.into_iter().filter(|(_, wanted, _)| *wanted);
        let kinds: Vec<_> = kinds.map(|(kind, _, flag)| (kind, flag)).collect();
        let make = || -> Result<()> {
            for (kind, flag) in &kinds {
                match &held {
                    Some(held) => setns(held.open(kind)?, *flag)?,
                    None => unshare(*flag)?,
                }
            }
            if network {
                sethostname(&config.hostname)?;
                // Any user may bind any port and ping: the namespace is the pod's own.
                let own = [Namespace::Net];
                sysctl::set("net.ipv4.ip_unprivileged_port_start", "0", &own).ok();
                sysctl::set("net.ipv4.ping_group_range", "0 2147483647", &own).ok();
            }
            let own = [(Namespace::Net, network), (Namespace::Ipc, ipc)];
            let own: Vec<_> = own.iter().filter(|(_, own)| *own).map(|(kind, _)| *kind).collect();
            for (name, value) in &config.linux.sysctls {
                sysctl::set(name, value, &own)
                    .map_err(|error| Error::InvalidArgument(format!("sysctl {name}: {error}")))?;
            }
            for (kind, _) in &kinds {
                netns::pin(kind, &directory.join(kind)).map_err(network_error)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            scope.spawn(make).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn hold_user_namespace(
        &self,
        user: &UserNamespace,
        network: bool,
        ipc: bool,
        directory: &Path,
    ) -> Result<Held> {
        if !self.user_namespaces {
            let message = "this kernel, or its file system, has no user namespaces for containers";
            return Err(Error::InvalidArgument(message.to_owned()));
        }
        if user.root().is_none() || !network || !ipc {
            let message = "a user namespace needs a root of its own, and the pod's own network and \
                           IPC namespaces";
            return Err(Error::InvalidArgument(message.to_owned()));
        }
        let wanted = shim::WantedNamespaces { network, ipc };
        let held = Held::make(&self.executable, user, wanted)?;
        let pin = directory.join("user");
        std::fs::File::create(&pin)?;
        let (flags, none) = (MsFlags::MS_BIND, None::<&str>);
        mount(Some(&held.path("user")), &pin, none, flags, none)?;
        Ok(held)
    }

    fn attach_network(&self, id: &str, config: &SandboxConfig, netns: &Path) -> Result<IpAddr> {
        let network = self.network.read().clone().ok_or_else(|| {
            Error::Unavailable("network is not ready: the node has no pod CIDR yet".to_owned())
        })?;
        let ports: Vec<_> =
            config.port_mappings.iter().filter(|p| p.host_port != 0).map(host_port).collect();
        network.attach(id, netns, &ports).map_err(|error| {
            Error::Internal(format!("failed to setup network for sandbox {id:?}: {error}"))
        })
    }

    fn start_pause(&self, cgroup: &str) -> Result<ProcessId> {
        let control = self.executable.spawn("pause", Path::new("/"))?.control;
        let (id, _) = shim::receive_with_fds::<ProcessId>(&control)?
            .ok_or_else(|| Error::Internal("the pause process did not start".to_owned()))?;
        for directory in self.hierarchies.create(&format!("{cgroup}/pause"))? {
            std::fs::write(directory.join("cgroup.procs"), id.pid.to_string())?;
        }
        Ok(id)
    }

    pub(super) fn unmake_sandbox(&self, record: &SandboxRecord) -> Result<()> {
        if let Some(pause) = record.pause.as_ref().filter(|pause| shim::is_alive(pause)) {
            kill(Pid::from_raw(pause.pid), Signal::SIGKILL).ok();
        }
        if let Some(network) = &*self.network.read() {
            network.detach(&record.id).map_err(network_error)?;
        }
        // Where an earlier version had them, too.
        for directory in [self.sandbox_dir(&record.id), self.sandbox_files(&record.id)] {
            for name in ["net", "ipc", "uts", "user"] {
                netns::unpin(&directory.join(name)).map_err(network_error)?;
            }
            match umount2(&directory.join("shm"), MntFlags::MNT_DETACH) {
                Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn host_port(mapping: &PortMapping) -> HostPort {
    HostPort {
        transport: match mapping.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Sctp => Transport::Sctp,
        },
        host_ip: mapping.host_ip.filter(|address| !address.is_unspecified()),
        host_port: mapping.host_port,
        pod_port: mapping.container_port,
    }
}

/// `resolv.conf` and `hostname`, which every container of the pod sees in `/etc`.
fn write_files(directory: &Path, config: &SandboxConfig) -> Result<()> {
    let resolv = match &config.dns_config {
        Some(dns) => resolv_conf(dns),
        None => std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    write_public(&directory.join("resolv.conf"), &resolv)?;
    let hostname = if config.hostname.is_empty() {
        nix::unistd::gethostname()?.to_string_lossy().into_owned()
    } else {
        config.hostname.clone()
    };
    Ok(write_public(&directory.join("hostname"), &format!("{hostname}\n"))?)
}

/// Writes a file that is mounted into containers, whose users are whoever they are.
fn write_public(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

fn resolv_conf(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_in_containerds_order() {
        let dns = DnsConfig {
            servers: vec!["10.96.0.10".into()],
            searches: vec!["a.svc".into(), "b".into()],
            options: vec!["ndots:5".into()],
        };
        assert_eq!(resolv_conf(&dns), "search a.svc b\nnameserver 10.96.0.10\noptions ndots:5\n");
    }
}
