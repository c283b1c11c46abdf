//! How cases speak to a cluster: every object is the JSON that the server sent, so that nothing a
//! server adds, drops or misspells is lost in a typed copy.

mod answer;
mod cluster;
mod kind;
mod resource;
mod stream;
mod wait;

pub use answer::{Answer, Refusal, expect_refusal};
pub use cluster::Cluster;
pub use kind::*;
pub use resource::{Patch, Resource};
pub use stream::{Event, Watch};
pub use wait::Unmet;
