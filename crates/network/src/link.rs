//! Links, addresses and routes by rtnetlink.

mod handle;
mod types;

pub use handle::LinkSocket;
pub use types::{Link, Peer, Route};
