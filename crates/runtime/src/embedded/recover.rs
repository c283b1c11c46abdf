//! Adopting sandboxes and containers that an earlier process left running.

use std::path::Path;
use std::sync::Arc;

use network::netns;

use super::container::course;
use super::state::{
    CONTAINER_FILE, Container, ContainerRecord, Phase, SANDBOX_FILE, Sandbox, SandboxRecord, load,
};
use super::{Embedded, Inner, blocking, network_error};
use crate::api::*;
use crate::spec::{EXIT_FILE, RUN_FILE, SPEC_FILE};
use crate::{Result, private, shim};

impl Embedded {
    /// Rescans the data directory: adopts living shims, records exits, finishes what a crash
    /// interrupted.
    pub(super) async fn recover(&self) -> Result<()> {
        let inner = Arc::clone(&self.0);
        let sandboxes = blocking(move || Ok(inner.load_sandboxes()?)).await?;
        for record in sandboxes {
            self.0.sandboxes.reserve(&Sandbox::new(record))?;
        }
        let inner = Arc::clone(&self.0);
        for (record, phase) in blocking(move || Ok(inner.load_containers()?)).await? {
            let running = match &phase {
                Phase::Running(running) => Some(running.clone()),
                _ => None,
            };
            let container = Container::new(record, phase);
            self.0.containers.reserve(&container)?;
            if let Some(running) = running {
                match shim::open_pidfd(&running.shim) {
                    Ok(pidfd) => self.watch_adopted(container, running, pidfd),
                    Err(_) => self.finish(&container, Some(running)).await,
                }
            }
        }
        self.release_addresses().await?;
        let inner = Arc::clone(&self.0);
        blocking(move || Ok(inner.images.collect(&|layer| inner.containers.uses_layer(layer))?))
            .await
    }

    /// Takes back the addresses of sandboxes that are no more.
    pub(super) async fn release_addresses(&self) -> Result<()> {
        let inner = Arc::clone(&self.0);
        blocking(move || match inner.network.read().clone() {
            Some(network) => {
                network.retain(|owner| inner.sandboxes.get(owner).is_ok()).map_err(network_error)
            }
            None => Ok(()),
        })
        .await
    }
}

impl Inner {
    fn load_sandboxes(&self) -> std::io::Result<Vec<SandboxRecord>> {
        let mut found = Vec::new();
        for directory in subdirectories(&self.config.data_dir.join("sandboxes"))? {
            private::close_file(&directory.join(SANDBOX_FILE))?;
            let Some(mut record) = load::<SandboxRecord>(&directory.join(SANDBOX_FILE))? else {
                crate::tree::remove_all(&directory)?;
                continue;
            };
            let namespaces = &record.config.linux.namespaces;
            let pinned = |name| netns::is_pinned(&directory.join(name));
            let whole = (namespaces.network == NamespaceMode::Node || pinned("net"))
                && (namespaces.ipc == NamespaceMode::Node || pinned("ipc"))
                && (namespaces.user.is_none() || pinned("user"))
                && record.pause.as_ref().is_none_or(shim::is_alive);
            if !whole {
                record.state = SandboxState::NotReady;
            }
            found.push(record);
        }
        Ok(found)
    }

    fn load_containers(&self) -> std::io::Result<Vec<(ContainerRecord, Phase)>> {
        let mut found = Vec::new();
        for directory in subdirectories(&self.config.data_dir.join("containers"))? {
            for name in [CONTAINER_FILE, SPEC_FILE, RUN_FILE, EXIT_FILE] {
                private::close_file(&directory.join(name))?;
            }
            let Some(record) = load::<ContainerRecord>(&directory.join(CONTAINER_FILE))? else {
                crate::tree::remove_all(&directory)?;
                continue;
            };
            let phase = match course(&directory)? {
                (None, None) => Phase::Created,
                (Some(running), None) => Phase::Running(running),
                (running, Some(exited)) => {
                    self.release_cgroup(&record);
                    let lost = running.is_none() && exited.start_error.is_none();
                    Phase::Exited { running, exited, lost }
                }
            };
            found.push((record, phase));
        }
        Ok(found)
    }
}

fn subdirectories(path: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
