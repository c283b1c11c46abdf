//! From a pod's spec to what the runtime is asked for.

pub(crate) mod container;
pub(crate) mod dns;
pub(crate) mod downward;
pub(crate) mod env;
mod env_file;
pub(crate) mod expand;
pub(crate) mod hosts;
pub(crate) mod labels;
pub(crate) mod resources;
pub(crate) mod sandbox;
pub(crate) mod security;
pub(crate) mod service_env;
