//! The API server: access to objects.
//!
//! `chain` lists the layers that a request passes, `verbs` has one handler per verb, `registry` one
//! row per kind, and `cache` serves all reads.

mod admission;
mod aggregation;
mod allocator;
mod audit;
mod authn;
mod authz;
mod body;
mod bootstrap;
mod cache;
mod chain;
mod config_file;
mod connection;
mod conversion;
mod decode;
mod definitions;
mod discovery;
mod encode;
mod encryption;
mod endpoints;
mod event_ttl;
mod expiring;
mod flow_control;
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
mod storage;
mod user;
mod verbs;
mod warning;
mod watched_file;
mod webhook;

pub use admission::{AdmissionError, AdmissionOptions};
pub use aggregation::FrontProxy;
pub use audit::{
    AuditError, AuditFormat, AuditLog, AuditMode, AuditOptions, AuditTruncate, AuditWebhook,
};
pub use authn::{
    Authentication, AuthenticationConfigError, Oidc, OptionsError, RequestHeader,
    TokenWebhookOptions, UnusableIssuer,
};
pub use authz::{
    Authorization, AuthorizationConfigError, AuthorizationError, PolicyFileError, UnusableWebhook,
};
pub use body::{Body, BoxError};
pub use cache::Corrupt;
pub use discovery::VERSION;
pub use encryption::{EncryptionError, EncryptionOptions};
pub use server::{ApiServer, Config, StartError};
pub use service::{InProcess, Tls};
pub use user::User;

pub(crate) use server::Settings;

#[cfg(test)]
mod tests;
