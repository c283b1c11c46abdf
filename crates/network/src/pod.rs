//! The pod network of a node: a bridge, a veth pair per pod, addresses from the node's range.

mod ipam;
mod machine;
mod network;
mod rules;

pub use ipam::Ipam;
pub use machine::{MachineNetwork, NodeNamespace};
pub use network::{HostPort, PodNetwork, PodNetworkConfig, Transport, bridge_name};
