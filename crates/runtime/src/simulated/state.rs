//! The state of a simulated node.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::EXIT_ANNOTATION;
use crate::api::*;
use crate::image::digest_of;
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct State {
    range: Option<IpNet>,
    /// Position after the last address given out.
    next: u32,
    taken: HashSet<IpAddr>,
    sandboxes: HashMap<String, SandboxStatus>,
    /// Limits of whole pods, by sandbox.
    limits: HashMap<String, Resources>,
    containers: HashMap<String, ContainerStatus>,
    images: BTreeMap<String, Image>,
}

type Known = (ContainerStatus, String);

impl State {
    pub(super) fn new(range: Option<IpNet>) -> Self {
        Self {
            range,
            next: 0,
            taken: HashSet::new(),
            sandboxes: HashMap::new(),
            limits: HashMap::new(),
            containers: HashMap::new(),
            images: BTreeMap::new(),
        }
    }

    pub(super) fn has_range(&self) -> bool {
        self.range.is_some()
    }

    pub(super) fn set_range(&mut self, range: Option<IpNet>) {
        if range != self.range {
            (self.range, self.next) = (range, 0);
        }
    }

    /// The next free address; the first of the range is the gateway's, as on a real node.
    fn allocate(&mut self) -> Result<IpAddr> {
        let range =
            self.range.ok_or_else(|| Error::Unavailable("the node has no pod CIDR yet".into()))?;
        let bits = u32::from(range.max_prefix_len() - range.prefix_len()).min(31);
        let size = 1u32 << bits;
        for _ in 0..size {
            let offset = self.next % size;
            self.next = self.next.wrapping_add(1);
            let address = match range.network() {
                IpAddr::V4(base) => IpAddr::V4((base.to_bits() + offset).into()),
                IpAddr::V6(base) => IpAddr::V6((base.to_bits() + u128::from(offset)).into()),
            };
            let reserved = offset < 2 || address == range.broadcast();
            if !reserved && self.taken.insert(address) {
                return Ok(address);
            }
        }
        Err(Error::Internal(format!("no IP addresses available in range {range}")))
    }

    pub(super) fn add_sandbox(&mut self, config: SandboxConfig) -> Result<String> {
        if self.sandboxes.values().any(|other| other.metadata == config.metadata) {
            return Err(Error::AlreadyExists(format!("sandbox {}", config.metadata.name)));
        }
        let ips = match config.linux.namespaces.network {
            NamespaceMode::Node => Vec::new(),
            _ => vec![self.allocate()?],
        };
        let id = hex::encode(rand::random::<[u8; 32]>());
        let status = SandboxStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: SandboxState::Ready,
            created_at: Timestamp::now(),
            ips,
            namespaces: config.linux.namespaces,
            labels: config.labels,
            annotations: config.annotations,
        };
        self.sandboxes.insert(id.clone(), status);
        self.limits.insert(id.clone(), config.linux.resources.unwrap_or_default());
        Ok(id)
    }

    pub(super) fn stop_sandbox(&mut self, id: &str) {
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.state = SandboxState::NotReady;
            for address in &sandbox.ips {
                self.taken.remove(address);
            }
        }
    }

    pub(super) fn remove_sandbox(&mut self, id: &str) {
        self.sandboxes.remove(id);
        self.limits.remove(id);
    }

    pub(super) fn limits(&mut self, id: &str) -> Result<&mut Resources> {
        self.limits.get_mut(id).ok_or_else(|| Error::NotFound(format!("sandbox {id:?}")))
    }

    pub(super) fn sandbox(&self, id: &str) -> Result<SandboxStatus> {
        let found = self.sandboxes.get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("sandbox {id:?}")))
    }

    pub(super) fn list_sandboxes(&self, filter: &SandboxFilter) -> Vec<SandboxStatus> {
        let mut found: Vec<_> = self
            .sandboxes
            .values()
            .filter(|status| {
                filter.id.as_ref().is_none_or(|id| status.id.starts_with(id))
                    && filter.state.is_none_or(|state| status.state == state)
                    && filter.labels.iter().all(|(k, v)| status.labels.get(k) == Some(v))
            })
            .cloned()
            .collect();
        found.sort_by_key(|status| status.created_at);
        found
    }

    pub(super) fn containers_of(&self, sandbox_id: &str) -> Vec<String> {
        let all = self.containers.values();
        all.filter(|c| c.sandbox_id == sandbox_id).map(|c| c.id.clone()).collect()
    }

    fn pod_uid(&self, sandbox_id: &str) -> String {
        self.sandboxes.get(sandbox_id).map(|s| s.metadata.uid.clone()).unwrap_or_default()
    }

    pub(super) fn add_container(
        &mut self,
        sandbox_id: &str,
        config: ContainerConfig,
    ) -> Result<Known> {
        if self.sandbox(sandbox_id)?.state != SandboxState::Ready {
            return Err(Error::FailedPrecondition(format!("sandbox {sandbox_id:?} is not ready")));
        }
        let mut others = self.containers.values().filter(|c| c.sandbox_id == sandbox_id);
        if others.any(|other| other.metadata == config.metadata) {
            return Err(Error::AlreadyExists(format!("container {}", config.metadata.name)));
        }
        let image = self.image(&config.image);
        let status = ContainerStatus {
            id: hex::encode(rand::random::<[u8; 32]>()),
            sandbox_id: sandbox_id.to_owned(),
            metadata: config.metadata,
            state: ContainerState::Created,
            created_at: Timestamp::now(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: config.image,
            image_ref: image.repo_digests.first().unwrap_or(&image.id).clone(),
            image_id: image.id,
            mounts: Vec::new(),
            log_path: Default::default(),
            resources: config.resources,
            user: None,
            stop_signal: "SIGTERM".to_owned(),
            labels: config.labels,
            annotations: config.annotations,
        };
        self.containers.insert(status.id.clone(), status.clone());
        Ok((status, self.pod_uid(sandbox_id)))
    }

    /// Starts a container; the last part is the exit code it is to end with at once.
    pub(super) fn start(&mut self, id: &str) -> Result<(ContainerStatus, String, Option<i32>)> {
        let unknown = || Error::NotFound(format!("container {id:?}"));
        let status = self.containers.get_mut(id).ok_or_else(unknown)?;
        if status.state != ContainerState::Created {
            return Err(Error::FailedPrecondition(format!("container {id:?} was started before")));
        }
        status.state = ContainerState::Running;
        status.started_at = Some(Timestamp::now());
        let status = status.clone();
        let sandbox = self.sandboxes.get(&status.sandbox_id);
        let exit = status
            .annotations
            .get(EXIT_ANNOTATION)
            .or_else(|| sandbox?.annotations.get(EXIT_ANNOTATION))
            .and_then(|code| code.parse().ok());
        let pod_uid = self.pod_uid(&status.sandbox_id);
        Ok((status, pod_uid, exit))
    }

    /// Ends a running container; `None` where it does not run.
    pub(super) fn exit(&mut self, id: &str, code: i32) -> Option<Known> {
        let status = self.containers.get_mut(id)?;
        if status.state != ContainerState::Running {
            return None;
        }
        status.state = ContainerState::Exited;
        status.finished_at = Some(Timestamp::now());
        status.exit_code = code;
        status.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        let status = status.clone();
        let pod_uid = self.pod_uid(&status.sandbox_id);
        Some((status, pod_uid))
    }

    pub(super) fn remove_container(&mut self, id: &str) -> Option<Known> {
        let status = self.containers.remove(id)?;
        let pod_uid = self.pod_uid(&status.sandbox_id);
        Some((status, pod_uid))
    }

    pub(super) fn container(&self, id: &str) -> Result<ContainerStatus> {
        let found = self.containers.get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("container {id:?}")))
    }

    pub(super) fn list_containers(&self, filter: &ContainerFilter) -> Vec<ContainerStatus> {
        let mut found: Vec<_> = self
            .containers
            .values()
            .filter(|status| {
                filter.id.as_ref().is_none_or(|id| status.id.starts_with(id))
                    && filter.state.is_none_or(|state| status.state == state)
                    && filter.sandbox_id.as_ref().is_none_or(|id| status.sandbox_id == *id)
                    && filter.labels.iter().all(|(k, v)| status.labels.get(k) == Some(v))
            })
            .cloned()
            .collect();
        found.sort_by_key(|status| status.created_at);
        found
    }

    pub(super) fn set_resources(&mut self, id: &str, resources: Resources) -> Result<()> {
        let unknown = || Error::NotFound(format!("container {id:?}"));
        self.containers.get_mut(id).ok_or_else(unknown)?.resources.merge(resources);
        Ok(())
    }

    /// The image of this name, made up on first sight.
    pub(super) fn image(&mut self, reference: &str) -> Image {
        self.images
            .entry(reference.to_owned())
            .or_insert_with(|| Image {
                id: digest_of(reference.as_bytes()),
                repo_tags: vec![reference.to_owned()],
                ..Image::default()
            })
            .clone()
    }

    pub(super) fn images(&self) -> Vec<Image> {
        self.images.values().cloned().collect()
    }

    pub(super) fn remove_image(&mut self, reference: &str) {
        self.images.retain(|name, image| name != reference && image.id != reference);
    }
}
