//! kube-proxy: Services and their EndpointSlices become packet translation on this node.

mod backend;
mod health;
mod metrics;
mod model;
mod nftables;
mod run;
mod status;
#[cfg(test)]
mod tests;

pub use run::{ProxyConfig, run};
pub use status::{Health, Report};
