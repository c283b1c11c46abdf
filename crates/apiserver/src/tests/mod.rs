//! The server as its clients see it, without a socket.

mod applying;
mod bad_input;
mod binding;
mod budgets;
mod certificates;
mod conformance;
mod custom;
mod deletion;
mod harness;
mod limits;
mod metrics;
mod nodes;
mod paths;
mod policies;
mod quotas;
mod rbac;
mod reading;
mod resize;
mod rules;
mod runtime_classes;
mod samples;
mod scope;
mod secret_tokens;
mod sockets;
mod streams;
mod webhooks;
