//! Network plumbing without external binaries: netlink links, addresses and routes, network
//! namespaces, nf_tables, and the pod network made of them.
#![allow(unsafe_code)]

pub mod conntrack;
pub mod link;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod pod;

mod error;

pub use error::{Error, Result};
