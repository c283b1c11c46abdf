//! Netlink: message building, attribute parsing and a blocking request socket.

mod message;
mod socket;

pub use message::{Attribute, Attributes, Message};
pub use socket::Socket;
pub(crate) use socket::{Reply, check};
