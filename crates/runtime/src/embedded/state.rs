//! The state of sandboxes and containers, in memory and on disk.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::api::*;
use crate::spec::{Exited, ProcessId, Running};
use crate::{Error, Result};

pub(super) const SANDBOX_FILE: &str = "sandbox.json";
pub(super) const CONTAINER_FILE: &str = "container.json";

/// A sandbox on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SandboxRecord {
    pub(super) id: String,
    pub(super) config: SandboxConfig,
    pub(super) created_at: Timestamp,
    pub(super) ips: Vec<IpAddr>,
    pub(super) state: SandboxState,
    /// Process 1 of the shared pid namespace.
    pub(super) pause: Option<ProcessId>,
}

pub(super) struct Sandbox {
    pub(super) record: RwLock<SandboxRecord>,
    /// Serialises stop and remove.
    pub(super) lifecycle: tokio::sync::Mutex<()>,
}

/// A container on disk; its course is in the files of its shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    pub(super) id: String,
    pub(super) sandbox_id: String,
    pub(super) pod_uid: String,
    pub(super) config: ContainerConfig,
    pub(super) created_at: Timestamp,
    pub(super) image_ref: String,
    pub(super) image_id: String,
    pub(super) layers: Vec<String>,
    pub(super) log_path: PathBuf,
    pub(super) stop_signal: String,
    /// Path of its cgroup below every hierarchy's root.
    pub(super) cgroup: String,
}

/// Where a container is in its life: Created → Running → Exited.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Created,
    Running(Running),
    Exited { running: Option<Running>, exited: Exited, lost: bool },
}

pub(super) struct Container {
    pub(super) record: RwLock<ContainerRecord>,
    pub(super) phase: watch::Sender<Phase>,
    /// Serialises start, stop and remove.
    pub(super) lifecycle: tokio::sync::Mutex<()>,
}

impl Sandbox {
    pub(super) fn new(record: SandboxRecord) -> Arc<Self> {
        Arc::new(Self { record: RwLock::new(record), lifecycle: tokio::sync::Mutex::new(()) })
    }

    pub(super) fn status(&self) -> SandboxStatus {
        let record = self.record.read();
        SandboxStatus {
            id: record.id.clone(),
            metadata: record.config.metadata.clone(),
            state: record.state,
            created_at: record.created_at,
            ips: record.ips.clone(),
            namespaces: record.config.linux.namespaces.clone(),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
        }
    }
}

impl Container {
    pub(super) fn new(record: ContainerRecord, phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            record: RwLock::new(record),
            phase: watch::Sender::new(phase),
            lifecycle: tokio::sync::Mutex::new(()),
        })
    }

    pub(super) fn running(&self) -> Option<Running> {
        match &*self.phase.borrow() {
            Phase::Running(running) => Some(running.clone()),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> ContainerState {
        match &*self.phase.borrow() {
            Phase::Created => ContainerState::Created,
            Phase::Running(_) => ContainerState::Running,
            Phase::Exited { .. } => ContainerState::Exited,
        }
    }

    /// Waits until the container has exited and returns the exit code.
    pub(super) async fn exited(&self) -> i32 {
        let mut phase = self.phase.subscribe();
        let result = phase.wait_for(|phase| matches!(phase, Phase::Exited { .. })).await;
        match result.as_deref() {
            Ok(Phase::Exited { exited, .. }) => exited.exit_code,
            _ => 255,
        }
    }

    pub(super) fn status(&self) -> ContainerStatus {
        let record = self.record.read();
        let phase = self.phase.borrow();
        let (running, exited) = match &*phase {
            Phase::Created => (None, None),
            Phase::Running(running) => (Some(running), None),
            Phase::Exited { running, exited, lost } => (running.as_ref(), Some((exited, *lost))),
        };
        let (reason, message) = exited.map_or(("", None), |(exited, lost)| {
            let reason = if lost {
                "ContainerStatusUnknown"
            } else if exited.start_error.is_some() {
                "StartError"
            } else if exited.oom_killed {
                "OOMKilled"
            } else if exited.exit_code == 0 {
                "Completed"
            } else {
                "Error"
            };
            (reason, exited.start_error.clone())
        });
        ContainerStatus {
            id: record.id.clone(),
            sandbox_id: record.sandbox_id.clone(),
            metadata: record.config.metadata.clone(),
            state: match &*phase {
                Phase::Created => ContainerState::Created,
                Phase::Running(_) => ContainerState::Running,
                Phase::Exited { .. } => ContainerState::Exited,
            },
            created_at: record.created_at,
            started_at: running.map(|running| running.started_at),
            finished_at: exited.map(|(exited, _)| exited.finished_at),
            exit_code: exited.map_or(0, |(exited, _)| exited.exit_code),
            reason: reason.to_owned(),
            message: message.unwrap_or_default(),
            image: record.config.image.clone(),
            image_ref: record.image_ref.clone(),
            image_id: record.image_id.clone(),
            mounts: record.config.mounts.clone(),
            log_path: record.log_path.clone(),
            resources: record.config.resources.clone(),
            user: running.map(|running| running.user.clone()),
            stop_signal: record.stop_signal.clone(),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
        }
    }
}

/// All sandboxes by id.
#[derive(Default)]
pub(super) struct Sandboxes(Mutex<HashMap<String, Arc<Sandbox>>>);

impl Sandboxes {
    pub(super) fn get(&self, id: &str) -> Result<Arc<Sandbox>> {
        let found = self.0.lock().get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("sandbox {id:?}")))
    }

    /// Adds a sandbox unless one with the same metadata is there.
    pub(super) fn reserve(&self, sandbox: &Arc<Sandbox>) -> Result<()> {
        let (id, metadata) = {
            let record = sandbox.record.read();
            (record.id.clone(), record.config.metadata.clone())
        };
        let mut all = self.0.lock();
        if all.values().any(|other| other.record.read().config.metadata == metadata) {
            return Err(Error::AlreadyExists(format!(
                "sandbox {}/{} attempt {}",
                metadata.namespace, metadata.name, metadata.attempt
            )));
        }
        all.insert(id, Arc::clone(sandbox));
        Ok(())
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }

    pub(super) fn list(&self, filter: &SandboxFilter) -> Vec<SandboxStatus> {
        let all: Vec<_> = self.0.lock().values().cloned().collect();
        let mut statuses: Vec<_> = all
            .iter()
            // First: a status is a copy, and each pod asks for its own among all.
            .filter(|sandbox| {
                let record = sandbox.record.read();
                filter.id.as_ref().is_none_or(|id| record.id.starts_with(id))
                    && filter.state.is_none_or(|state| record.state == state)
                    && has_labels(&record.config.labels, &filter.labels)
            })
            .map(|sandbox| sandbox.status())
            .collect();
        statuses.sort_by_key(|status| status.created_at);
        statuses
    }
}

/// All containers by id.
#[derive(Default)]
pub(super) struct Containers(Mutex<HashMap<String, Arc<Container>>>);

impl Containers {
    pub(super) fn get(&self, id: &str) -> Result<Arc<Container>> {
        let found = self.0.lock().get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("container {id:?}")))
    }

    /// Adds a container unless its sandbox has one with the same metadata.
    pub(super) fn reserve(&self, container: &Arc<Container>) -> Result<()> {
        let record = container.record.read().clone();
        let mut all = self.0.lock();
        let taken = all.values().any(|other| {
            let other = other.record.read();
            other.sandbox_id == record.sandbox_id && other.config.metadata == record.config.metadata
        });
        if taken {
            let ContainerMetadata { name, attempt } = &record.config.metadata;
            return Err(Error::AlreadyExists(format!("container {name} attempt {attempt}")));
        }
        all.insert(record.id, Arc::clone(container));
        Ok(())
    }

    pub(super) fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }

    pub(super) fn of_sandbox(&self, sandbox_id: &str) -> Vec<Arc<Container>> {
        let all = self.0.lock();
        all.values().filter(|c| c.record.read().sandbox_id == sandbox_id).cloned().collect()
    }

    pub(super) fn uses_layer(&self, layer: &str) -> bool {
        let all = self.0.lock();
        all.values().any(|container| container.record.read().layers.iter().any(|l| l == layer))
    }

    pub(super) fn list(&self, filter: &ContainerFilter) -> Vec<ContainerStatus> {
        let all: Vec<_> = self.0.lock().values().cloned().collect();
        let mut statuses: Vec<_> = all
            .iter()
            .filter(|container| {
                let record = container.record.read();
                filter.id.as_ref().is_none_or(|id| record.id.starts_with(id))
                    && filter.sandbox_id.as_ref().is_none_or(|id| record.sandbox_id == *id)
                    && has_labels(&record.config.labels, &filter.labels)
            })
            .map(|container| container.status())
            .filter(|status| filter.state.is_none_or(|state| status.state == state))
            .collect();
        statuses.sort_by_key(|status| status.created_at);
        statuses
    }
}

pub(crate) fn has_labels(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Writes a record, which may hold secrets, so that a reader sees all of it or nothing.
pub(super) fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    crate::private::write(path, &serde_json::to_vec(value)?)
}

/// Reads a record; `None` where there is none.
pub(super) fn load<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
