//! The API server: access to objects.
//!
//! `chain` lists the layers that a request passes, `verbs` has one handler per verb, `registry` one
//! row per kind, and `cache` serves all reads.

mod admission;
mod aggregation;
mod allocator;
mod authn;
mod authz;
mod body;
mod bootstrap;
mod cache;
mod chain;
mod connection;
mod conversion;
mod decode;
mod definitions;
mod discovery;
mod encode;
mod endpoints;
mod event_ttl;
mod flow_schemas;
mod health;
mod limits;
mod metrics;
mod negotiate;
mod openapi;
mod paths;
mod registry;
mod request;
mod resource;
mod routes;
mod server;
mod service;
mod user;
mod verbs;
mod warning;
mod webhook;

pub use aggregation::FrontProxy;
pub use body::{Body, BoxError};
pub use cache::Corrupt;
pub use discovery::VERSION;
pub use server::{ApiServer, Config, StartError};
pub use service::InProcess;
pub use user::User;

pub(crate) use server::Settings;

#[cfg(test)]
mod tests;
