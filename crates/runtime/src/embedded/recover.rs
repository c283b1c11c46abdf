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
                    Ok(pidfd) => self.watch(container, running, pidfd),
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
        for files in subdirectories(&self.config.data_dir.join("sandboxes"))? {
            let Some(id) = files.file_name().and_then(|name| name.to_str()) else { continue };
            let directory = self.sandbox_dir(id);
            private::close_file(&files.join(SANDBOX_FILE))?;
            // It is not there, or not whole, where a crash or the machine's end came between.
            let made = readable(&directory.join(SANDBOX_FILE))?;
            let made =
                made.map_or_else(|| readable(&files.join(SANDBOX_FILE)), |made| Ok(Some(made)));
            let Some(mut record): Option<SandboxRecord> = made? else {
                crate::tree::remove_all(&files)?;
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
            let Some(record) = readable::<ContainerRecord>(&directory.join(CONTAINER_FILE))? else {
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

/// Reads a record. One that the machine's sudden end has cut off is as good as none: of what it
/// tells of nothing is left either.
pub(super) fn readable<T: serde::de::DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    match load(path) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData || is_json(&error) => {
            tracing::warn!(path = %path.display(), %error, "a record that cannot be read");
            Ok(None)
        }
        outcome => outcome,
    }
}

/// serde_json's errors become those of I/O with their kind lost in part.
fn is_json(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<serde_json::Error>())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_cut_off_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record.json");
        for (text, wanted) in [("", None), ("{\"a\":", None), ("7", Some(7))] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(readable::<u32>(&path).unwrap(), wanted, "{text}");
        }
        assert_eq!(readable::<u32>(&dir.path().join("none")).unwrap(), None);
    }
}
