//! State that every part of one kubelet shares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use client::{EventRecorder, Informer};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use runtime::{Runtime, SandboxStatus};
use tokio::sync::Notify;

use crate::certificates::Certificates;
use crate::config::KubeletConfig;
use crate::dirs::Dirs;
use crate::images::Images;
use crate::kick::Kicks;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::pod::host_network;
use crate::quantity::{milli, value};
use crate::resize::ledger::Ledger;
use crate::server::{Rates, VolumeStats};
use crate::spec::downward::Facts;
use crate::start_limit::StartLimit;
use crate::status::manager::StatusManager;
use crate::sysctl::Allowlist;
use crate::trust::TrustBundles;
use crate::userns::UserNamespaces;
use crate::volumes::token::Tokens;

/// The kubelet's parts.
pub(crate) struct Context {
    pub(crate) config: KubeletConfig,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) dirs: Dirs,
    pub(crate) machine: Machine,
    pub(crate) recorder: EventRecorder,
    pub(crate) kicks: Kicks,
    pub(crate) objects: Objects,
    pub(crate) tokens: Tokens,
    pub(crate) trust: TrustBundles,
    pub(crate) certificates: Certificates,
    pub(crate) images: Images,
    pub(crate) starts: StartLimit,
    pub(crate) ledger: Ledger,
    pub(crate) sysctls: Allowlist,
    pub(crate) users: UserNamespaces,
    pub(crate) services: Informer<Service>,
    pub(crate) node: Informer<Node>,
    pub(crate) pods: Informer<Pod>,
    pub(crate) status: StatusManager,
    pub(crate) metrics: Metrics,
    pub(crate) volume_stats: VolumeStats,
    pub(crate) rates: Rates,
    /// The API was out of reach: it may have another status of the node than was written.
    pub(crate) node_doubted: AtomicBool,
    /// Something that the node's status tells has changed.
    pub(crate) node_changed: Notify,
}

impl Context {
    /// This node's object, once it is registered.
    pub(crate) fn node_object(&self) -> Option<Arc<Node>> {
        self.node.store().get_in("", &self.config.node_name)
    }

    /// Facts for the downward API that the pod's object does not have.
    pub(crate) fn facts(&self, pod: &Pod, sandbox: &SandboxStatus) -> Facts {
        let host_ips = vec![self.config.node_ip.to_string()];
        let pod_ips = if host_network(pod) {
            host_ips.clone()
        } else {
            sandbox.ips.iter().map(ToString::to_string).collect()
        };
        Facts { host_ips, pod_ips, allocatable: self.allocatable() }
    }

    /// The node's allocatable resources: milli-CPUs and bytes by resource.
    pub(crate) fn allocatable(&self) -> BTreeMap<String, i64> {
        let node = self.node_object();
        let reported = node.as_ref().and_then(|node| node.status.as_ref()?.allocatable.as_ref());
        match reported {
            Some(reported) => reported
                .iter()
                .map(|(name, quantity)| {
                    let amount = if name == "cpu" { milli(quantity) } else { value(quantity) };
                    (name.clone(), amount)
                })
                .collect(),
            None => [
                ("cpu".to_owned(), i64::from(self.machine.cpus) * 1000),
                ("memory".to_owned(), self.machine.memory_bytes),
            ]
            .into(),
        }
    }
}
