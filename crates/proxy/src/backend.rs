//! The interface between the proxy and the kernel, which nf_tables implements.

use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{PortId, PortRules};

/// One service port that appeared, changed or went.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The rules in force; `None` for a new port.
    pub(crate) old: Option<Arc<PortRules>>,
    /// The wanted rules; `None` for a port that was removed.
    pub(crate) new: Option<Arc<PortRules>>,
}

impl Change {
    /// Which port changes.
    pub(crate) fn id(&self) -> Option<&PortId> {
        self.new.as_ref().or(self.old.as_ref()).map(|rules| &rules.id)
    }

    /// The change that takes this one back.
    pub(crate) fn reversed(&self) -> Self {
        Self { old: self.new.clone(), new: self.old.clone() }
    }
}

/// Puts service ports into force. Calls block. `tests/contract.rs` holds every engine to this.
///
/// An address and port that two service ports claim stay with the one that came first.
pub(crate) trait Backend: Send + 'static {
    /// Applies changes, all or none, at a cost that depends on them alone.
    ///
    /// # Errors
    /// Where the `old` of a change is not what is in force, where there are more changes than one
    /// transaction takes, or where the kernel refuses. What was in force is in force then.
    fn apply(&mut self, changes: &[Change]) -> network::Result<()>;

    /// Makes exactly these ports be in force, whatever was before, even if others have changed it.
    fn reset(&mut self, all: &[Arc<PortRules>]) -> network::Result<()>;

    /// Lets nothing through to an address of these ranges that no service has.
    fn set_service_ranges(&mut self, ranges: &[IpNet]) -> network::Result<()>;

    /// Takes everything away.
    fn remove(&mut self) -> network::Result<()>;
}
