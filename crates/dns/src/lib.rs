//! Cluster DNS: names of Services and pods (DNS specification 1.1.0), everything else forwarded.

mod cache;
mod catalog;
mod forward;
mod metrics;
mod run;
mod server;
mod zone;

pub use run::{DnsConfig, Error, run};
