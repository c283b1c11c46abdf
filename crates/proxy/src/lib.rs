//! kube-proxy: Services and their EndpointSlices become packet translation on this node.

mod backend;
mod health;
mod model;
mod nftables;
mod run;

pub use run::{ProxyConfig, run};
