//! How components reach the API: transports, informers, work queues, events, leader election.
//!
//! Every component uses the same [`kube::Client`], whether it talks to an API server in its own
//! process ([`transport::in_process`]) or over HTTPS ([`transport::https`]).

pub mod events;
pub mod factory;
pub mod helpers;
pub mod informer;
pub mod key;
pub mod leader;
mod metrics;
pub mod reconcile;
pub mod refusals;
pub mod review;
pub mod service_account;
mod store;
pub mod transport;
pub mod workqueue;

pub use events::{EventRecorder, EventType};
pub use factory::InformerFactory;
pub use informer::{Event, Informer};
pub use key::ObjectKey;
pub use store::Store;
pub use workqueue::WorkQueue;

pub use kube;
pub use kube::Client;

#[cfg(test)]
mod fake;
