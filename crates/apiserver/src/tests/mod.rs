//! The server as its clients see it, without a socket.

mod applying;
mod bad_input;
mod binding;
mod budgets;
mod certificates;
mod conformance;
mod deletion;
mod harness;
mod limits;
mod metrics;
mod nodes;
mod paths;
mod quotas;
mod reading;
mod resize;
mod runtime_classes;
mod samples;
mod scope;
mod secret_tokens;
mod streams;
