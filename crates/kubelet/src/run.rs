//! A kubelet from start to end.

use std::sync::Arc;

use client::informer::Selection;
use client::{EventRecorder, EventType, Informer};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use kube::Api;
use runtime::{Runtime, SandboxFilter};
use telemetry::task;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::certificates::Certificates;
use crate::config::KubeletConfig;
use crate::context::Context;
use crate::dirs::Dirs;
use crate::images::Images;
use crate::images::records::PullRecords;
use crate::kick::Kicks;
use crate::machine::Machine;
use crate::manager::PodManager;
use crate::metrics::{self, Measured, Metrics};
use crate::objects::Objects;
use crate::resize::ledger::Ledger;
use crate::server::{Rates, VolumeStats};
use crate::spec::dns;
use crate::spec::sandbox::RESOLV_CONF;
use crate::start_limit::StartLimit;
use crate::status::manager::StatusManager;
use crate::sysctl::Allowlist;
use crate::trust::TrustBundles;
use crate::userns::UserNamespaces;
use crate::volumes::token::Tokens;
use crate::{housekeeping, node, volumes};

/// Why a kubelet could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its directory cannot be used.
    #[error("kubelet directory {path}: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A kernel parameter that pods shall be allowed to set is none of a pod's.
    #[error("{0}")]
    Sysctls(String),
    /// Its server cannot be started.
    #[error("kubelet server: {0}")]
    Server(String),
}

/// Runs a kubelet until its token is cancelled. Then containers keep running for the next one to
/// adopt, unless the configuration says otherwise.
///
/// # Errors
/// It could not be started. What goes wrong later is retried and reported through the API.
pub async fn run(config: KubeletConfig) -> Result<(), Error> {
    let cancel = config.cancel.clone();
    tracing::info!(node = config.node_name, "the kubelet starts");
    // Statuses and events of the last moments still have to be written when pods are stopped.
    let writers = CancellationToken::new();
    let stop_pods = config.stop_pods_on_exit;
    let dirs = Dirs::new(&config.data_dir);
    let directory =
        |source| Error::Directory { path: config.data_dir.display().to_string(), source };
    // Volumes reach containers by mounts; no other user needs access.
    for path in [dirs.root(), &dirs.pods(), &dirs.logs()] {
        runtime::private::directory(path).map_err(directory)?;
    }
    let context = Arc::new(build(config, dirs, &writers)?);
    volumes::set_up(&context).map_err(|source| Error::Directory {
        path: context.dirs.volatile().display().to_string(),
        source,
    })?;
    if let Ok(images) = context.runtime.list_images().await {
        context.images.records.adopt(&images);
    }
    check_resolv_conf(&context);
    let server = match &context.config.server {
        None => None,
        Some(server) => Some(
            crate::server::bind(context.clone(), server)
                .await
                .map_err(|error| Error::Server(error.to_string()))?,
        ),
    };
    let serve = async {
        if let Some(server) = server {
            server.run(cancel.clone()).await;
        }
    };
    let status = context.status.clone();
    let write = move |cancel| {
        let status = status.clone();
        async move { status.run(cancel).await }
    };
    let writer = task::spawn("pod-status", task::keep("pod-status", writers.clone(), write));
    let manager = PodManager::new(context.clone(), cancel.clone());
    let keep_house = cancel.run_until_cancelled(housekeeping::run(&context));
    tokio::join!(serve, node::run(context.clone(), cancel.clone()), manager.run(), keep_house);
    if stop_pods {
        stop_everything(&context).await;
    }
    writers.cancel();
    // It ends with its token; a panic in it was reported already.
    let _ = writer.await;
    tracing::info!("the kubelet has stopped");
    Ok(())
}

///
/// # Errors
/// The configuration cannot be obeyed.
pub(crate) fn build(
    config: KubeletConfig,
    dirs: Dirs,
    writers: &CancellationToken,
) -> Result<Context, Error> {
    let client = config.client.clone();
    let cancel = config.cancel.clone();
    let kicks = Kicks::default();
    let metrics = Metrics::new(config.metrics.clone(), &config.node_name);
    if let Some(certificate) = config.certificate.clone() {
        metrics::certificate(&metrics.main, move || certificate.remaining());
    }
    let runtime: Arc<dyn Runtime> = Arc::new(Measured::new(config.runtime.clone(), &metrics.main));
    let root = dirs.root().display().to_string();
    let in_dirs = |source| Error::Directory { path: root.clone(), source };
    let users = UserNamespaces::open(dirs.clone(), config.max_pods).map_err(in_dirs)?;
    let recorder =
        EventRecorder::new(client.clone(), "kubelet", &config.node_name, writers.clone());
    let own_pods = Selection::fields(format!("spec.nodeName={}", config.node_name));
    let own_node = Selection::fields(format!("metadata.name={}", config.node_name));
    let machine = Machine::read();
    let sysctls = Allowlist::new(&machine.kernel_version, &config.allowed_unsafe_sysctls);
    let pulls = PullRecords::open(dirs.image_manager(), config.image_credentials.clone());
    let node = Informer::start(Api::all(client.clone()), &own_node, cancel.clone());
    let certificates = Certificates::new(
        client.clone(),
        (&config.node_name, node.clone()),
        recorder.clone(),
        kicks.clone(),
        cancel.clone(),
    );
    Ok(Context {
        ledger: Ledger::new(dirs.clone()),
        sysctls: sysctls.map_err(|error| Error::Sysctls(error.to_string()))?,
        users,
        starts: StartLimit::new(machine.cpus as usize),
        machine,
        objects: Objects::new(client.clone(), kicks.clone(), cancel.clone()),
        tokens: Tokens::new(client.clone()),
        trust: TrustBundles::new(client.clone(), kicks.clone(), cancel.clone()),
        certificates,
        images: Images::new(runtime.clone(), recorder.clone(), pulls.map_err(in_dirs)?),
        services: config.informers.informer::<Service>(),
        node,
        pods: Informer::start(Api::<Pod>::all(client.clone()), &own_pods, cancel),
        status: StatusManager::new(client, kicks.clone(), recorder.clone()),
        volume_stats: VolumeStats::new(&metrics.main),
        rates: Rates::default(),
        metrics,
        node_doubted: Default::default(),
        node_changed: Notify::new(),
        recorder,
        kicks,
        runtime,
        dirs,
        config,
    })
}

/// Tells of a resolver configuration of the node that does not fit into that of its pods.
fn check_resolv_conf(context: &Context) {
    let node = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let Some(message) = dns::check_node(&node, RESOLV_CONF) else { return };
    let name = Some(context.config.node_name.clone());
    let about = ObjectReference {
        kind: Some("Node".to_owned()),
        uid: name.clone(),
        name,
        ..ObjectReference::default()
    };
    let reason = "CheckLimitsForResolvConf";
    context.recorder.event_about(about, EventType::Warning, reason, message);
}

/// Stops all sandboxes of the node and unmounts everything. The runtime keeps its records, so
/// that the next start counts restarts from there.
async fn stop_everything(context: &Arc<Context>) {
    match context.runtime.list_pod_sandboxes(SandboxFilter::default()).await {
        Ok(sandboxes) => {
            let stops = sandboxes.iter().map(|sandbox| async {
                if let Err(error) = context.runtime.stop_pod_sandbox(&sandbox.id).await {
                    tracing::warn!(sandbox = sandbox.id, %error, "sandbox not stopped");
                }
            });
            futures::future::join_all(stops).await;
        }
        Err(error) => tracing::warn!(%error, "sandboxes not stopped"),
    }
    if let Err(error) = volumes::unmount(context.dirs.root()) {
        tracing::warn!(%error, "volumes not unmounted");
    }
}

#[cfg(test)]
mod tests;
