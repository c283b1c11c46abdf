//! The node's status.

use std::collections::BTreeMap;

use client::helpers::now;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::context::Context;
use crate::machine::available_memory;

pub(crate) const MAX_IMAGES: usize = 50;
const MAX_NAMES: usize = 5;
/// Below this much free memory, in bytes, the node is under pressure; upstream's eviction default.
const LEAST_MEMORY: i64 = 100 << 20;

/// The present status. Conditions keep the times of `known` where they did not change.
pub(super) async fn current(context: &Context, known: Option<&Node>) -> NodeStatus {
    let config = &context.config;
    let machine = &context.machine;
    let runtime = context.runtime.version().await;
    let storage = context.runtime.image_fs_info().await.ok();
    let capacity = capacity(context, storage.as_ref().map(|usage| usage.capacity_bytes));
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let port = config.server.as_ref().map_or(0, |server| i32::from(server.listen.port()));
    let conditions = conditions(context, known).await;
    let user_namespaces = context.runtime.status().await.is_ok_and(|status| status.user_namespaces);
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", config.node_ip.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port }),
        }),
        images: Some(images(context).await),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.to_owned(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: runtime.map_or_else(
                |_| "unknown://".to_owned(),
                |version| format!("{}://{}", version.runtime_name, version.runtime_version),
            ),
            kernel_version: machine.kernel_version.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: concat!("v1.37.2+coxswain.", env!("CARGO_PKG_VERSION_MINOR"))
                .to_owned(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        runtime_handlers: Some(vec![NodeRuntimeHandler {
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(true),
                user_namespaces: Some(user_namespaces),
            }),
            name: Some(String::new()),
        }]),
        ..NodeStatus::default()
    }
}

fn capacity(context: &Context, storage: Option<u64>) -> BTreeMap<String, Quantity> {
    let machine = &context.machine;
    let mut out: BTreeMap<_, _> = [
        ("cpu", machine.cpus.to_string()),
        ("memory", format!("{}Ki", machine.memory_bytes / 1024)),
        ("pods", context.config.max_pods.to_string()),
        ("hugepages-1Gi", "0".to_owned()),
        ("hugepages-2Mi", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
    .collect();
    if let Some(bytes) = storage {
        out.insert("ephemeral-storage".to_owned(), Quantity(format!("{}Ki", bytes / 1024)));
    }
    out
}

async fn conditions(context: &Context, known: Option<&Node>) -> Vec<NodeCondition> {
    let pressure = available_memory() < LEAST_MEMORY;
    let (status, reason, message) = match context.runtime.status().await {
        Err(error) => ("False", "KubeletNotReady", format!("container runtime is down: {error}")),
        Ok(status) if !status.runtime_ready => {
            let message = format!("container runtime is not ready: {}", status.message);
            ("False", "KubeletNotReady", message)
        }
        Ok(status) if !status.network_ready => {
            let message = format!(
                "container runtime network not ready: NetworkReady=false \
                 reason:NetworkPluginNotReady message:{}",
                status.message
            );
            ("False", "KubeletNotReady", message)
        }
        Ok(_) => ("True", "KubeletReady", "kubelet is posting ready status".to_owned()),
    };
    let memory = if pressure {
        ("True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
    } else {
        ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
    };
    let list = [
        ("MemoryPressure", memory.0, memory.1, memory.2.to_owned()),
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure".to_owned(),
        ),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available".to_owned(),
        ),
        ("Ready", status, reason, message),
    ];
    let old = known.and_then(|node| node.status.as_ref()?.conditions.as_ref());
    list.into_iter()
        .map(|(kind, status, reason, message)| {
            let old = old.into_iter().flatten().find(|old| old.type_ == kind);
            let since = old
                .filter(|old| old.status == status)
                .and_then(|old| old.last_transition_time.clone());
            NodeCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_heartbeat_time: Some(now()),
                last_transition_time: Some(since.unwrap_or_else(now)),
            }
        })
        .collect()
}

/// The largest images and their names.
async fn images(context: &Context) -> Vec<ContainerImage> {
    let mut images = context.runtime.list_images().await.unwrap_or_default();
    images.sort_by(|a, b| (b.size, &a.id).cmp(&(a.size, &b.id)));
    images.truncate(MAX_IMAGES);
    images
        .into_iter()
        .map(|image| {
            let mut names = image.repo_digests;
            names.extend(image.repo_tags);
            names.truncate(MAX_NAMES);
            ContainerImage { names: Some(names), size_bytes: i64::try_from(image.size).ok() }
        })
        .collect()
}

/// Returns true if two statuses differ in more than the time of their heartbeat.
pub(super) fn differs(a: &NodeStatus, b: &NodeStatus) -> bool {
    let without_times = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
            condition.last_transition_time = None;
        }
        status
    };
    without_times(a) != without_times(b)
}
