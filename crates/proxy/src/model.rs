//! The model of services and endpoints, independent of how packets are translated.

mod endpoints;
mod service;

pub(crate) use endpoints::NodeTopology;
pub(crate) use service::{PortId, PortRules, Protocol, rules_of};
