//! The pod network's nf_tables table: masquerading of what leaves the cluster, and host ports.

use std::net::IpAddr;

use ipnet::IpNet;

use super::HostPort;
use crate::Result;

pub(super) fn install(_table: &str, _pods: IpNet, _cluster: IpNet) -> Result<()> {
    Ok(())
}
pub(super) fn remove(_table: &str) -> Result<()> {
    Ok(())
}
pub(super) fn add_host_ports(_table: &str, _pod: IpAddr, _ports: &[HostPort]) -> Result<()> {
    Ok(())
}
pub(super) fn remove_host_ports(_table: &str, _pod: IpAddr) -> Result<()> {
    Ok(())
}
