//! A runtime in memory, whose processes end when the test says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::runtime::*;
use async_trait::async_trait;
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, broadcast, watch};

/// The runtime. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<ContainerEvent>,
    /// The command `wait` takes a permit of it.
    gate: Arc<Semaphore>,
    /// How often anything was called.
    called: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    next: u32,
    sandboxes: BTreeMap<String, SandboxStatus>,
    containers: BTreeMap<String, ContainerStatus>,
    configs: BTreeMap<String, ContainerConfig>,
    /// Limits of whole pods, by sandbox.
    limits: BTreeMap<String, Resources>,
    /// Memory that every container uses, in bytes.
    memory: u64,
    /// Calls in their order, such as `stop a`.
    calls: Vec<String>,
    /// Images that cannot be pulled.
    missing: Vec<String>,
    /// Containers whose process cannot be started.
    broken: Vec<String>,
    no_user_namespaces: bool,
    /// How old the list of containers is when it arrives.
    slowness: Duration,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            events: broadcast::Sender::new(1000),
            gate: Arc::new(Semaphore::new(0)),
            called: watch::Sender::new(0),
        }
    }
}

impl Simulated {
    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    /// Returns once this was called.
    pub(crate) async fn until_called(&self, call: &str) {
        let mut called = self.called.subscribe();
        while !self.calls().iter().any(|known| known == call) {
            called.changed().await.expect("the runtime lives");
        }
    }

    /// Lets one command `wait` go on.
    pub(crate) fn release(&self) {
        self.gate.add_permits(1);
    }

    /// Loses all records, as if another runtime had taken its place.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.sandboxes.clear();
        state.containers.clear();
        state.configs.clear();
    }

    pub(crate) fn without_user_namespaces(&self) {
        self.state.lock().no_user_namespaces = true;
    }

    /// Makes lists of containers arrive so much later than they were made.
    pub(crate) fn answers_slowly(&self, slowness: Duration) {
        self.state.lock().slowness = slowness;
    }

    /// Makes the process of a container fail to start.
    pub(crate) fn breaks(&self, name: &str) {
        self.state.lock().broken.push(name.to_owned());
    }

    /// Makes pulls of this image fail.
    pub(crate) fn lacks(&self, image: &str) {
        self.state.lock().missing.push(image.to_owned());
    }

    /// The configuration the newest instance of a container was made with.
    pub(crate) fn config(&self, name: &str) -> Option<ContainerConfig> {
        let state = self.state.lock();
        let found = state.configs.values().filter(|config| config.metadata.name == name);
        found.max_by_key(|config| config.metadata.attempt).cloned()
    }

    /// The limits of the only pod.
    pub(crate) fn pod_limits(&self) -> Resources {
        self.state.lock().limits.values().next().cloned().expect("a sandbox")
    }

    /// Lets every container use so much memory, in bytes.
    pub(crate) fn use_memory(&self, bytes: u64) {
        self.state.lock().memory = bytes;
    }

    /// Lets the running instance of a container exit.
    pub(crate) fn exit(&self, name: &str, code: i32) {
        let found = {
            let state = self.state.lock();
            let mut running = state.containers.values().filter(|status| {
                status.metadata.name == name && status.state == ContainerState::Running
            });
            running.next().map(|status| status.id.clone())
        };
        self.end(&found.expect("it runs"), code);
    }

    /// Returns once there is no sandbox left.
    pub(crate) async fn until_empty(&self) {
        let mut events = self.events.subscribe();
        while !self.state.lock().sandboxes.is_empty() {
            events.recv().await.expect("the runtime lives");
        }
    }

    fn end(&self, id: &str, code: i32) {
        let mut state = self.state.lock();
        let Some(status) = state.containers.get_mut(id) else { return };
        if status.state != ContainerState::Running {
            return;
        }
        status.state = ContainerState::Exited;
        status.exit_code = code;
        status.finished_at = Some(Timestamp::now());
        status.reason = if code == 0 { "Completed".into() } else { "Error".into() };
        drop(state);
        self.announce(ContainerEventKind::Stopped, id);
    }

    fn announce(&self, kind: ContainerEventKind, id: &str) {
        let state = self.state.lock();
        let sandbox_id = state
            .containers
            .get(id)
            .map_or_else(|| id.to_owned(), |status| status.sandbox_id.clone());
        let pod_uid =
            state.sandboxes.get(&sandbox_id).map(|s| s.metadata.uid.clone()).unwrap_or_default();
        let container_id = id.to_owned();
        let _ = self.events.send(ContainerEvent { kind, container_id, sandbox_id, pod_uid });
    }

    fn call(&self, text: String) -> u32 {
        let mut state = self.state.lock();
        state.calls.push(text);
        self.called.send_replace(state.calls.len());
        state.next += 1;
        state.next
    }

    fn name(&self, id: &str) -> String {
        let state = self.state.lock();
        state.containers.get(id).map(|c| c.metadata.name.clone()).unwrap_or_default()
    }
}

fn matches(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn unused<T>() -> Result<T> {
    Err(Error::Unavailable("the simulated runtime has no processes".to_owned()))
}

#[async_trait]
impl Runtime for Simulated {
    async fn version(&self) -> Result<Version> {
        Ok(Version { runtime_name: "simulated".into(), runtime_version: "0".into() })
    }

    async fn status(&self) -> Result<RuntimeStatus> {
        Ok(RuntimeStatus {
            user_namespaces: !self.state.lock().no_user_namespaces,
            runtime_ready: true,
            network_ready: true,
            message: String::new(),
            root: "/".into(),
        })
    }

    async fn update_pod_cidrs(&self, _cidrs: Vec<ipnet::IpNet>) -> Result<()> {
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<String> {
        let id = format!("s{}", self.call("sandbox".into()));
        let status = SandboxStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: SandboxState::Ready,
            created_at: Timestamp::now(),
            ips: vec!["10.0.0.7".parse().expect("an address")],
            namespaces: config.linux.namespaces,
            labels: config.labels,
            annotations: config.annotations,
        };
        let mut state = self.state.lock();
        state.sandboxes.insert(id.clone(), status);
        state.limits.insert(id.clone(), config.linux.resources.unwrap_or_default());
        drop(state);
        self.announce(ContainerEventKind::Started, &id);
        Ok(id)
    }

    async fn stop_pod_sandbox(&self, id: &str) -> Result<()> {
        self.call("stop sandbox".into());
        let inside: Vec<_> = {
            let mut state = self.state.lock();
            if let Some(sandbox) = state.sandboxes.get_mut(id) {
                sandbox.state = SandboxState::NotReady;
            }
            let inside = state.containers.values().filter(|c| c.sandbox_id == id);
            inside.map(|c| c.id.clone()).collect()
        };
        inside.iter().for_each(|id| self.end(id, 137));
        self.announce(ContainerEventKind::Stopped, id);
        Ok(())
    }

    async fn remove_pod_sandbox(&self, id: &str) -> Result<()> {
        self.call("remove sandbox".into());
        {
            let mut state = self.state.lock();
            state.sandboxes.remove(id);
            state.containers.retain(|_, c| c.sandbox_id != id);
        }
        self.announce(ContainerEventKind::Deleted, id);
        Ok(())
    }

    async fn pod_sandbox_status(&self, id: &str) -> Result<SandboxStatus> {
        self.state.lock().sandboxes.get(id).cloned().ok_or(Error::NotFound(id.into()))
    }

    async fn list_pod_sandboxes(&self, filter: SandboxFilter) -> Result<Vec<SandboxStatus>> {
        let state = self.state.lock();
        let all = state.sandboxes.values().filter(|s| matches(&s.labels, &filter.labels));
        Ok(all.cloned().collect())
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let number = self.call(format!("create {}", config.metadata.name));
        let id = format!("c{number}");
        let status = ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox_id.to_owned(),
            metadata: config.metadata.clone(),
            state: ContainerState::Created,
            created_at: Timestamp::now(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: config.image.clone(),
            image_ref: config.image.clone(),
            image_id: config.image.clone(),
            mounts: config.mounts.clone(),
            log_path: config.log_path.clone(),
            resources: config.resources.clone(),
            user: None,
            stop_signal: String::new(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        let mut state = self.state.lock();
        state.containers.insert(id.clone(), status);
        state.configs.insert(id.clone(), config);
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let name = self.name(id);
        if self.state.lock().broken.contains(&name) {
            if let Some(status) = self.state.lock().containers.get_mut(id) {
                status.state = ContainerState::Exited;
                (status.exit_code, status.reason) = (128, "StartError".into());
                status.finished_at = Some(Timestamp::now());
            }
            self.announce(ContainerEventKind::Stopped, id);
            return Err(Error::Start { message: "no such file".into(), exit_code: 128 });
        }
        if let Some(status) = self.state.lock().containers.get_mut(id) {
            status.state = ContainerState::Running;
            status.started_at = Some(Timestamp::now());
        }
        self.announce(ContainerEventKind::Started, id);
        Ok(())
    }

    async fn stop_container(&self, id: &str, timeout: Duration) -> Result<()> {
        self.call(format!("stop {} {}s", self.name(id), timeout.as_secs()));
        self.end(id, 0);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.state.lock().containers.remove(id);
        Ok(())
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        self.state.lock().containers.get(id).cloned().ok_or(Error::NotFound(id.into()))
    }

    async fn list_containers(&self, filter: ContainerFilter) -> Result<Vec<ContainerStatus>> {
        let (all, slowness) = {
            let state = self.state.lock();
            let all = state.containers.values().filter(|c| matches(&c.labels, &filter.labels));
            (all.cloned().collect(), state.slowness)
        };
        tokio::time::sleep(slowness).await;
        Ok(all)
    }

    async fn update_container_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.call(format!("update {}", self.name(id)));
        if let Some(status) = self.state.lock().containers.get_mut(id) {
            status.resources.merge(resources);
        }
        Ok(())
    }

    async fn pod_sandbox_resources(&self, id: &str) -> Result<Resources> {
        Ok(self.state.lock().limits.get(id).cloned().unwrap_or_default())
    }

    async fn update_pod_sandbox_resources(&self, id: &str, resources: Resources) -> Result<()> {
        self.call("update pod".into());
        self.state.lock().limits.entry(id.to_owned()).or_default().merge(resources);
        Ok(())
    }

    async fn reopen_container_log(&self, _id: &str) -> Result<()> {
        Ok(())
    }

    async fn exec_sync(&self, id: &str, cmd: Vec<String>, _: Duration) -> Result<ExecOutput> {
        self.call(format!("exec {} {}", self.name(id), cmd.join(" ")));
        if cmd.first().is_some_and(|word| word == "wait") {
            self.gate.acquire().await.map_err(|error| Error::Internal(error.to_string()))?.forget();
        }
        let exit_code = i32::from(cmd.first().is_some_and(|word| word == "false"));
        Ok(ExecOutput { exit_code, ..ExecOutput::default() })
    }

    /// Any command echoes its input and ends with 7.
    async fn exec(&self, _id: &str, _request: ExecRequest) -> Result<Session> {
        let (near, far) = tokio::io::duplex(1024);
        let echo = tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(far);
            tokio::io::copy(&mut from, &mut to).await
        });
        let (stdout, stdin) = tokio::io::split(near);
        Ok(Session {
            stdin: Some(Box::new(stdin)),
            stdout: Some(Box::new(stdout)),
            stderr: None,
            resize: None,
            exit: Box::pin(async move {
                echo.await.map_err(|error| Error::Internal(error.to_string()))??;
                Ok(7)
            }),
        })
    }

    async fn attach(&self, _id: &str, _request: AttachRequest) -> Result<Session> {
        unused()
    }

    async fn port_forward(&self, _sandbox_id: &str, _port: u16) -> Result<ByteStream> {
        unused()
    }

    async fn container_stats(&self, _id: &str) -> Result<ContainerStats> {
        unused()
    }

    async fn pod_sandbox_stats(&self, id: &str) -> Result<SandboxStats> {
        let state = self.state.lock();
        let usage = super::usage(state.memory);
        let containers = state.containers.values().map(|status| ContainerStats {
            id: status.id.clone(),
            metadata: status.metadata.clone(),
            usage: usage.clone(),
            writable_layer_bytes: 0,
            writable_layer_inodes: 0,
        });
        Ok(SandboxStats {
            id: id.to_owned(),
            metadata: SandboxMetadata::default(),
            usage: usage.clone(),
            network: None,
            containers: containers.collect(),
        })
    }

    async fn pull_image(&self, reference: &str, _: Option<RegistryAuth>) -> Result<PulledImage> {
        self.call(format!("pull {reference}"));
        if self.state.lock().missing.iter().any(|image| image == reference) {
            return Err(Error::NotFound(reference.to_owned()));
        }
        Ok(PulledImage { id: reference.into(), digest: String::new(), fetched_bytes: 1 })
    }

    async fn image_status(&self, reference: &str) -> Result<Option<Image>> {
        let state = self.state.lock();
        let present = !state.missing.iter().any(|image| image == reference);
        Ok(present.then(|| Image { id: reference.to_owned(), ..Image::default() }))
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }

    async fn remove_image(&self, _reference: &str) -> Result<()> {
        Ok(())
    }

    async fn import_image(&self, _archive: &Path) -> Result<Vec<Image>> {
        unused()
    }

    async fn image_fs_info(&self) -> Result<FilesystemUsage> {
        Ok(FilesystemUsage::default())
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }
}
