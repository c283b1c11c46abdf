//! The API server: how objects are reached.
//!
//! `server` holds the pipeline of a request, `verbs` one handler per verb, `registry` one row per
//! kind, `cache` everything that is read.

mod admission;
mod allocator;
mod authn;
mod authz;
mod body;
mod bootstrap;
mod cache;
mod connection;
mod decode;
mod discovery;
mod encode;
mod event_ttl;
mod flow_schemas;
mod health;
mod limits;
mod metrics;
mod negotiate;
mod openapi;
mod registry;
mod request;
mod routes;
mod server;
mod service;
mod trace;
mod user;
mod verbs;
mod warning;

pub use body::{Body, BoxError};
pub use cache::Corrupt;
pub use discovery::VERSION;
pub use server::{ApiServer, Config, StartError};
pub use service::InProcess;
pub use user::User;

pub(crate) use server::Settings;

#[cfg(test)]
mod tests;
