//! The scheduler: finds a node for every pod that has none.
//!
//! One task owns the queue and the cluster's picture and decides one pod at a time; what it decides
//! is assumed at once and written by tasks of their own, so that a slow API never blocks a decision.

mod affinity;
mod cache;
mod change;
mod cluster;
mod evictions;
mod framework;
mod metrics;
mod nominations;
mod objects;
mod plugins;
mod pod;
mod pod_resources;
mod preemption;
mod queue;
mod resources;
mod run;
mod storage;

use client::InformerFactory;
use telemetry::metrics::Registry;

pub use run::{Config, run};

/// Adds what upstream serves at `/metrics/resources`: the resources of every pod.
pub fn pod_resources(registry: &Registry, informers: &InformerFactory) {
    pod_resources::add(registry, informers.informer().store());
}
