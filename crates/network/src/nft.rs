//! nf_tables by netlink: transactions, rules as expressions, sets and maps, change notices.

mod batch;
mod consts;
mod monitor;
mod query;
mod rule;
mod set;

pub use batch::Batch;
pub use monitor::Monitor;
pub use query::NftSocket;
pub use rule::{
    AddressType, CLAIMED_MARK, CT_STATUS_DNAT, CtKey, Direction, MetaKey, NatTarget, Register,
    Rule, Verdict,
};
pub use set::{Data, Element, FieldType, SetKind, SetSpec};

/// Address family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Ip6 => 10,
        }
    }
}

/// Where a base chain sits in the kernel's path of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Every packet that comes in.
    Prerouting,
    /// To this machine.
    Input,
    /// Through this machine.
    Forward,
    /// From this machine.
    Output,
    /// Every packet that goes out.
    Postrouting,
}

/// The kind of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// Accepts and drops.
    Filter,
    /// Translates addresses; sees the first packet of a connection only.
    Nat,
    /// Marks local packets before they are routed.
    Route,
}

/// Priority of destination translation.
pub const PRIORITY_DSTNAT: i32 = -100;
/// Where packets are marked before they are translated (`NF_IP_PRI_MANGLE`).
pub const PRIORITY_MANGLE: i32 = -150;
/// Priority of filtering.
pub const PRIORITY_FILTER: i32 = 0;
/// Priority of source translation.
pub const PRIORITY_SRCNAT: i32 = 100;
