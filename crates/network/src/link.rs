//! Links, addresses and routes by rtnetlink.

mod handle;
mod monitor;
mod types;

pub use handle::LinkSocket;
pub use monitor::LinkMonitor;
pub use types::{Link, Peer, Route};
