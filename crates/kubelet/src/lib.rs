//! The node agent: makes a machine a node, and the pods bound to it run.
//!
//! [`run`] takes a [`KubeletConfig`] and lasts until its token is cancelled. The desired state
//! comes from a watch of the node's pods, the actual one from a [`runtime::Runtime`].

mod admission;
mod backoff;
mod certificates;
mod config;
mod context;
mod dirs;
mod hooks;
mod housekeeping;
mod images;
mod kick;
mod machine;
mod manager;
mod metrics;
mod node;
mod objects;
mod on_demand;
mod plan;
mod pod;
mod probes;
mod quantity;
mod resize;
mod run;
mod server;
mod spec;
mod start;
mod start_limit;
mod status;
mod stop;
mod sysctl;
#[cfg(test)]
mod testing;
mod trust;
mod userns;
mod view;
mod volumes;
mod worker;

pub use config::{ImageCredentials, KubeletConfig, ServerConfig};
pub use run::{Error, run};
