//! Sandboxes: namespaces, shared memory, network and cgroup of a pod.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use network::netns;
use network::pod::{HostPort, Transport};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sethostname};

use super::state::{SANDBOX_FILE, Sandbox, SandboxRecord, save};
use super::{Embedded, Inner, blocking, network_error, new_id};
use crate::api::*;
use crate::spec::ProcessId;
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
            let mut record = handle.record.read().clone();
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
            match std::fs::remove_dir_all(inner.sandbox_dir(&record.id)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
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
        std::fs::create_dir_all(directory.join("shm"))?;
        // On disk before anything is made, so that a crash leaves nothing unknown.
        save(&directory.join(SANDBOX_FILE), record)?;
        let config = &record.config;
        let cgroup = self.pod_cgroup(&config.linux.cgroup_parent, &record.id);
        self.hierarchies.create(&cgroup)?;
        if let Some(resources) = &config.linux.resources {
            self.hierarchies.set_limits(&cgroup, resources)?;
        }
        write_files(&directory, config)?;
        let namespaces = &config.linux.namespaces;
        make_namespaces(&directory, config)
            .map_err(|error| Error::Internal(format!("failed to create pod sandbox: {error}")))?;
        if namespaces.ipc != NamespaceMode::Node {
            let options = Some("mode=1777,size=65536k");
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("shm"), &directory.join("shm"), Some("tmpfs"), flags, options)?;
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
        let (_child, control) = self.executable.spawn("pause", Path::new("/"))?;
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
        let directory = self.sandbox_dir(&record.id);
        for name in ["net", "ipc", "uts"] {
            netns::unpin(&directory.join(name)).map_err(network_error)?;
        }
        match umount2(&directory.join("shm"), MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
    std::fs::write(directory.join("resolv.conf"), resolv)?;
    let hostname = if config.hostname.is_empty() {
        nix::unistd::gethostname()?.to_string_lossy().into_owned()
    } else {
        config.hostname.clone()
    };
    Ok(std::fs::write(directory.join("hostname"), format!("{hostname}\n"))?)
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

/// Makes the pod's namespaces on a thread that dies with them pinned.
fn make_namespaces(directory: &Path, config: &SandboxConfig) -> Result<()> {
    let options = &config.linux.namespaces;
    let (network, ipc) =
        (options.network != NamespaceMode::Node, options.ipc != NamespaceMode::Node);
    let mut flags = CloneFlags::empty();
    if network {
        // A pod in the node's network has the node's name too.
        flags |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    }
    if ipc {
        flags |= CloneFlags::CLONE_NEWIPC;
    }
    let make = || -> Result<()> {
        unshare(flags)?;
        if network {
            sethostname(&config.hostname)?;
            // Any user may bind any port and ping: the namespace is the pod's own.
            set_sysctl("net.ipv4.ip_unprivileged_port_start", "0").ok();
            set_sysctl("net.ipv4.ping_group_range", "0 2147483647").ok();
        }
        for (name, value) in &config.linux.sysctls {
            set_sysctl(name, value)
                .map_err(|error| Error::InvalidArgument(format!("sysctl {name}: {error}")))?;
        }
        for (kind, wanted) in [("net", network), ("uts", network), ("ipc", ipc)] {
            if wanted {
                netns::pin(kind, &directory.join(kind)).map_err(network_error)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        scope.spawn(make).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Dots separate, except within a part given with slashes (`net.ipv4.conf.eth0/1.forwarding`).
fn set_sysctl(name: &str, value: &str) -> std::io::Result<()> {
    let path: String = name
        .chars()
        .map(|char| match char {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    if path.split('/').any(|part| part == "..") {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    std::fs::write(Path::new("/proc/sys").join(path), value)
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
