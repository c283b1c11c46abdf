//! The life of a container.

use std::fs::Permissions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;

use super::recover::readable;
use super::state::{CONTAINER_FILE, Container, ContainerRecord, Phase, load, save};
use super::{Embedded, Inner, blocking, new_id};
use crate::api::*;
use crate::image::ImageRecord;
use crate::spec::{EXIT_FILE, Exited, RUN_FILE, Running, SPEC_FILE, StartReply};
use crate::{Error, Result, cgroup, shim};

/// How long a killed process may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(30);

impl Embedded {
    pub(super) async fn create(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let sandbox = self.0.sandboxes.get(sandbox_id)?;
        let (pod, state) = {
            let record = sandbox.record.read();
            (record.config.clone(), record.state)
        };
        if state != SandboxState::Ready {
            return Err(Error::FailedPrecondition(format!("sandbox {sandbox_id:?} is not ready")));
        }
        let image = self
            .0
            .images
            .find(&config.image)
            .ok_or_else(|| Error::NotFound(format!("image {:?}", config.image)))?;
        let id = new_id();
        let stop_signal = [&config.stop_signal, &image.image.config.stop_signal]
            .into_iter()
            .find(|signal| !signal.is_empty())
            .map_or("SIGTERM", String::as_str)
            .to_owned();
        parse_signal(&stop_signal)?;
        let log_path = if config.log_path.as_os_str().is_empty() {
            config.log_path.clone()
        } else {
            pod.log_directory.join(&config.log_path)
        };
        let parent = self.0.pod_cgroup(&pod.linux.cgroup_parent, sandbox_id);
        let record = ContainerRecord {
            cgroup: format!("{parent}/{id}"),
            id: id.clone(),
            sandbox_id: sandbox_id.to_owned(),
            pod_uid: pod.metadata.uid.clone(),
            created_at: Timestamp::now(),
            image_ref: image.image.repo_digests.first().unwrap_or(&image.image.id).clone(),
            image_id: image.image.id.clone(),
            layers: self.layers_of(&image, &config),
            log_path,
            stop_signal,
            config,
        };
        let container = Container::new(record, Phase::Created);
        // Planning once now gives configuration errors to the right call.
        let target = self.target_of(&container);
        let plan = {
            let sandbox = sandbox.record.read().clone();
            let (inner, container) = (Arc::clone(&self.0), Arc::clone(&container));
            blocking(move || {
                let spec = inner.plan(&container, &sandbox, &image, target.as_deref())?;
                inner.prepare(&container, &spec)
            })
        };
        self.0.containers.reserve(&container)?;
        if let Err(error) = plan.await {
            self.remove(&id).await.ok();
            return Err(error);
        }
        self.0.announce(ContainerEventKind::Created, &id, sandbox_id, &pod.metadata.uid);
        Ok(id)
    }

    /// The layers that a container stands on, those of images that it mounts among them.
    fn layers_of(&self, image: &ImageRecord, config: &ContainerConfig) -> Vec<String> {
        let mounted = config.mounts.iter().filter(|mount| !mount.image.is_empty());
        let mounted = mounted.filter_map(|mount| self.0.images.find(&mount.image));
        let mut layers = image.layers.clone();
        layers.extend(mounted.flat_map(|image| image.layers));
        layers
    }

    fn target_of(&self, container: &Container) -> Option<Arc<Container>> {
        match &container.record.read().config.security.namespaces.pid {
            NamespaceMode::Target(id) => self.0.containers.get(id).ok(),
            _ => None,
        }
    }

    pub(super) async fn start(&self, id: &str) -> Result<()> {
        let container = self.0.containers.get(id)?;
        let _one_at_a_time = container.lifecycle.lock().await;
        if container.state() != ContainerState::Created {
            return Err(Error::FailedPrecondition(format!("container {id:?} was started before")));
        }
        let (inner, handle) = (Arc::clone(&self.0), Arc::clone(&container));
        let directory = self.0.container_dir(id);
        let (pidfd, reply) = blocking(move || {
            inner.make_cgroup(&handle)?;
            let shim = inner.executable.spawn("run", &directory)?;
            let reply = shim::receive_with_fds::<StartReply>(&shim.control)?;
            Ok((shim.pidfd, reply))
        })
        .await?;
        match reply {
            Some((StartReply::Started(running), _)) => {
                container.phase.send_replace(Phase::Running(running.clone()));
                self.0.announce_change(ContainerEventKind::Started, &container);
                self.watch(container.clone(), running, pidfd);
                Ok(())
            }
            Some((StartReply::Failed { message, exit_code }, _)) => {
                self.finish(&container, None).await;
                Err(Error::Start { message, exit_code })
            }
            None => {
                self.finish(&container, None).await;
                Err(Error::Internal(format!("the shim of container {id:?} ended early")))
            }
        }
    }

    /// Waits for the end of a container's shim, also of one that an earlier process of ours started.
    pub(super) fn watch(&self, container: Arc<Container>, running: Running, pidfd: OwnedFd) {
        let runtime = self.clone();
        telemetry::task::spawn("container-shim", async move {
            // SAFETY: the descriptor is owned by the AsyncFd and never replaced.
            let pidfd = unsafe { tokio::io::unix::AsyncFd::register(pidfd) };
            if let Ok(pidfd) = pidfd {
                pidfd.readable().await.ok();
            }
            runtime.finish(&container, Some(running)).await;
        });
    }

    /// Takes the exit the shim recorded; where it recorded none it was killed, and the container
    /// is killed with it.
    pub(super) async fn finish(&self, container: &Arc<Container>, running: Option<Running>) {
        let (inner, handle) = (Arc::clone(&self.0), Arc::clone(container));
        let phase = blocking(move || {
            let record = handle.record.read().clone();
            let path = inner.container_dir(&record.id).join(EXIT_FILE);
            let (exited, lost) = match load::<Exited>(&path) {
                Ok(Some(exited)) => (exited, false),
                _ => {
                    for directory in inner.hierarchies.directories(&record.cgroup) {
                        cgroup::kill(&directory).ok();
                    }
                    let exited = Exited {
                        finished_at: Timestamp::now(),
                        exit_code: 137,
                        oom_killed: false,
                        start_error: None,
                    };
                    save(&path, &exited)?;
                    (exited, true)
                }
            };
            inner.release_cgroup(&record);
            Ok(Phase::Exited { running, exited, lost })
        })
        .await;
        let phase = phase.unwrap_or_else(|error| Phase::Exited {
            running: None,
            exited: Exited {
                finished_at: Timestamp::now(),
                exit_code: 137,
                oom_killed: false,
                start_error: Some(error.to_string()),
            },
            lost: true,
        });
        container.phase.send_replace(phase);
        self.0.announce_change(ContainerEventKind::Stopped, container);
    }

    pub(super) async fn stop(&self, id: &str, timeout: Duration) -> Result<()> {
        let Ok(container) = self.0.containers.get(id) else { return Ok(()) };
        let Some(running) = container.running() else { return Ok(()) };
        if !timeout.is_zero() {
            let signal = parse_signal(&container.record.read().stop_signal)?;
            send_signal(&running, signal);
            if tokio::time::timeout(timeout, container.exited()).await.is_ok() {
                return Ok(());
            }
        }
        send_signal(&running, Signal::SIGKILL as i32);
        if tokio::time::timeout(KILL_DEADLINE, container.exited()).await.is_ok() {
            return Ok(());
        }
        Err(Error::DeadlineExceeded(format!("container {id:?} does not die")))
    }

    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        let Ok(container) = self.0.containers.get(id) else { return Ok(()) };
        let _one_at_a_time = container.lifecycle.lock().await;
        self.stop(id, Duration::ZERO).await?;
        let (inner, record) = (Arc::clone(&self.0), container.record.read().clone());
        blocking(move || {
            inner.hierarchies.remove(&record.cgroup)?;
            Ok(crate::tree::remove_all(&inner.container_dir(&record.id))?)
        })
        .await?;
        self.0.containers.remove(id);
        self.0.announce_change(ContainerEventKind::Deleted, &container);
        Ok(())
    }

    pub(super) async fn update_resources(&self, id: &str, resources: Resources) -> Result<()> {
        let container = self.0.containers.get(id)?;
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let mut record = container.record.read().clone();
            if container.state() == ContainerState::Running {
                inner.hierarchies.set_limits(&record.cgroup, &resources)?;
            }
            record.config.resources.merge(resources);
            save(&inner.container_dir(&record.id).join(CONTAINER_FILE), &record)?;
            *container.record.write() = record;
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// Makes the container's directory: record, spec, overlay directories.
    fn prepare(&self, container: &Container, spec: &crate::spec::Spec) -> Result<()> {
        let record = container.record.read().clone();
        let directory = self.container_dir(&record.id);
        crate::private::directory(&directory)?;
        for name in ["upper", "work"] {
            std::fs::create_dir_all(directory.join(name))?;
        }
        // It is what the container sees as its root.
        let upper = directory.join("upper");
        std::fs::set_permissions(&upper, Permissions::from_mode(0o755))?;
        if let Some(users) = &spec.namespaces.user {
            std::os::unix::fs::lchown(upper, Some(users.root_uid), Some(users.root_gid))?;
        }
        save(&directory.join(SPEC_FILE), spec)?;
        Ok(save(&directory.join(CONTAINER_FILE), &record)?)
    }

    fn make_cgroup(&self, container: &Container) -> Result<()> {
        let record = container.record.read().clone();
        let security = &record.config.security;
        let failed = |error: std::io::Error| Error::Internal(format!("set up cgroup: {error}"));
        self.hierarchies.create(&record.cgroup).map_err(failed)?;
        self.hierarchies.set_limits(&record.cgroup, &record.config.resources).map_err(failed)?;
        self.hierarchies
            .set_devices(&record.cgroup, security.privileged, &record.config.devices)
            .map_err(failed)
    }

    /// Removes the cgroup of a container that has ended: with v1 its quota would go on to bound
    /// that of the pod from below. It is lifted first, because the kernel takes a removed cgroup
    /// apart some time later.
    pub(super) fn release_cgroup(&self, record: &ContainerRecord) {
        let unlimited = Resources { cpu_quota: Some(-1), ..Resources::default() };
        // It may be gone already.
        self.hierarchies.set_limits(&record.cgroup, &unlimited).ok();
        if let Err(error) = self.hierarchies.remove(&record.cgroup) {
            tracing::warn!(container = record.id, %error, "cgroup not removed");
        }
    }

    pub(super) fn announce_change(&self, kind: ContainerEventKind, container: &Container) {
        let record = container.record.read();
        self.announce(kind, &record.id, &record.sandbox_id, &record.pod_uid);
    }
}

/// Reads what the shim of a container wrote, at start-up.
pub(super) fn course(directory: &Path) -> std::io::Result<(Option<Running>, Option<Exited>)> {
    Ok((readable(&directory.join(RUN_FILE))?, readable(&directory.join(EXIT_FILE))?))
}

/// Signals the container's process, never a later one with its number.
fn send_signal(running: &Running, signal: i32) {
    let Ok(pidfd) = shim::open_pidfd(&running.process) else { return };
    // SAFETY: plain descriptor and numbers; no signal information is passed.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0usize, 0);
    }
}

/// A signal by name (with or without `SIG`) or number, real-time ones included.
fn parse_signal(text: &str) -> Result<i32> {
    let invalid = || Error::InvalidArgument(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.parse().map_err(|_| invalid())? };
        return Ok(34 + offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        let offset: i32 =
            if offset.is_empty() { 0 } else { offset.parse().map_err(|_| invalid())? };
        return Ok(64 + offset);
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_many_names() {
        for (text, number) in
            [("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
        {
            assert_eq!(parse_signal(text).unwrap(), number, "{text}");
        }
        assert!(parse_signal("SIGNONE").is_err() && parse_signal("65").is_err());
    }
}
