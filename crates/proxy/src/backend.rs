//! The interface between the proxy and the kernel, which nf_tables implements.

use std::sync::Arc;

use ipnet::IpNet;

use crate::model::PortRules;

/// One service port that appeared, changed or went.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The rules in force; `None` for a new port.
    pub(crate) old: Option<Arc<PortRules>>,
    /// The wanted rules; `None` for a port that was removed.
    pub(crate) new: Option<Arc<PortRules>>,
}

/// Puts service ports into force. Calls block.
pub(crate) trait Backend: Send + 'static {
    /// Applies changes, all or none, at a cost that depends on them alone.
    fn apply(&mut self, changes: &[Change]) -> network::Result<()>;

    /// Makes exactly these ports be in force, whatever was before.
    fn reset(&mut self, all: &[Arc<PortRules>]) -> network::Result<()>;

    /// Lets nothing through to an address of these ranges that no service has.
    fn set_service_ranges(&mut self, ranges: &[IpNet]) -> network::Result<()>;

    /// Takes everything away.
    fn remove(&mut self) -> network::Result<()>;
}
